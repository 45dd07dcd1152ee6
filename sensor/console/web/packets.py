"""Packets as Wireshark shows them: ``python -m sensor.console.web.packets FILE AFTER LIMIT``.

A process of its own, with limits: pyshark wants an event loop to itself, and a dissector that is
taken ill by a hostile packet takes nothing with it.
"""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.console.web.shapes import Layer, Packet

__all__ = ["DissectionError", "dissected"]

_PATIENCE: Final = 60
"""Seconds."""
_MEMORY: Final = 2 << 30
"""Bytes, each for this process and tshark."""


class DissectionError(Exception):
    """The packets cannot be shown; the text says why."""


def dissected(file: Path, after: int, limit: int) -> list[Packet]:
    """Packets of a capture with numbers above ``after``. Raises DissectionError."""
    command = [sys.executable, "-m", __name__, str(file), str(after), str(limit)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise DissectionError(f"tshark took longer than {_PATIENCE} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DissectionError(f"tshark: {''.join(last)}")
    return msgspec.json.decode(done.stdout, type=list[Packet])


def _main(file: str, after: int, limit: int) -> None:
    import pyshark

    resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE, _PATIENCE))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    os.environ["HOME"] = "/nonexistent"  # nobody's preferences change what is shown
    capture = pyshark.FileCapture(
        file,
        eventloop=asyncio.new_event_loop(),  # the one it would look for is gone from Python 3.14
        keep_packets=False,
        display_filter=f"frame.number > {after}",
        custom_parameters=["-n", "-c", str(after + limit)],
    )
    found = [_packet(one) for one in capture]
    capture.close()
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _packet(one: Any) -> Packet:
    ip = next((layer for layer in one.layers if layer.layer_name in ("ip", "ipv6")), None)
    last = one.layers[-1]
    return Packet(
        number=int(one.number),
        ts=float(one.sniff_timestamp),
        source=str(ip.src) if ip is not None else "",
        destination=str(ip.dst) if ip is not None else "",
        protocol=last.layer_name.upper(),
        length=int(one.length),
        info=_tcp(last) if last.layer_name == "tcp" else "; ".join(_shown(last)[:3]),
        layers=[Layer(layer.layer_name, _shown(layer)) for layer in one.layers],
    )


def _shown(layer: Any) -> list[str]:
    lines = [
        str(field.showname or field.show or "")
        for field in layer._get_all_fields_with_alternates()
        if not field.hide
    ]
    return [line for line in lines if line]


def _tcp(tcp: Any) -> str:
    flags = int(tcp.flags, 16)
    names = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
    said = ", ".join(name for bit, name in enumerate(names) if flags >> bit & 1)
    return f"{tcp.srcport} \N{RIGHTWARDS ARROW} {tcp.dstport} [{said}] Seq={tcp.seq} Len={tcp.len}"


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
