"""Sentences by code: what the sensor says to people, in each language from one catalogue.

A finding, a reason, a notice is a code and its figures; the sentence is made where a person reads
it. A catalogue (``catalogue/en.json``, ``ja.json``) has a template for each code:

    {figure}          as it is; where it is a sentence, that; where it is a list, with "; " between
    {figure:,}        a number with thousands; also ``.1f``, ``+.1f``, ``.0%``, ``.2%``
    {figure:window}   the name of a window of time
    {figure:list}     of a list each, with ", " between
    {figure:plural}   "s" where there is not exactly one
    [...]             left out where a figure in it is missing; [[ and ]] are brackets

English is also what JSONL, Kafka and the journal hold beside the code, for those who only read.
"""

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

__all__ = [
    "CATALOGUES",
    "LANGUAGES",
    "Sentence",
    "add",
    "figures_of",
    "in_words",
    "readable",
    "render",
    "sentence",
]

LANGUAGES: Final = ("en", "ja")
_TOKEN: Final = re.compile(r"\[\[|\]\]|[\[\]]|\{(\w+)(?::([^{}]*))?\}")


def _catalogue(language: str) -> dict[str, str]:
    file = Path(__file__).parent / "catalogue" / f"{language}.json"
    tables = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, str]])
    return {
        f"{table}.{name}": text for table, texts in tables.items() for name, text in texts.items()
    }


CATALOGUES: Final = {language: _catalogue(language) for language in LANGUAGES}
"""Templates by language and code. Read at once: later a sensor may not read its own files."""


class Sentence(msgspec.Struct, frozen=True):
    """What is to be said, in no language yet."""

    code: str
    """of the catalogue"""
    figures: dict[str, Any] = {}
    """by the names the templates use; one that is itself a sentence has ``code``, ``figures``"""

    @property
    def text(self) -> str:
        """In English."""
        return render(self.code, self.figures)


def sentence(code: str, **figures: Any) -> Sentence:
    """A sentence; figures that are None are left out."""
    return Sentence(code, {k: _plain(v) for k, v in figures.items() if v is not None})


def _plain(value: Any) -> Any:
    """As it is read back from JSON."""
    if isinstance(value, Sentence):
        return {"code": value.code, "figures": value.figures}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


class _Piece(NamedTuple):
    """Text, or a figure (with its format) in place of it; ``section`` 0 is never left out."""

    section: int
    text: str
    figure: str = ""
    spec: str = ""


def _pieces(template: str) -> list[_Piece]:
    pieces, section, sections, at = [], 0, 0, 0
    for found in _TOKEN.finditer(template):
        pieces.append(_Piece(section, template[at : found.start()]))
        at = found.end()
        match found[0]:
            case "[[" | "]]":
                pieces.append(_Piece(section, found[0][0]))
            case "[":
                section = sections = sections + 1
            case "]":
                section = 0
            case _:
                pieces.append(_Piece(section, "", found[1], found[2] or ""))
    pieces.append(_Piece(section, template[at:]))
    return pieces


_PARSED: Final[dict[str, dict[str, list[_Piece]]]] = {language: {} for language in LANGUAGES}
"""Templates that were asked for."""


def _parsed(code: str, language: str) -> list[_Piece] | None:
    """The pieces of a template; None: there is none."""
    known = _PARSED[language].get(code)
    template = CATALOGUES[language].get(code)
    if known is None and template is not None:
        known = _PARSED[language][code] = _pieces(template)
    return known


def add(table: str, texts: dict[str, dict[str, str]]) -> None:
    """Take in the sentences of a part that brings its own: by language, by name in ``table``.

    A language it does not speak is English.
    """
    for language in LANGUAGES:
        for name, template in (texts["en"] | texts.get(language, {})).items():
            CATALOGUES[language][f"{table}.{name}"] = template


def figures_of(code: str, language: str = "en") -> frozenset[str]:
    """The figures a template uses."""
    pieces = _pieces(CATALOGUES[language][code])
    return frozenset(piece.figure for piece in pieces if piece.figure)


def render(code: str, figures: dict[str, Any], language: str = "en") -> str:
    """The sentence. A code without a template is told with its figures as they are.

    Raises KeyError where a figure is missing that cannot be left out.

    >>> render("prior.share", {"hosts": 1000})
    'before any evidence, 1 host in 1,000 that uses foreign port 25'
    """
    pieces = _parsed(code, language)
    if pieces is None:
        return f"{code}: " + ", ".join(f"{name} {value}" for name, value in figures.items())
    given = {name: value for name, value in figures.items() if value is not None}
    missing = {p.section for p in pieces if p.figure and p.section and p.figure not in given}
    return "".join(
        _shown(given[p.figure], p.spec, language) if p.figure else p.text
        for p in pieces
        if p.section not in missing
    )


_UNFIT: Final = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What figures of another version or hand raise."""


def in_words(code: str, figures: dict[str, Any], text: str, language: str = "en") -> str:
    """The sentence of a message, or its English ``text`` where it has no code that is known."""
    if code not in CATALOGUES[language]:
        return text
    try:
        return render(code, figures, language)
    except _UNFIT:
        return text


def readable(code: str, figures: dict[str, Any]) -> Sentence | None:
    """The sentence of a message; None: it has none that fits this version.

    >>> readable("prior.share", {"hosts": 7}) is None, readable("prior.share", {}) is None
    (False, True)
    """
    try:
        return Sentence(code, figures) if code and render(code, figures) else None
    except _UNFIT:
        return None


def _shown(value: Any, spec: str, language: str) -> str:
    if spec == "plural":
        return "" if value == 1 else "s"
    if spec == "window":
        return CATALOGUES[language].get(f"window.{value}", str(value))
    if spec == "list":
        return ", ".join(_shown(one, "", language) for one in value)
    if isinstance(value, dict):
        return render(value["code"], value["figures"], language)
    if isinstance(value, list):
        return "; ".join(_shown(one, spec, language) for one in value)
    text: str = format(value, spec)
    return text
