"""A web server: POST, JSON, signed.

``X-Port25-Signature: sha256=HEX`` is the HMAC of ``TIMESTAMP.BODY`` with the secret, and
``X-Port25-Timestamp`` the wall time in seconds, so that an old request cannot be sent again.
``Idempotency-Key`` is the same whenever the same alerts are sent.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from sensor import __version__
from sensor.alerts.alert import Alert
from sensor.notify.destination import ActWay, Destination, NotTakenError, RefusedError, Way
from sensor.notify.forms import Form, json_form
from sensor.notify.trust import secret, trust

if TYPE_CHECKING:
    import urllib.request

    from sensor.blocking.acts import DeskAct

__all__ = ["Webhook"]

_NEVER: Final = (400, 413, 415, 422)
"""Answers that no repetition would change."""
_TIMEOUT: Final = 10.0


class Webhook(Destination, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module."""

    url: Annotated[str, msgspec.Meta(pattern="^https?://.+")]
    secret_file: str = ""
    """holds what requests are signed with; empty: they are not"""
    authority: str = ""
    """PEM file of whom to trust, besides whom the system trusts"""
    form: Form = "text"
    """text: the alert as it is; ecs, ocsf"""
    acts: bool = False
    """whether it is told what persons do at the desk as well: ``{"mode": ..., "acts": [...]}``"""

    def __post_init__(self) -> None:
        Destination.__post_init__(self)
        if self.form == "cef":
            raise ValueError(f"{self.name}: CEF is no JSON; form is text, ecs or ocsf")

    @property
    def shown(self) -> dict[str, Any]:
        """See ``Destination``. Paths are often secret."""
        whole = urlsplit(self.url)
        return super().shown | {"url": f"{whole.scheme}://{whole.hostname}/..."}

    def opened(self) -> Way:
        """See ``Destination``."""
        post = self._poster()

        def send(alerts: Sequence[Alert], mode: str) -> None:
            shown = [json_form(one, self.form, mode) for one in alerts]
            ids = [f"{one.id}:{one.revision}" for one in alerts]
            post(msgspec.json.encode({"mode": mode, "alerts": shown}), ids)

        return send

    def opened_for_acts(self) -> ActWay | None:
        """See ``Destination``."""
        if not self.acts:
            return None
        post = self._poster()

        def send(acts: "Sequence[DeskAct]", mode: str) -> None:
            content = msgspec.json.encode({"mode": mode, "acts": acts})
            post(content, [one.id for one in acts])

        return send

    def _poster(self) -> Callable[[bytes, list[str]], None]:
        """A way to send what is to be known by some ids."""
        # Now, since later is too late: privileges are given up.
        import hashlib  # noqa: F401
        import hmac  # noqa: F401
        import urllib.request

        class NoRedirect(urllib.request.HTTPRedirectHandler):
            """What is signed is for one address."""

            def redirect_request(self, *_: object) -> None:
                return None

        key = secret(self.secret_file)
        https = urllib.request.HTTPSHandler(context=trust(self.authority))
        opener = urllib.request.build_opener(NoRedirect, https)
        return lambda content, ids: self._send(content, ids, opener, key)

    def _send(
        self, content: bytes, ids: list[str], opener: "urllib.request.OpenerDirector", key: bytes
    ) -> None:
        import hashlib
        import hmac
        import urllib.error
        import urllib.request

        stamp = str(int(time.time()))
        head = {
            "Content-Type": "application/json",
            "User-Agent": f"port25/{__version__}",
            "Idempotency-Key": hashlib.sha256("|".join(ids).encode()).hexdigest(),
            "X-Port25-Timestamp": stamp,
        }
        try:
            if key:
                signed = hmac.new(key, f"{stamp}.".encode() + content, hashlib.sha256)
                head["X-Port25-Signature"] = f"sha256={signed.hexdigest()}"
            request = urllib.request.Request(self.url, content, head)  # noqa: S310 (settings)
            opener.open(request, timeout=_TIMEOUT).close()
        except urllib.error.HTTPError as error:
            kind = RefusedError if error.code in _NEVER else NotTakenError
            raise kind(f"it answered {error.code}") from None
        except (OSError, ValueError) as error:
            raise NotTakenError(str(error)) from None
