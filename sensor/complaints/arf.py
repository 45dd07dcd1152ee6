"""Reports of abuse as mail: Abuse Reporting Format (RFC 5965; Source-Port: RFC 6692).

    multipart/report; report-type=feedback-report
      text/plain                 for people; not read
      message/feedback-report    Feedback-Type, Version, Source-IP, Arrival-Date ...
      message/rfc822             the mail that is complained of; not read, not kept

Whoever sends one may send anything. Size and number of parts are bounded before the mail is taken
apart; what it says is an address, a time and a few words.
"""

import email
import email.utils
import ipaddress
import re
from email.message import Message
from typing import Final

from sensor.base.terminal import printable
from sensor.base.units import DAY, HOUR, SECOND
from sensor.complaints.complaint import Complaint, ComplaintError

__all__ = ["LARGEST", "read"]

LARGEST: Final = 1 << 20
"""Bytes of a report."""
_PARTS: Final = 16
"""Boundaries declared, in the report and in the mail that it encloses."""
_AHEAD: Final = HOUR
_OLDEST: Final = 90 * DAY
_WORD: Final = 200
_VERSIONS: Final = re.compile(r"(0\.1|1(\.0)?)")


def read(content: bytes, now: int) -> Complaint:
    """A report that came in at ``now`` (ns). Raises ComplaintError."""
    if len(content) > LARGEST:
        raise ComplaintError("too_large", f"{len(content):,} bytes, {LARGEST:,} are allowed")
    if len(re.findall(rb"boundary\s*(?:\*\d*\*?)?=", content, re.IGNORECASE)) > _PARTS:
        raise ComplaintError("nested", f"more than {_PARTS}")
    try:
        mail = email.message_from_bytes(content)
        return _complaint(mail, _report(mail), now)
    except (LookupError, RecursionError, TypeError, UnicodeError) as error:
        raise ComplaintError("malformed", str(error)[:_WORD]) from None


def _report(mail: Message) -> Message:
    """The part with the fields."""
    kind = str(mail.get_param("report-type", "")).lower()
    if mail.get_content_type() != "multipart/report" or kind != "feedback-report":
        raise ComplaintError("not_a_report", printable(f"{mail.get_content_type()} {kind}")[:_WORD])
    parts = mail.get_payload()
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, Message) and part.get_content_type() == "message/feedback-report":
            inner = part.get_payload()
            if isinstance(inner, list) and inner and isinstance(inner[0], Message):
                return inner[0]
    raise ComplaintError("not_a_report", "no part message/feedback-report")


def _field(report: Message, name: str) -> str:
    """A field in one line of printable characters; empty: it is not there."""
    return printable(" ".join(str(report.get(name, "")).split()))[:_WORD]


def _complaint(mail: Message, report: Message, now: int) -> Complaint:
    version, kind = _field(report, "Version"), _field(report, "Feedback-Type").lower()
    if not kind:
        raise ComplaintError("not_a_report", "no Feedback-Type")
    if not _VERSIONS.fullmatch(version):
        raise ComplaintError("version", version)
    if len(report.get_all("Source-IP", [])) > 1:
        raise ComplaintError("bad_address", "Source-IP is there twice")
    source = _field(report, "Source-IP").removeprefix("IPv6:")
    if not source:
        raise ComplaintError("no_address", "no Source-IP")
    try:
        address = ipaddress.ip_address(source.strip("[]"))
    except ValueError:
        raise ComplaintError("bad_address", source) from None
    return Complaint(
        "report", _reporter(mail), kind[:40], str(address),
        _number(report, "Source-Port", 65535, 0), _when(mail, report, now),
        _number(report, "Incidents", 10**6, 1), _field(report, "Reported-Domain"), received=now,
    )  # fmt: skip


def _reporter(mail: Message) -> str:
    _, sender = email.utils.parseaddr(_field(mail, "From"))
    domain = sender.rpartition("@")[2].lower().strip(".")
    return domain if re.fullmatch(r"[a-z0-9.-]{1,100}", domain) else "unknown"


def _number(report: Message, name: str, most: int, otherwise: int) -> int:
    text = _field(report, name)
    return int(text) if re.fullmatch("[0-9]{1,7}", text) and int(text) <= most else otherwise


def _when(mail: Message, report: Message, now: int) -> int:
    """When the mail arrived there; where the report does not say so, when it was written."""
    for of, name in ((report, "Arrival-Date"), (report, "Received-Date"), (mail, "Date")):
        if text := _field(of, name):
            break
    else:
        return now
    try:
        ts = round(email.utils.parsedate_to_datetime(text).timestamp()) * SECOND
    except (ValueError, OverflowError, OSError):
        raise ComplaintError("bad_date", text) from None
    if ts > now + _AHEAD:
        raise ComplaintError("future", text)
    if ts < now - _OLDEST:
        raise ComplaintError("old", text)
    return ts
