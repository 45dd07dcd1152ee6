"""Ready text for the notice to members, by what they use foreign port 25 for."""

from sensor.impact.judgement import Kind

__all__ = ["ADVICE", "notice_text"]

ADVICE: dict[Kind, str] = {
    "spam source": "closing the port stops it; tell the customer that a machine is infected",
    "mail server": "offer a fixed address or an exemption before the port is closed",
    "mail program": "have it moved to port 587 before the port is closed",
    "unclear": "look at the evidence, or ask the customer",
}
"""What the provider has to do."""

_TEXTS: dict[Kind, str] = {
    "spam source": """\
A device on your connection is sending large amounts of mail directly to mail servers all over the
Internet. This is usually the work of malicious software. Please check your devices with up-to-date
protection software, and change the passwords of your mail accounts afterwards. Outbound connections
to TCP port 25 will be blocked from your connection.""",
    "mail server": """\
You appear to run a mail server on your connection. From {date}, connections from dynamic addresses
to TCP port 25 of other networks will be blocked. To go on sending mail directly, please change to
a fixed address or apply for an exemption; or send through our mail servers (smart host).""",
    "mail program": """\
Your mail program sends through {providers} on TCP port 25. From {date}, connections from dynamic
addresses to port 25 of other networks will be blocked. Please set the port for outgoing mail to 587
(with STARTTLS) or 465 (with TLS), with user name and password. Receiving mail is not affected.""",
    "unclear": """\
From your connection, TCP port 25 of other networks has been used. From {date}, such connections
from dynamic addresses will be blocked. If you run a mail server or a device that sends mail by
itself, please contact us. If not, please check your devices with up-to-date protection
software.""",
}


def notice_text(kind: Kind, providers: str, date: str) -> str:
    """The text; ``date`` and ``providers`` as they are to be read."""
    return _TEXTS[kind].format(date=date, providers=providers or "another provider")
