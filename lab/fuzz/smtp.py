"""Conversations taken to pieces: mutated, cut, reordered, doubled, lost, or nothing but noise.

    PORT25_CHECKED_LOADS=1 NUMBA_BOUNDSCHECK=1 python -m lab.fuzz.smtp MEGABYTES [SEED]

With both checks a read outside a buffer, or outside a table, raises. Tables are small, so that they
are always full. Every record must come out valid, memory must stay within its ceilings, and the
same bytes must give the same records however they are cut into blocks. Prints what came up.
"""

import random
import sys
from collections import Counter

import msgspec

from lab.conversation import ACK, FIN, GOOD, PSH, RST, SYN, Conversation, block
from lab.outputs import sessions_of
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings
from sensor.smtp.record import Session

TEXTS = [
    GOOD,
    r"S: 220-a\r\n220 b\r\n|C: EHLO x.example\r\n|S: 250-x\r\n250-PIPELINING\r\n250 AUTH LOGIN\r\n"
    r"|C: AUTH LOGIN\r\n|S: 334 a\r\n|C: c2Vj\r\n|S: 334 b\r\n|C: cmV0\r\n|S: 235 ok\r\n"
    r"|C: MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\nDATA\r\n"
    r"|S: 250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n|C: hello\r\n..\r\n.\r\nQUIT\r\n"
    r"|S: 250 ok\r\n221 bye\r\n",
    r"S: 220 a\r\n|C: EHLO x\r\n|S: 250 CHUNKING\r\n|C: MAIL FROM:<>\r\n|S: 250 ok\r\n"
    r"|C: RCPT TO:<@r:\"q\\@\"@d.example> NOTIFY=NEVER\r\n|S: 250 ok\r\n"
    r"|C: BDAT 5\r\nabcdeBDAT 0 LAST\r\n|S: 250 ok\r\n250 ok\r\n|C: RSET\r\n|S: 250 ok\r\n",
    r"S: 220 a\r\n|C: EHLO x\r\n|S: 250 STARTTLS\r\n|C: STARTTLS\r\n|S: 220 go\r\n"
    r"|C: \x16\x03\x01\x00\x45\x01\x00\x00\x41\x03\x03" + "r" * 32 + r"\x00\x00\x02\x13\x01\x01\x00"
    r"\x00\x16\x00\x00\x00\x12\x00\x10\x00\x00\x0dmx.d.examplex"
    r"|S: \x16\x03\x03\x00\x30\x02\x00\x00\x2c\x03\x03" + "s" * 44,
    r"C: GET / HTTP/1.1\r\n\r\n|S: 500 no\r\n",
    r"C: PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n|S: 220 a\r\n|C: EHLO x\r\n"
    r"|S: 250-x\r\n250 STARTTLS\r\n|C: STARTTLS\r\n|S: 220 go\r\n|S: 250 believe me\r\n",
    r"C: \r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd|S: 220 a\r\n"
    r"|C: EHLO x\r\n|S: 250 PIPECONNECT\r\n"
    r"|C: MAIL FROM:<a@b.example>\r\n|S: 250 ok\r\n|C: RCPT TO:<c@d.example>\r\n|S: 250 ok\r\n"
    r"|C: BDAT 7\r\n|S: 552 no\r\n|C: 1234567RSET\r\n|S: 250 ok\r\n"
    r"|C: MAIL FROM:<a@b.example> ENVID="
    + "e"
    * 600
    + r" SIZE=1\r\n|S: 250 ok\r\n|C: RCPT TO:<c@d.example>\r\n|S: 250 ok\r\n"
    r"|C: DATA\r\n|S: 250 ok\r\n|C: x\r.\r\ny\r\n.\x00\r\n.\r\n|S: 250 ok\r\n",
]


def mutated(rng: random.Random, payload: bytes) -> bytes:
    out = bytearray(payload)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(5)
        if what == 0 and out:
            out[at % len(out)] = rng.randrange(256)
        elif what == 1:
            out[at:at] = rng.choice(
                (b"\r\n", b"\n", b"\r", b".", b"\0", b" " * 600, b"250 ", b"@<>")
            )
        elif what == 2:
            del out[at : at + rng.randrange(20)]
        elif what == 3:
            out += rng.randbytes(rng.randrange(1200))
        else:
            out[at:at] = out[: rng.randrange(40)]
    return bytes(out[:1460])


