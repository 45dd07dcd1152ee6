"""Alerts: when they open, change and close, and what they say."""
