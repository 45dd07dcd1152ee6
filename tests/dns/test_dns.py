"""DNS as far as mail is concerned: who asks for MX, what is answered, and what becomes of it."""

import random
import struct
import subprocess

import dns.message
import dns.rdata
import dns.rrset
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.mx_lookups import MxLookupsSettings
from detectors.registry import DetectorSettings
from lab.conversation import CLIENT, START, Conversation, block, frame
from lab.fuzz.dns import is_known, names_at, number
from lab.lookups import MX, RESOLVER, A, Wire, message
from lab.outputs import alerts_of, feed, finish, sessions_of
from sensor.base.hash_index import in_use
from sensor.capture.merge import Captures
from sensor.dns import exchangers, lookups
from sensor.dns.wire import name_hash
from sensor.hosts.evidence import Count
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings
from tests.conftest import PCAPS

SECOND = 10**9


def counted(pipeline: Pipeline) -> dict[str, int]:
    return {name: n for name, n in pipeline.counters()["dns"].items() if n}


def name_of(pipeline: Pipeline, address: str) -> str | None:
    return names_at(pipeline._state.lookups.known, [number(address)])[0]


def test_an_exchanger_is_known_by_name_once_asked_for_and_answered():
    wire = Wire().put(message()).put(MX, answer=True)
    wire.put(message("mx1.D.example", "A", ident=8)).put(A, answer=True)
    wire.put(message("mx2.d.example", "AAAA", ident=9))
    wire.put(
        message("mx2.d.example", "AAAA", answers=["mx2.d.example. AAAA 2001:db8::25"], ident=9),
        True,
    )
    pipeline = wire.read()
    assert counted(pipeline) == {"mx_queries": 1, "answers_read": 3, "exchangers_known": 2}
    assert name_of(pipeline, "198.51.100.1") == "mx1.d.example"
    assert name_of(pipeline, "2001:db8::25") == "mx2.d.example"
    assert name_of(pipeline, "198.51.100.2") is None


def test_addresses_beside_an_mx_and_behind_an_alias():
    beside = message(
        answers=["d.example. MX 10 mx.d.example."],
        additional=["mx.d.example. A 198.51.100.3", "other.example. A 198.51.100.4"],
    )
    wire = Wire().put(message()).put(beside, answer=True)
    wire.put(message("mx.d.example", "A"))
    alias = ["mx.d.example. CNAME real.example.", "real.example. A 198.51.100.5"]
    wire.put(message("mx.d.example", "A", answers=alias), answer=True)
    pipeline = wire.read()
    assert name_of(pipeline, "198.51.100.3") == "mx.d.example"
    assert name_of(pipeline, "198.51.100.4") is None
    assert name_of(pipeline, "198.51.100.5") == "mx.d.example"


@pytest.mark.parametrize(
    "wire",
    [
        Wire().put(MX, answer=True),
        Wire().put(message(ident=99)).put(MX, answer=True),
        Wire().put(message("e.example")).put(MX, answer=True),
        Wire().put(message()).put(MX, answer=True, seconds=11),
        Wire().put(message()).put(message(answers=["d.example. MX 0 ."], rcode=3), True),
    ],
    ids=["unasked", "another id", "another name", "too late", "no such domain"],
)
def test_an_answer_nobody_asked_for_teaches_nothing(wire):
    wire.put(message("mx1.d.example", "A", ident=8)).put(A, answer=True)
    assert name_of(wire.read(), "198.51.100.1") is None


