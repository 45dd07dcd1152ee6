"""The settings of letters: by which mail server, and as whom, persons send them from the page."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from sensor.notify.destination import NotTakenError, RefusedError
from sensor.notify.mail import Mail

if TYPE_CHECKING:
    from email.message import EmailMessage

__all__ = ["LetterError", "LetterSettings", "Post"]

Post = Callable[["EmailMessage", str], None]
"""Send a mail to an address. Raises LetterError."""


class LetterError(Exception):
    """It cannot be written or sent; the text says why."""


class LetterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Letters to customers and others, that persons send from the page."""

    server: Annotated[str, msgspec.Meta(pattern=r"^(.+:\d{1,5})?$")] = ""
    """host and port of the mail server; empty: no letters are sent"""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    authority: str = ""
    """PEM file of whom to trust, instead of whom the system trusts"""
    user: str = ""
    password_file: str = ""
    sender: Annotated[str, msgspec.Meta(pattern=r"^([^\s<>,]+@[^\s<>,]+)?$")] = ""
    organisation: str = ""
    """who writes"""
    templates: str = ""
    """folder of the desk's own texts"""

    def opened(self) -> Post | None:
        """A way to send; None where there is none. Raises OSError, ValueError."""
        if not self.server:
            return None
        if not self.sender or not self.organisation:
            raise ValueError("notify.letters: sender and organisation are needed with server")
        mail = Mail(
            name="letters", server=self.server, tls=self.tls, authority=self.authority,
            user=self.user, password_file=self.password_file, sender=self.sender,
            to=(self.sender,),
        )  # fmt: skip
        post = mail.post()

        def send(made: "EmailMessage", to: str) -> None:
            try:
                post(made, [to])
            except (NotTakenError, RefusedError) as error:
                raise LetterError(f"the mail server: {error}") from None

        return send
