"""What a controller takes from the topic, and what it refuses."""

import datetime
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor.base.units import SECOND
from sensor.blocking.bounds import Bounds
from sensor.blocking.controller import ApplyError, Controller
from sensor.blocking.decision import Decision, decision
from sensor.blocking.settings import LONGEST
from sensor.hosts.subscribers import Exemption, SubscriberPrefix, where

FIELDS = st.sampled_from(Decision.__struct_fields__)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(Decision.__struct_fields__), inner)
    ),
).map(lambda value: json.dumps(value).encode())
NOW = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND
PREFIXES = (SubscriberPrefix("203.0.113.0/24"), SubscriberPrefix("100.65.0.0/24", cgn=True))
EXEMPT = (Exemption("203.0.113.9", "contract 4711", datetime.date(2030, 1, 1)),)


def block(host: str = "203.0.113.7", **fields) -> Decision:
    source, ports = where(host) if host != "nobody" else ("203.0.113.7/32", None)
    given = {
        "enforced": True, "host": host, "source": str(source), "ports": ports, "since": NOW,
        "expires": NOW + HOUR, "alert": "a" * 32, "reasons": ["spoke to many"],
    }  # fmt: skip
    return decision(fields.pop("action", "block"), NOW, **(given | fields))


class Firewall:
    """Keeps what it is told; has no table at first."""

    def __init__(self) -> None:
        self.scripts: list[str] = []
        self.table = False

    def __call__(self, script: str) -> None:
        if script.startswith("flush") and not self.table:
            raise ApplyError("no such table")
        self.table = True
        self.scripts.append(script)


@pytest.fixture
def firewall():
    return Firewall()


@pytest.fixture
def controller(firewall):
    return Controller(Bounds(PREFIXES, ("203.0.113.8",), EXEMPT), ("203.0.113.8",), 3, firewall)


def take(controller, one: Decision, partition: int = 0) -> str:
    return controller.take(partition, one.host.encode(), msgspec.json.encode(one), NOW)


def test_the_table_first_then_only_elements(controller, firewall):
    assert take(controller, block()) == ""
    assert controller.carry_out(NOW) == 1
    assert firewall.scripts[0].startswith("table inet port25\ndelete table inet port25\n")
    assert "203.0.113.7 timeout 3600s" in firewall.scripts[0]
    assert not controller.dirty
    assert controller.take(0, b"203.0.113.7", None, NOW) == ""
    assert controller.dirty
    assert controller.carry_out(NOW) == 0
    assert firewall.scripts[1].startswith("flush set")
    assert "add" not in firewall.scripts[1]
    firewall.table = False  # somebody flushed the ruleset
    assert take(controller, block()) == ""
    assert controller.carry_out(NOW) == 1
    assert firewall.scripts[2].startswith("table inet port25")


def test_a_renewal_replaces_and_time_ends_it(controller):
    take(controller, block())
    take(controller, block(expires=NOW + 2 * HOUR))
    assert [one.expires for one in controller.in_force(NOW + HOUR)] == [NOW + 2 * HOUR]
    assert controller.in_force(NOW + 2 * HOUR) == []


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (block(action="lookup"), "lookup: not for a firewall"),
        (block(enforced=False), "dry run"),
        (block(expires=NOW), "expired"),
        (block(expires=NOW + (LONGEST + 1) * SECOND), "out of bounds: it would last longer"),
        (block("203.0.113.8"), "out of bounds: 203.0.113.8/32 is a mail server"),
        (block("203.0.113.9"), "out of bounds: 203.0.113.9/32 is exempt until 2030-01-01"),
        (block("198.51.100.1"), "out of bounds: 198.51.100.1/32 is not in the subscriber"),
        (block("203.0.113.0/25"), "out of bounds: 203.0.113.0/25 is more than one subscriber"),
        (block("100.65.0.1"), "out of bounds: 100.65.0.1/32 is shared by many"),
        (block("203.0.113.7", source="0.0.0.0/0"), "out of bounds: it is for 203.0.113.7 but"),
        (block("203.0.113.7", source="x; flush ruleset"), "out of bounds: no subscriber"),
        (block("203.0.113.7", ports=(1, 2)), "out of bounds: it is for 203.0.113.7 but"),
        (block("203.0.113.7:9-1"), "out of bounds: 9-1 are no ports"),
        (block("203.0.113.7:0-99999"), "out of bounds: 0-99999 are no ports"),
        (block("nobody"), "out of bounds: no subscriber"),
        (block(schema="other/1"), "malformed: other/1"),
    ],
)
def test_what_is_refused_and_why(controller, one, reason):
    assert take(controller, one).startswith(reason)
    assert sum(controller.refused.values()) == 1
    assert controller.in_force(NOW) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"203.0.113.7", b"no json"),
        (b"203.0.113.7", b"[]"),
        (b"\xff", b"\xff\xfe"),
        (b"", b"{}"),
        (b"203.0.113.7", b"[" * 50_000),
        (b"203.0.113.7", b" " * 100_000),
        (b"203.0.113.6", msgspec.json.encode(block())),
    ],
)
def test_malformed_messages(controller, key, value):
    assert controller.take(0, key, value, NOW).startswith("malformed")
    assert controller.in_force(NOW) == []


@pytest.mark.slow
@settings(max_examples=300)
@given(st.binary(max_size=60), st.binary(max_size=300) | JSON)
def test_no_message_breaks_it(key, value):
    fresh = Controller(Bounds(PREFIXES, (), ()), (), 3, Firewall())
    assert fresh.take(0, key, value, NOW)
    assert fresh.in_force(NOW) == []


def test_a_bad_message_ends_the_block_it_replaces(controller):
    """The last word counts, and this one blocks nobody."""
    take(controller, block())
    controller.take(0, b"203.0.113.7", b"no json", NOW)
    assert controller.in_force(NOW) == []


def test_its_own_ceiling(controller):
    for n in range(1, 4):
        assert take(controller, block(f"203.0.113.{n}")) == ""
    assert take(controller, block("203.0.113.4")).startswith("ceiling")
    assert take(controller, block("203.0.113.1", expires=NOW + 2 * HOUR)) == "", "a renewal"


def test_partitions_that_go_to_another_controller(controller):
    take(controller, block("203.0.113.1"), 0)
    take(controller, block("203.0.113.2"), 1)
    controller.lose({1})
    assert [one.host for one in controller.in_force(NOW)] == ["203.0.113.1"]


def test_what_the_firewall_refuses_is_an_error(controller):
    def never(script: str) -> None:
        raise ApplyError("no permission")

    broken = Controller(Bounds((), (), ()), (), 3, never)
    with pytest.raises(ApplyError, match="no permission"):
        broken.carry_out(NOW)
    assert broken.dirty


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 60_000,
        b'{"x":' * 10_000,
        b'{"schema": "port25.decision/1", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_what_is_nested_without_end_is_malformed(controller, value):
    assert controller.take(0, b"203.0.113.7", value, NOW).startswith("malformed")
    assert controller.refused["malformed"] == 1
