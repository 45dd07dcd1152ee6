"""What persons say of a customer holds for him wherever he is, and for nobody after him."""

import json

import msgspec
import pytest
from msgspec.structs import replace

from lab.alerts import T0, alert, closed
from sensor.blocking.acts import feeds
from sensor.blocking.desk import Desk, DeskReader
from sensor.blocking.desk_record import DeskRecordError, read, record
from sensor.blocking.ledger import Ledger
from sensor.cluster.exempting import Exemptions
from sensor.console.sparing import exempt, exempted, lift, release, whose
from sensor.console.view import View
from sensor.hosts.customer_key import customer_key, pseudonym
from sensor.settings import Settings, bounds_of, policy_of
from sensor.sinks.kafka.block_source import block_key
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal, Row, Wanted
from tests.blocking.test_two_sensors import Sensor, Topics, at
from tests.conftest import port25
from tests.customers.test_blocks import ALICE, BOB, NEW, OLD, away, of


@pytest.fixture
def topics():
    return Topics()


@pytest.fixture
def a(tmp_path, topics):
    return Sensor(tmp_path / "a", "north", topics)


@pytest.fixture
def b(tmp_path, topics):
    return Sensor(tmp_path / "b", "south", topics)


def moved(seconds, **more):
    return of(alert(at=seconds, state="refreshed", revision=10), host=NEW, **more)


# --- at one sensor -------------------------------------------------------------------------------


def filled(folder, *alerts, mode="enforce"):
    """A state folder in which some alerts were told and decided on."""
    folder.mkdir(exist_ok=True)
    Journal(folder / "journal.sqlite").write(list(alerts))
    take(folder, *alerts, mode=mode)
    return folder


def take(folder, *alerts, mode="enforce", settings=None):
    """Decide as the sensor does, with what the desk exempts."""
    settings = settings or Settings()
    blocking = replace(settings.blocking, mode=mode)
    exemptions = DeskReader(folder).exemptions(T0)
    policy = policy_of(replace(settings, blocking=blocking, exempt=exemptions))
    ledger = Ledger(folder / "blocking.sqlite")
    made = []
    for one in alerts:
        number = ledger.position("journal") + 1
        made += ledger.take("journal", [Row(number, one)], policy)
    return made


def test_what_is_said_of_an_address_is_said_of_who_has_it(tmp_path):
    state = filled(
        tmp_path / "s", of(alert()), of(alert(at=1, opened=1), who=BOB, host="203.0.113.9")
    )
    view = View(state)
    assert [whose(view, host) for host in (OLD, "203.0.113.9", "203.0.113.1")] == [
        ALICE, BOB, "203.0.113.1",
    ]  # fmt: skip
    assert release(view, OLD, "ann", "a mistake") == 1
    made = take(state, moved(60), of(alert(at=70, opened=70), who=BOB))
    assert [(one.action, one.customer) for one in made] == [
        ("refuse", ALICE), ("release", BOB), ("block", BOB),
    ]  # fmt: skip


def test_who_left_the_address_is_not_meant_by_it(tmp_path):
    state = filled(tmp_path / "s", of(alert()), away(60), moved(61))
    view = View(state)
    assert whose(view, OLD) == OLD and whose(view, NEW) == ALICE
    assert release(view, OLD, "ann", "a mistake") == 0
    assert [one.host for one in view.blocks()] == [NEW]


def test_an_exempt_customer_stays_so_and_the_next_owner_is_not(tmp_path):
    state = filled(tmp_path / "s", of(alert()))
    view = View(state)
    made = exempt(view, OLD, 3, "ann", "own test")
    assert made.host == ALICE and view.blocks() == []
    view.refresh()
    assert exempted(view, OLD) == exempted(view, ALICE) == made
    assert exempted(view, NEW) is None
    (listed,) = view.alerts(10)
    assert listed.exempted == made
    (found,) = view.alerts(10, view_wanted("is:exempt"))
    assert found.head.customer == ALICE
    again = of(alert(at=80, opened=80), host=NEW)
    (refused, block) = take(state, again, of(alert(at=90, opened=90), who=BOB))
    assert (refused.action, refused.customer) == ("refuse", ALICE)
    assert (block.action, block.customer, block.host) == ("block", BOB, OLD)
    assert lift(view, ALICE, "ann") and not lift(view, ALICE, "ann")
    acts = [act for feed in feeds(StateFolder(state)) for _, act in feed.read(0, 10) if act]
    assert {(act.act, act.host, act.customer) for act in acts} == {
        ("exempt", "", ALICE), ("lift", "", ALICE),
    }  # fmt: skip