@pytest.mark.parametrize("waiting", [600, 4000])
def test_a_question_that_gave_way_to_another_is_counted_as_its_answer_is_not_read(waiting):
    wire = Wire().put(message()).put(MX, answer=True)
    clients = [f"100.64.{k >> 8}.{k & 255}" for k in range(waiting)]
    for question, answer in (message(), MX), (message("mx1.D.example", "A", ident=8), A):
        for text in (question, answer):
            for client in clients:
                wire.ends = client, RESOLVER
                wire.put(text, answer=text == answer)
    found = counted(wire.read())
    if waiting < 1000:
        assert found["answers_read"] == 1 + 2 * len(clients)
        return
    assert found["questions_forgotten"] > 0
    assert found["answers_read"] == 1 + 2 * len(clients) - found["questions_forgotten"]
    assert 0 < found["answers_unasked"] < found["questions_forgotten"], "those for MX alone"


def test_a_null_mx_is_no_exchanger():
    wire = Wire().put(message()).put(message(answers=["d.example. MX 0 ."]), answer=True)
    assert counted(wire.read()) == {"mx_queries": 1, "answers_read": 1, "answers_known": 1}


def test_retries_count_once_and_other_questions_not_at_all():
    wire = Wire()
    for _ in range(5):
        wire.put(message(), seconds=2).put(message("D.EXAMPLE", ident=random.randrange(999)))
    wire.put(message("d.example", "A")).put(message("d.example", "TXT"))
    wire.put(message(), seconds=11)
    assert counted(wire.read()) == {"mx_queries": 2, "mx_queries_repeated": 9}


def test_lookups_are_their_askers_own():
    wire = Wire()
    for k in range(5):
        wire.put(message(f"d{k}.example"))
    alone = DetectorSettings(mx_lookups=MxLookupsSettings(networks=0))
    pipeline = Pipeline(Settings(detectors=alone), watch=CLIENT)
    (output,) = pipeline.feed(block(wire.frames))
    assert output.watched.evidence.count(Count.MX_LOOKUPS, 0) == 4, "its score is highest then"
    for settings in (
        {"own_mail_servers": (CLIENT,)},
        {"subscriber_prefixes": ("192.0.2.0/24",)},
        {"dns": False},
        {"privacy": "headers"},
    ):
        assert wire.read(**settings).counters()["hosts"]["hosts"] == 0


@pytest.mark.parametrize("step", [1, 2, 3, 7, 40, 1460])
def test_over_tcp_in_pieces_of_any_size(step):
    questions = b"".join(framed(message(f"d{k}.example")) for k in range(20))
    wire = Wire()
    for seq, text, answer in ((2**32 - 5, questions, False), (77, framed(MX), True)):
        if answer:
            wire.put(framed(message()), seq=len(questions) - 5)
        for at in range(0, len(text), step):
            wire.put(text[at : at + step], answer, seq=(seq + at) % 2**32)
    assert counted(wire.read()) == {"mx_queries": 21, "answers_read": 1}


