"""Packets as Wireshark shows them: ``python -m sensor.console.web.packets FILE AFTER LIMIT``.

A process of its own, with limits: a dissector that is taken ill by a hostile packet takes nothing
with it. tshark is run here and pyshark reads what it says: left to run it, pyshark at times takes a
tshark that ended well for one that crashed.
"""

import os
import re
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
    except OSError as error:  # an installation that whom root has become may not enter
        raise DissectionError(f"{sys.executable}: {error.strerror}") from None
    if done.returncode:
        last = "".join(done.stderr.decode(errors="replace").strip().splitlines()[-1:])
        raise DissectionError(f"tshark: {last.removeprefix('tshark: ')}")
    return msgspec.json.decode(done.stdout, type=list[Packet])


def _main(file: str, after: int, limit: int) -> int:
    from pyshark.tshark.output_parser.tshark_xml import packet_from_xml_packet

    resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE, _PATIENCE))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    command = ["tshark", "-n", "-r", file, "-c", str(after + limit), "-T", "pdml"]
    # Nobody's preferences change what is shown.
    done = subprocess.run(
        [*command, "-Y", f"frame.number > {after}"],
        stdout=subprocess.PIPE,
        env=os.environ | {"HOME": "/nonexistent"},
    )
    pdml = re.findall(rb"<packet>.*?</packet>", done.stdout, re.DOTALL)
    sys.stdout.buffer.write(msgspec.json.encode([_packet(packet_from_xml_packet(p)) for p in pdml]))
    return done.returncode


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
    sys.exit(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
