"""Answers to the question for an MX, as nobody well-meaning sends them."""

import random
import struct

__all__ = ["MX_ANSWER", "answer", "hostile", "mutated", "name", "record"]

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, LOC, SRV, NAPTR, OPT = (
    1,
    2,
    5,
    6,
    12,
    15,
    16,
    28,
    29,
    33,
    35,
    41,
)
RRSIG, NSEC, SVCB, HTTPS, SPF, TKEY, TSIG, ANY = 46, 47, 64, 65, 99, 249, 250, 255
TYPES = (A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, LOC, SRV, NAPTR, OPT, RRSIG, NSEC, SVCB, HTTPS)
TYPES += (SPF, TKEY, TSIG, ANY, 0, 32768, 65535)
CLASSES = (1, 1, 1, 1, 0, 2, 3, 4, 254, 255, 4096, 65535)
SIZES = (0, 1, 2, 3, 4, 5, 15, 16, 17, 255, 65535)


def name(text: str) -> bytes:
    """A name on the wire, not compressed."""
    labels = [part.encode() for part in text.split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in labels) + b"\0"


def record(owner: bytes, kind: int, data: bytes, class_: int = 1, size: int | None = None) -> bytes:
    """A record; ``size`` is what it says of itself."""
    return (
        owner + struct.pack(">HHIH", kind, class_, 60, len(data) if size is None else size) + data
    )


def answer(
    answers=(), additional=(), authority=(), questions=None, ident=7, counts=None, flags=0x8180
) -> bytes:
    """A message with these records; ``counts`` in place of how many there are."""
    questions = [name("d.example") + b"\0\x0f\0\1"] if questions is None else questions
    sections = (questions, answers, authority, additional)
    counts = counts or [len(section) for section in sections]
    head = struct.pack(">HH4H", ident, flags, *counts)
    return head + b"".join(b"".join(section) for section in sections)


TARGET = name("mx.dest.example")
GOOD_MX = record(name("d.example"), MX, b"\0\x0a" + TARGET)
GOOD_A = record(TARGET, A, bytes((198, 51, 100, 7)))
MX_ANSWER = answer([GOOD_MX], [GOOD_A])


def hostile(rng: random.Random) -> bytes:
    """A valid header and first question; all else by chance, often nearly right."""

    def some_name(at: int = 0) -> bytes:
        pointer = struct.pack(
            ">H", 0xC000 | rng.choice((0, 12, 13, at, at + 2, rng.randrange(600)))
        )
        kind = rng.randrange(9 if rng.random() < 0.3 else 6)
        if kind < 3:
            return rng.choice((name("d.example"), TARGET, b"\0"))
        if kind < 5:
            return b"\xc0\x0c"
        if kind == 5:
            return pointer
        if kind == 6:
            return b"\3abc" + pointer
        if kind == 7:
            return rng.choice(
                (b"\x40a", b"\x80", b"\xff", b"\x3f" + bytes(62), b"\1a" * 130 + b"\0")
            )
        return bytes([rng.randrange(64)]) + rng.randbytes(rng.randrange(70))

    def some_record(at: int) -> bytes:
        kind = rng.choice(TYPES)
        data = rng.choice(
            (
                lambda: rng.randbytes(rng.choice((0, 1, 2, 3, 4, 5, 16, 17, 30))),
                lambda: b"\0\x0a" + some_name(at),
                lambda: some_name(at),
                lambda: bytes((198, 51, 100, rng.randrange(256))),
                lambda: bytes(16),
                lambda: struct.pack(">HH", rng.randrange(20), rng.choice(SIZES)) + rng.randbytes(9),
            )
        )()
        size = rng.choice(SIZES) if rng.random() < 0.05 else None
        return record(some_name(at), kind, data, rng.choice(CLASSES), size)

    questions = [name("d.example") + b"\0\x0f\0\1"]
    questions += [
        some_name() + rng.randbytes(rng.choice((4, 4, 4, 1)))
        for _ in range(rng.choice((0, 0, 0, 0, 1, 3)))
    ]
    sections: list[list[bytes]] = [[], [], []]
    at = 29
    for section in sections:
        for _ in range(rng.choice((0, 1, 1, 2, 5))):
            good = rng.choice((GOOD_MX, GOOD_A))
            section.append(good if rng.random() < 0.3 else some_record(at))
            at += len(section[-1])
    answers, authority, additional = sections
    counts = None
    if rng.random() < 0.1:
        counts = [len(questions), *(rng.choice((len(s), 0, 65535)) for s in sections)]
    return answer(answers, additional, authority, questions, counts=counts)


def mutated(rng: random.Random, message: bytes) -> bytes:
    """A few octets behind the first question changed, or the end cut off."""
    made = bytearray(message)
    for _ in range(rng.randrange(1, 6)):
        if len(made) > 40:
            made[rng.randrange(29, len(made))] = rng.choice((0, 0xC0, 0xFF, rng.randrange(256)))
    return bytes(made[: rng.randrange(12, len(made) + 1)] if rng.random() < 0.2 else made)
