"""Real-time port-25 abuse sensor: packets in, explained alerts out."""

__version__ = "0.1.0"
