"""An alert in a line: what lists say of it beside the fields they are searched by."""

from typing import Any, Final

import msgspec

from sensor.alerts.alert import Alert, EvidenceLine

__all__ = ["Body", "Gist", "gist"]

_WINDOW: Final = "1 h"


class Body(msgspec.Struct, frozen=True):
    """As much of a message as a line is made of: the rest of it is not even decoded."""

    evidence: list[EvidenceLine]
    windows: dict[str, dict[str, int]]
    block_reason: str
    block_code: str = ""
    block_figures: dict[str, Any] = {}


class Gist(msgspec.Struct, frozen=True):
    """An alert's last message, in short."""

    strongest: EvidenceLine
    """the line of the sum that speaks most against the host"""
    networks: int
    """foreign networks in an hour"""
    refused: int
    """servers, of those contacted anew in an hour, that refused for good what they were sent"""
    block_reason: str
    """why a block is recommended, or not: a sentence in English"""
    block_code: str
    block_figures: dict[str, Any]


def gist(of: Alert | Body) -> Gist:
    """In short."""
    counts = of.windows.get(_WINDOW, {})
    return Gist(
        max(of.evidence[1:] or of.evidence, key=lambda line: line.decibans),
        counts.get("networks", 0),
        counts.get("rejected", 0),
        of.block_reason,
        of.block_code,
        of.block_figures,
    )
