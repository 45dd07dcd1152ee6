"""What is counted of hosts whom a careless sensor accuses: servers, relays, checkers."""

import ipaddress

import numpy as np
import pytest

from lab.conversation import SYN, Conversation, block
from lab.outputs import feed, finish
from sensor.base.addresses import MAPPED
from sensor.hosts.activity import collect
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.layout import META
from sensor.hosts.table import lookup
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.smtp.test_manners import HELLO, MAIL, QUIT, TAKEN, encrypted
from tests.smtp.test_refusals import sealed

HOST = "203.0.113.7"
NAME = "mail.sender.example"  # as HELLO gives it
SECOND = 10**9
LATER = r"S: 450 4.2.0 greylisted\r\n"
UNKNOWN = r"S: 550 5.1.1 no such user\r\n"


class Day:
    """Conversations of one subscriber, one after the other, and what is then known of it."""

    def __init__(self, **settings):
        self.pipeline = Pipeline(Settings(subscriber_prefixes=("203.0.113.0/24",), **settings))
        self.frames: list[tuple[int, bytes]] = []
        self.moment = 0
        self.port = 5000

    def meet(self, server: str, text: str = "", *, pause: int = 1, client: str = HOST) -> None:
        """A connection; one in which nothing is said is not answered."""
        self.port += 1
        talk = Conversation(sport=self.port, ends=(client, server))
        talk.now += self.moment
        if text:
            talk.open().say(text).close()
        else:
            talk.send("c", flags=SYN)
        self.add(talk, pause)

    def add(self, talk: Conversation, pause: int = 1) -> None:
        self.frames += talk.frames
        self.moment += pause * SECOND

    def evidence(self) -> Evidence:
        feed(self.pipeline, block(self.frames))
        self.frames = []
        list(self.pipeline.catch_up(1_750_000_000 * SECOND + self.moment + 200 * SECOND))
        state = self.pipeline._state
        h = lookup(state.hosts, np.uint64(0), np.uint64(MAPPED + int(ipaddress.ip_address(HOST))))
        counts, facts = np.zeros((len(Count), 5), np.int64), np.zeros(len(Fact), np.int64)
        collect(state.hosts, h, int(state.clock[0]) // SECOND, counts, facts)
        finish(self.pipeline)
        return Evidence(counts, facts)


def test_a_provider_has_one_opinion_however_many_servers_say_it():
    day = Day()
    for k in range(12):
        day.meet(f"198.51.100.{k + 1}", HELLO + MAIL + UNKNOWN + QUIT)
    few = day.evidence().count(Count.REJECTED, 4)
    assert few <= 3, "the first handful of a host has no list of networks"
    apart = Day()
    for k in range(12):
        apart.meet(f"198.51.{k}.1", HELLO + MAIL + UNKNOWN + QUIT)
    assert apart.evidence().count(Count.REJECTED, 4) == 12


def test_what_a_provider_says_again_weighs_by_its_logarithm():
    day = Day()
    for k in range(20):
        for net in range(6):
            day.meet(f"198.51.{net}.{k + 1}", HELLO + MAIL + UNKNOWN + QUIT)
    # Of each network the first, the fourth and the sixteenth; those of the first handful once more.
    assert 18 <= day.evidence().count(Count.REJECTED, 4) <= 18 + 3


def test_of_many_networks_what_they_say_first_is_enough():
    day = Day()
    for _ in range(4):
        for net in range(40):
            day.meet(f"198.51.{net}.1", HELLO + MAIL + UNKNOWN + QUIT)
    found = day.evidence().count(Count.REJECTED, 4)
    assert 40 + 16 - 3 <= found <= 40 + 16 + 3, "sixteen are counted, the others heard once"


TWICE_A_DAY = 10 * 3600 * SECOND


def test_what_the_same_networks_take_twice_a_day_is_never_forgotten():
    day = Day()
    for visits in range(5):
        for net in range(30):
            if visits:  # one of its readers is gone, and refused first: it takes mail all the same
                day.meet(f"198.51.{net}.1", HELLO + MAIL + UNKNOWN + QUIT)
            day.meet(f"198.51.{net}.1", HELLO + MAIL + TAKEN + QUIT)
        day.moment += TWICE_A_DAY
        found = day.evidence().count(Count.ACCEPTED, 4)
        assert 25 <= found <= 3 * 30, f"after {visits} visits"


def test_what_the_same_networks_refuse_twice_a_day_counts_once_a_day():
    day = Day()
    for visits in range(8):
        for net in range(20):
            said = TAKEN if net % 2 else UNKNOWN
            day.meet(f"198.51.{net}.1", HELLO + MAIL + said + QUIT)
        found = day.evidence().count(Count.REJECTED, 4)
        assert 9 <= found <= 22 or visits == 2, f"at visit {visits}: {found}"
        day.moment += TWICE_A_DAY


def test_who_is_put_off_and_comes_again_has_the_verdict_he_gets_then():
    day = Day()
    for again in (LATER, TAKEN):
        for k in range(10):
            day.meet(f"198.51.{k}.1", HELLO + MAIL + again + QUIT)
    found = day.evidence()
    assert found.count(Count.ACCEPTED, 4) == 10
    assert found.count(Count.REJECTED, 4) == 0


def test_mail_from_outside_is_counted_for_the_server_that_takes_it():
    day = Day()
    for k in range(4):
        day.meet(HOST, HELLO + MAIL + TAKEN + QUIT, client=f"192.0.2.{k + 1}")
    day.meet(HOST, HELLO + MAIL + UNKNOWN + QUIT, client="192.0.2.9")
    day.meet(HOST, "", client="192.0.2.10")
    found = day.evidence()
    assert found.fact(Fact.INBOUND) == 4
    assert found.count(Count.ACCEPTED, 4) == 0, "that is of the mail it sends"
    assert day.pipeline.counters()["connections"]["inbound_messages"] == 4


def test_a_neighbours_mail_is_not_from_outside_and_a_stranger_has_no_row():
    day = Day()
    day.meet(HOST, HELLO + MAIL + TAKEN + QUIT, client="203.0.113.9")
    day.meet("198.51.100.1", HELLO + MAIL + TAKEN + QUIT, client="192.0.2.1")
    day.meet("198.51.100.1", HELLO + MAIL + TAKEN + QUIT)
    assert day.evidence().fact(Fact.INBOUND) == 0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HELLO + QUIT, {"EMPTY": 1}),  # shorter than any envelope, longer than a greeting
        (HELLO + MAIL + UNKNOWN + QUIT, {"UNMAILED": 1}),
        (HELLO + MAIL + TAKEN.replace("hello ", "hello " * 90) + QUIT, {"MAILED": 1}),
    ],
)
def test_where_nothing_is_read_numbers_tell_how_much_was_sent(text, what):
    day = Day(privacy="headers")
    day.meet("198.51.100.1", text)
    found = day.evidence()
    kinds = (Count.MAILED, Count.UNMAILED, Count.EMPTY, Count.ACCEPTED, Count.REJECTED)
    assert {k.name: found.count(k, 4) for k in kinds if found.count(k, 4)} == what


