"""Metrics of the field: numpy in, plain numbers out, no torch."""
