"""Is the clock set? Alerts, leases and blocks of several machines are put together by time."""

import ctypes
from collections.abc import Iterator
from typing import Final

from sensor.doctor.finding import Finding, Patient

__all__ = ["PLACE", "look"]

PLACE: Final = 40
_UNSYNCHRONIZED: Final = 0x40  # adjtimex(2): STA_UNSYNC


class _Timex(ctypes.Structure):
    """As far as it is read (struct timex of adjtimex(2)), and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("most_error", ctypes.c_long),
        ("error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def look(patient: Patient) -> Iterator[Finding]:
    """What the kernel says of it."""
    told = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told)) < 0:
        yield Finding("clock", "unknown", "the kernel does not say whether the clock is set")
    elif told.status & _UNSYNCHRONIZED:
        yield Finding(
            "clock", "advice", "nobody sets the clock: times will differ from other machines'",
            "timedatectl set-ntp true, or run chrony",
        )  # fmt: skip
    else:
        error = told.most_error / 1000
        yield Finding("clock", "fine", f"set, and off by {error:,.0f} ms at most")
