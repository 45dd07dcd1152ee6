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
from sensor.settings import Settings, digest
from sensor.sinks.kafka.message import Message, headers

__all__ = ["NAME", "Counters", "health", "standing"]

NAME: Final = "port25-correlate-"
"""What names of correlators on the health topic begin with."""

Counters = dict[str, dict[str, Any]]
"""By stage and name, as sensors have them."""


def standing(
    shares: Mapping[int, Share], lags: Mapping[int, int], desk: Mapping[str, int]
) -> Counters:
    """Counters of all partitions together; beside them each partition, and each sensor.

    ``lags``: messages of each partition that it has not read yet; ``desk``: what of it was heard.
    """
    total: Counters = {"cluster": {"partitions_followed": len(shares), **desk}}
    for share in shares.values():
        for stage, counters in {**share.pipeline.counters(), "cluster": share.counters()}.items():
            into = total.setdefault(stage, {})
            for name, value in counters.items():
                into[name] = into.get(name, 0) + value
    total["partitions"] = {str(number): lags.get(number, 0) for number in shares}
    total["sensors"] = _sensors(shares)
    return total


def _sensors(shares: Mapping[int, Share]) -> dict[str, dict[str, float]]:
    """Of each sensor, the worst that any partition knows of it."""
    found: dict[str, dict[str, float]] = {}
    for share in shares.values():
        merge = share.merge
        ahead = merge.skew()
        for tap in merge.taps.values():
            if tap.ended:
                continue
            known = found.setdefault(tap.name, {"ahead": 0.0, "behind": 0.0, "left_behind": 0})
            behind = max(0, merge.last - tap.highest) / SECOND if tap.highest > 0 else 0.0
            known["ahead"] = max(known["ahead"], ahead[tap.name] / SECOND)
            known["behind"] = max(known["behind"], round(behind, 3))
            known["left_behind"] = max(known["left_behind"], int(tap.left_behind))
    return found


def health(name: str, counters: Counters, settings: Settings) -> Message:
    """Its word on the health topic."""
    counters = counters | {"settings": {"settings_digest": digest(settings)}}
    now = time.time_ns()
    said = Health(HEALTH, now, rfc3339(now), name, __version__, counters)
    more = headers(HEALTH, sensor=name)
    return Message(0, settings.kafka.health_topic, name.encode(), msgspec.json.encode(said), more)
