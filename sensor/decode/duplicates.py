"""Recognise a packet that the mirror delivers twice (SPAN both ways, two mirror ports).

Both copies have the same addresses, ports, sequence numbers, flags, length, IPv4 identification
and TCP checksum, and come within milliseconds. VLAN, TTL and link addresses may differ. A
retransmission has a new identification or comes later; an IPv6 one that comes sooner than the
window is taken for a copy, which costs nothing: it would have told nothing new.

The table remembers by overwriting: a slot holds the newest packet that hashed there.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel, mix

__all__ = ["RECENT", "REMEMBERED", "fingerprint", "seen_before"]

REMEMBERED: Final = 1 << 13
"""Slots: at a 5 ms window, room for a million and a half segments a second."""

RECENT = np.dtype([("fingerprint", np.uint64), ("ts", np.int64)], align=True)

_SHIFT = np.uint64(32)
_PORT = np.uint64(16)


@kernel
def _words(row):
    """``(numbers, marks)``: sequence numbers, and checksum with identification and ports."""
    numbers = np.uint64(row.seq) << _SHIFT | np.uint64(row.ack)
    ports = np.uint64(row.sport) << _PORT | np.uint64(row.dport)
    return numbers, np.uint64(row.mark) << _SHIFT | ports


@kernel
def fingerprint(row):
    """A hash (uint64) of what copies of the packet of ``row`` (dtype SEGMENT) have in common."""
    numbers, marks = _words(row)
    shape = np.uint64(row.length) << _SHIFT | np.uint64(row.tcp_flags) << _PORT
    return mix(mix(mix(row.flow, numbers), marks), shape | np.uint64(row.kind))


@kernel
def seen_before(row, window, recent):
    """Whether the packet of ``row`` (dtype SEGMENT) was seen within ``window`` nanoseconds."""
    numbers, marks = _words(row)
    hashed = fingerprint(row)
    # The slot depends on no secret, or two runs might overwrite, and so find, different copies.
    slot = recent[np.int64(mix(numbers, marks) & np.uint64(REMEMBERED - 1))]
    same = slot.fingerprint == hashed and abs(row.ts - slot.ts) <= window
    slot.fingerprint = hashed
    slot.ts = row.ts
    return same
