"""Answers that are left out as known: whoever reads them all learns and counts the same."""

import random

import numpy as np
import pytest

from lab import dns_messages as m
from lab.dns_messages import GOOD_A, GOOD_MX, MX_ANSWER, answer, hostile, mutated, name, record
from lab.lookups import Wire
from sensor.dns.exchangers import Exchangers
from sensor.dns.known import says_nothing_new
from sensor.dns.lookups import Lookups, name_hash, new_lookups
from tests.dns.test_dns import counted, name_of

CEILING = 24
"""Names and addresses: so few that many are forgotten, and come again."""


def known(lookups: Lookups, message: bytes) -> bool:
    """As the kernels ask, of what they ask it of."""
    data = np.frombuffer(bytes(7) + message, np.uint8).copy()
    _, end = name_hash(data, 7 + 12, len(data))
    sound = end > 0 and end + 4 <= len(data)
    return bool(sound and says_nothing_new(lookups.names, lookups.addresses, data, 7, len(data)))


def some_answer(rng: random.Random) -> bytes:
    """Of a few dozen exchangers, whose letters come as they come; sometimes nearly one."""
    if rng.random() < 0.2:
        return hostile(rng)
    k = rng.randrange(30)
    exchange = name(rng.choice((f"mx{k}.dest.example", f"MX{k}.Dest.example")))
    owner = rng.choice((exchange, b"\xc0\x0c", name("alias.example")))
    kind, address = rng.choice(
        ((m.A, bytes((198, 51, 100, rng.randrange(40)))), (m.AAAA, bytes(15) + bytes([k % 3])))
    )
    records = [record(b"\xc0\x0c", m.MX, b"\0\x0a" + exchange), record(owner, kind, address)]
    asked = rng.choice((name("d.example") + b"\0\x0f\0\1", exchange + b"\0\1\0\1"))
    rng.shuffle(records)
    cut = rng.randrange(3)
    made = answer(records[:cut], records[cut:], questions=[asked])
    return mutated(rng, made) if rng.random() < 0.2 else made


@pytest.mark.parametrize("seed", range(4))
def test_reading_all_teaches_nothing_more(seed):
    rng = random.Random(seed)
    all_, some = (Exchangers(new_lookups(), CEILING) for _ in range(2))
    left_out = 0
    for _ in range(1500):
        message = some_answer(rng)
        all_.learn(message)
        if known(some._lookups, message):
            left_out += 1
        else:
            some.learn(message)
        assert some.counters == all_.counters
        assert some.state() == all_.state()
    assert 50 < left_out < 1450
    assert all_.counters["exchangers_forgotten"] > 50
    assert all_.counters["records_unreadable"] > 0 < all_.counters["records_of_other_classes"]


@pytest.mark.parametrize(
    ("message", "is_known"),
    [
        (MX_ANSWER, True),
        (answer([GOOD_MX, GOOD_MX], [GOOD_A, GOOD_A]), True),
        (answer([record(b"\xc0\x0c", m.MX, b"\0\0\0")]), True),  # null MX
        (answer([], [record(name("ns.example"), m.A, bytes(4))]), True),  # of no exchanger
        (answer([GOOD_MX], [], [record(name("ns.example"), m.SOA, b"")]), True),
        (answer([GOOD_MX, record(b"\xc0\x0c", m.MX, b"\0\1" + name("new.example"))]), False),
        (answer([], [record(m.TARGET, m.A, bytes((198, 51, 100, 8)))]), False),
        (answer([GOOD_MX], [record(m.TARGET, m.A, bytes(3))]), False),
        (answer([GOOD_MX] * 513), False),
        (answer([GOOD_MX], counts=[1, 2, 0, 0]), False),  # one is missing
    ],
)
def test_what_is_known(message, is_known):
    exchangers = Exchangers(new_lookups(), CEILING)
    assert not known(exchangers._lookups, MX_ANSWER)
    exchangers.learn(MX_ANSWER)
    assert known(exchangers._lookups, message) == is_known


def test_a_flood_of_known_answers_is_read_to_the_end():
    """Those that say something new have a ceiling, of which the others take nothing."""
    wire = Wire()
    for k in range(3000):
        wire.put(answer(flags=0x0100, ident=k), seconds=0)
        wire.put(answer([GOOD_MX], [GOOD_A], ident=k), True, seconds=0)
    pipeline = wire.read()
    found = counted(pipeline)
    assert (found["answers_read"], found["answers_known"]) == (3000, 2999)
    assert "answers_skipped" not in found
    assert name_of(pipeline, "198.51.100.7") == "mx.dest.example"
