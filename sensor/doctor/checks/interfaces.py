"""What network cards do to a capture: merged segments, small rings, drops."""

import array
import fcntl
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sensor.capture.afpacket import trouble_of
from sensor.doctor.finding import Finding, Patient

__all__ = ["PLACE", "look"]

PLACE: Final = 30

# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL: Final = 0x8946
_GET_RING, _GET_FLAGS, _GET_GRO = 0x10, 0x25, 0x2B
_LRO: Final = 1 << 15


def look(patient: Patient) -> Iterator[Finding]:
    """Each interface."""
    for name in patient.interfaces:
        if name not in {there for _, there in socket.if_nameindex()}:
            continue  # permissions has said so
        if trouble := trouble_of(name):
            yield Finding(name, "wrong", trouble.text, f"ip link set {name} up; look at its cable")
            continue
        yield _offloads(name)
        yield from _ring(name)
        yield from _dropped(name)


def _ask(name: str, command: int, words: int) -> tuple[int, ...] | None:
    """What ethtool(8) would be told; None: this card does not know the question."""
    buffer = array.array("I", [command] + [0] * words)
    request = struct.pack("16sP16x", name.encode()[:15], buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            fcntl.ioctl(asked, _SIOCETHTOOL, request)
        except OSError:
            return None
    return tuple(buffer[1:])


def _offloads(name: str) -> Finding:
    gro, flags = _ask(name, _GET_GRO, 1), _ask(name, _GET_FLAGS, 1)
    if gro is None and flags is None:
        return Finding(name, "unknown", "does not say whether it merges segments (GRO, LRO)")
    merging = [
        word
        for word, on in (("gro", gro and gro[0]), ("lro", flags and flags[0] & _LRO))
        if on
    ]  # fmt: skip
    if not merging:
        return Finding(name, "fine", "up; segments are not merged (GRO, LRO)")
    words = " ".join(f"{word} off" for word in merging)
    names = " and ".join(word.upper() for word in merging)
    return Finding(
        name, "advice", f"merges segments ({names}): fewer and longer than those on the wire",
        f"ethtool -K {name} {words}",
    )  # fmt: skip


def _ring(name: str) -> Iterator[Finding]:
    sizes = _ask(name, _GET_RING, 8)
    if sizes is None:
        return
    most, now = sizes[0], sizes[4]
    if now < most:
        yield Finding(
            name, "advice", f"the card's own ring holds {now:,} frames of at most {most:,}",
            f"ethtool -G {name} rx {most}",
        )  # fmt: skip


def _dropped(name: str) -> Iterator[Finding]:
    counts = Path("/sys/class/net", name, "statistics")
    lost = {}
    for counter in ("rx_missed_errors", "rx_over_errors", "rx_fifo_errors", "rx_crc_errors"):
        try:
            lost[counter] = int((counts / counter).read_text())
        except (OSError, ValueError):
            continue
    some = [f"{name_} {count:,}" for name_, count in lost.items() if count]
    if some:
        yield Finding(
            name, "advice", f"the card has lost frames since it came up: {', '.join(some)}",
            "a larger ring (ethtool -G), a better cable, or a mirror of fewer ports",
        )  # fmt: skip
