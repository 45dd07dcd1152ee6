"""What becomes of alerts: blocks that end, and never those that do harm."""

import datetime
from pathlib import Path

import msgspec
import pytest

from lab.alerts import BLOCK_REASON, FAN_OUT, FIRST_CONTACT, SECOND, T0, alert, closed
from sensor.base.sentences import Sentence
from sensor.blocking.bounds import Bounds
from sensor.blocking.decision import Decision
from sensor.blocking.ledger import Ledger
from sensor.blocking.policy import Policy
from sensor.blocking.settings import BlockingSettings
from sensor.hosts.subscribers import Exemption, SubscriberPrefix
from sensor.state.journal import Row

HOUR = 3600
DAY = 86_400
PREFIXES = (
    SubscriberPrefix("203.0.113.0/24"),
    SubscriberPrefix("2001:db8::/32", delegated=56),
    SubscriberPrefix("100.64.0.0/24", cgn=True, ports_per_subscriber=1024),
    SubscriberPrefix("100.65.0.0/24", cgn=True),
)


class Desk:
    """A policy, its ledger, and alerts in a row."""

    def __init__(self, folder: Path, bounds: Bounds | None = None, **settings) -> None:
        self.ledger = Ledger(folder / "blocking.sqlite")
        given = {"mode": "enforce", "subscribers": 100_000} | settings
        self.policy = Policy(BlockingSettings(**given), bounds or Bounds(PREFIXES, (), ()))
        self._number = 0

    def take(self, *alerts) -> list[Decision]:
        rows = []
        for one in alerts:
            self._number += 1
            rows.append(Row(self._number, one))
        return self.ledger.take("journal.sqlite", rows, self.policy)

    def actions(self, *alerts) -> list[str]:
        return [one.action for one in self.take(*alerts)]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def at(seconds: float) -> int:
    return T0 + int(seconds * SECOND)


def test_a_block_says_what_it_rests_on_and_when_it_ends(desk):
    (block,) = desk.take(alert())
    assert (block.action, block.host, block.source) == ("block", "203.0.113.7", "203.0.113.7/32")
    assert block.expires == at(HOUR)
    assert block.enforced
    assert block.alert == alert().id
    assert block.reasons == [
        BLOCK_REASON,
        f"fan_out +62.6: {FAN_OUT}",
        f"first_contact +20.0: {FIRST_CONTACT}",
    ]
    assert desk.ledger.in_force(at(1)) == [block]
    assert desk.ledger.in_force(at(HOUR)) == []


@pytest.mark.parametrize(
    "figures", [{}, {"grounds": {"a": 1}}, {"grounds": {"code": [], "figures": {}}}]
)
def test_figures_of_another_version_are_told_in_the_words_that_came_with_them(desk, figures):
    said = alert()
    of_old = [msgspec.structs.replace(line, figures={}) for line in said.evidence]
    (block,) = desk.take(msgspec.structs.replace(said, block_figures=figures, evidence=of_old))
    reasons = [one if isinstance(one, str) else one.text for one in block.reasons]
    assert said.block_reason in reasons[0]
    assert FAN_OUT in reasons[1]


def test_it_ends_by_itself_though_nothing_more_is_heard(desk):
    desk.take(alert())
    assert desk.ledger.expire(at(HOUR - 1)) == []
    (release,) = desk.ledger.expire(at(HOUR))
    assert (release.action, release.reasons, release.ts) == ("release", ["it expired"], at(HOUR))
    assert desk.ledger.expire(at(2 * HOUR)) == []


def test_it_ends_when_its_alert_closes_but_not_when_another_does(desk):
    desk.take(alert())
    assert desk.actions(closed(at=100, opened=50)) == []
    (release,) = desk.take(closed(at=200))
    assert release.action == "release"
    assert "closed" in release.reasons[0]
    assert desk.actions(closed(at=201)) == []


def test_alerts_that_close_need_not_release(tmp_path):
    desk = Desk(tmp_path, release_on_clear=False)
    assert desk.actions(alert(), closed(at=200)) == ["block"]


def test_an_alert_that_goes_on_renews_its_block(desk):
    desk.take(alert())
    soon = alert(at=30, state="escalated", revision=2)
    assert desk.actions(soon) == [], "half a minute more is not worth a line"
    (renewed,) = desk.take(alert(at=600, state="refreshed", revision=3))
    assert (renewed.action, renewed.since, renewed.expires) == ("block", at(0), at(600 + HOUR))
    assert renewed.level == 0


