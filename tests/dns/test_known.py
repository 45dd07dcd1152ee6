"""What of answers is new, what is forgotten, and that neither depends on how they come."""

import dns.name
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import dns_messages as m
from lab.conversation import CLIENT, Conversation, block
from lab.dns_messages import GOOD_A, GOOD_MX, MX_ANSWER, TARGET, answer, name, record
from lab.fuzz.dns import counted as counts
from lab.fuzz.dns import is_known, learn, names_at, number
from lab.lookups import Wire
from lab.outputs import feed, sessions_of
from sensor.base.hash_index import in_use
from sensor.base.kernel import table
from sensor.capture.merge import Captures
from sensor.dns.known import NAME, enter_again, find, new_known
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings
from sensor.smtp import record as session_room
from sensor.state.snapshot import read, write
from tests.conftest import PCAPS
from tests.dns.test_dns import counted, name_of

CEILING = 24
D = b"\xc0\x0c"


@pytest.mark.parametrize(
    ("message", "is_new"),
    [
        (MX_ANSWER, False),
        (answer([GOOD_MX, GOOD_MX], [GOOD_A, GOOD_A]), False),
        (answer([record(D, m.MX, b"\0\0\0")]), False),  # null MX
        (answer([record(D, m.MX, b"\0\0\xc0\x16")]), False),  # a pointer to the root
        (answer([], [record(name("ns.example"), m.A, bytes(4))]), False),  # of no exchanger
        (answer([GOOD_MX], [], [record(name("ns.example"), m.SOA, b"")]), False),
        (answer([], [record(TARGET, m.AAAA, bytes(16))]), False),  # nobody is there
        (answer([GOOD_MX, record(D, m.MX, b"\0\1" + name("new.example"))]), True),
        (answer([], [record(TARGET, m.A, bytes((198, 51, 100, 8)))]), True),
        (answer([], [record(TARGET.upper(), m.A, bytes((198, 51, 100, 9)))]), True),
        (answer([GOOD_MX], [record(TARGET, m.A, bytes(3))]), True),
        (answer([GOOD_MX] * 513), True),
        (answer([GOOD_MX], counts=[1, 2, 0, 0]), True),  # one is missing
    ],
)
def test_what_is_new(message, is_new):
    known = new_known(CEILING)
    assert learn(known, MX_ANSWER)
    assert learn(known, message) == is_new


def of_domain(k: int) -> bytes:
    exchange = name(f"mx{k}.dest.example")
    address = record(exchange, m.A, bytes((198, 51, k >> 8, k & 255)))
    return answer([record(D, m.MX, b"\0\x0a" + exchange)], [address])


def addresses(numbers) -> list[int]:
    return [number(f"198.51.{k >> 8}.{k & 255}") for k in numbers]


def test_what_was_learnt_first_makes_room_and_can_be_learnt_again():
    known = new_known(CEILING)
    for k in range(1000):
        assert learn(known, of_domain(k))
        assert not learn(known, of_domain(max(0, k - CEILING + 1)))
    assert in_use(known.addresses.rowindex) == CEILING
    assert counts(known) == {"exchangers_forgotten": 2 * (1000 - CEILING)}
    last = range(1000 - CEILING, 1000)
    assert names_at(known, addresses(last)) == [f"mx{k}.dest.example" for k in last]
    assert names_at(known, addresses(range(1000 - CEILING))) == [None] * (1000 - CEILING)
    assert is_known(known, name("mx999.dest.example")) and not is_known(known, name("mx0.dest."))
    assert learn(known, of_domain(0))
    assert names_at(known, addresses([0, 1000 - CEILING])) == ["mx0.dest.example", None]


def test_the_first_name_of_an_address_stays():
    known = new_known(CEILING)
    other = name("other.example")
    learn(known, MX_ANSWER)
    learn(known, answer([record(D, m.MX, b"\0\1" + other)], [record(other, m.A, GOOD_A[-4:])]))
    assert names_at(known, [number("198.51.100.7")]) == ["mx.dest.example"]