def lookups(rng: random.Random) -> list[tuple[int, bytes]]:
    """Frames of DNS questions and answers for MX that have met with everything, over UDP or TCP."""
    from lab.lookups import MX, A, Wire, message

    wire = Wire(port=rng.randrange(5000, 5010))
    wire.now += rng.randrange(10**9)
    tcp = rng.random() < 0.3
    seq = {False: rng.getrandbits(32), True: rng.getrandbits(32)}
    for text, answer in (
        (message(), 0),
        (MX, 1),
        (message("mx1.d.example", "A", ident=8), 0),
        (A, 1),
    ):
        if rng.random() < 0.5:
            text = mutated(rng, text)
        if tcp:
            text = len(text).to_bytes(2, "big") + text
            step = rng.choice((5, 40, 1500))
            for at in range(0, len(text), step):
                part = text[at : at + step]
                wire.put(part, bool(answer), seq=seq[bool(answer)])
                seq[bool(answer)] = (seq[bool(answer)] + len(part)) % 2**32
        else:
            wire.put(text, bool(answer))
    return wire.frames


def conversation(rng: random.Random, sport: int) -> list[tuple[int, bytes]]:
    """Frames of one connection that has met with everything."""
    whole = Conversation((rng.getrandbits(32), rng.getrandbits(32)), sport)
    if rng.random() < 0.3:
        steps = (0, 1, 1000, -1000) if rng.random() < 0.1 else (0, 1, 1000)
        whole.with_stamps(rng.getrandbits(32), lambda side: rng.choice(steps))
    whole.open()
    whole.now += rng.randrange(10**9)
    flags = {"c": ACK | PSH, "s": ACK | PSH}
    text = rng.choice(TEXTS)
    for part in (text * rng.randrange(1, 4)).replace("|", "\n").splitlines():
        side, _, said = part.strip().partition(": ")
        if not side:
            continue
        payload = said.encode().decode("unicode_escape").encode("latin-1")
        if rng.random() < 0.4:
            payload = mutated(rng, payload)
        if rng.random() < 0.03:
            payload += rng.randbytes(1400) if rng.random() < 0.5 else bytes(1400)
        side = side.lower()
        kind = rng.random()
        if kind < 0.05:
            whole.skip(side, len(payload))
        elif kind < 0.15:
            whole.raw(side, flags[side], payload, seq=whole.next[side] + rng.randrange(-60, 60))
        elif kind < 0.2:
            whole.raw(side, rng.randrange(64), payload)
        else:
            step = rng.choice((1500, 1500, 200, 7))
            for at in range(0, len(payload), step):
                bad = rng.random() < 0.02
                whole.send(side, payload[at : at + step][:1460], bad_checksum=bad)
                if rng.random() < 0.03:
                    whole.frames.append((whole.now, whole.frames[-1][1]))
    if rng.random() < 0.5:
        whole.close()
    elif rng.random() < 0.3:
        whole.raw(rng.choice("cs"), rng.choice((RST, RST | ACK, FIN, SYN)))
    frames = whole.frames
    for _ in range(rng.randrange(6)):
        k = rng.randrange(len(frames))
        j = min(len(frames) - 1, k + rng.randrange(4))
        frames[k], frames[j] = (frames[k][0], frames[j][1]), (frames[j][0], frames[k][1])
    return frames


def fuzz(megabytes: float, seed: int = 1) -> Counter[str]:
    """How often each anomaly came up."""
    rng = random.Random(seed)
    limits = Limits(max_sessions=16, max_pieces=32, max_connections=64, max_exchangers=16)
    seen: Counter[str] = Counter()
    records: list[list[Session]] = [[], []]
    pipelines = [Pipeline(Settings(limits=limits), sessions="all") for _ in records]
    fed = 0
    while fed < megabytes * 1e6:
        frames = []
        for _ in range(40):
            frames += conversation(rng, rng.randrange(1024, 1200))
        frames += lookups(rng)
        frames.sort(key=lambda f: f[0])
        frames = [(ts + seen["rounds"] * 5 * 10**9, content) for ts, content in frames]
        seen["rounds"] += 1
        cut = rng.choice((0, 0, 0, 96))
        records[0] += sessions_of(pipelines[0].feed(block(frames, cut)))
        step = rng.choice((1, 5, 100))
        for at in range(0, len(frames), step):
            records[1] += sessions_of(pipelines[1].feed(block(frames[at : at + step], cut)))
        fed += sum(len(content) for _, content in frames)
        assert records[0] == records[1]
        for record in records[0]:
            again = msgspec.json.decode(msgspec.json.encode(record), type=Session, strict=True)
            assert again == record
            seen.update(record.anomalies)
            seen["records"] += 1
        for found in records:
            found.clear()
        connections, dns = (pipelines[0].counters()[stage] for stage in ("connections", "dns"))
        assert connections["sessions_open"] <= 16
        assert connections["pieces_held"] <= 32
        assert dns["exchangers_known"] <= 16
        assert dns == pipelines[1].counters()["dns"]
    return seen


if __name__ == "__main__":
    for name, count in fuzz(float(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])).most_common():
        print(f"{count:>9,} {name}")
