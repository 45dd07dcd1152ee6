"""Text from the network made safe for a terminal."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """``text`` safe for a terminal: control and invisible characters as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
