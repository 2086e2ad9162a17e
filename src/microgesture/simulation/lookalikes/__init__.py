"""Simulated people in the files of a data set, byte by byte as it is distributed, quirks included."""
