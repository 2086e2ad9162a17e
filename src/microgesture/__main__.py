"""`python -m microgesture`."""

from microgesture.cli.app import main

if __name__ == "__main__":
    main()
