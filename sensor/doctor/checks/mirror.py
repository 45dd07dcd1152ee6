"""Does the mirror show what it should: mail, both directions, each packet once, which VLANs?"""

from collections.abc import Iterator
from typing import Final

from sensor.doctor.finding import Finding, Patient
from sensor.doctor.traffic import Traffic

__all__ = ["PLACE", "look"]

PLACE: Final = 70
_ENOUGH: Final = 20
"""Connections from which on something can be told."""
_SHOWN: Final = 10
"""VLANs that are named."""


def look(patient: Patient) -> Iterator[Finding]:
    """What the traffic tells."""
    traffic = patient.traffic
    if traffic is None:
        yield Finding(
            "mirror", "unknown", "no traffic was looked at",
            "name the mirror port with -i, or captures of it with -r",
        )  # fmt: skip
        return
    if not traffic.segments:
        yield Finding(
            "mirror", "wrong", f"no mail in {traffic.frames:,} frames",
            "look whether the port is mirrored, and whether tunnels hide it (live.tunnels)",
        )  # fmt: skip
        return
    yield _directions(traffic)
    yield _vlans(traffic)
    if traffic.copies > traffic.segments // 10:
        yield Finding(
            "mirror", "advice", f"{traffic.copies:,} of {traffic.segments:,} segments came twice",
            "mirror each packet where it comes in or where it goes out, not both",
        )  # fmt: skip


def _directions(traffic: Traffic) -> Finding:
    seen = (
        f"{traffic.from_clients:,} segments of clients, {traffic.from_servers:,} of servers;"
        f" {traffic.asked:,} connections asked for, {traffic.accepted:,} accepted"
    )
    if traffic.asked + traffic.accepted < _ENOUGH and traffic.segments < _ENOUGH:
        return Finding("directions", "unknown", f"too little to tell: {seen}", "look for longer")
    if not traffic.from_servers:
        return Finding(
            "directions", "wrong", f"answers are not mirrored: {seen}",
            "mirror both directions; else much of what makes an alert certain is missing",
        )  # fmt: skip
    if not traffic.from_clients:
        return Finding(
            "directions", "wrong", f"only answers are mirrored: {seen}", "mirror both directions"
        )
    return Finding("directions", "fine", seen)


def _vlans(traffic: Traffic) -> Finding:
    tagged = [(vlan, count) for vlan, count in traffic.vlans.most_common() if vlan >= 0]
    if not tagged:
        return Finding("VLANs", "fine", "none: no tags, or the mirror removes them")
    shown = ", ".join(f"{vlan} ({count:,})" for vlan, count in tagged[:_SHOWN])
    more = f" and {len(tagged) - _SHOWN} more" if len(tagged) > _SHOWN else ""
    untagged = traffic.vlans[-1]
    text = f"{shown}{more}" + (f"; {untagged:,} segments without" if untagged else "")
    return Finding("VLANs", "fine", text)