def test_where_nothing_is_read_a_certificate_tells_of_tls():
    for size, what in ((2000, Count.UNMAILED), (4000, Count.MAILED)):
        day = Day(privacy="headers")
        talk = encrypted(size)
        long = Conversation(ends=talk.ends).open()
        long.send("s", b"220 mx\r\n" + bytes(1200))
        long.send("s", bytes(1200))
        for at in range(0, size, 1000):
            long.send("c", bytes(min(1000, size - at)))
            long.send("s", bytes(20))
        day.add(long.close())
        assert day.evidence().count(what, 4) == 1


def meet_sealed(day: Day, server: str, flights: list[int], *, helo: str = NAME, pause: int = 1):
    """A session under TLS in which the client speaks so often, so many bytes each time."""
    moved = Conversation(sport=6000 + day.port, ends=(HOST, server))
    day.port += 1
    moved.now += day.moment
    hello = HELLO.replace(NAME, helo)
    moved.open().say(hello + r"C: STARTTLS\r\n|S: 220 go\r\n".replace("|", "\n"))
    for payload in payloads(sealed(flights)):
        moved.send(*payload)
    day.add(moved.close(), pause)


@pytest.mark.parametrize(("helo", "alerted"), [(NAME, False), ("pc", True)])
def test_who_asks_scores_of_servers_under_tls_is_convicted_by_no_four_in_clear(helo, alerted):
    """Four know no such mailbox; to the others no message goes. "pc" speaks as no server does."""
    day = Day()
    for k in range(90):
        if k in (10, 20, 30, 40):
            day.meet(f"198.51.{k}.1", HELLO + MAIL + UNKNOWN + QUIT, pause=30)
        else:
            meet_sealed(day, f"198.51.{k}.1", [120, 150, 28], helo=helo, pause=30)
    alerts = feed(day.pipeline, block(day.frames)) + finish(day.pipeline)
    assert bool(alerts) == alerted