def test_the_longest_name_is_kept_whole():
    longest = b"\x3f" + b"a" * 63 + b"\x3f" + b"B" * 63 + b"\x3f" + b"c" * 63 + b"\x3d" + b"d" * 61
    known = new_known(CEILING)
    longest += b"\0"
    assert len(longest) == 255
    learn(known, answer([record(D, m.MX, b"\0\1" + longest)], [record(longest, m.A, bytes(4))]))
    (found,) = names_at(known, [number("0.0.0.0")])
    assert found == ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 61))
    learn(known, answer([], [record(b"\x01x" + longest, m.A, bytes(3) + b"\1")]))
    assert counts(known) == {"records_unreadable": 1}


@given(st.lists(st.binary(min_size=1, max_size=5) | st.just(b"\0" * 4), min_size=1, max_size=9))
def test_a_name_is_kept_whatever_its_octets(labels):
    """And wherever it goes on: here each label stands behind the next, and points back to it."""
    theirs = dns.name.Name([*labels, b""])
    at = len(answer()) + 11
    chain, last = b"\0", 0xC000 | at
    for label in reversed(labels):
        place = 0xC000 | at + len(chain)
        chain += bytes([len(label)]) + label + last.to_bytes(2)
        last = place
    owner = last.to_bytes(2)
    known = new_known(CEILING)
    told = [record(b"\0", m.TXT, chain), record(D, m.MX, b"\0\1" + owner)]
    learn(known, answer(told, [record(owner, m.A, GOOD_A[-4:])]))
    expected = theirs.to_text(omit_final_dot=True).lower()
    assert names_at(known, [number("198.51.100.7")]) == [expected]
    assert is_known(known, theirs.to_wire())


def flood(answers: int) -> Wire:
    wire = Wire()
    for k in range(answers):
        question = [name(f"d{k}.example") + b"\0\x0f\0\1"]
        wire.put(answer(flags=0x0100, ident=k % 65536, questions=question), seconds=0)
        exchange = name(f"mx{k}.example")
        address = record(exchange, m.A, bytes((198, 18, k >> 8, k & 255)))
        mx = [record(D, m.MX, b"\0\1" + exchange)]
        wire.put(answer(mx, [address], questions=question, ident=k % 65536), True, seconds=0)
    return wire


def test_a_flood_of_answers_is_read_to_the_end():
    pipeline = flood(5000).read()
    found = counted(pipeline)
    assert (found["answers_read"], found["exchangers_known"]) == (5000, 5000)
    assert "answers_skipped" not in found and "answers_known" not in found
    assert name_of(pipeline, "198.18.19.135") == "mx4999.example"


def test_all_answers_that_one_segment_brings_are_read():
    domains = [[name(f"{k:04}") + b"\0\x0f\0\1"] for k in range(1500)]
    asks = b"".join(framed(answer(flags=0x0100, questions=one)) for one in domains)
    told = b"".join(framed(answer(questions=one)) for one in domains)
    assert len(told) < 65000
    found = counted(Wire().put(asks, seq=1).put(told, True, seq=1).read())
    assert found["mx_queries"] == 1500
    assert found["answers_read"] == found["answers_known"] > 1400, "of some the slot was another's"
    assert "answers_skipped" not in found


def test_more_answers_than_are_taken_of_one_segment_are_counted():
    """Its bytes close a gap, and what waited behind them is read with it."""
    domains = [[name(f"{k:04}") + b"\0\x0f\0\1"] for k in range(5000)]
    wire = Wire()
    asks, told = (
        b"".join(framed(answer(flags=flags, questions=one)) for one in domains)
        for flags in (0x0100, 0x8180)
    )
    for at in range(0, len(asks), 1400):
        wire.put(asks[at : at + 1400], seq=1 + at)
    gap = slice(1400, 60000)
    wire.put(told[: gap.start], True, seq=1)
    for at in range(gap.stop, len(told), 1400):
        wire.put(told[at : at + 1400], True, seq=1 + at)
    wire.put(told[gap], True, seq=1 + gap.start)
    found = counted(wire.read())
    assert found["mx_queries"] == 5000
    assert found["answers_read"] == found["answers_known"] < 4200
    assert found["answers_skipped"] > 0
    # Of some the question's slot was another's.
    assert sum(found[f"answers_{what}"] for what in ("read", "skipped", "unasked")) == 5000


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def test_names_are_those_that_were_known_when_a_session_ended():
    """However the packets come: one session ends right before the answer, one right after it."""
    frames = []
    talks = [Conversation(sport=port, ends=(CLIENT, "198.51.100.7")) for port in (1024, 1025)]
    for talk in talks:
        talk.open().say("S: 220 hi\\r\\n|C: QUIT\\r\\n").close()
    first, second = (sorted(talk.frames) for talk in talks)
    wire = Wire()
    wire.now = first[-1][0] + 10
    asks = wire.put(answer(flags=0x0100), seconds=0).put(MX_ANSWER, True, seconds=0).frames
    later = [(ts + wire.now + 10 - second[0][0], raw) for ts, raw in second]
    frames = [*first, *asks, *later]

    def names(size: int) -> list[str | None]:
        pipeline = Pipeline(Settings(), sessions="all")
        outputs = []
        whole = block(frames)
        for at in range(0, len(frames), size):
            part = whole.frames[at : at + size]
            outputs += pipeline.feed(whole._replace(frames=part, number=whole.number + at))
        outputs += pipeline.finish()
        return [one.dst_name for one in sessions_of(outputs)]

    assert names(1000) == names(1) == names(3) == [None, "mx.dest.example"]


