"""Segments in, what happened out: the compiled heart."""
