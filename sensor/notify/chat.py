"""Chat and paging, by `apprise <https://github.com/caronc/apprise>`_: an address of it in a file.

An address holds the service's secret, so it stands in no settings. Services read markup of their
own, each another: what could be some is taken out of the text.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from sensor.alerts.alert import Alert
from sensor.base.extras import missing
from sensor.notify.destination import Destination, NotTakenError, Way
from sensor.notify.forms import body, subject
from sensor.notify.trust import secret

__all__ = ["Chat", "unmarked"]

_PLAIN: Final = str.maketrans(
    {
        "<": "(", ">": ")", "[": "(", "]": ")", "&": "+", "@": "(at)", "#": "no.", "`": "'",
        "*": "'", "|": "/", "~": "-", "_": "-", "\\": "/",
    }
)  # fmt: skip
_LONGEST: Final = 300


def unmarked(text: str) -> str:
    """Without what a service takes for markup, a mention, or an address to open.

    >>> unmarked("<!channel> @all [x](https://evil.example) *b*")
    "(!channel) (at)all (x)(https[:]//evil.example) 'b'"
    """
    return text.translate(_PLAIN).replace("://", "[:]//")


class Chat(Destination, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module."""

    url_file: Annotated[str, msgspec.Meta(min_length=1)]
    """holds one address, such as ``slack://...`` or ``pagerduty://...``"""
    group_wait: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 30.0
    group_most: Annotated[int, msgspec.Meta(ge=1, le=500)] = 10

    def opened(self) -> Way:
        """See ``Destination``."""
        try:
            import apprise

            import sensor.notify.complaints  # noqa: F401  (now: later nothing may be imported)
        except ImportError:
            raise ValueError(f"chat: {missing('apprise')}") from None
        lines = secret(self.url_file).decode().split()
        service = apprise.Apprise()
        if len(lines) != 1 or not service.add(lines[0]) or len(service) != 1:
            raise ValueError(f"{self.url_file}: expected one address that apprise knows")
        return lambda alerts, mode: self._send(service, alerts, mode)

    def _send(self, service: Any, alerts: Sequence[Alert], mode: str) -> None:
        import apprise

        from sensor.notify.complaints import complaints

        level = "warning" if alerts[0].state != "closed" else "info"
        told = {"title": unmarked(subject(alerts, mode)), "body": unmarked(body(alerts, mode))}
        with complaints() as said:
            taken = service.notify(**told, notify_type=level, body_format=apprise.NotifyFormat.TEXT)
        if not taken:
            raise NotTakenError("; ".join(said)[:_LONGEST] or "apprise does not say why")