@pytest.mark.parametrize("answers", [10, 16, 20, 40])
@pytest.mark.parametrize("most", [16, 17, 24, 64])
def test_a_snapshot_keeps_names_and_the_order_in_which_they_go(tmp_path, answers, most):
    """Whatever there is room for in the next run: nothing more goes than there is no room for."""
    path = tmp_path / "state.p25"
    first = flood(answers).read(limits=Limits(max_exchangers=24))
    write(path, first.arrays(), first.facts())
    pipeline = Pipeline(Settings(limits=Limits(max_exchangers=most)))
    pipeline.restore(*read(path))
    last = min(answers, 24, most)
    gone = 2 * (answers - last)
    assert counted(pipeline)["exchangers_known"] == last
    assert counted(pipeline).get("exchangers_forgotten", 0) == gone
    for more in range(most + 3):
        assert names_of_flood(pipeline, answers) == [
            f"mx{k}.example" if k >= answers - last + max(0, more + last - most) else None
            for k in range(answers)
        ]
        assert learn(pipeline._state.lookups.known, of_domain(more))
    assert counted(pipeline)["exchangers_known"] == most


def names_of_flood(pipeline: Pipeline, answers: int) -> list[str | None]:
    return [name_of(pipeline, f"198.18.{k >> 8}.{k & 255}") for k in range(answers)]


def test_a_snapshot_of_before_answers_were_read_by_a_kernel_is_taken():
    """Its names are learnt anew; of its counters none means another thing now."""
    arrays = flood(20).read().arrays()
    asked = Wire().put(answer(flags=0x0100)).read().arrays()["lookups.asked"]
    saved = {name: a for name, a in arrays.items() if not name.startswith("lookups.known.")}
    saved |= {
        "lookups.names": np.arange(1 << 17, dtype=np.uint64),
        "lookups.addresses": np.ones(1 << 17, NAME),
        "lookups.asked": asked,
        "lookups.sizes": np.full(64, 500),
        # Questions, repeated, answers read, unasked, unreadable, lost, skipped; put aside, bytes;
        # the second, how many in it; known.
        "lookups.meta": np.array([86, 14, 200, 1, 2, 3, 4, 0, 0, 1_750_000_000, 9, 78]),
    }
    pipeline = Pipeline(Settings())
    pipeline.restore(saved, {"last_ts": 1_750_000_000 * 10**9, "exchangers": {"names": ["a"]}})
    found = counted(pipeline)
    assert (found["mx_queries"], found["answers_skipped"], found["answers_known"]) == (86, 4, 78)
    assert "exchangers_known" not in found
    wire = Wire()
    wire.now += 10**6
    feed(pipeline, block(wire.put(MX_ANSWER, answer=True).frames))
    assert name_of(pipeline, "198.51.100.7") == "mx.dest.example", "it was asked before"
    assert counted(pipeline)["answers_read"] == 201


