"""Frames in, TCP segments of the watched ports out."""