def framed(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def test_over_tcp_any_order_of_segments_is_read():
    text = framed(message("a.example")) + framed(message("b.example"))
    pieces = [(at, text[at : at + 10]) for at in range(0, len(text), 10)]
    for seed in range(20):
        rest = pieces[1:]
        random.Random(seed).shuffle(rest)
        wire = Wire()
        for at, piece in [pieces[0], *rest, pieces[2]]:
            wire.put(piece, seq=2**32 - 20 + at if at < 20 else at - 20)
        assert counted(wire.read()) == {"mx_queries": 2}


def test_over_tcp_what_comes_again_is_heard_once():
    query, answer = framed(message()), framed(MX)
    wire = Wire().put(query, seq=1).put(query, seq=1)
    for start, stop in ((0, 50), (0, 50), (20, len(answer))):
        wire.put(answer[start:stop], True, seq=70 + start)
    assert counted(wire.read()) == {"mx_queries": 1, "answers_read": 1}


def test_over_tcp_an_answer_shows_that_the_question_behind_a_hole_was_asked():
    query, other = framed(message()), framed(message("b.example"))
    wire = Wire().put(other, seq=1)
    behind = 1 + len(other) + 100  # a segment that the mirror lost
    wire.put(query, seq=behind)
    assert counted(wire.read()) == {"mx_queries": 1}, "what was asked first may still come"
    wire.put(framed(MX), True, seq=70, ack=behind + len(query))
    pipeline = wire.read()
    assert counted(pipeline) == {"mx_queries": 2, "answers_read": 1, "pieces_lost": 1}
    of_the_server = wire.read(subscriber_prefixes=("192.0.2.0/24",)).counters()["hosts"]
    assert of_the_server["hosts"] == 0, "it is the client's question, whoever made it known"


def test_over_tcp_a_message_with_a_hole_does_not_hide_the_next():
    long = framed(message("c.example", additional=()) + bytes(3000))
    text = long + framed(message("d.example"))
    wire = Wire().put(text[:1000], seq=1).put(text[1400:], seq=1401)
    wire.put(b"", True, seq=70, ack=1 + len(text))
    for _ in range(60):
        wire.put(framed(message("e.example")), seq=1 + len(text), ack=70)
    wire.put(framed(MX), True, seq=70, ack=1 + len(text))
    found = counted(wire.read())
    assert found["mx_queries"] == 2, "d and e; c came without its middle"
    assert found["pieces_lost"] == 1


def test_over_tcp_a_message_that_is_too_long_is_passed_over():
    long = framed(message("c.example") + bytes(20_000))
    text = long + framed(message("d.example"))
    wire = Wire()
    for at in range(0, len(text), 1400):
        wire.put(text[at : at + 1400], seq=1 + at)
    assert counted(wire.read()) == {"mx_queries": 1, "pieces_lost": 1}


def test_over_tcp_ports_used_again_begin_anew():
    text = framed(message("a.example"))
    wire = Wire().put(text[:10], seq=1)
    wire.put(framed(message("b.example")), seq=2**31)
    wire.put(text[:10], seq=2**31 + 500)
    wire.put(framed(message("c.example")), seq=2**31 + 900, seconds=11)
    assert counted(wire.read()) == {"mx_queries": 2, "pieces_lost": 2}


def test_over_tcp_more_connections_than_are_followed_cost_only_what_they_held():
    wire, text = Wire(), framed(message())
    for port in range(1, 2000):
        wire.port = 1024 + port
        wire.put(text[:20], seq=1)
    found = counted(wire.read())
    assert found == {"pieces_lost": 1999 - lookups.CONNECTIONS}


def test_names_have_a_ceiling_and_the_oldest_go():
    wire = Wire()
    for k in range(40):
        name = f"d{k}.example"
        wire.put(message(name, ident=k))
        beside = [f"mx.{name}. A 198.51.100.{k}"]
        wire.put(
            message(name, answers=[f"{name}. MX 1 mx.{name}."], additional=beside, ident=k), True
        )
    pipeline = wire.read(limits=Limits(max_exchangers=16))
    assert counted(pipeline)["exchangers_known"] == 16
    assert counted(pipeline)["exchangers_forgotten"] == 48
    assert name_of(pipeline, "198.51.100.0") is None
    assert name_of(pipeline, "198.51.100.39") == "mx.d39.example"


def test_hostile_names_stay_printable():
    name = dns.name.Name([b"<b>\x1b[31m", b"\xe2\x80\xae", b"example", b""])
    response = dns.message.make_response(dns.message.make_query("d.example", "MX", id=7))
    mx = dns.rdata.from_text("IN", "MX", "1 a.").replace(exchange=name)
    response.answer.append(dns.rrset.from_rdata("d.example.", 60, mx))
    address = dns.rdata.from_text("IN", "A", "198.51.100.9")
    response.additional.append(dns.rrset.from_rdata(name, 60, address))
    pipeline = Wire().put(message()).put(response.to_wire(), answer=True).read()
    shown = name_of(pipeline, "198.51.100.9")
    assert shown.isprintable()
    assert shown.isascii()
    assert exchangers.provider(shown)


@given(st.binary(max_size=80), st.integers(0, 3))
def test_a_name_is_read_as_dnspython_reads_it(raw, padding):
    import dns.name
    import numpy as np

    data = np.frombuffer(bytearray(raw) + bytes(padding), np.uint8)
    _, end = name_hash(data, 0, len(data))
    try:
        expected = dns.name.from_wire(data.tobytes(), 0)[1]
    except dns.exception.DNSException:
        expected = -1
    if any(byte > 63 for byte in data.tobytes()) and end < 0:
        return  # a compressed name: questions have none
    assert end == expected


def test_rubbish_is_counted_and_harmless():
    rng = random.Random(4)
    wire = Wire()
    for _ in range(2000):
        text = bytearray(rng.choice((MX, A, message(), message("mx1.d.example", "A"))))
        for _ in range(rng.randrange(4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        text = bytes(text[: rng.randrange(1, len(text) + 1)])
        tcp = {"seq": rng.randrange(2**32)} if rng.random() < 0.5 else {}
        wire.put(text, rng.random() < 0.5, **tcp)
    found = counted(wire.read())
    assert found["messages_unreadable"] > 100
    assert found["answers_unreadable"] > 0


def test_wireshark_sees_the_same_questions_and_exchangers(tshark):
    path = PCAPS / "mx_lookups.pcap"
    words = [tshark, "-r", str(path), "-n", "-T", "fields", "-e", "dns.mx.mail_exchange"]
    words += ["-e", "dns.flags.response", "-Y", "dns.qry.type == 15"]
    told = subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()
    pipeline = Pipeline(Settings())
    for part in Captures([str(path)]):
        feed(pipeline, part)
    found = counted(pipeline)
    questions = [line for line in told if line.split("\t")[1] in ("0", "False")]
    assert found["mx_queries"] + found["mx_queries_repeated"] == len(questions)
    names = {line.split("\t")[0] for line in told} - {""}
    known = pipeline._state.lookups.known
    assert in_use(known.names.rowindex) == len(names)
    assert all(is_known(known, dns.name.from_text(one).to_wire()) for one in names)


def test_chunks_change_neither_alerts_nor_names():
    def run(size):
        pipeline = Pipeline(Settings(), sessions="all")
        outputs = []
        for part in Captures([str(PCAPS / "mx_lookups.pcap")]):
            for at in range(0, len(part.frames), size):
                frames = part.frames[at : at + size]
                outputs += pipeline.feed(part._replace(frames=frames, number=part.number + at))
        outputs += pipeline.finish()
        encode = msgspec.json.encode
        return encode(alerts_of(outputs)), encode(sessions_of(outputs))

    whole = run(10_000)
    assert whole[0].count(b"mx-in.l.bigmail.example") > 2
    assert whole[1].count(b"mx-in.l.bigmail.example") > 10
    for size in (1, 7, 100):
        assert run(size) == whole


def test_destinations_are_told_by_name_and_provider():
    pipeline = Pipeline(Settings())
    alerts = []
    for part in Captures([str(PCAPS / "mx_lookups.pcap")]):
        alerts += feed(pipeline, part)
    alerts += finish(pipeline)
    named = alerts[-1].exchangers
    assert named[0].name == "mx-in.l.bigmail.example"
    assert named[0].provider == "bigmail.example"
    assert named[0].addresses > 3
    assert len(named) > 30
    assert len(alerts[-1].destinations) == 10
    assert all(destination.name for destination in alerts[-1].destinations)


def test_mail_on_the_same_mirror_is_not_disturbed():
    talk = Conversation().open().say("S: 220 hi\\r\\n|C: QUIT\\r\\n").close()
    odd = frame(CLIENT, RESOLVER, 25, 53, 1, 1, 24, message())
    frames = sorted([*talk.frames, (START, odd), *Wire().put(message()).frames])
    found = sessions_of(Pipeline(Settings(), sessions="all").run([block(frames)]))
    assert [s.quit for s in found] == [True, False]