@pytest.mark.parametrize("shift", [0, 8, 16, 32, 40, 48])
@pytest.mark.parametrize("half", ["hi", "lo"])
def test_nobody_can_aim_at_a_slot(half, shift):
    """Addresses as whoever owns a domain may choose them: all the same but for a few bits."""
    known = new_known(20_000)
    for k in range(1 << 14):
        address = k << shift + 64 | 7 if half == "hi" else 7 << 64 | k << shift
        assert learn(known, answer([GOOD_MX], [record(TARGET, m.AAAA, address.to_bytes(16))]))
    index = known.addresses.rowindex
    assert in_use(index) == 1 << 14
    taken = index.slots[: index.state[0] + 1] != 0
    # Half are taken. By chance a run has 20 to 60; of those that somebody aims it has thousands.
    empty = np.flatnonzero(~np.concatenate([taken, taken]))
    assert np.diff(empty).max() < 1000


@given(st.randoms(use_true_random=False), st.integers(16, 40))
def test_a_ring_is_a_dict_that_forgets_what_came_first(chance, most):
    known = new_known(most)
    ring, model, forgotten = known.names, {}, 0
    for k in range(300):
        key = (chance.choice((0, 1, 1 << 63)), chance.choice((0, 1 << 63, k)) + chance.randrange(9))
        if key == (0, 0):
            continue
        halves = np.uint64(key[0]), np.uint64(key[1])
        row = find(known, ring, *halves)
        assert (row >= 0) == (key in model)
        if row >= 0:
            assert row == model[key]
            continue
        if len(model) == most:
            del model[next(iter(model))]
            forgotten += 1
        rows = table(1, NAME)
        rows[0] = halves
        enter_again(known, ring, rows)
        model[key] = find(known, ring, *halves)
        assert 0 <= model[key] < most and len(set(model.values())) == len(model)
    assert counts(known).get("exchangers_forgotten", 0) == forgotten
    assert in_use(ring.rowindex) == len(model) == np.count_nonzero(ring.rowindex.slots)


def test_a_ring_works_alike_however_often_it_has_gone_round():
    known = new_known(1 << 10)
    rows = table(1 << 16, NAME)
    rows["hi"], rows["lo"] = 1, np.arange(1 << 16) * 7919
    for turn in range(1, 5):
        enter_again(known, known.names, rows)
        assert counts(known)["exchangers_forgotten"] == turn * (1 << 16) - (1 << 10)
        found = [find(known, known.names, row["hi"], row["lo"]) for row in rows[:: 1 << 6]]
        assert [row >= 0 for row in found] == [k >= (1 << 10) - 16 for k in range(1 << 10)]


def looked_up_each(of) -> list[tuple[int, bytes]]:
    """Fifty sessions, each right after its server was looked up; ``of(k)`` is its domain."""
    frames: list[tuple[int, bytes]] = []
    for k in range(50):
        message, host = of_domain(of(k)), f"198.51.0.{of(k)}"
        wire = Wire(port=1024 + k)
        wire.now += k * 10**7
        talk = Conversation(sport=1024 + k, ends=(CLIENT, host))
        wire.put(answer(flags=0x0100), seconds=0).put(message, answer=True)
        talk.now = wire.now
        talk.open().say("S: 220 hi\\r\\n|C: QUIT\\r\\n").close()
        frames += wire.frames + talk.frames
    return frames


def test_an_answer_that_says_nothing_new_takes_nobody_out_of_the_loop(monkeypatch):
    """While a session waits to be told: else each look-up of a mail server would cost as much."""
    calls, made = [], session_room.session_records
    monkeypatch.setattr(session_room, "session_records", lambda *a: calls.append(1) or made(*a))
    pipeline = Pipeline(Settings(), sessions="all", most_sessions=3)
    found = sessions_of(pipeline.run([block(looked_up_each(lambda k: k))]))
    assert [one.dst_name for one in found] == [f"mx{k}.dest.example" for k in range(3)]
    assert pipeline.counters()["connections"]["sessions_passed_over"] == 47
    assert len(calls) == 3


def test_alerts_name_servers_alike_whatever_the_seed_of_the_table():
    def alerts() -> bytes:
        outputs = []
        pipeline = Pipeline(Settings())
        for part in Captures([str(PCAPS / "mx_lookups.pcap")]):
            outputs += pipeline.feed(part)
        return repr([one.alerts for one in outputs]).encode()

    assert alerts() == alerts()
    assert len({int(new_known(16).seeds[0]) for _ in range(4)} | {np.uint64(0)}) > 2
