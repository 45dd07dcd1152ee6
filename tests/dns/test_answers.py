"""Answers nobody well-meaning sends: one bad record neither ends anything nor hides another.

Held against dnspython wherever that can read the whole message.
"""

import os
import random
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import dns_messages as m
from lab.dns_messages import GOOD_A, GOOD_MX, TARGET, answer, name, record
from lab.fuzz.dns import check, counted, is_known, learn, names_at, number
from lab.lookups import Wire
from lab.outputs import sessions_of
from sensor.base.hash_index import in_use
from sensor.dns.exchangers import name_text
from sensor.dns.known import MOST_RECORDS, new_known
from tests.conftest import ROOT
from tests.dns.test_dns import name_of

ADDRESS = "198.51.100.7"
D = name("d.example")
BAD = {
    "class NONE, A": record(TARGET, m.A, b"", 254),
    "class HS, A": record(TARGET, m.A, bytes(4), 4),
    "class CH, A": record(TARGET, m.A, TARGET + b"\0\1", 3),
    "class ANY, AAAA": record(TARGET, m.AAAA, b"", 255),
    "class HS, MX": record(D, m.MX, b"\0\1" + name("other.example"), 4),
    "A of three octets": record(TARGET, m.A, bytes(3)),
    "A of none": record(TARGET, m.A, b""),
    "AAAA of four": record(TARGET, m.AAAA, bytes(4)),
    "MX without a name": record(D, m.MX, b"\0\1"),
    "MX of one octet": record(D, m.MX, b"\0"),
    "MX of none": record(D, m.MX, b""),
    "MX with more behind": record(D, m.MX, b"\0\1" + name("x.example") + b"!"),
    "MX that points to itself": record(D, m.MX, b"\0\1\xc0\x35"),
    "MX that points ahead": record(D, m.MX, b"\0\1\xc1\xff"),
    "MX with a label of 64": record(D, m.MX, b"\0\1\x40" + bytes(64) + b"\0"),
    "MX longer than a name": record(D, m.MX, b"\0\1" + b"\1a" * 140 + b"\0"),
    "owner that points to itself": record(b"\xc0\x1d", m.A, bytes(4)),
    "owner that points ahead": record(b"\xc1\xff", m.A, bytes(4)),
    "LOC of one octet": record(D, m.LOC, b"\1"),
    "SOA of nothing": record(D, m.SOA, b""),
    "TXT that lies": record(D, m.TXT, b"\xffabc"),
    "NAPTR": record(D, m.NAPTR, b"\0\1\0\1\xff"),
    "SVCB": record(D, m.SVCB, b"\0\1\0\0\4\0\1"),
    "TSIG": record(name("k"), m.TSIG, name("hmac-sha256") + bytes(16), 255),
    "TSIG of nothing": record(name("k"), m.TSIG, b"", 255),
    "OPT, an option too long": record(b"\0", m.OPT, b"\0\x0a\xff\xff\1\2", 1232),
    "OPT, client subnet": record(b"\0", m.OPT, b"\0\x08\0\2\0\1", 512),
    "OPT of a name": record(D, m.OPT, b"\0", 512),
    "OPT twice": record(b"\0", m.OPT, b"", 512),
    "type 65535": record(D, 65535, b"\xff" * 9, 65535),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("where", ["before", "after", "authority", "additional"])
def test_a_bad_record_beside_a_good_mx_does_not_lose_it(kind, where):
    bad = [BAD[kind]] * (2 if kind == "OPT twice" else 1)
    answers = {"before": [*bad, GOOD_MX], "after": [GOOD_MX, *bad]}.get(where, [GOOD_MX])
    authority = bad if where == "authority" else []
    additional = [*bad, GOOD_A] if where == "additional" else [GOOD_A]
    wire = Wire().put(answer(flags=0x0100)).put(answer(answers, additional, authority), answer=True)
    pipeline = wire.read()
    assert name_of(pipeline, ADDRESS) == "mx.dest.example"
    assert not pipeline.reasons()


@pytest.mark.parametrize(
    "more",
    [
        [b"\xc0\x0c\0\x0f\0\1"],
        [name("e.example") + b"\0\1\0\1", b"\0\0\xff\0\xff"],
        [b"\xc1\xff\0\x0f\0\1"],
    ],
    ids=["the same again", "two others", "a bad pointer"],
)
def test_several_questions(more):
    wire = Wire().put(answer(flags=0x0100))
    wire.put(answer([GOOD_MX], [GOOD_A], questions=[D + b"\0\x0f\0\1", *more]), answer=True)
    assert name_of(wire.read(), ADDRESS) == "mx.dest.example"


@pytest.mark.parametrize(
    "tail", [b"", b"\x40", D, D + b"\0\1", record(TARGET, m.A, bytes(4), size=500), b"\xc0"]
)
def test_what_comes_before_the_damage_is_read(tail):
    whole = answer([GOOD_MX], [GOOD_A], counts=(1, 1, 0, 5)) + tail
    learn(known := new_known(16), whole)
    assert names_at(known, [number(ADDRESS)]) == ["mx.dest.example"]
    assert counted(known)["answers_unreadable"] == 1


def test_every_record_left_aside_is_counted():
    known = new_known(1000)
    assert learn(known, answer([BAD["class HS, A"], BAD["class HS, MX"], BAD["A of none"]]))
    assert counted(known) == {"records_of_other_classes": 2, "records_unreadable": 1}
    many = [record(TARGET, m.A, struct.pack(">I", k)) for k in range(MOST_RECORDS + 9)]
    known = new_known(1000)
    assert learn(known, answer([GOOD_MX, *many]))
    assert in_use(known.addresses.rowindex) == MOST_RECORDS - 1
    assert counted(known) == {"records_skipped": 10}


def test_a_chain_of_pointers_costs_little():
    """Each leads to the one before; dnspython follows them all."""
    at = 12 + len(D) + 4 + 11
    chain = b"\1a\0" + b"".join(
        struct.pack(">H", 0xC000 | at + max(0, 2 * k - 1 + (2 if k else 0))) for k in range(4000)
    )
    first = record(b"\0", m.TXT, chain)
    more = [record(struct.pack(">H", 0xC000 | min(0x3FFF, at + 7999)), m.A, bytes(4))] * 3000
    known = new_known(16)
    assert learn(known, answer([first, *more, GOOD_MX]))
    assert "answers_unreadable" not in counted(known)
    assert in_use(known.addresses.rowindex) == 0


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_names_are_told_as_dnspython_tells_them(labels):
    import dns.name

    theirs = dns.name.Name([*labels, b""])
    assert name_text(theirs.to_wire()) == theirs.to_text(omit_final_dot=True).lower()


@given(st.integers(0, 2**32))
def test_hostile_answers_are_read_as_dnspython_reads_them(seed):
    rng = random.Random(seed)
    message = m.hostile(rng)
    for one in (message, m.mutated(rng, message), m.mutated(rng, m.MX_ANSWER)):
        check(one)


@given(st.binary(max_size=300), st.binary(max_size=12))
def test_no_bytes_fail(raw, head):
    known = new_known(16)
    learn(known, bytes(12) + raw)
    learn(known, head.ljust(12, b"\0") + raw)
    learn(known, answer([GOOD_MX])[:6] + b"\0\7" + answer([GOOD_MX])[8:] + raw)
    assert is_known(known, TARGET)


@pytest.mark.slow
def test_the_fuzzer_for_a_while():
    command = [sys.executable, "-m", "lab.fuzz.dns", "20", "3"]
    checked = os.environ | {"PORT25_CHECKED_LOADS": "1", "NUMBA_BOUNDSCHECK": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=checked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all the same" in done.stdout


def test_a_record_of_any_class_does_not_spoil_how_dnspython_reads_the_others():
    """Where it was the first of its type, dnspython then knew none of the class IN either."""
    code = (
        "import struct, lab.fuzz.dns as fuzz, lab.lookups as lookups\n"
        "head = struct.pack('>6H', 7, 0x8180, 0, 1, 0, 0)\n"
        "fuzz.told(head + b'\\0' + struct.pack('>HHIH', 28, 255, 60, 16) + bytes(16))\n"
        "lookups.message('d.example', 'AAAA', answers=['d.example. AAAA 2001:db8::25'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    "file",
    ["dns-bad-loc", "dns-edns-badopt", "dns-tsig", "dns-class-none-a", "dns-class-hs-a"],
)
def test_inputs_reported_elsewhere(file):
    from sensor.capture.merge import Captures
    from sensor.pipeline import Pipeline
    from sensor.settings import Settings

    path = ROOT.parent / "shared" / "inputs" / f"{file}.pcap"
    if not path.exists():
        pytest.skip(f"{path} is not beside this checkout")
    found = sessions_of(Pipeline(Settings(), sessions="all").run(Captures([str(path)])))
    expected = None if "class" in file else "mx.dest.example"
    assert [one.dst_name for one in found] == [expected]
