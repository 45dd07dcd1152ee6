"""Two sensors on one block list: each with its own word, persons' words for all."""

import json

import pytest

from lab.alerts import SECOND, T0, alert, closed
from sensor.blocking.bounds import Bounds
from sensor.blocking.controller import Controller
from sensor.blocking.desk import Desk
from sensor.blocking.desk_record import DeskRecordError, read, record
from sensor.blocking.ledger import Ledger
from sensor.blocking.policy import Policy
from sensor.blocking.settings import BlockingSettings
from sensor.hosts.subscribers import SubscriberPrefix
from sensor.settings import SettingsError, parse_settings
from sensor.sinks.kafka.block_source import BlockSource, block_key
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.desk_source import DeskSource
from sensor.state.journal import Row

HOST = "203.0.113.7"
HOUR = 3600
PREFIXES = (SubscriberPrefix("203.0.113.0/24"), SubscriberPrefix("2001:db8::/32", delegated=56))


def at(seconds: float) -> int:
    return T0 + int(seconds * SECOND)


class Topics:
    """What compaction leaves of the block list and the desk topic, in order."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes | None] = {}
        self.desk: dict[bytes, bytes] = {}
        self.controller = self.new_controller()

    def new_controller(self) -> Controller:
        self.controller = Controller(Bounds(PREFIXES, (), ()), (), 1000, lambda _: None)
        return self.controller

    def restart(self, now: float) -> None:
        """A controller that reads both topics from their beginning."""
        controller = self.new_controller()
        for key, value in self.blocks.items():
            controller.take(0, key, value, at(now))
        for key, value in self.desk.items():
            controller.hear(key, value, at(now))

    def blocked(self, now: float) -> list[str]:
        live = {(one.host, one.expires) for one in self.controller.in_force(at(now))}
        self.restart(now)
        assert {(one.host, one.expires) for one in self.controller.in_force(at(now))} == live
        return sorted(host for host, _ in live)


class Sensor:
    """A ledger and a desk with their sources, as the delivery process has them."""

    def __init__(self, folder, name: str, topics: Topics, hold: int = 24 * HOUR) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.name, self.topics = folder, name, topics
        self.ledger = Ledger(folder / "blocking.sqlite")
        self.desk = Desk(folder / "desk.sqlite")
        self.ledger.named(name, hold, at(0))
        kafka = KafkaSettings(sensor=name)
        self.sources = (
            BlockSource(folder / "blocking.sqlite", kafka, hold),
            DeskSource(folder / "desk.sqlite", kafka),
        )
        self.sent = [0, 0]
        self.number = self.ledger.position("journal")
        self.policy = Policy(
            BlockingSettings(mode="enforce", ttl=(HOUR, 6 * HOUR), hold=hold), Bounds((), (), ())
        )

    def see(self, *alerts) -> None:
        for one in alerts:
            self.number += 1
            self.ledger.take("journal", [Row(self.number, one)], self.policy)
        self.send()

    def send(self, again: bool = False) -> None:
        for n, source in enumerate(self.sources):
            for message in (source.resend(self.sent[n]) if again else []) + source.read(
                self.sent[n], 1000
            ):
                self.sent[n] = max(self.sent[n], message.number)
                now = max(message.ts, at(0))
                if message.topic == "port25.blocklist":
                    self.topics.blocks[message.key] = message.value
                    self.topics.controller.take(0, message.key, message.value, now)
                elif message.topic == "port25.desk":
                    assert message.value is not None
                    self.topics.desk[message.key] = message.value
                    assert self.topics.controller.hear(message.key, message.value, now) == ""

    def listen(self, now: float) -> None:
        for key, value in self.topics.desk.items():
            told = read(key, value, at(now))
            if told.action == "release" or self.desk.newest(told.host) <= told.ts:
                self.ledger.obey(told, at(now))
        self.send()

    def release(self, now: float, host: str = HOST) -> None:
        self.ledger.release(lambda one: one.host == host, at(now), "cleaned", "mary")
        self.send()

    def in_force(self, now: float) -> list[str]:
        return [one.host for one in self.ledger.in_force(at(now))]


@pytest.fixture
def topics():
    return Topics()


@pytest.fixture
def a(tmp_path, topics):
    return Sensor(tmp_path / "a", "north", topics)


@pytest.fixture
def b(tmp_path, topics):
    return Sensor(tmp_path / "b", "south", topics)


def test_a_tombstone_takes_only_its_own(a, b, topics):
    a.see(alert(at=0))
    b.see(alert(at=60, opened=60))
    assert set(topics.blocks) == {b"203.0.113.7@north", b"203.0.113.7@south"}
    assert topics.blocked(100) == [HOST]
    b.see(closed(at=120, opened=60))
    assert b.in_force(130) == []
    assert a.in_force(130) == topics.blocked(130) == [HOST]
    a.see(closed(at=180))
    assert topics.blocked(190) == []


def test_the_longest_end_counts_and_an_end_of_one_is_not_that_of_all(a, b, topics):
    a.see(alert(at=0))
    b.see(alert(at=1800, opened=1800))
    assert [one.expires for one in topics.controller.in_force(at(1900))] == [at(1800 + HOUR)]
    a.ledger.expire(at(HOUR + 1))
    a.send()
    assert a.in_force(HOUR + 1) == []
    assert b.in_force(HOUR + 1) == topics.blocked(HOUR + 1) == [HOST]
    assert topics.blocked(1800 + HOUR + 1) == []


def test_a_release_holds_everywhere_until_its_hold_ends(a, b, topics):
    a.see(alert(at=0))
    b.see(alert(at=60, opened=60))
    a.release(100)
    assert topics.blocked(101) == [], "the controller does not wait for the other sensor"
    b.see(alert(at=110, opened=60, state="refreshed", revision=2))  # has not heard of it yet
    assert topics.blocked(111) == []
    b.listen(112)
    assert b.in_force(113) == []
    b.see(alert(at=5000, opened=60, state="refreshed", revision=3))
    (*_, last) = b.ledger.page()
    assert (last.decision.action, last.decision.reasons) == (
        "refuse", ["mary released it: cleaned"],
    )  # fmt: skip
    assert topics.blocked(5001) == []
    day = 24 * HOUR
    b.see(alert(at=100 + day + 1, opened=60, state="refreshed", revision=4))
    assert b.in_force(100 + day + 2) == topics.blocked(100 + day + 2) == [HOST]
    b.listen(100 + day + 10)
    assert b.in_force(100 + day + 11) == [HOST], "an old word does not end a new block"


@pytest.mark.parametrize("hold", [0, HOUR, 7 * 24 * HOUR])
def test_the_hold_is_that_of_the_sensor_where_it_was_said(tmp_path, topics, b, hold):
    a = Sensor(tmp_path / "other", "north", topics, hold)
    a.see(alert(at=0))
    a.release(100)
    b.listen(101)
    b.see(alert(at=max(102, 99 + hold), opened=90))
    assert b.in_force(103 + hold) == topics.blocked(103 + hold) == ([] if hold else [HOST])
    b.see(alert(at=200 + hold, opened=90, state="refreshed", revision=2))
    assert b.in_force(201 + hold) == topics.blocked(201 + hold) == [HOST]


def test_who_was_never_blocked_here_is_held_too(a, b, topics):
    a.see(alert(at=0))
    a.release(100)
    b.listen(101)
    b.listen(102)
    assert [e.decision.desk for e in b.ledger.page()] == ["north", "north"], "once for each mode"
    b.see(alert(at=200, opened=150))
    assert b.in_force(201) == topics.blocked(201) == []
    assert b"release/203.0.113.7@south" not in topics.desk, "what was heard is not said again"


def test_a_person_releases_whom_only_another_sensor_blocks(a, b, topics):
    b.see(alert(at=0))
    assert a.ledger.shared
    a.ledger.tell(HOST, at(50), "cleaned", "mary")
    a.send()
    assert topics.blocked(51) == []
    b.listen(52)
    assert b.in_force(53) == []


def test_an_exemption_holds_everywhere_until_it_is_lifted(a, b, topics):
    b.see(alert(at=0))
    a.desk.exempt(HOST, 30, at(50), "mary", "own server")
    a.send()
    assert topics.blocked(51) == []
    b.listen(52)
    assert b.in_force(53) == []
    told = read(*next(iter(topics.desk.items())), at(60))
    assert told.until == a.desk.in_force(at(60))[0].until
    b.desk.lift(HOST, at(70))  # nothing of its own
    b.send()
    a.desk.lift(HOST, at(80))
    a.send()
    b.see(alert(at=90, opened=85))
    assert b.in_force(91) == topics.blocked(91) == [HOST]


def test_exemptions_are_heard_once_and_the_last_word_counts(tmp_path):
    desk = Desk(tmp_path / "desk.sqlite")
    made = desk.exempt(HOST, 1, at(0), "mary", "here")
    heard = made.__class__(HOST, at(10), at(10 * 86_400), "joe at south", "there")
    assert desk.hear(heard, "south")
    assert not desk.hear(heard, "south")
    assert [one.by for one in desk.in_force(at(20))] == ["joe at south"]
    assert desk.lift(HOST, at(5)), "this machine's clock is behind"
    (*_, last) = desk.said(0, 10)
    assert (last[1], last[2].ts) == ("", at(10) + 1), "still it is the last word"
    assert not desk.hear(heard, "south")
    assert [one.host for one in desk.last_words()] == [HOST]


def test_records_of_before_are_understood_and_released(tmp_path, topics, b):
    """A ledger and a topic from before sensors had names."""
    folder = tmp_path / "a"
    folder.mkdir()
    ledger = Ledger(folder / "blocking.sqlite")
    policy = Policy(BlockingSettings(mode="enforce"), Bounds((), (), ()))
    ledger.take("journal", [Row(1, alert(at=0)), Row(2, alert("203.0.113.9", at=0))], policy)
    ledger.db.run("DROP TABLE makers")
    ledger.db.run("DROP TABLE kept")
    ledger.db.run("DROP INDEX decisions_by_customer")
    ledger.db.run("ALTER TABLE decisions DROP COLUMN customer")
    ledger.db.run("ALTER TABLE decisions DROP COLUMN cause")
    ledger.db.run("DROP TABLE resumed")
    ledger.db.run("PRAGMA user_version = 1")
    for one in ledger.in_force(at(1)):
        old = json.dumps(
            {k: v for k, v in json.loads(json.dumps(_plain(one))).items()
             if k not in ("sensor", "held_until", "desk")}
        ).encode()  # fmt: skip
        topics.blocks[one.host.encode()] = old
        assert topics.controller.take(0, one.host.encode(), old, at(1)) == ""
    ledger.close()
    assert topics.blocked(2) == [HOST, "203.0.113.9"]
    b.see(alert(at=60, opened=60))
    a = Sensor(folder, "north", topics)
    a.sent[0] = 2
    a.release(100, "203.0.113.9")
    assert topics.blocks[b"203.0.113.9"] is None
    assert topics.blocked(101) == [HOST]
    a.see(closed(at=110))
    assert topics.blocks[b"203.0.113.7"] is None
    assert topics.blocks[b"203.0.113.7@south"] is not None
    assert topics.blocked(111) == [HOST]
    b.see(closed(at=120, opened=60))
    assert topics.blocked(121) == []


def _plain(one):
    import msgspec

    return msgspec.to_builtins(one)


def test_a_sensor_that_is_renamed_takes_what_stood_under_its_old_name(tmp_path, topics, a):
    a.see(alert(at=0))
    renamed = Sensor(a.folder, "west", topics)
    renamed.sent = a.sent
    renamed.see(closed(at=100))
    assert set(topics.blocks.values()) == {None}
    assert topics.blocked(101) == []
    month = 33 * 24 * HOUR
    renamed.ledger.named("west", HOUR, at(month))
    assert renamed.ledger.former("west") == [], "nothing can stand there any more"


@pytest.mark.parametrize("other", ["2001:db8:0:1::/64", "2001:db8::/56", "2001:db8:0:40::/64"])
def test_a_customer_whom_sensors_fold_otherwise(a, b, topics, other):
    a.see(alert("2001:db8::/56", at=0))
    b.see(alert(other, at=1, opened=1))
    a.release(10, "2001:db8::/56")
    b.listen(11)
    assert b.in_force(12) == topics.blocked(12) == []


def good(**fields) -> tuple[bytes, bytes]:
    import msgspec

    given = {"action": "release", "host": HOST, "ts": at(0), "until": at(HOUR), "by": "mary",
             "reason": "cleaned", "sensor": "north"}  # fmt: skip
    one = record(**(given | fields))
    return one.key.encode(), msgspec.json.encode(one)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (b"release/203.0.113.7@north", b"no json", "malformed"),
        (b"release/203.0.113.7@north", b" " * 100_000, "malformed: too long"),
        (b"release/203.0.113.7@north", b"[" * 60_000, "malformed"),
        (b"\xff\xfe", b"\xff", "malformed"),
        (b"", b"{}", "malformed"),
        (b"release/203.0.113.7@south", good()[1], "malformed"),
        (b"203.0.113.7", good()[1], "malformed"),
        (*good(sensor=""), "malformed: '' is no"),
        (*good(sensor="a\x1b[2Jb"), "malformed"),
        (*good(sensor="a@b"), "malformed"),
        (*good(sensor="north\n"), "malformed"),
        (*good(host="0.0.0.0/0"), "out of bounds"),
        (*good(host="2001:db8::/32"), "out of bounds"),
        (*good(host="nobody"), "malformed"),
        (*good(host="203.0.113.7:9-1"), "malformed"),
        (*good(ts=at(2 * HOUR), until=at(3 * HOUR)), "future"),
        (*good(until=at(400 * 86_400)), "out of bounds"),
        (*good(until=at(-1)), "out of bounds"),
        (*good(action="exempt", until=at(4000 * 86_400)), "out of bounds"),
        (good()[0], good()[1].replace(b"desk/1", b"desk/2"), "malformed"),
        (good()[0], good()[1].replace(b'"release"', b'"block"'), "malformed"),
        (good()[0], good()[1].replace(b'"ts":1', b'"ts":99999999999'), "malformed"),
    ],
)
def test_what_persons_did_not_say(a, b, topics, key, value, kind):
    """It is counted with its kind, and ends nothing: neither block nor earlier word."""
    b.see(alert(at=10, opened=10))
    with pytest.raises(DeskRecordError, match=f"^{kind}"):
        read(key, value, at(60))
    assert topics.controller.hear(key, value, at(60)).startswith(f"desk, {kind}")
    assert topics.controller.refused == {f"desk, {kind.partition(':')[0]}": 1}
    assert [one.host for one in topics.controller.in_force(at(60))] == [HOST]
    topics.controller.hear(*good(), at(60))
    topics.controller.hear(key, value, at(60))
    assert topics.controller.in_force(at(60)) == []


@pytest.mark.parametrize(
    ("key", "change", "kind"),
    [
        (b"203.0.113.7@south", {}, "malformed"),
        (b"203.0.113.7", {}, "malformed"),
        (b"203.0.113.7@north", {"sensor": ""}, "malformed"),
        (b"203.0.113.7@a b", {"sensor": "a b"}, "malformed"),
        (b"203.0.113.7@" + b"n" * 64, {"sensor": "n" * 64}, "malformed"),
        (b"203.0.113.7@north@north", {"sensor": "north@north"}, "malformed"),
        (b"203.0.113.7@north", {"ts": at(9000), "expires": at(9000 + HOUR)}, "future"),
    ],
)
def test_blocks_that_no_sensor_made(a, topics, key, change, kind):
    a.see(alert(at=0))
    (value,) = topics.blocks.values()
    topics.new_controller()
    changed = json.dumps(json.loads(value) | change).encode()
    assert topics.controller.take(0, key, changed, at(10)).startswith(kind)
    assert topics.controller.refused == {kind: 1}
    assert topics.controller.in_force(at(10)) == []


def test_the_sensors_of_one_subscriber_are_bounded(a, topics):
    a.see(alert(at=0))
    (value,) = topics.blocks.values()
    for n in range(100):
        made = json.dumps(json.loads(value) | {"sensor": f"s{n}"}).encode()
        refused = topics.controller.take(0, block_key(HOST, f"s{n}"), made, at(10))
        assert refused.startswith("ceiling") == (n >= 63)
    assert len(topics.controller.in_force(at(10))) == 1


@pytest.mark.parametrize("name", ["a b", "a@b", "a/b\n", "\x1b[2J", "-a", "n" * 64, "日本"])
def test_names_that_cannot_be(name):
    with pytest.raises(SettingsError, match=r"kafka\.sensor"):
        parse_settings(f"[kafka]\nsensor = {json.dumps(name)}\n")
    assert parse_settings('[kafka]\nsensor = "north-2.isp_1"\n').kafka.sensor == "north-2.isp_1"
