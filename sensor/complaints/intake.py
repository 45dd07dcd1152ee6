"""Complaints come in: whose they are, and where they are kept. A mail folder is read by its rules.

In a Maildir, mail that was not seen yet lies in ``new``; what was read is moved to ``cur`` with the
flag ``S``, refused or not. It is moved after it was kept: one that is read twice counts once.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sensor.complaints import arf
from sensor.complaints.book import Complaints
from sensor.complaints.complaint import Complaint, ComplaintError
from sensor.hosts.subscribers import Subscribers, class_of, host_text, parse_host

__all__ = ["Taken", "maildir", "take", "take_all", "whose"]

_MAILS: Final = 10_000
"""Read in one go; the rest next time."""


class Taken(NamedTuple):
    """How many complaints were kept, and how many not."""

    kept: int
    refused: int


def whose(one: Complaint, subscribers: Subscribers) -> Complaint:
    """The complaint with its subscriber. Raises ComplaintError."""
    port = f":{one.port}" if ":" not in one.address and one.port else ""
    hi, lo = parse_host(f"{one.address}{port}", subscribers)
    class_ = subscribers.classes[class_of(subscribers, hi, lo)]
    if not class_["subscriber"] or class_["own"]:
        raise ComplaintError("not_a_subscriber", one.address)
    if class_["ports"] and not one.port:
        raise ComplaintError("shared_address", one.address)
    host = host_text(hi, lo, int(class_["fold"]), int(class_["ports"]))
    return msgspec.structs.replace(one, host=host)


def take(
    book: Complaints, subscribers: Subscribers, content: bytes, now: int,
    read: Callable[[bytes, int], Complaint] = arf.read,
) -> Complaint:  # fmt: skip
    """Keep a report, or count why not. Raises ComplaintError, DatabaseError."""
    try:
        one = whose(read(content, now), subscribers)
        book.add(one, content)
    except ComplaintError as error:
        book.refuse(error, now)
        raise
    return one


def take_all(
    book: Complaints, subscribers: Subscribers, found: Iterable[Complaint | ComplaintError]
) -> Taken:
    """Keep listings; one that is known from before is none that is new, and not refused either."""
    kept = refused = 0
    for one in found:
        try:
            if isinstance(one, ComplaintError):
                raise one
            day = "" if one.ts == one.received else one.ts
            what = f"{one.reporter}|{one.address}|{day}".encode()
            book.add(whose(one, subscribers), what)
            kept += 1
        except ComplaintError as error:
            if error.reason != "twice":
                book.refuse(error, time.time_ns())
                refused += 1
    return Taken(kept, refused)


def _waiting(folder: Path) -> Sequence[Path]:
    return sorted(one for one in (folder / "new").iterdir() if one.is_file())[:_MAILS]


def maildir(book: Complaints, subscribers: Subscribers, folder: Path) -> Taken:
    """Read what is new in a mail folder. Raises OSError, DatabaseError."""
    (folder / "cur").mkdir(exist_ok=True)
    kept = refused = 0
    for file in _waiting(folder):
        with file.open("rb") as opened:
            content = opened.read(arf.LARGEST + 1)
        with contextlib.suppress(ComplaintError):
            take(book, subscribers, content, time.time_ns())
            kept += 1
            refused -= 1
        refused += 1
        file.rename(folder / "cur" / f"{file.name.partition(':2,')[0]}:2,S")
    return Taken(kept, refused)
