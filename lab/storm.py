"""A capture with thousands of bots: SYNs to ever new networks, which all refuse.

Made in one go with numpy, as records of a pcap file; packets in order of time.
"""

import ipaddress
import struct
from pathlib import Path

import numpy as np

START = 1_750_000_000
PAUSE = 700_000_000_000
"""Nanoseconds between rounds."""
PCAP = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101)  # nanoseconds, raw IP
_RECORD = np.dtype(
    [
        ("sec", "<u4"), ("nsec", "<u4"), ("captured", "<u4"), ("length", "<u4"),
        ("version", "u1"), ("tos", "u1"), ("total", ">u2"), ("id", ">u2"), ("fragment", ">u2"),
        ("ttl", "u1"), ("protocol", "u1"), ("checksum", ">u2"), ("src", ">u4"), ("dst", ">u4"),
        ("sport", ">u2"), ("dport", ">u2"), ("seq", ">u4"), ("ack", ">u4"), ("offset", "u1"),
        ("flags", "u1"), ("window", ">u2"), ("tcp_checksum", ">u2"), ("urgent", ">u2"),
    ]
)  # fmt: skip
FIRST = int(ipaddress.ip_address("10.0.0.1"))


def storm(
    bots: int, each: int, seconds: float, rounds: int = 1, pause: float = 700.0
) -> np.ndarray:
    """``bots`` hosts, each with ``each`` SYNs to new networks within ``seconds``, in ``rounds``."""
    asked = syns(bots, each, seconds, rounds)
    both = np.repeat(asked, 2)
    answers = both[1::2]
    answers["src"], answers["dst"] = asked["dst"], asked["src"]
    answers["sport"], answers["dport"] = asked["dport"], asked["sport"]
    answers["ack"], answers["seq"], answers["flags"] = asked["seq"] + 1, 0, 0x14  # RST, ACK
    return both


def syns(bots: int, each: int, seconds: float, rounds: int = 1) -> np.ndarray:
    """The same without answers."""
    rows = np.zeros((rounds, bots * each), _RECORD)
    rng = np.random.default_rng(25)
    for number in range(rounds):
        batch = rows[number]
        host = np.tile(np.arange(bots), each)
        when = np.sort(rng.integers(0, int(seconds * 1e9), bots * each)) + number * PAUSE
        batch["sec"] = START + when // 1_000_000_000
        batch["nsec"] = when % 1_000_000_000
        batch["captured"] = batch["length"] = 40
        batch["version"], batch["total"], batch["ttl"], batch["protocol"] = 0x45, 40, 64, 6
        batch["src"] = FIRST + host
        network = np.arange(bots * each) // bots + number * each
        batch["dst"] = (198 << 24) + (network << 8) + 1 + host % 200
        batch["sport"] = 1024 + network % 60_000
        batch["dport"] = 25
        batch["seq"] = rng.integers(1, 1 << 32, bots * each)
        batch["offset"], batch["flags"], batch["window"] = 0x50, 2, 65535
    return rows.reshape(-1)


def one_after_another(bots: int, seconds: float, each: int = 20, busy: float = 6.0) -> np.ndarray:
    """``bots`` that begin one after the other within ``seconds``; each is at it for ``busy`` s."""
    whole = np.tile(storm(1, each, busy), (bots, 1))
    for number, records in enumerate(whole):
        late = round(number * seconds / bots * 1e9) + records["nsec"].astype(np.int64)
        records["sec"] = records["sec"] + late // 1_000_000_000
        records["nsec"] = late % 1_000_000_000
        asks = records["dport"] == 25
        records["src"][asks] += number
        records["dst"][~asks] += number
    whole = whole.reshape(-1)
    return whole[np.lexsort((whole["nsec"], whole["sec"]))]


def write(path: Path, records: np.ndarray) -> None:
    """The whole capture."""
    path.write_bytes(PCAP + records.tobytes())


def header(path: Path) -> None:
    """A capture without packets, to be appended to."""
    path.write_bytes(PCAP)
