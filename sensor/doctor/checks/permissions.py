"""May it do what it has to: open a ring, write its state folder?"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sensor.base.permission import denied
from sensor.capture.afpacket import probe
from sensor.capture.block import CaptureError
from sensor.doctor.finding import Finding, Patient
from sensor.doctor.nearest import nearest
from sensor.service import privileges

__all__ = ["PLACE", "look"]

PLACE: Final = 10
_CAP_NET_RAW: Final = 1 << 13


def look(patient: Patient) -> Iterator[Finding]:
    """Capability, account, state folder."""
    if os.geteuid() == 0:
        yield _account(patient.settings.live.user)
    elif _capabilities() & _CAP_NET_RAW:
        yield Finding("permissions", "fine", "not root, and may open a ring (CAP_NET_RAW)")
    else:
        only_files = patient.traffic is not None and not patient.interfaces
        yield Finding(
            "permissions", "advice" if only_files else "wrong",
            "neither root nor allowed to open a ring (CAP_NET_RAW)",
            "run it with sudo, or as the service port25.service",
        )  # fmt: skip
    for name in patient.interfaces:
        try:
            probe(name)
        except CaptureError as fault:
            yield Finding(name, "wrong", str(fault), "name another with -i, or set this one up")
    yield _folder(patient.state)


def _account(user: str) -> Finding:
    try:
        becomes = privileges.account(user).pw_name
    except LookupError as fault:
        return Finding(
            "permissions", "wrong", str(fault), "make that user, or set live.user to another"
        )
    if becomes != user:
        return Finding(
            "permissions", "advice", f"root becomes {becomes}, for there is no user {user}",
            f"adduser --system --group {user}",
        )  # fmt: skip
    return Finding("permissions", "fine", f"root, and becomes {user} when the ring is open")


def _capabilities() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next((line for line in lines if line.startswith("CapEff:")), "CapEff: 0")
    return int(line.split()[1], 16)


def _folder(path: Path) -> Finding:
    there = nearest(path)
    if why := denied(there, write=True):
        return Finding("state folder", "wrong", f"{path}: {why}", "or name another with --state")
    if there != path.absolute():
        return Finding("state folder", "fine", f"{path} is made at the first start")
    return Finding("state folder", "fine", f"{path} can be written")
