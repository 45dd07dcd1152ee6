"""Lists that own addresses are on, from a file: a line an address.

    address,list[,since[,words]]
    203.0.113.7,zen.dnsbl.example,2026-11-20T08:00:00Z,botnet drone

Lines that begin with ``#`` and a line of headings (``address,...``) are passed over. Where
``since`` is empty, it is when the file was read first.
"""

import csv
import datetime
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from sensor.base.terminal import printable
from sensor.base.units import HOUR, SECOND
from sensor.complaints.complaint import Complaint, ComplaintError

__all__ = ["listed"]

_AHEAD: Final = HOUR
_LINE: Final = 2_000
_WORD: Final = 200


def listed(lines: Iterable[str], now: int) -> Iterator[Complaint | ComplaintError]:
    """What each line says, or why it is not taken."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(("#", "address,")):
            continue
        try:
            yield _listed(text, now)
        except ComplaintError as error:
            yield ComplaintError(error.reason, f"line {number}: {error}")


def _listed(text: str, now: int) -> Complaint:
    if len(text) > _LINE:
        raise ComplaintError("too_large", f"a line has {_LINE} characters at most")
    try:
        fields = [printable(field.strip())[:_WORD] for field in next(csv.reader([text]))]
    except csv.Error as error:
        raise ComplaintError("malformed", str(error)) from None
    address, name, since, words = [*fields, "", "", "", ""][:4]
    if not name:
        raise ComplaintError("malformed", "expected address,list[,since[,words]]")
    try:
        source = ipaddress.ip_address(address)
    except ValueError:
        raise ComplaintError("bad_address", address) from None
    ts = now
    if since:
        try:
            when = datetime.datetime.fromisoformat(since)
            aware = when if when.tzinfo else when.replace(tzinfo=datetime.UTC)
            ts = round(aware.timestamp()) * SECOND
        except (ValueError, OverflowError):
            raise ComplaintError("bad_date", f"{since}, expected as 2026-11-20T08:00:00Z") from None
    if ts > now + _AHEAD:
        raise ComplaintError("future", since)
    return Complaint("list", name.lower(), "listed", str(source), 0, ts, 1, words, received=now)
