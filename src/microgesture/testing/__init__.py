"""The contract every recogniser keeps, as tests for one line: `check_system(MySystem)`."""

from microgesture.testing.systems import CHECKS, check_system

__all__ = ["CHECKS", "check_system"]
