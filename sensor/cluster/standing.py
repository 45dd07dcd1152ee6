"""How a correlator is: what it has, how far it is, and what it knows of each sensor.

For Prometheus, and every ten seconds for Kafka's health topic, where who shows the fleet reads it.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sensor import __version__
from sensor.alerts.alert import rfc3339
from sensor.alerts.notice import HEALTH, Health
from sensor.base.units import SECOND
from sensor.cluster.share import Share
from sensor.settings import Settings, settings_said
from sensor.sinks.kafka.message import Message, headers

__all__ = ["NAME", "Counters", "health", "standing"]

NAME: Final = "port25-correlate-"
"""What names of correlators on the health topic begin with."""

Counters = dict[str, dict[str, Any]]
"""By stage and name, as sensors have them."""


def standing(
    shares: Mapping[int, Share], lags: Mapping[int, int], others: Mapping[str, float]
) -> Counters:
    """Counters of all partitions together; beside them each partition, and each sensor.

    ``lags``: messages of each partition that it has not read yet; ``others``: what else is counted.
    """
    total: Counters = {"cluster": {"partitions_followed": len(shares), **others}}
    for share in shares.values():
        for stage, counters in {**share.pipeline.counters(), "cluster": share.counters()}.items():
            into = total.setdefault(stage, {})
            for name, value in counters.items():
                into[name] = into.get(name, 0) + value
    total["partitions"] = {str(number): lags.get(number, 0) for number in shares}
    total["sensors"] = _sensors(shares)
    return total


def _is_live(share: Share) -> bool:
    """Whether a sensor sends packets as it captures them."""
    return any(tap.live and not tap.ended for tap in share.merge.taps.values())


class Latency:
    """Seconds from a packet to the commit of what it led to, where packets come as they happen.

    Of each commit that went further, that of the newest packet followed; the worst since the word
    on the health topic before the last.
    """

    def __init__(self) -> None:
        self._followed: dict[Any, int] = {}
        self._worst: float | None = None
        self._before: float | None = None

    def measure(self, shares: Mapping[Any, Share], told: bool) -> None:
        """Something was committed just now; ``told``: with a word on the health topic."""
        now = time.time_ns()
        if told:
            self._before, self._worst = self._worst, None
        for part, share in shares.items():
            at = min(share.merge.frontier, share.merge.last)
            if at > self._followed.get(part, 0) and _is_live(share):
                self._worst = max(self._worst or 0.0, (now - at) / SECOND)
            self._followed[part] = at

    def counters(self) -> dict[str, float]:
        """Empty where nothing was measured."""
        known = [one for one in (self._worst, self._before) if one is not None]
        return {"commit_latency_seconds": round(max(known), 3)} if known else {}


def _sensors(shares: Mapping[int, Share]) -> dict[str, dict[str, float]]:
    """Of each sensor, the worst that any partition knows of it."""
    found: dict[str, dict[str, float]] = {}
    for share in shares.values():
        merge = share.merge
        ahead = merge.skew()
        lags = merge.lags()
        for tap in merge.taps.values():
            if tap.ended:
                continue
            known = found.setdefault(tap.name, {"ahead": 0.0, "behind": 0.0, "left_behind": 0})
            known["ahead"] = max(known["ahead"], ahead[tap.name] / SECOND)
            known["behind"] = max(known["behind"], round(lags.get(tap, 0.0), 3))
            known["left_behind"] = max(known["left_behind"], int(tap.left_behind))
    return found


def health(name: str, counters: Counters, settings: Settings) -> Message:
    """Its word on the health topic."""
    counters = counters | {"settings": settings_said(settings)}
    now = time.time_ns()
    said = Health(HEALTH, now, rfc3339(now), name, __version__, counters)
    more = headers(HEALTH, sensor=name)
    return Message(0, settings.kafka.health_topic, name.encode(), msgspec.json.encode(said), more)
