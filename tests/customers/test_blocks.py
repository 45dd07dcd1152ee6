"""A block follows the customer, and never stays with whoever has the address next."""

import re

import msgspec
import pytest
from msgspec.structs import replace

from lab.alerts import T0, alert, closed
from lab.leases import known_as
from sensor.blocking.bounds import Bounds
from sensor.blocking.feeds import FORMATS, feed
from sensor.customers.words import Address
from sensor.hosts.subscribers import SubscriberPrefix
from tests.blocking.test_policy import Desk, at

HOUR = 3600
ALICE, BOB = known_as("alice"), known_as("bob")
OLD, NEW = "203.0.113.7", "203.0.113.8"


def of(one, who=ALICE, host=OLD, has=None, **more):
    """An alert about a customer, who has these addresses."""
    has = (host,) if has is None else has
    held = [Address(address, T0, None) for address in has]
    return replace(one, id=(who[2:] * 2)[:32], customer=who, host=host, addresses=held, **more)


def away(seconds, **more):
    return of(
        alert(at=seconds, state="refreshed", revision=9), has=(), block_recommended=False,
        block_code="block.away", **more,
    )  # fmt: skip


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def said(made):
    return [(one.action, one.host, one.causes[0].code if one.causes else "") for one in made]


def test_it_goes_with_him_and_the_old_address_is_freed_first(desk):
    (block,) = desk.take(of(alert()))
    assert block.customer == ALICE
    assert said(desk.take(away(600))) == [("release", OLD, "policy.moved")]
    assert desk.ledger.in_force(at(601)) == []
    (moved,) = desk.take(of(alert(at=600, state="refreshed", revision=10), host=NEW))
    assert (moved.host, moved.source, moved.since, moved.level) == (
        NEW,
        f"{NEW}/32",
        block.since,
        0,
    )
    assert moved.expires == at(600 + HOUR)
    (freed, again) = desk.take(of(alert(at=700, state="refreshed", revision=11), host=OLD))
    assert (freed.host, freed.action, again.host, again.action) == (NEW, "release", OLD, "block")


def test_a_move_is_no_new_block_for_the_ceilings(tmp_path):
    desk = Desk(tmp_path, max_per_minute=1)
    desk.take(of(alert()))
    for k in range(5):
        host = f"203.0.113.{20 + k}"
        made = desk.take(of(alert(at=1 + k, state="refreshed", revision=2 + k), host=host))
        assert [one.action for one in made] == ["release", "block"]


def test_two_customers_are_never_in_one_block(desk):
    desk.take(of(alert()))
    made = desk.take(of(alert(at=60, opened=60), who=BOB))
    assert [(one.action, one.host, one.customer) for one in made] == [
        ("release", OLD, ALICE),
        ("block", OLD, BOB),
    ]
    assert made[1].level == 0, "the ladder is Alice's"


def test_a_block_of_nobody_known_ends_when_the_address_is_somebodys(tmp_path):
    desk = Desk(tmp_path, release_on_clear=False)
    desk.take(alert())
    lent = replace(closed(at=5), block_code="block.lent")
    assert [one.action for one in desk.take(lent)] == ["release"]
    desk.take(alert(at=10, opened=10))
    made = desk.take(of(alert(at=20, opened=20)))
    assert [one.action for one in made] == ["release", "block"]


def test_the_ladder_is_his(desk):
    desk.take(of(alert()), of(closed(at=10)))
    (block,) = desk.take(of(alert(at=100, opened=100), host=NEW))
    assert (block.level, block.host) == (1, NEW)
    (other,) = desk.take(of(alert(at=200, opened=200), who=BOB))
    assert other.level == 0


def test_what_a_person_says_holds_for_him_at_his_next_address(desk):
    desk.take(of(alert()))
    (ended,) = desk.ledger.release(lambda one: one.customer == ALICE, at(5), "a mistake", "eve")
    assert ended.customer == ALICE
    (refused,) = desk.take(of(alert(at=60, state="refreshed", revision=2), host=NEW))
    assert (refused.action, refused.causes[0].code) == ("refuse", "policy.released")
    assert [one.action for one in desk.take(of(alert(at=70, opened=70), who=BOB))] == ["block"]


def test_all_of_his_end_with_his_alert(desk):
    both = (OLD, NEW)
    desk.take(of(alert(), has=both))
    (second,) = desk.take(of(alert(at=60, state="refreshed", revision=2), host=NEW, has=both))
    assert second.host == NEW and len(desk.ledger.in_force(at(61))) == 2
    made = desk.take(of(closed(at=120), host=NEW, has=both))
    assert sorted(one.host for one in made) == [OLD, NEW]
    assert desk.ledger.in_force(at(121)) == []


def test_a_shared_address_is_blocked_by_his_ports(tmp_path):
    prefixes = (SubscriberPrefix("100.65.0.0/24", cgn=True),)
    desk = Desk(tmp_path, Bounds(prefixes, (), ()))
    (block,) = desk.take(of(alert(), host="100.65.0.9:1024-2047"))
    assert (block.source, block.ports) == ("100.65.0.9/32", (1024, 2047))
    (refused,) = desk.take(of(alert(at=60, opened=60), who=BOB, host="100.65.0.9"))
    assert (refused.action, refused.causes[0].code) == ("refuse", "bounds.shared")


def test_without_customers_nothing_is_different(desk):
    made = desk.take(alert(), closed(at=10))
    assert b'"customer"' not in msgspec.json.encode(made)


FORMS = [name for name in FORMATS if name != "http"]
"""The list by HTTP is made of ``plain`` and ``json``."""


@pytest.mark.parametrize("name", FORMS)
def test_no_list_of_any_form_has_two_customers_or_addresses_of_one_block(desk, name):
    moves = [of(alert())]
    for k in range(1, 5):
        host = f"203.0.113.{20 + k}"
        moves.append(away(60 * k))
        moves.append(of(alert(at=60 * k + 1, state="refreshed", revision=k), host=host))
    seen = set()
    for one in moves:
        desk.take(one)  # each by itself, as the list may be asked for between any two
        blocks = [b for b in desk.ledger.in_force(one.ts) if b.action == "block"]
        text = feed(name).render(blocks, one.ts)
        found = set(re.findall(r"203\.0\.113\.\d+", text))
        assert len(found) <= 1, text
        seen |= found
    assert len(seen) == 5
