"""Mail: submitted to a server, with STARTTLS, TLS from the start (465), or neither.

Where TLS is asked for and the server does not speak it, or is not whom it says, nothing is sent.
What mail is made and sent with is loaded when the destination is opened: most sensors send none.
"""

from __future__ import annotations  # Python takes milliseconds to compile ADDRESS: when it is asked

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from sensor.alerts.alert import Alert
from sensor.notify.destination import (
    Destination,
    NotTakenError,
    RefusedError,
    Server,
    Way,
    host_and_port,
)
from sensor.notify.forms import body, subject
from sensor.notify.trust import secret, trust

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage

__all__ = ["ADDRESS", "Mail"]

_LETTERS: Final = (
    "[!-+\\--;=?-~\u00a1-\u00ac\u00ae-\u167f\u1681-\u180d\u180f-\u1fff\u2c00-\u2fff\u3001-\ud7ff]+"
)
"""Printable ASCII but comma and angle brackets, and letters of others (RFC 6532) without spaces and
marks of direction; written so that every dialect reads it alike.
"""
ADDRESS: Final = f"^{_LETTERS}@{_LETTERS}$"
"""Pattern of an address of mail, of at most 254 characters."""
_TIMEOUT: Final = 20.0
_LONGEST_LINE: Final = 990
"""A subject is a line: some clients show a fold. RFC 5322 has 998 at most."""


class Mail(Destination, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module."""

    server: Server
    tls: Literal["starttls", "tls", "none"] = "starttls"
    authority: str = ""
    """PEM file of whom to trust, instead of whom the system trusts"""
    user: str = ""
    password_file: str = ""
    sender: Annotated[str, msgspec.Meta(pattern=ADDRESS, max_length=254)]
    to: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=ADDRESS, max_length=254)], ...],
        msgspec.Meta(min_length=1, max_length=100),
    ]

    def __post_init__(self) -> None:
        Destination.__post_init__(self)
        if self.tls == "none" and self.user:
            raise ValueError(f"{self.name}: a password is not sent without TLS")

    def opened(self) -> Way:
        """See ``Destination``."""
        # Now, since later is too late: privileges are given up.
        import email.policy  # noqa: F401
        import smtplib  # noqa: F401

        password, context = secret(self.password_file).decode(), trust(self.authority)
        return lambda alerts, mode: self._send(self.message(alerts, mode), context, password)

    def post(self) -> Callable[[EmailMessage, list[str]], None]:
        """A way to send any mail to some. It raises NotTakenError, RefusedError."""
        self.opened()  # what that loads, and what it raises
        password, context = secret(self.password_file).decode(), trust(self.authority)
        return lambda made, to: self._send(made, context, password, to)

    def message(self, alerts: Sequence[Alert], mode: str) -> EmailMessage:
        """The mail."""
        from email import policy
        from email.message import EmailMessage
        from email.utils import formatdate, make_msgid

        ascii_ = "".join((self.sender, *self.to)).isascii()
        form = policy.SMTP if ascii_ else policy.SMTPUTF8
        made = EmailMessage(form.clone(max_line_length=_LONGEST_LINE))
        made["From"] = self.sender
        made["To"] = ", ".join(self.to)
        made["Subject"] = subject(alerts, mode)
        made["Date"] = formatdate(localtime=True)
        made["Message-ID"] = make_msgid(alerts[0].id, self.sender.rpartition("@")[2])
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers it by itself
        made["X-Port25-Alert"] = alerts[0].id
        made.set_content(body(alerts, mode))
        return made

    def _send(
        self,
        made: EmailMessage,
        context: ssl.SSLContext,
        password: str,
        to: Sequence[str] | None = None,
    ) -> None:
        import smtplib

        host, port = host_and_port(self.server)
        try:
            server: smtplib.SMTP
            if self.tls == "tls":
                server = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=context)
            else:
                server = smtplib.SMTP(host, port, timeout=_TIMEOUT)
            with server:
                if self.tls == "starttls":
                    server.starttls(context=context)
                if self.user:
                    server.login(self.user, password)
                left_out = server.send_message(made, self.sender, list(to or self.to))
        except smtplib.SMTPNotSupportedError as error:
            if not "".join([self.sender, *(to or self.to)]).isascii():
                fault = "the mail server takes addresses of ASCII alone (it has no SMTPUTF8)"
                raise RefusedError(fault) from None
            raise NotTakenError(str(error)) from None
        except smtplib.SMTPDataError as error:
            kind = RefusedError if error.smtp_code in (552, 554) else NotTakenError
            raise kind(f"{error.smtp_code} {error.smtp_error!r}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotTakenError(str(error)) from None
        if left_out:  # the others have it
            said = (f"{to}: {code} {text!r}" for to, (code, text) in left_out.items())
            raise RefusedError("; ".join(said))
