"""A capture of any size for benchmarks, seeded: mail from many hosts among other traffic.

    python -m lab.generate OUT.pcap --packets 3000000 --share 1.0 --hosts 10000 --bots 0.01

Hosts (10.0.0.0/8) hold SMTP sessions with a few mail servers each; bots (a share of the hosts) open
sessions to ever new ones, of which a third never answer and a tenth refuse. Whole sessions are
written, in both directions, interleaved in time; what is not port 25 is TCP on port 443 with the
same shapes. Payload bytes are zeros: nothing here reads them.
"""

import argparse
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# One session: (from client?, flags, payload bytes); the DATA segments give the mix of sizes.
SYN, ACK, PSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04
SESSION = (
    (1, SYN, 0), (0, SYN | ACK, 0), (1, ACK, 0), (0, ACK | PSH, 48), (1, ACK | PSH, 24),
    (0, ACK | PSH, 120), (1, ACK | PSH, 36), (0, ACK | PSH, 14), (1, ACK | PSH, 34),
    (0, ACK | PSH, 14), (1, ACK | PSH, 6), (0, ACK | PSH, 37), (1, ACK, 1400), (1, ACK, 1400),
    (1, ACK | PSH, 420), (0, ACK, 0), (0, ACK | PSH, 30), (1, ACK | PSH, 6), (0, ACK | PSH, 15),
    (0, FIN | ACK, 0), (1, FIN | ACK, 0), (0, ACK, 0),
)  # fmt: skip
DEAD = ((1, SYN, 0), (1, SYN, 0), (1, SYN, 0))
REFUSED = ((1, SYN, 0), (0, RST | ACK, 0))
HEADERS = 54
START = 1_700_000_000


def generate(
    packets: int,
    share: float = 1.0,
    hosts: int = 10_000,
    bots: float = 0.01,
    seed: int = 1,
    dead: float = 0.33,
    destinations: int = 3,
    only_syns: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a pcap file's records and the offset of each record.

    ``share`` of the packets are of port 25. With ``only_syns`` every packet is a SYN of minimum
    size (60 bytes on the wire), one after the other over the hosts.
    """
    rng = np.random.default_rng(seed)
    shapes = (((1, SYN, 0),),) if only_syns else (SESSION, DEAD, REFUSED)
    mean = 1.0 if only_syns else len(SESSION) * (1 - bots * (dead + 0.1))
    count = int(packets / mean * 1.1) + 64
    host = (
        np.arange(count) % hosts if only_syns else rng.integers(0, hosts, count)
    )  # fmt: skip
    bot = host < bots * hosts
    kind = np.zeros(count, np.int64)
    if not only_syns:
        draw = rng.random(count)
        kind[bot & (draw < dead)] = 1
        kind[bot & (draw > 0.9)] = 2
    port = np.where(rng.random(count) < share, 25, 443)
    favourite = (host * 2654435761 + rng.integers(0, destinations, count) * 97) % (1 << 20)
    server = np.where(bot, rng.integers(0, 1 << 24, count), favourite)
    sport = rng.integers(1024, 65535, count)
    isn = rng.integers(0, 1 << 32, (2, count))
    lengths = np.array([len(s) for s in shapes])[kind]
    # Sessions begin evenly; each packet of one comes 0.2 to 20 ms after the one before.
    session = np.repeat(np.arange(count), lengths)
    step = np.arange(len(session)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    gap = rng.exponential(4e6, count).clip(2e5, 2e7)
    gap[kind == 1] = 1e9  # retries of a SYN
    time = session * (1e9 * 60 / count) + step * gap[session] + rng.random(len(session)) * 1e5
    order = np.argsort(time, kind="stable")[:packets]
    session, step, time = session[order], step[order], time[order].astype(np.int64)

    table = np.zeros((len(shapes), max(len(s) for s in shapes), 5), np.int64)
    for k, shape in enumerate(shapes):
        sent = [0, 0]
        for j, (client, flags, size) in enumerate(shape):
            table[k, j] = client, flags, size, sent[client], sent[1 - client]
            if shape is not DEAD:
                sent[client] += size + bool(flags & (SYN | FIN))
    client, flags, size, seq, ack = table[kind[session], step].T
    return _records(
        time, client == 1, 0x0A000000 + host[session], 0xC0000000 + server[session],
        sport[session], port[session], isn[1, session] + np.where(client, seq, ack),
        isn[0, session] + np.where(client, ack, seq), flags, size, rng,
    )  # fmt: skip


def _records(
    time, from_client, host, server, sport, port, client_seq, server_seq, flags, size, rng
):
    n = len(time)
    captured = np.maximum(HEADERS + size, 60)
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(16 + captured, out=offsets[1:])
    out = np.zeros(offsets[-1], np.uint8)
    identification = rng.integers(0, 65536, n)
    for i in range(0, n, 100_000):
        s = slice(i, min(i + 100_000, n))
        head = np.zeros((s.stop - s.start, 16 + HEADERS), np.uint8)
        c = from_client[s]

        def put(at, width, values, order=">", head=head):
            column = np.asarray(values).astype(f"{order}u{width}")
            head[:, at : at + width] = column[:, None].view(np.uint8)

        put(0, 4, START + time[s] // 10**9, "<")
        put(4, 4, time[s] % 10**9 // 1000, "<")
        put(8, 4, captured[s], "<")
        put(12, 4, captured[s], "<")
        head[:, 16:28] = np.frombuffer(b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02", np.uint8)
        put(28, 2, np.full(len(c), 0x0800))
        head[:, 30] = 0x45
        put(32, 2, 40 + size[s])
        put(34, 2, identification[s])
        head[:, 36] = 0x40
        head[:, 38] = 64
        head[:, 39] = 6
        put(42, 4, np.where(c, host[s], server[s]))
        put(46, 4, np.where(c, server[s], host[s]))
        put(50, 2, np.where(c, sport[s], port[s]))
        put(52, 2, np.where(c, port[s], sport[s]))
        put(54, 4, np.where(c, client_seq[s], server_seq[s]) & 0xFFFFFFFF)
        put(
            58,
            4,
            np.where(flags[s] & ACK, np.where(c, server_seq[s], client_seq[s]), 0) & 0xFFFFFFFF,
        )
        head[:, 62] = 0x50
        head[:, 63] = flags[s]
        put(64, 2, np.full(len(c), 65535))
        put(66, 2, identification[s])
        out[offsets[s][:, None] + np.arange(16 + HEADERS)] = head
    return out, offsets


def write(path: Path, records: NDArray[np.uint8], link: int = 1) -> None:
    """Write a little-endian microsecond pcap file."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
        file.write(records.data)


def main() -> None:
    """Write one capture, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--packets", type=int, default=3_000_000)
    parser.add_argument("--share", type=float, default=1.0, help="of the packets on port 25")
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--bots", type=float, default=0.01, help="share of the hosts")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    records, _ = generate(a.packets, a.share, a.hosts, a.bots, a.seed)
    write(a.out, records)


if __name__ == "__main__":
    main()
