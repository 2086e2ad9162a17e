"""Micro-gestures in video and pose recordings: found, named, counted."""

__version__ = "0.1.0"