def test_who_comes_back_is_blocked_for_longer_and_memory_ends(desk):
    lengths = []
    when = 0.0
    for _ in range(6):
        (block,) = [d for d in desk.take(alert(at=when, opened=when)) if d.action == "block"]
        lengths.append((block.expires - block.ts) // SECOND)
        when = (block.expires - T0) / SECOND + 10
    assert lengths == [HOUR, 6 * HOUR, DAY, 7 * DAY, 7 * DAY, 7 * DAY]
    when += 31 * DAY
    made = desk.take(alert(at=when, opened=when))
    assert made[-1].level == 0


def test_the_word_of_a_person_holds(desk):
    desk.take(alert())
    (release,) = desk.ledger.release(lambda one: True, at(60), "a customer's mail server", "mary")
    assert (release.action, release.by) == ("release", "mary")
    again = alert(at=600, state="refreshed", revision=2)
    (refused,) = desk.take(again)
    assert refused.action == "refuse"
    assert refused.reasons == ["mary released it: a customer's mail server"]
    assert desk.actions(alert(at=1200, state="refreshed", revision=3)) == [], "said once"
    (after,) = desk.take(alert(at=DAY + 61, state="refreshed", revision=4))
    assert (after.action, after.level) == ("block", 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"block_recommended": False},
        {"handshake_proven": False},
        {"state": "closed"},
        {"shared_address": True, "block_recommended": False, "severity": "medium"},
    ],
)
def test_no_block_without_recommendation_and_proof(desk, fields):
    assert desk.actions(alert(**fields)) == []


def test_never_own_servers_nor_exempt_hosts_nor_strangers(tmp_path):
    day = datetime.date(2023, 11, 20)
    exempt = (Exemption("203.0.113.9", "contract 4711", day),)
    bounds = Bounds(PREFIXES, ("203.0.113.8", "2001:db8:0:100::25"), exempt)
    desk = Desk(tmp_path, bounds)
    reasons = {}
    for host in ("203.0.113.8", "203.0.113.9", "198.51.100.1", "2001:db8:0:100::/56"):
        (made,) = desk.take(alert(host))
        assert made.action == "refuse"
        reasons[host] = made.reasons[0]
    assert reasons == {
        "203.0.113.8": "203.0.113.8/32 is a mail server of the provider",
        "203.0.113.9": "203.0.113.9/32 is exempt until 2023-11-20: contract 4711",
        "198.51.100.1": "198.51.100.1/32 is not in the subscriber prefixes",
        "2001:db8:0:100::/56": "2001:db8:0:100::25/128 is a mail server of the provider",
    }
    later = 7 * DAY
    assert desk.actions(alert("203.0.113.9", at=later, opened=later)) == ["block"]


def test_ipv6_by_delegated_prefix_and_cgn_by_ports(desk):
    (v6,) = desk.take(alert("2001:db8:0:100::/56"))
    assert (v6.source, v6.ports) == ("2001:db8:0:100::/56", None)
    (cgn,) = desk.take(alert("100.64.0.7:1024-2047"))
    assert (cgn.action, cgn.source, cgn.ports) == ("block", "100.64.0.7/32", (1024, 2047))


def test_a_shared_address_is_looked_up_never_blocked(desk):
    told = {"shared_address": True, "block_recommended": False}
    (lookup,) = desk.take(alert("100.65.0.7", **told, block_reason="shared: look up by port"))
    assert (lookup.action, lookup.host) == ("lookup", "100.65.0.7")
    assert desk.actions(alert("100.65.0.7", at=10, state="escalated", revision=2, **told)) == []
    wrong = alert("100.65.0.8")  # as no alert should: recommended all the same
    (refused,) = desk.take(wrong)
    assert refused.action == "refuse"
    assert "shared by many" in refused.reasons[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_blocks": 3, "max_share": 0.5}, "blocking.max_blocks is 3"),
        ({"max_share": 0.00003}, "3 are 0.00% of 100,000 subscribers"),
        ({"max_per_minute": 3}, "blocking.max_per_minute"),
    ],
)
def test_at_a_ceiling_it_stops_keeps_what_is_in_force_and_calls(tmp_path, settings, said):
    desk = Desk(tmp_path, **settings)
    hosts = [alert(f"203.0.113.{n}", at=n) for n in range(1, 8)]
    actions = desk.actions(*hosts)
    assert actions == ["block"] * 3 + ["stop"] + ["refuse"] * 4
    stop = next(e.decision for e in desk.ledger.page() if e.decision.action == "stop")
    assert said in stop.reasons[0]
    assert len(desk.ledger.in_force(at(10))) == 3
    renewal = alert("203.0.113.1", at=600, state="refreshed", revision=2)
    assert desk.actions(renewal) == [], "nothing is renewed while it is stopped"
    assert desk.actions(alert("203.0.113.99", at=500, opened=500))[-1] == "refuse"
    assert desk.ledger.resume(at(600), "looked at", "mary")
    assert not desk.ledger.resume(at(600), "looked at", "mary")
    later = 2 * HOUR
    assert desk.actions(alert("203.0.113.100", at=later, opened=later))[-1] == "block"