def view_wanted(text):
    return Wanted(text=text)


def test_a_block_of_the_next_owner_is_not_shown_as_his(tmp_path):
    lone = of(closed(at=30))
    state = filled(tmp_path / "s", of(alert()), lone, of(alert(at=90, opened=90), who=BOB))
    seen = {one.head.customer: one.block.state for one in View(state).alerts(10)}
    assert seen == {ALICE: "expired", BOB: "blocked"}
    for who, state_ in seen.items():
        found = View(state).alerts(10, view_wanted(f"customer:{who} is:{state_}"))
        assert [one.head.customer for one in found] == [who]


def test_a_person_s_word_holds_though_an_address_of_before_comes_again(tmp_path):
    state = filled(tmp_path / "s", of(alert()), away(60), moved(61))
    view = View(state)
    assert release(view, ALICE, "ann", "a mistake") == 1
    (refused,) = take(state, of(alert(at=90, state="refreshed", revision=12), host=OLD))
    assert (refused.action, refused.causes[0].code) == ("refuse", "policy.released")


# --- the command ---------------------------------------------------------------------------------


def said(*words, state):
    run = port25(*words, "--state", str(state), "--by", "ann", "--reason", "own test")
    assert run.returncode == 0, run.stderr
    return run.stdout.decode()


@pytest.mark.parametrize("name", [OLD, "alice", ALICE])
def test_release_takes_a_name_a_pseudonym_or_his_address(tmp_path, name):
    second = of(alert(at=1, state="refreshed", revision=2), host=NEW, has=(OLD, NEW))
    state = filled(tmp_path / "s", of(alert(), has=(OLD, NEW)), second)
    assert said("release", name, state=state).split() == ["released", OLD, "released", NEW]


@pytest.mark.parametrize("name", [OLD, "alice", ALICE])
def test_release_and_exempt(tmp_path, name):
    state = filled(tmp_path / "s", of(alert()))
    text = said("release", name, "--exempt", "3", state=state)
    assert f"exempt {ALICE} until" in text and f"released {OLD}" in text
    (one,) = DeskReader(state).exemptions(T0)
    assert (one.prefix, one.reason) == (ALICE, "ann: own test")
    settings = replace(Settings(), exempt=(one,))
    assert bounds_of(settings).objection(take_one(tmp_path)).code == "bounds.exempt"
    bad = port25("release", OLD, "--exempt", "0", "--reason", "x", "--state", str(state))
    assert bad.returncode == 2 and b"1 to 3650 days" in bad.stderr


@pytest.mark.parametrize("exempt", [(), ("--exempt", "3")])
def test_a_name_may_be_an_address_inside_a_cgn(tmp_path, exempt):
    inside = "100.64.0.9"
    him = pseudonym(*customer_key(inside, b""))
    state = filled(tmp_path / "s", of(alert(), who=him))
    text = said("release", inside, *exempt, state=state)
    assert f"released {OLD}" in text
    assert [one.prefix for one in DeskReader(state).exemptions(T0)] == [him][: len(exempt)]


def test_an_address_that_alerts_are_about_is_meant_as_that(tmp_path):
    him = pseudonym(*customer_key(NEW, b""))
    state = filled(tmp_path / "s", of(alert(), who=him), alert(host=NEW))
    assert said("release", NEW, state=state).split() == ["released", NEW]
    said("release", NEW, "--exempt", "3", state=state)
    assert [one.prefix for one in DeskReader(state).exemptions(T0)] == [f"{NEW}/32"]


