"""Real exporters of flows over a capture: softflowd and pmacct's probes, as Debian has them."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.waiting import wait_for

__all__ = ["export_with_pmacct", "export_with_softflowd", "port_with", "written"]

ROOT = Path(__file__).parents[1]
UNPACKED = ROOT / "build" / "flow-exporters" / "usr"
PORT = 2055


def port_with(program: str) -> str | None:
    """Where a program is; None: it is not there."""
    unpacked = UNPACKED / "sbin" / program
    return str(unpacked) if unpacked.exists() else shutil.which(program)


def _around() -> dict[str, str]:
    libraries = UNPACKED / "lib" / f"{os.uname().machine}-linux-gnu"
    return os.environ | {"LD_LIBRARY_PATH": str(libraries)}


class _Hearing:
    """A port that keeps what is sent to it."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]

    def rest(self, quiet: float) -> list[bytes]:
        self.sock.settimeout(quiet)
        found = []
        while True:
            try:
                found.append(self.sock.recv(65_535))
            except TimeoutError:
                self.sock.close()
                return found


def export_with_softflowd(capture: Path, version: int, folder: Path, *more: str) -> list[bytes]:
    """What softflowd exports of a capture, read as fast as it can.

    Without a control socket: one at some paths makes it wait for ever.
    """
    program = port_with("softflowd")
    assert program is not None
    hearing = _Hearing()
    subprocess.run(
        [program, "-r", capture.name, "-n", f"127.0.0.1:{hearing.port}", "-v", str(version), "-d",
         "-p", folder / "pid", "-c", "none", "-a", "-6", *more],
        check=True, capture_output=True, timeout=300, env=_around(), cwd=capture.parent,
    )  # fmt: skip
    return hearing.rest(0.5)


def export_with_pmacct(
    capture: Path, plugin: str, folder: Path, lines: Sequence[str] = ()
) -> list[bytes]:
    """What pmacctd's ``nfprobe`` or ``sfprobe`` exports of a capture."""
    program = port_with("pmacctd")
    assert program is not None
    hearing = _Hearing()
    config = folder / "pmacctd.conf"
    receiver = {"nfprobe": "nfprobe_receiver", "sfprobe": "sfprobe_receiver"}[plugin]
    config.write_text(
        "\n".join([f"pcap_savefile: {capture}", f"plugins: {plugin}", "daemonize: false",
                   "aggregate: src_host, dst_host, src_port, dst_port, proto, tcpflags",
                   f"{receiver}: 127.0.0.1:{hearing.port}", "pcap_savefile_wait: true",
                   "plugin_pipe_size: 67108864", "plugin_buffer_size: 10240", *lines]) + "\n"
    )  # fmt: skip
    log = folder / "pmacctd.log"
    with log.open("wb") as out:
        running = subprocess.Popen([program, "-f", config], env=_around(), stdout=out, stderr=out)
    try:
        wait_for(lambda: b"finished reading" in log.read_bytes(), why="pmacctd")
        time.sleep(1)  # its probe is a process of its own, and counts what it was given
        running.send_signal(signal.SIGINT)
        running.wait(300)
    finally:
        if running.poll() is None:
            running.kill()
    return hearing.rest(1)


def written(
    messages: Sequence[bytes], path: Path, exporter: str = "192.0.2.1", at: int = 0
) -> Path:
    """A capture (raw IP) of messages, each at ``at``, or at the time of NetFlow's own header."""
    frames = []
    for data in messages:
        when = at or struct.unpack_from(">I", data, 4 if data[1] == 10 else 8)[0]
        udp = struct.pack(">HHHH", 40_000, PORT, 8 + len(data), 0) + data
        head = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
            socket.inet_aton(exporter), socket.inet_aton("192.0.2.2"),
        )  # fmt: skip
        frame = head + udp
        frames.append(struct.pack("<IIII", when, 0, len(frame), len(frame)) + frame)
    path.write_bytes(
        struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101) + b"".join(frames)
    )
    return path
