"""Packets as Wireshark shows them, read in a process of its own, with limits.

A dissector that is taken ill by a hostile packet takes nothing with it. tshark is run there and
pyshark reads what it says: left to run it, pyshark at times takes a tshark that ended well for one
that crashed. What pyshark does not understand of a packet costs that packet, which says so.

:func:`get_ready` forks a process that forks one for each question. The interpreter is not started
anew: whom root has become may not be able to (an installation below a folder that is root's alone).
"""

import contextlib
import os
import re
import resource
import select
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.base.door import Door
from sensor.console.web.schemas import Layer, Packet

__all__ = ["Dissected", "DissectionError", "dissected", "get_ready"]

_PATIENCE: Final = 60
"""Seconds."""
_MEMORY: Final = 2 << 30
"""Bytes of tshark, and as many more than it has already of the process that reads what it says."""
_LARGEST: Final = 1 << 16
_LOCK: Final = threading.Lock()
_helper: tuple[int, socket.socket] | None = None


class DissectionError(Exception):
    """The packets cannot be shown; the text says why."""


class Dissected(msgspec.Struct):
    """What could be made of some packets."""

    packets: list[Packet] = []
    unreadable: int = 0
    """of them, those that say only why they cannot be shown"""
    fault: str = ""
    """why there are none, or no more"""


class _Question(msgspec.Struct):
    file: str
    after: int
    limit: int


def get_ready() -> None:
    """Fork the process that answers; best before there are threads."""
    global _helper
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            mine.close()
            _serve(theirs)
        finally:
            os._exit(0)
    theirs.close()
    _helper = pid, mine


def _ask(question: _Question) -> int:
    """A pipe from which the answer can be read; the process is there, or is started again."""
    with _LOCK:
        for _ in range(2):
            if _helper is None:
                get_ready()
            assert _helper is not None
            out, into = os.pipe()
            try:
                socket.send_fds(_helper[1], [msgspec.json.encode(question)], [into])
            except OSError:  # it was killed
                os.close(out)
                _forget()
            else:
                return out
            finally:
                os.close(into)
    raise DissectionError("the process that runs tshark is gone")


def _forget() -> None:
    global _helper
    if _helper is not None:
        _helper[1].close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(_helper[0], 0)
    _helper = None


def dissected(file: Path, after: int, limit: int) -> Dissected:
    """Packets of a capture with numbers above ``after``. Raises DissectionError."""
    said = b""
    with os.fdopen(_ask(_Question(str(file), after, limit)), "rb", buffering=0) as pipe:
        end = time.monotonic() + _PATIENCE
        while True:
            if not select.select([pipe], [], [], max(0, end - time.monotonic()))[0]:
                raise DissectionError(f"tshark took longer than {_PATIENCE} s")
            if not (more := pipe.read(1 << 20)):
                break
            said += more
    try:
        found = msgspec.json.decode(said, type=Dissected)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DissectionError("the packets could not be read: the reader was killed") from None
    if found.fault and not found.packets:
        raise DissectionError(found.fault)
    return found


def _serve(questions: socket.socket) -> None:
    """Answer each in a process of its own, until the other side is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        text, descriptors, _, _ = socket.recv_fds(questions, _LARGEST, 1)
        if not text:
            return
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                questions.close()
                answer = _answer(msgspec.json.decode(text, type=_Question))
                with os.fdopen(descriptors[0], "wb") as out:
                    out.write(msgspec.json.encode(answer))
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _answer(question: _Question) -> Dissected:
    try:
        return _dissect(question.file, question.after, question.limit)
    except MemoryError:
        return Dissected(fault="the packets take more memory than there is for them")
    except Exception as error:
        return Dissected(fault=f"tshark: {error}")


def _dissect(file: str, after: int, limit: int) -> Dissected:
    from pyshark.tshark.output_parser.tshark_xml import packet_from_xml_packet

    resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE, _PATIENCE))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    command = ["tshark", "-n", "-r", file, "-c", str(after + limit), "-T", "pdml"]
    # Nobody's preferences change what is shown.
    done = subprocess.run(
        [*command, "-Y", f"frame.number > {after}"],
        capture_output=True,
        env=os.environ | {"HOME": "/nonexistent"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY)),
    )
    found = Dissected()
    number = after
    for pdml in re.findall(rb"<packet>.*?</packet>", done.stdout, re.DOTALL):
        number += 1
        door = Door("packets_unreadable")
        one = door.read(lambda pdml=pdml: _packet(packet_from_xml_packet(pdml)))
        found.unreadable += one is None
        found.packets.append(one or _unreadable(number, door.reason))
    if done.returncode:
        last = "".join(done.stderr.decode(errors="replace").strip().splitlines()[-1:])
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        found.fault = f"tshark: {last.removeprefix('tshark: ') or ended}"
        if found.packets:
            found.unreadable += 1
            found.packets.append(_unreadable(number + 1, found.fault))
    return found


def _unreadable(number: int, why: str) -> Packet:
    return Packet(number, 0.0, "", "", "", 0, f"cannot be shown: {why}", [])


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
