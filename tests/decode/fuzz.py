"""Random and mutated frames through decode, each in a buffer of its own.

    PORT25_CHECKED_LOADS=1 python -m tests.decode.fuzz FRAMES [SEED]

With checked loads, or interpreted (``NUMBA_DISABLE_JIT=1``), a read outside the frame raises. Every
frame must end in exactly one counter. Prints how often each came up.
"""

import random
import struct
import sys

import numpy as np
from scapy.layers.inet import IP

from lab.frames import Block
from sensor.base import byteorder as loads
from sensor.base.kernel import table
from sensor.capture.block import FRAME
from sensor.decode.decoder import Decoder
from sensor.decode.segment import Outcome


def seeds() -> list[tuple[int, bytes]]:
    """Frames of every kind there is a layer for."""
    from tests.decode.test_carriers import SEEDS
    from tests.decode.test_layers import ENDS, ERRORS, LINKS, OPENED, TCP4, TCP6

    frames = [(1, bytes(packet)) for packet, _ in OPENED.values()]
    frames += [(1, bytes(packet)) for _, packet, _ in ENDS]
    for error, quoted in ERRORS:
        frames.append((1, bytes(error) + bytes(TCP4 if quoted is IP else TCP6)[:48]))
    return frames + list(LINKS.values()) + SEEDS


INTERESTING = (0, 1, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60, 0x0F, 0x40, 0x45, 0x60, 0x7F, 0x80, 0xFF)
WORDS = (
    0,
    25,
    53,
    0x0800,
    0x86DD,
    0x8100,
    0x8847,
    0x8864,
    0x88BE,
    0x22EB,
    0x6558,
    4789,
    6081,
    2152,
    1701,
    0x88E5,
    0x8926,
    0x88E7,
)


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """A few bytes or words changed, a piece cut out, doubled or cut off."""
    out = bytearray(frame)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(6)
        if kind == 0 and out:
            out[at % len(out)] = rng.choice(INTERESTING)
        elif kind == 1 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            out[at : at + 2] = struct.pack(">H", rng.choice(WORDS))
        elif kind == 3:
            del out[at : at + rng.randrange(1, 20)]
        elif kind == 4:
            out[at:at] = out[at : at + rng.randrange(1, 60)]
        else:
            del out[at:]
    return bytes(out[:600])


def main() -> None:
    assert loads.CHECKED, "run with PORT25_CHECKED_LOADS=1 or NUMBA_DISABLE_JIT=1"
    count = int(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    corpus = seeds()
    decoder = Decoder([25])
    links = (
        6,
        7,
        10,
        100,
        105,
        107,
        119,
        127,
        192,
        204,
        239,
        0,
        1,
        9,
        12,
        50,
        51,
        101,
        104,
        108,
        113,
        219,
        228,
        229,
        276,
        147,
    )
    row = table(1, FRAME)
    for done in range(1, count + 1):
        link, frame = rng.choice(corpus)
        if rng.random() < 0.1:
            frame = rng.randbytes(rng.randrange(200))
        else:
            frame = mutate(rng, frame)
        if rng.random() < 0.1:
            link = rng.choice(links)
        wire = len(frame) + rng.choice((0, 0, 0, 1, 40, 70_000))
        row[0] = (done, 0, len(frame), wire, link, -1)
        decoder.decode(Block(np.frombuffer(bytearray(frame), np.uint8), row, done, "fuzz"))
        if len(corpus) < 3000 and rng.random() < 0.01 and frame:
            corpus.append((link, frame))
    assert decoder.counts.sum() == count, "counters do not add up to the frames"
    print({o.name: int(decoder.counts[o]) for o in Outcome})


if __name__ == "__main__":
    main()
