"""Gestures while they happen: frames in one by one, events out."""
