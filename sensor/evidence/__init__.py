"""Packets kept for a while, so that an alert can be looked into."""
