"""Kernel, memory, and machine code."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sensor.base.machine_code import is_missing, level
from sensor.doctor.finding import Finding, Patient

__all__ = ["PLACE", "look"]

PLACE: Final = 20
_OLDEST: Final = (4, 20)
"""Linux: PACKET_IGNORE_OUTGOING came with it (packet(7))."""
_MEGABYTE: Final = 1 << 20
_SELF: Final = 200
"""Megabytes of a sensor's own, beside rings and tables."""


def look(patient: Patient) -> Iterator[Finding]:
    """Each by itself."""
    release = os.uname().release
    numbers = [int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal()]
    if tuple(numbers) < _OLDEST:
        yield Finding(
            "kernel", "wrong", f"Linux {release} is older than 4.20", "take a newer kernel"
        )
    else:
        yield Finding("kernel", "fine", f"Linux {release}")
    yield _memory(patient)
    if is_missing():
        yield Finding(
            "machine code", "advice", "the first start compiles for a minute or more",
            "nothing: it does so once; or install a package, which has it",
        )  # fmt: skip
    elif level() is None:
        yield Finding(
            "machine code", "advice", f"none is made in advance for {os.uname().machine} like this",
            "nothing: a start takes some seconds longer",
        )  # fmt: skip
    else:
        yield Finding("machine code", "fine", f"made in advance, for {level()}")


def _memory(patient: Patient) -> Finding:
    live = patient.settings.live
    wanted = live.workers * (live.ring * max(1, len(patient.interfaces)) + _SELF)
    lines = Path("/proc/meminfo").read_text().splitlines()
    line = next((line for line in lines if line.startswith("MemAvailable:")), "")
    if not line:
        return Finding("memory", "unknown", "the kernel does not say how much is free")
    free = int(line.split()[1]) * 1024 // _MEGABYTE
    said = f"{free:,} MB are free; rings and workers begin with {wanted:,} MB"
    if free < wanted:
        return Finding("memory", "wrong", said, "lower live.ring or live.workers")
    if free < 2 * wanted:
        return Finding(
            "memory", "advice", said, "lower limits.max_hosts, live.ring or live.workers"
        )
    return Finding("memory", "fine", said)
