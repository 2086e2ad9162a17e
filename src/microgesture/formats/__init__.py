"""Reading and writing files as the world has them. A reader returns a valid object or raises `FormatError`."""