def test_one_block_is_always_allowed(tmp_path):
    desk = Desk(tmp_path, subscribers=4)
    assert desk.actions(alert(), alert("203.0.113.8")) == ["block", "stop", "refuse"]


def test_a_dry_run_decides_the_same_and_enforces_nothing(tmp_path):
    desk = Desk(tmp_path, mode="dry-run")
    made = desk.take(alert(), alert(at=700, state="refreshed", revision=2))
    assert [one.action for one in made] == ["block", "block"]
    assert not any(one.enforced for one in made)
    assert desk.ledger.in_force(at(701)) == []
    assert len(desk.ledger.in_force(at(701), enforced=False)) == 1
    desk.policy = Policy(BlockingSettings(mode="enforce"), Bounds(PREFIXES, (), ()))
    (real,) = desk.take(alert(at=1300, state="refreshed", revision=3))
    assert (real.action, real.enforced, real.level) == ("block", True, 0)


def test_off_is_off(tmp_path):
    assert Desk(tmp_path, mode="off").actions(alert()) == []


def test_a_flood_of_alerts_is_one_alarm(tmp_path):
    desk = Desk(tmp_path, flood=50)
    words = {"handshake_proven": False, "block_recommended": False, "severity": "medium"}
    flood = [alert(f"203.0.113.{n % 250}", at=n / 100, **words) for n in range(5000)]
    (alarm,) = desk.take(*flood)
    assert alarm.action == "alarm"
    assert "50 alerts" in alarm.reasons[0]
    later = [alert(f"203.0.113.{n % 250}", at=2 * HOUR + n / 100, **words) for n in range(60)]
    assert desk.actions(*later) == ["alarm"]


def test_decisions_are_the_same_whenever_the_same_alerts_come(tmp_path):
    alerts = [alert(f"203.0.113.{n % 20}", at=97 * n, opened=97 * n) for n in range(400)]
    books = []
    for n, size in enumerate((1, 7, 400)):
        (folder := tmp_path / str(n)).mkdir()
        desk = Desk(folder)
        for i in range(0, len(alerts), size):
            desk.take(*alerts[i : i + size])
        books.append(desk.ledger.page(0, 10_000))
    assert books[0] == books[1] == books[2]
    assert len({e.decision.id for e in books[0]}) == len(books[0])


def test_a_decision_and_the_position_are_written_together(tmp_path):
    desk = Desk(tmp_path)
    desk.take(alert())
    ledger = Ledger(tmp_path / "blocking.sqlite")
    assert ledger.position("journal.sqlite") == 1
    assert ledger.position("worker-1-of-2/journal.sqlite") == 0

    class Failing(Policy):
        def on_alert(self, one, book):
            if one.host.endswith(".9"):
                raise KeyboardInterrupt
            return super().on_alert(one, book)

    failing = Failing(BlockingSettings(mode="enforce"), Bounds(PREFIXES, (), ()))
    rows = [Row(2, alert("203.0.113.8")), Row(3, alert("203.0.113.9"))]
    with pytest.raises(KeyboardInterrupt):
        ledger.take("journal.sqlite", rows, failing)
    assert ledger.position("journal.sqlite") == 1
    assert [e.decision.host for e in ledger.page()] == ["203.0.113.7"]


def test_old_decisions_are_forgotten_but_not_what_holds(desk):
    desk.take(alert(), alert("203.0.113.8", at=10))
    desk.ledger.expire(at(HOUR))
    assert desk.ledger.forget(at(5 * HOUR)) == 3
    assert [d.host for d in desk.ledger.in_force(at(5))] == ["203.0.113.8"]
    assert desk.ledger.as_of(at(5)) == []


def test_alerts_of_old_are_decided_on_in_their_words(desk):
    now = alert()
    lines = [msgspec.structs.replace(line, code="", figures={}) for line in now.evidence]
    old = msgspec.structs.replace(now, evidence=lines, block_code="", block_figures={})
    (block,) = desk.take(old)
    assert block.reasons[:2] == [BLOCK_REASON, f"fan_out +62.6: {FAN_OUT}"]
    assert [one.text for one in block.causes] == block.reasons
    assert block.causes[0].code == "policy.advice"


def test_a_decision_says_why_in_codes_and_figures(desk):
    (block,) = desk.take(alert())
    assert block.causes[0] == Sentence(alert().block_code, alert().block_figures)
    assert block.causes[1].code == "policy.line"
    assert block.causes[1].figures["finding"]["figures"]["networks"] == 293
    assert [one.text for one in block.causes] == block.reasons
