"""Text from the network made safe for a terminal, and lines for who sits at one."""

import sys

__all__ = ["complain", "printable"]


def printable(text: str) -> str:
    """``text`` safe for a terminal: control and invisible characters as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def complain(line: str) -> None:
    """One line on standard error, safe for a terminal."""
    print(f"port25: {printable(line)}", file=sys.stderr)
