"""DNS answers with valid headers and hostile records, through the sensor's reader.

    python -m lab.fuzz.dns SECONDS [SEED]

What comes out is held against dnspython: wherever it can read the whole of a message, the sensor
must have learnt the same; and wherever a message has a good MX in front, that one is learnt. No
message may end at the door (as something nobody expected), or take long. Prints the figures.
"""

import random
import sys
import time

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype

from lab.dns_messages import GOOD_MX, MX_ANSWER, TARGET, answer, hostile, mutated
from sensor.dns.answers import MOST_RECORDS, name_text, read_answer
from sensor.dns.exchangers import Exchangers
from sensor.dns.lookups import new_lookups

SLOW = 0.05
"""Seconds for one message."""


def told(message: bytes) -> tuple[set[str], set[tuple[str, str, bool]]] | None:
    """Exchanges and addresses as dnspython reads them, None where it cannot."""
    try:
        read = dns.message.from_wire(message, ignore_trailing=True)
    except Exception:
        return None
    exchanges = set()
    addresses = set()
    for section, answers in ((read.answer, True), (read.additional, False)):
        for records in section:
            if records.rdclass != dns.rdataclass.IN:
                continue
            for one in records:
                if records.rdtype == dns.rdatatype.MX and answers:
                    exchanges.add(text(one.exchange))
                if records.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                    addresses.add((text(records.name), one.to_text(), answers))
    return exchanges, addresses


def text(of: dns.name.Name) -> str:
    return of.to_text(omit_final_dot=True).lower()


def ours(message: bytes) -> tuple[set[str], set[tuple[str, str, bool]]]:
    """The same as the sensor reads it."""
    import ipaddress

    read = read_answer(message)
    return {name_text(one) for one in read.exchanges}, {
        (name_text(a.owner), str(ipaddress.ip_address(a.packed)), a.answers) for a in read.addresses
    }


def check(message: bytes) -> bool:
    """Hold the two against each other; whether dnspython could read it."""
    theirs, mine = told(message), ours(message)
    if theirs is None:
        return False
    assert mine[0] == theirs[0], message.hex()
    assert {(o, k) for o, _, k in mine[1]} == {(o, k) for o, _, k in theirs[1]}, message.hex()
    return True


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    learnt = Exchangers(new_lookups(), 1000)
    corpus = [MX_ANSWER]
    count = readable = 0
    slowest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        message = hostile(rng) if rng.random() < 0.6 else mutated(rng, rng.choice(corpus))
        if rng.random() < 0.1:
            head = answer([GOOD_MX])
            message = head[:6] + b"\0\5" + head[8:] + rng.randbytes(rng.randrange(200))
            assert name_text(TARGET) in ours(message)[0], message.hex()
        if len(corpus) < 2000 and rng.random() < 0.05:
            corpus.append(message)
        started = time.perf_counter()
        learnt.learn(message)
        took = time.perf_counter() - started
        slowest = max(slowest, took)
        readable += check(message)
        count += 1
    assert not any(door.refused for door in learnt.doors), [d.reason for d in learnt.doors]
    assert name_text(TARGET) in learnt._names
    print(
        f"{count:,} messages in {seconds:,.0f} s, seed {seed}: {readable:,} readable to dnspython"
        f" as well and all the same; slowest {slowest * 1000:.1f} ms;"
        f" at most {MOST_RECORDS} records each; {learnt.counters}"
    )


if __name__ == "__main__":
    main()