def take_one(tmp_path):
    (block,) = take(filled(tmp_path / "other"), of(alert(), host=NEW))
    return block


def test_the_pseudonym_of_a_name(tmp_path):
    assert port25("customer", "alice").stdout.decode() == f"{ALICE}\n"


# --- with other sensors --------------------------------------------------------------------------


def test_a_release_of_a_customer_holds_for_him_at_every_sensor(a, b, topics):
    a.see(of(alert()))
    b.see(of(alert()))
    assert topics.blocked(1) == [OLD]
    a.ledger.release(lambda one: one.customer == ALICE, at(5), "cleaned", "mary")
    a.send()
    assert topics.blocked(6) == []
    b.listen(6)
    assert b.in_force(6) == []
    b.see(moved(60))
    assert b.in_force(61) == [] and topics.blocked(61) == []
    b.see(of(alert(at=70, opened=70), who=BOB))
    assert b.in_force(71) == [OLD] and topics.blocked(71) == [OLD]


def test_who_is_not_blocked_here_is_held_too(a, b, topics):
    a.see(of(alert()))
    a.ledger.release(lambda one: one.customer == ALICE, at(5), "cleaned", "mary")
    a.send()
    b.listen(6)
    b.see(of(alert(at=60, opened=60), host=NEW), of(alert(at=70, opened=70), who=BOB))
    assert b.in_force(71) == [OLD] == topics.blocked(71)


def test_a_customer_whom_only_another_sensor_blocks(a, b, topics):
    b.see(of(alert()))
    a.ledger.tell(ALICE, at(5), "cleaned", "mary")
    a.send()
    assert topics.blocked(6) == []
    b.listen(6)
    assert b.in_force(6) == []
    assert all(key.startswith((ALICE.encode(), OLD.encode())) for key in topics.blocks)


def test_one_who_knows_no_customers_is_told_of_the_address(a, b, topics):
    a.see(of(alert()))
    b.see(alert())
    a.ledger.release(lambda one: one.customer == ALICE, at(5), "cleaned", "mary")
    a.send()
    b.listen(6)
    assert b.in_force(6) == [] and topics.blocked(6) == []
    b.see(alert(at=60, opened=60))
    assert b.in_force(61) == [OLD], "whose it is by now nobody there knows"


def test_an_exemption_of_a_customer_at_every_sensor(a, b, topics):
    b.see(of(alert()))
    a.desk.exempt(ALICE, 3, at(5), "mary", "own test")
    a.send()
    assert topics.blocked(6) == []
    b.listen(6)
    assert b.in_force(6) == []
    b.see(of(alert(at=70, opened=70), who=BOB))
    assert topics.blocked(71) == [OLD]
    a.desk.lift(ALICE, at(80))
    a.send()
    b.see(moved(90))
    assert topics.blocked(91) == [OLD, NEW]


def test_who_correlates_holds_back_his_alerts_alone():
    known = Exemptions()
    known.take(record("exempt", ALICE, at(0), at(900), "ann", "own test", "desk"))
    assert known.holds(of(alert(at=5, opened=5)))
    assert known.holds(of(alert(at=5, opened=5), host=NEW))
    assert not known.holds(of(alert(at=5, opened=5), who=BOB))
    assert not known.holds(alert(at=5, opened=5))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"customer": "c-1"}, "no pseudonym"),
        ({"customer": BOB}, "is not"),
        ({"customer": ""}, "is not"),
        ({"host": "c-12"}, "malformed"),
    ],
)
def test_words_that_nobody_said(change, why):
    one = record("exempt", ALICE, at(0), at(900), "ann", "own test", "desk")
    assert read(one.key.encode(), msgspec.json.encode(one), at(1)) == one
    forged = replace(one, **change)
    with pytest.raises(DeskRecordError, match=why):
        read(forged.key.encode(), msgspec.json.encode(forged), at(1))


# --- on the block list ---------------------------------------------------------------------------


