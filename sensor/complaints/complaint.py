"""What somebody else says of a subscriber, and what it weighs beside an alert.

A complaint can be made up by anybody who can send a mail. It is shown beside what the sensor saw
itself, and never raises, scores or blocks.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

import msgspec

__all__ = ["REASONS", "Complaint", "ComplaintError", "Level", "Origin", "Reason", "Weight", "weigh"]

Origin = Literal["report", "list"]
Reason = Literal[
    "too_large", "nested", "not_a_report", "version", "no_address", "bad_address",
    "not_a_subscriber", "shared_address", "bad_date", "future", "old", "malformed",
    "twice", "refused_list",
]  # fmt: skip
REASONS: Final[dict[Reason, str]] = {
    "too_large": "larger than a report may be",
    "nested": "more parts within parts than a report has",
    "not_a_report": "no report in the format of RFC 5965",
    "version": "a version of the format that is not known",
    "no_address": "it names no source address",
    "bad_address": "what it names as source is no address",
    "not_a_subscriber": "the source is no subscriber's address: it may be forged",
    "shared_address": "many share the address, and no port says whose it was",
    "bad_date": "what it gives as time is none",
    "future": "it is of the future",
    "old": "it is of long ago",
    "malformed": "it cannot be read",
    "twice": "it was taken before",
    "refused_list": "the list does not answer as lists do (RFC 5782)",
}
"""Why a complaint is not taken, in words."""
_IN_FAVOUR: Final = ("not-spam",)
_OF_NO_WEIGHT: Final = ("auth-failure", "dmarc", "opt-out", "opt-out-list")
"""Kinds of reports that do not say that unwanted mail came."""
_MANY: Final = 10
Level = Literal["none", "weak", "fair", "strong"]


class ComplaintError(ValueError):
    """A complaint that is not taken; the text says more than the reason."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(f"{REASONS[reason]}{text and f': {text}'}")
        self.reason = reason


class Complaint(msgspec.Struct, frozen=True):
    """A report of abuse, or a listing. What the mail said that was complained of is not kept."""

    origin: Origin
    reporter: str
    """domain of who reports, as the mail says it; or the name of the list"""
    kind: str
    """of a report its Feedback-Type; ``listed``"""
    address: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    """source port; 0: not said"""
    ts: int
    """when the mail arrived there, or the address was listed: nanoseconds since 1970"""
    incidents: int = 1
    """times it happened, by their word"""
    detail: str = ""
    """the domain that was reported, or the list's own words"""
    host: str = ""
    """the subscriber, as alerts name him"""
    received: int = 0
    """when it was taken, nanoseconds since 1970"""


class Weight(msgspec.Struct, frozen=True):
    """What complaints come to."""

    level: Level
    reporters: int
    """that complain, not counting those in favour"""
    reports: int
    lists: int
    in_favour: int
    """reporters who say that it was no spam"""


def weigh(complaints: Iterable[Complaint]) -> Weight:
    """A point a reporter, two where he reports ten and more; two a list; one less a favour.

    One point is weak, two or three are fair, more are strong. One who sends a thousand reports
    weighs no more than two who send one each.

    >>> one = Complaint("report", "isp.example", "abuse", "192.0.2.1", 0, 0)
    >>> weigh([one] * 5).level, weigh([one] * 1000).level, weigh([]).level
    ('weak', 'fair', 'none')
    """
    against: dict[str, int] = {}
    lists: set[str] = set()
    favour: set[str] = set()
    for one in complaints:
        if one.origin == "list":
            lists.add(one.reporter)
        elif one.kind in _IN_FAVOUR:
            favour.add(one.reporter)
        elif one.kind not in _OF_NO_WEIGHT:
            against[one.reporter] = against.get(one.reporter, 0) + 1
    points = sum(2 if times >= _MANY else 1 for times in against.values())
    points += 2 * len(lists) - len(favour)
    return Weight(_level(points), len(against), sum(against.values()), len(lists), len(favour))


def _level(points: int) -> Level:
    steps: Sequence[tuple[int, Level]] = ((4, "strong"), (2, "fair"), (1, "weak"))
    return next((level for least, level in steps if points >= least), "none")
