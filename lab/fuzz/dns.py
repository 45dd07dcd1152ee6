"""DNS answers with valid headers and hostile records, through the sensor's reader.

    PORT25_CHECKED_LOADS=1 NUMBA_BOUNDSCHECK=1 python -m lab.fuzz.dns SECONDS [SEED]

What is learnt is held against dnspython: wherever it can read the whole of a message, the sensor
must have learnt the same; and wherever a message has a good MX in front, that one is learnt. None
may take long. Prints the figures.
"""

import random
import sys
import time
from typing import NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import numpy as np

from lab.dns_messages import GOOD_MX, MX_ANSWER, TARGET, answer, hostile, mutated
from sensor.base.addresses import as_int
from sensor.base.hash_index import in_use
from sensor.dns.answers import read_answer
from sensor.dns.exchangers import names_of
from sensor.dns.known import ANSWER_COUNTERS, MOST_RECORDS, Known, is_exchanger, new_known
from sensor.dns.wire import name_hash

# Else dnspython, that met a type in the class ANY first, knows no form of it in IN from then on.
dns.rdata.load_all_types()

SLOW = 0.05
"""Seconds for one message."""


class Told(NamedTuple):
    """What a message tells."""

    exchanges: set[bytes]
    """names as on the wire, in lower case"""
    addresses: dict[int, set[str]]
    """of those, as the sensor counts them, and the names each has been given"""


def told(message: bytes) -> Told | None:
    """As dnspython reads it, None where it cannot."""
    try:
        read = dns.message.from_wire(message, ignore_trailing=True)
    except Exception:
        return None
    asked = read.question[0].name if read.question else None
    exchanges = {
        one.exchange.canonicalize()
        for records in read.answer
        if records.rdclass == dns.rdataclass.IN and records.rdtype == dns.rdatatype.MX
        for one in records
    } - {dns.name.root}
    addresses: dict[int, set[str]] = {}
    for section in (read.answer, read.additional):
        for records in section:
            if records.rdclass != dns.rdataclass.IN:
                continue
            if records.rdtype not in (dns.rdatatype.A, dns.rdatatype.AAAA):
                continue
            name = records.name if records.name in exchanges else asked
            if name not in exchanges or (section is read.additional and name != records.name):
                continue
            for one in records:
                addresses.setdefault(number(one.to_text()), set()).add(text(name))
    addresses.pop(0, None)  # where nobody is
    return Told({one.to_wire() for one in exchanges}, addresses)


def text(of: dns.name.Name) -> str:
    return of.to_text(omit_final_dot=True).lower()


def number(address: str) -> int:
    import ipaddress

    return as_int(ipaddress.ip_address(address))


def learn(known: Known, message: bytes) -> bool:
    """Have the sensor read a message, which has a header; False: it says it was nothing new."""
    data = np.frombuffer(bytes(7) + message, np.uint8).copy()
    before = counted(known)
    said: bool = read_answer(known, data, 7, len(data), False)
    assert counted(known) == before, message.hex()
    new: bool = read_answer(known, data, 7, len(data), True)
    assert said == new, message.hex()
    return new


def counted(known: Known) -> dict[str, int]:
    return {name: int(known.counts[at]) for name, at in ANSWER_COUNTERS.items() if known.counts[at]}


def is_known(known: Known, name: bytes) -> bool:
    """Whether a name, as on the wire, is an exchanger's to the sensor."""
    hashed, end = name_hash(np.frombuffer(name, np.uint8).copy(), 0, len(name))
    assert end == len(name)
    return bool(is_exchanger(known, np.uint64(hashed)))


def names_at(known: Known, addresses: list[int]) -> list[str | None]:
    his = np.array([one >> 64 for one in addresses], np.uint64)
    los = np.array([one & (1 << 64) - 1 for one in addresses], np.uint64)
    return names_of(known, his, los)


def check(message: bytes) -> bool:
    """Hold the two against each other; whether dnspython could read it."""
    expected = told(message)
    learn(known := new_known(MOST_RECORDS), message)
    if expected is None:
        return False
    assert in_use(known.names.rowindex) == len(expected.exchanges), message.hex()
    assert all(is_known(known, one) for one in expected.exchanges), message.hex()
    assert in_use(known.addresses.rowindex) == len(expected.addresses), message.hex()
    given = names_at(known, list(expected.addresses))
    for name, names in zip(given, expected.addresses.values(), strict=True):
        assert name in names, message.hex()
    assert not learn(known, message) or counted(known), message.hex()
    return True


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    learnt = new_known(1000)
    corpus = [MX_ANSWER]
    learn(learnt, MX_ANSWER)  # compiles
    count = readable = 0
    slowest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        message = hostile(rng) if rng.random() < 0.6 else mutated(rng, rng.choice(corpus))
        good = rng.random() < 0.1
        if good:
            head = answer([GOOD_MX])
            message = head[:6] + b"\0\5" + head[8:] + rng.randbytes(rng.randrange(200))
        if len(corpus) < 2000 and rng.random() < 0.05:
            corpus.append(message)
        started = time.perf_counter()
        learn(learnt, message)
        took = time.perf_counter() - started
        slowest = max(slowest, took)
        assert not good or is_known(learnt, TARGET), message.hex()
        readable += check(message)
        count += 1
    assert slowest < SLOW
    print(
        f"{count:,} messages in {seconds:,.0f} s, seed {seed}: {readable:,} readable to dnspython"
        f" as well and all the same; slowest {slowest * 1000:.1f} ms;"
        f" at most {MOST_RECORDS} records each; {counted(learnt)}"
    )


if __name__ == "__main__":
    main()
