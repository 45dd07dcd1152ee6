"""What is wrong with a setting, in words for who wrote it: what may stand there, in which line."""

import re
import typing
from typing import Any

__all__ = ["at_line", "expected"]


def _literals(kind: Any) -> list[str]:
    """The words a type allows, whatever it is wrapped in."""
    if typing.get_origin(kind) is typing.Literal:
        return [str(one) for one in typing.get_args(kind)]
    return [word for part in typing.get_args(kind) for word in _literals(part)]


def expected(error: str, kind: Any, default: Any) -> str:
    """A complaint of the parser's, said without the parser.

    >>> expected("Invalid enum value 'enforced'", typing.Literal["off", "enforce"], "off")
    "'enforced' is none of off, enforce"
    >>> expected("Expected `str` matching regex '^[A-Za-z0-9._-]{1,100}$'", str, "")
    'expected letters, digits, ".", "_" or "-", at most 100'
    """
    if found := re.match("Invalid enum value (.*)", error):
        return f"{found[1]} is none of {', '.join(_literals(kind))}"
    if found := re.search("matching regex (.*)", error):
        pattern = found[1].strip("'")
        example = f"as in {default!r}" if isinstance(default, str) and default else ""
        if r":\d" in pattern:
            example = example or "address:port"
            return f"expected {example}"
        if not example and (name := re.search(r"A-Za-z0-9.*\{\d+,(\d+)\}", pattern)):
            first = "[A-Za-z0-9_]" in pattern
            begin = ', neither "." nor "-" first' * first
            return (
                f'expected letters, digits, ".", "_" or "-"{begin}, at most {int(name[1]) + first}'
            )
        return f"expected {example}" if example else f"expected a text of the form {pattern}"
    return error


def at_line(text: str, mistake: str) -> str:
    """A mistake with the line its key stands in, where that can be told.

    >>> at_line('[web]\\nlisten = "x"\\n', "web.listen: expected address:port")
    'web.listen: expected address:port (line 2)'
    """
    key = mistake.partition(": ")[0]
    wanted = re.sub(r"\[\d+\]", "", key)
    counted: dict[str, int] = {}
    nth = [int(one) for one in re.findall(r"\[(\d+)\]", key)][:1]
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*(\[\[?)\s*([\w.\-]+)\s*\]", line):
            section = head[2]
            if head[1] == "[[":
                counted[section] = counted.get(section, -1) + 1
        elif name := re.match(r"\s*([\w.\-]+)\s*=", line):
            at = f"{section}.{name[1]}".strip(".")
            mine = section not in counted or not nth or counted[section] == nth[0]
            if mine and (at == wanted or wanted.startswith(f"{at}.")):
                return f"{mistake} (line {number})"
    return mistake
