"""Does each prefix of subscribers send something?"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from sensor.base.addresses import span
from sensor.doctor.finding import Finding, Patient
from sensor.settings import subscriber_prefixes

__all__ = ["PLACE", "look"]

PLACE: Final = 80


def look(patient: Patient) -> Iterator[Finding]:
    """Those that do not, one by one; and who belongs to none."""
    traffic = patient.traffic
    prefixes = [one.prefix for one in subscriber_prefixes(patient.settings)]
    if not prefixes:
        yield Finding(
            "prefixes", "advice", "who the subscribers are is not set: everybody is one",
            "set subscriber_prefixes",
        )  # fmt: skip
        return
    if traffic is None or not traffic.segments:
        return
    seen = sorted(traffic.clients.keys() | traffic.callers.keys())
    silent = []
    for prefix in prefixes:
        first, last = span(prefix) or (1, 0)
        at = bisect_left(seen, first)
        if at == len(seen) or seen[at] > last:
            silent.append(prefix)
    for prefix in silent:
        yield Finding(
            "prefixes", "advice", f"{prefix}: no mail from or to it was seen",
            "look for longer; else it is not mirrored here, or not used",
        )  # fmt: skip
    if not silent:
        yield Finding("prefixes", "fine", f"mail of each of the {len(prefixes)} was seen")
