"""What servers say under TLS, by its length: who is shut out, and whose mail is filtered."""

import numpy as np
import pytest

from detectors.answers import Answers
from detectors.score import Model
from lab.conversation import Conversation
from sensor.base.kernel import table
from sensor.hosts.answers import (
    ANSWERS,
    NETWORKS,
    UNKNOWN,
    clear_answers,
    collect_answers,
    note_envelope,
    note_letter,
)
from sensor.hosts.evidence import Evidence, Fact
from sensor.hosts.halves import HALF_DAY
from tests.smtp.test_manners import HELLO, MAIL, QUIT, TAKEN
from tests.tracking.test_honest import HOST, Day

EHLO, BYE = (120, 200), (28, 33)
FACTS = (Fact.SHUT, Fact.OPEN, Fact.FILTERING, Fact.TAKING)


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + (size - 5).to_bytes(2) + bytes(size - 5)


def session(day: Day, network: int, *turns: tuple[int, int], version: int = 4, pause: int = 1):
    """Under TLS the client says so many bytes and the server so many, turn by turn; then QUIT."""
    day.port += 1
    talk = Conversation(sport=day.port, ends=(HOST, f"198.51.{network}.25"))
    talk.now += day.moment
    talk.open().say(HELLO + "C: STARTTLS\\r\\n\nS: 220 go\\r\\n\n")
    choice = b"\0\x2b\0\x02\x03" + bytes([version])
    hello = b"\x03\x03" + bytes(32) + b"\0\0\x02\x13\x01\x01\0\0\x07\0\x2b\0\x03\x02\x03\x04"
    answer = b"\x03\x03" + bytes(32) + b"\0\x13\x01\0" + len(choice).to_bytes(2) + choice
    if version == 3:
        answer = b"\x03\x03" + bytes(32) + b"\0\xc0\x28\0\0\0"
    for side, kind, body in (("c", 1, hello), ("s", 2, answer)):
        body = bytes([kind]) + len(body).to_bytes(3) + body
        talk.send(side, b"\x16\x03\x01" + len(body).to_bytes(2) + body)
    for said, heard in (EHLO, *turns) if version == 4 else (EHLO, EHLO, *turns):
        talk.send("c", record(said))
        talk.send("s", record(heard))
    day.add(talk.close(), pause)


def told(evidence: Evidence) -> dict[str, int]:
    return {fact.name: evidence.fact(fact) for fact in FACTS if evidence.fact(fact)}


def worth(evidence: Evidence) -> int:
    return Answers().explain(evidence).centibans


def envelope(answer: int) -> tuple[tuple[int, int], ...]:
    return (150, answer), BYE


def letter(answer: int) -> tuple[tuple[int, int], ...]:
    return (150, 90), (3000, answer), BYE


def test_who_is_turned_away_for_who_it_is_is_answered_alike_and_found():
    day = Day()
    for turn in range(4):
        for network in range(20):
            session(day, network, *envelope(130 + network), pause=60 + turn)
    found = day.evidence()
    assert told(found) == {"SHUT": 20}
    lines = {one.detector: one.centibans for one in Model().explain(found)}
    assert lines["deliveries"] == 0, "as of who checks addresses"
    assert sum(lines.values()) >= 200 > sum(lines.values()) - lines["answers"]


def test_a_checker_of_addresses_hears_of_each_what_is_so():
    day = Day()
    for turn in range(4):
        for network in range(12):
            session(day, network, *envelope((60, 130)[(turn + network // 2) % 2]))
    assert told(day.evidence()) == {"OPEN": 12}


def test_a_listed_home_server_is_refused_here_and_taken_there():
    day = Day()
    for _ in range(5):
        for network in range(14):
            session(day, network, *(envelope(130) if network < 8 else letter(60)))
    found = day.evidence()
    assert told(found) == {"SHUT": 8, "OPEN": 6, "TAKING": 6}
    assert worth(found) == 0


def test_a_camera_that_one_provider_refuses_is_spared():
    day = Day()
    for k in range(90):
        session(day, k % 3, *envelope(130))
    found = day.evidence()
    assert told(found) == {"SHUT": 3}
    assert worth(found) == 0


def filtered(day: Day, *, from_outside: bool) -> Evidence:
    for turn in range(8):
        for network in range(10):
            if from_outside:
                text = HELLO + MAIL + TAKEN + QUIT
                day.port += 1
                talk = Conversation(sport=day.port, ends=("192.0.2.9", HOST))
                talk.now += day.moment
                day.add(talk.open().say(text).close(), 5)
            session(day, network, *letter(60 if turn % 2 else 110), pause=10)
    return day.evidence()


def test_filters_that_refuse_half_of_what_a_host_writes_are_seen():
    found = filtered(Day(), from_outside=False)
    assert told(found) == {"OPEN": 10, "FILTERING": 10}
    assert worth(found) == 400


def test_who_passes_on_what_came_in_is_not_blamed_for_it():
    found = filtered(Day(), from_outside=True)
    assert told(found) == {"OPEN": 10, "FILTERING": 10}
    assert found.fact(Fact.INFLOW) >= 40
    assert worth(found) == 0


def test_numbers_that_vary_by_a_digit_or_two_are_alike():
    day = Day()
    for size in (185, 188, 186, 190, 191, 189, 187, 193, 195, 192):
        for network in range(10):
            session(day, network, *letter(size))
    assert told(day.evidence()) == {"OPEN": 10, "TAKING": 10}


def test_where_quit_is_as_long_as_an_envelope_nothing_is_said():
    day = Day()
    for _ in range(4):
        for network in range(12):
            session(day, network, (170, 130), (69, 85), version=3)
    assert told(day.evidence()) == {"OPEN": 12}, "and not shut"


@pytest.fixture
def detail():
    one = table(1, np.dtype(ANSWERS, align=True))
    clear_answers(one[0], 0)
    return one[0]


def facts(detail, tick=0) -> dict[str, int]:
    found = np.zeros(len(Fact), np.int64)
    collect_answers(detail, tick, found)
    return {fact.name: int(found[fact]) for fact in FACTS if found[fact]}


def test_what_was_is_halved_and_forgotten(detail):
    for _ in range(6):
        note_envelope(detail, np.uint64(7), 130, 0)
    note_letter(detail, np.uint64(8), 60, 0)
    assert facts(detail) == {"SHUT": 1, "OPEN": 1}
    assert facts(detail, HALF_DAY) == {"SHUT": 1}
    assert facts(detail, 2 * HALF_DAY) == {}
    note_envelope(detail, np.uint64(7), 400, 2 * HALF_DAY)
    assert facts(detail, 2 * HALF_DAY) == {"OPEN": 1}, "its length is still known"
    assert facts(detail, 99 * HALF_DAY) == {}
    assert not detail["answers_of"].any()


def test_a_shorter_answer_makes_those_before_long(detail):
    for size in (110, 110, 110, 60):
        note_letter(detail, np.uint64(7), size, 0)
    assert facts(detail) == {"OPEN": 1, "FILTERING": 1}


def test_more_networks_than_there_is_room_for_are_left_out(detail):
    for n in range(1, 100):
        for _ in range(3):
            note_envelope(detail, np.uint64(n), UNKNOWN if n > 90 else 99, 0)
    assert facts(detail) == {"SHUT": NETWORKS}