def test_all_of_a_customer_is_in_one_partition_the_old_address_freed_first(a, topics):
    sent = []
    take_before = topics.controller.take

    def watch(partition, key, value, now):
        sent.append((key, value))
        return take_before(partition, key, value, now)

    topics.controller.take = watch
    for one in (of(alert()), away(60), moved(61)):
        a.see(one)
    places = {key.partition(b"@")[0] for key, value in sent if value is not None}
    assert places == {ALICE.encode()}
    order = [(key, value is not None) for key, value in sent if key.startswith(ALICE.encode())]
    assert order == [
        (block_key(OLD, "north", ALICE), True), (block_key(OLD, "north", ALICE), False),
        (block_key(NEW, "north", ALICE), True),
    ]  # fmt: skip


def test_however_partitions_are_read_nobody_inherits_a_block(a, topics):
    """Partitions are read in turns, each in order: that of Bob before or after Alice's."""
    a.see(of(alert()), away(60), moved(61), of(alert(at=70, opened=70), who=BOB))
    source = a.sources[0]
    messages = [m for m in source.read(0, 100) if m.topic == "port25.blocklist"]
    parts = {}
    for message in messages:
        parts.setdefault(message.key.partition(b"@")[0], []).append(message)
    assert len(parts) == 4  # and those of the addresses, for blocks of before
    for first in parts:
        controller = topics.new_controller()
        for name in [first, *(name for name in parts if name != first)]:
            for one in parts[name]:
                controller.take(0, one.key, one.value, at(71))
                live = controller.in_force(at(71))
                assert not {OLD, NEW} <= {d.host for d in live if d.customer == ALICE}
        live = controller.in_force(at(71))
        assert sorted((one.host, one.customer) for one in live) == [(OLD, BOB), (NEW, ALICE)]


def test_of_an_address_the_newest_customer_s_block_is_the_one(a, topics):
    a.see(of(alert()))
    stale = {key: value for key, value in topics.blocks.items() if value is not None}
    a.see(of(alert(at=70, opened=70), who=BOB))
    for key, value in stale.items():  # the tombstone is not read yet
        topics.controller.take(0, key, value, at(71))
    (live,) = topics.controller.in_force(at(71))
    assert (live.host, live.customer) == (OLD, BOB)


def test_a_block_of_before_under_the_address_goes(a, topics):
    a.see(of(alert()))
    key, value = next((k, v) for k, v in topics.blocks.items() if v is not None)
    topics.controller = topics.new_controller()
    old = block_key(OLD, "north")
    assert topics.controller.take(0, old, value, at(1)) == ""
    assert topics.controller.in_force(at(1)) != []
    assert topics.controller.take(0, old, None, at(2)) == ""
    assert topics.controller.in_force(at(2)) == []
    assert json.loads(value)["customer"] == ALICE and key == block_key(OLD, "north", ALICE)


def test_what_is_no_pseudonym_is_not_exempted(tmp_path):
    desk = Desk(tmp_path / "desk.sqlite")
    with pytest.raises(ValueError, match="does not appear"):
        desk.exempt("c-nobody", 1, T0, "ann", "x")


def test_after_kafka_was_away_the_last_word_is_told_alone(a, monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: at(100))
    source = a.sources[0]
    a.see(of(alert()))
    told = source.read(0, 100)[-1].number
    for one in (away(60), moved(61), of(alert(at=70, opened=70), who=BOB)):  # and is not sent
        a.number += 1
        a.ledger.take("journal", [Row(a.number, one)], a.policy)
    resent = [m.key for m in source.resend(told) if m.value is not None]
    assert resent == [], "what he left is not told again, and what came since comes in order"
    sent = [(m.key, m.value is not None) for m in source.read(told, 100) if m.key.startswith(b"c-")]
    assert sent == [
        (block_key(OLD, "north", ALICE), False), (block_key(NEW, "north", ALICE), True),
        (block_key(OLD, "north", BOB), True),
    ]  # fmt: skip
    assert source.read(0, 100)[0].topic == "", "a block that is over"
    last = source.read(told, 100)[-1].number
    again = [m.key for m in source.resend(last) if m.value is not None]
    assert sorted(again) == sorted([block_key(NEW, "north", ALICE), block_key(OLD, "north", BOB)])