def test_who_mails_where_he_was_put_off_before_is_no_bot():
    """Under TLS: a session that held nothing, and another with a message, are two that did."""
    day = Day()
    for flights in ([120, 150, 28], [120, 150, 3000, 28]):
        for k in range(8):
            meet_sealed(day, f"198.51.{k}.1", flights)
    found = day.evidence()
    assert found.count(Count.UNMAILED, 4) == 8
    assert found.count(Count.MAILED, 4) >= 14, "all but those of the first handful"


def payloads(talk: Conversation) -> list[tuple[str, bytes]]:
    """What was sent from the TLS hello on."""
    said = []
    for _, packet in talk.frames:
        content = packet[54:]
        if content and (said or content[0] == 0x16):
            side = "c" if packet[26:30] == bytes([203, 0, 113, 7]) else "s"
            said.append((side, content))
    return said


def write_to_dead_servers(day: Day, letters: int) -> None:
    """Five servers take a club's mail; of sixty others none answers, whoever writes there."""
    for k in range(5):
        meet_sealed(day, f"198.51.{k}.1", [120, 150, 3000, 28])
    for k in range(60):
        for _ in range(letters):
            day.meet(f"198.52.{k}.1", pause=8 // letters)
    day.moment += 120 * SECOND


@pytest.mark.parametrize(("letters", "alerted"), [(1, True), (2, False)])
def test_a_club_that_tries_dead_servers_again_has_an_old_address_book(letters, alerted):
    day = Day()
    write_to_dead_servers(day, letters)
    meet_sealed(day, "198.51.5.1", [120, 150, 3000, 28])
    assert bool(feed(day.pipeline, block(day.frames)) + finish(day.pipeline)) == alerted


def test_no_block_is_recommended_once_the_rest_of_the_evidence_speaks_for_a_host():
    """It tries the dead servers again, and twenty others take its mail: that proves contacts."""
    day = Day()
    write_to_dead_servers(day, 1)
    for k in range(60):
        day.meet(f"198.52.{k}.1")
    for k in range(20):
        meet_sealed(day, f"198.53.{k}.1", [120, 150, 3000, 28])
    day.moment += 700 * SECOND
    meet_sealed(day, "198.51.5.1", [120, 150, 3000, 28])
    alerts = feed(day.pipeline, block(day.frames)) + finish(day.pipeline)
    assert (alerts[0].state, alerts[-1].state) == ("raised", "refreshed")
    assert not any(one.block_recommended for one in alerts)
    assert alerts[-1].block_code == "block.fallen"


def test_a_server_whose_line_is_down_has_not_got_a_bad_list():
    day = Day()
    for k in range(20):
        day.meet(f"198.51.{k}.1", HELLO + MAIL + TAKEN + QUIT)
    for k in range(30):
        day.meet(f"198.52.{k}.1")
    found = day.evidence()
    assert found.count(Count.UNANSWERED, 4) == 30
    assert found.count(Count.FIRST_FAILED, 4) == 3
    hosts = day.pipeline._state.hosts
    assert int(hosts.meta[META["failures_excused"]]) == 27


def test_a_bad_list_is_one_with_answers_between_and_from_the_beginning():
    between = Day()
    for k in range(20):
        between.meet(f"198.51.{k}.1", HELLO + MAIL + TAKEN + QUIT)
    for k in range(30):
        between.meet(f"198.52.{k}.1")
        between.meet(f"198.53.{k}.1", HELLO + MAIL + UNKNOWN + QUIT, pause=90)
    assert between.evidence().count(Count.FIRST_FAILED, 4) == 30
    never = Day()
    for k in range(30):
        never.meet(f"198.52.{k}.1")
    assert never.evidence().count(Count.FIRST_FAILED, 4) == 30
