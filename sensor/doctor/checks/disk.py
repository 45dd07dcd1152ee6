"""Is there room for journal and evidence?"""

import os
from collections.abc import Iterator
from typing import Final

from sensor.doctor.finding import Finding, Patient
from sensor.doctor.nearest import nearest

__all__ = ["PLACE", "look"]

PLACE: Final = 50
_MEGABYTE: Final = 1 << 20
_LEAST: Final = 256


def look(patient: Patient) -> Iterator[Finding]:
    """Of the state folder's file system, beside what it holds already."""
    settings, path = patient.settings, patient.state
    there = nearest(path)
    try:
        room = os.statvfs(there)
        held = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    except OSError as error:
        yield Finding("disk", "unknown", f"{there}: {error.strerror}")
        return
    free = room.f_bavail * room.f_frsize // _MEGABYTE
    wanted = settings.evidence.max_megabytes + settings.live.journal_megabytes
    wanted = max(0, wanted - held // _MEGABYTE)
    said = f"{free:,} MB are free at {there}; journal and evidence may still take {wanted:,} MB"
    if free < _LEAST:
        yield Finding("disk", "wrong", said, "make room, or name another folder with live.state")
    elif free < wanted:
        yield Finding(
            "disk", "advice", said,
            "make room, or lower evidence.max_megabytes or live.journal_megabytes",
        )  # fmt: skip
    else:
        yield Finding("disk", "fine", said)
    if room.f_files and not room.f_favail:
        yield Finding(
            "disk", "wrong", f"no file can be made at {there}: no inodes are left", "make room"
        )
