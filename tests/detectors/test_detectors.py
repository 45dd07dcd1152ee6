import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors.deliveries import Deliveries
from detectors.detector import CENTIBANS, Finding
from detectors.fan_out import FanOut, FanOutSettings
from detectors.first_contact import FirstContact, FirstContactSettings
from detectors.proof import proof
from detectors.registry import DetectorSettings
from detectors.rejections import Rejections
from detectors.score import Model, ScoreSettings, score
from sensor.hosts.evidence import Count, Evidence, Fact

COUNTS = st.lists(
    st.one_of(st.integers(0, 70), st.integers(0, 10_000)),
    min_size=len(Count) * 5,
    max_size=len(Count) * 5,
)
FACTS = st.lists(st.integers(0, 12), min_size=len(Fact), max_size=len(Fact))


def evidence(values=None, visible=1, **counts) -> Evidence:
    array = np.zeros((len(Count), 5), np.int64)
    if values is not None:
        array[:] = np.array(values).reshape(array.shape)
    for name, value in counts.items():
        array[Count[name.upper()]] = value
    facts = np.zeros(len(Fact), np.int64)
    facts[Fact.REPLIES_VISIBLE] = visible
    return Evidence(array, facts)


@pytest.mark.slow
@given(COUNTS, st.integers(0, 1))
def test_what_is_explained_is_what_the_kernel_says(values, visible):
    model = Model()
    e = evidence(values, visible)
    findings = model.explain(e)
    for detector, finding in zip(model.detectors, findings[1:], strict=True):
        assert detector.ratio(e.counts, e.facts, detector.tables) == finding.centibans
    assert score(e.counts, e.facts, model.tables) == sum(f.centibans for f in findings)


@pytest.mark.slow
@given(COUNTS)
def test_a_quiet_host_can_never_raise_an_alert(values):
    """The short cut the tracking takes must not change any result."""
    model = Model()
    e = evidence(values)
    e.counts[Count.NETWORKS] %= model.tables.quiet_networks + 1
    e.counts[Count.ADDRESSES] %= model.tables.quiet_addresses + 1
    left = model.tables.quiet_addresses + np.zeros(5, np.int64)
    for what in (Count.FIRST_FAILED, Count.FIRST_ANSWERED):
        e.counts[what] %= left + 1
        left -= e.counts[what]
    for spoken in (
        (
            Count.REJECTED,
            Count.ACCEPTED,
            Count.POLICY,
            Count.CONTENT,
            Count.ASKED,
            Count.MAILED,
            Count.UNMAILED,
        ),
        (Count.RUDE, Count.POLITE),
    ):
        answered = e.counts[Count.FIRST_ANSWERED].copy()
        for what in spoken:
            e.counts[what] %= answered + 1
            answered -= e.counts[what]
    assert score(e.counts, e.facts, model.tables) < model.raise_at


@pytest.mark.slow
@given(COUNTS, FACTS, st.lists(st.integers(0, 20), min_size=5, max_size=5))
def test_nothing_that_leaves_a_host_settled_speaks_against_it(values, facts, more):
    """A SYN more, a retry, or one not answered by whom it was at before: ``hosts/settled.py``."""
    model = Model()
    before, after = evidence(values), evidence(values)
    before.facts[:] = after.facts[:] = facts
    for what in (Count.SYNS, Count.RETRIES, Count.UNANSWERED):
        after.counts[what] += np.cumsum(more)
    after.facts[Fact.CONNECTIONS] += sum(more)
    assert score(after.counts, after.facts, model.tables) <= score(
        before.counts, before.facts, model.tables
    )
    said = (proof(one.counts, one.facts, model.proof.tables) for one in (before, after))
    assert len(set(said)) == 1


def test_the_short_cut_is_as_wide_as_it_may_be():
    model = Model()
    quiet = model.tables.quiet_networks
    n = quiet + 1
    mixes = [
        evidence(rejected=a, policy=b, content=n - a - b, rude=n, networks=n, mx_lookups=50)
        for a in range(n + 1)
        for b in range(n + 1 - a)
    ]
    assert 2 <= quiet < 63
    assert max(score(e.counts, e.facts, model.tables) for e in mixes) >= model.raise_at


def test_levels_are_walds():
    model = Model(ScoreSettings(prior=0.001, false_positive_rate=0.01, miss_rate=0.01))
    assert (model.raise_at, model.clear_at) == (200, -200)
    assert model.prior == -300


def test_threshold_random_walk_has_the_papers_steps():
    up, down, *_ = FirstContact().tables.tolist()
    assert (up, down) == (60, -60)  # log10(0.8 / 0.2) = 0.602
    assert FirstContact(FirstContactSettings(theta0=0.9)).tables[0] == 90


def test_replies_that_cannot_be_seen_are_not_held_against_anyone():
    finding = FirstContact().explain(evidence(visible=0, first_failed=500))
    assert finding.centibans == 0
    assert "not measurable" in finding.reason


@pytest.mark.parametrize(
    ("answered", "failed", "worth", "code"),
    [
        (17, 0, -60, "failed"),  # as of who writes to people he knows
        (17, 1, -60, "failed"),  # a mistyped domain
        (320, 5, -60, "failed"),
        (15, 2, 0, "mixed"),  # as of a list one in ten of whose servers is gone
        (49, 25, 0, "mixed"),
        (4, 4, 0, "failed"),
        (4, 6, 120, "failed"),
    ],
)
def test_answers_speak_for_a_host_as_long_as_hardly_any_contact_fails(
    answered, failed, worth, code
):
    finding = FirstContact().explain(evidence(first_answered=answered, first_failed=failed))
    assert (finding.centibans, finding.code) == (worth, f"first_contact.{code}")


def test_first_contacts_are_read_in_the_shortest_window_that_has_enough():
    e = evidence()
    e.counts[Count.FIRST_ANSWERED] = 0, 0, 2, 40, 500
    e.counts[Count.FIRST_FAILED] = 0, 0, 29, 29, 29
    finding = FirstContact().explain(e)
    assert finding.code == "first_contact.failed"
    assert finding.figures == {
        "window": "10 min", "answered": 2, "failed": 29, "total": 31, "up": 6.0, "down": -6.0,
        "limit": 30.0,
    }  # fmt: skip
    assert finding.centibans == 300
    assert "at most +30.0" in finding.reason


def test_many_addresses_in_few_networks_count_but_less():
    few = FanOut().explain(evidence(networks=4, addresses=300))
    many = FanOut().explain(evidence(networks=300, addresses=300))
    assert 0 < few.centibans < many.centibans
    assert "300 foreign addresses in 10 s" in few.reason


def test_no_detector_but_extreme_fan_out_convicts_alone():
    model = Model()
    for name, e in {
        "failures": evidence(first_failed=10_000),
        "refusals": evidence(first_answered=10_000, rejected=10_000),
        "manners": evidence(first_answered=10_000, rude=10_000),
        "refusals and manners": evidence(first_answered=9, rejected=10_000, rude=10_000),
        "fan-out": evidence(networks=90, addresses=90),
    }.items():
        worth = score(e.counts, e.facts, model.tables)
        assert (worth >= model.raise_at) == (name == "fan-out"), name


def test_a_mail_server_that_is_taken_seriously_gains_by_it():
    model = Model()
    new_server = evidence(networks=30, addresses=60, first_answered=60, accepted=58, polite=60)
    bot = evidence(networks=30, addresses=60, first_answered=60, rejected=40, rude=55)
    assert score(new_server.counts, new_server.facts, model.tables) < model.raise_at
    assert score(bot.counts, bot.facts, model.tables) >= model.raise_at


def test_greylisting_and_silence_decide_nothing():
    nothing = evidence(networks=2, first_answered=2)
    for detector in Model().detectors[2:]:
        assert detector.explain(nothing).centibans == 0


def test_submission_is_no_alibi_for_fan_out():
    submits = detector("submission")
    assert submits.explain(evidence(submitted=5, networks=2)).centibans == -150
    assert submits.explain(evidence(submitted=5, networks=4)).centibans == 0


def test_proof_counts_proven_contacts_alone():
    fan_out = FanOut()
    assert fan_out.proof(evidence(networks=500, addresses=500)).centibans == 0
    assert fan_out.proof(evidence(first_proven=(0, 0, 0, 24, 24))).centibans == 170


def test_printed_decibans_add_up():
    findings = Model().explain(evidence(networks=17, addresses=19, first_failed=3))
    shown = [float(f"{f.centibans / CENTIBANS:.1f}") for f in findings]
    assert round(sum(shown) * CENTIBANS) == sum(f.centibans for f in findings)


def test_settings_reach_the_detectors():
    strict = DetectorSettings(fan_out=FanOutSettings(usual=(1, 1, 1, 1, 1), tail=10))
    e = evidence(networks=10)
    assert score(e.counts, e.facts, Model(detectors=strict).tables) == 300, "the cap"


@pytest.mark.parametrize("name", [m.name for m in pkgutil.iter_modules(detectors.__path__)])
def test_docstrings_tell_the_truth(name):
    module = importlib.import_module(f"detectors.{name}")
    assert doctest.testmod(module).failed == 0


def detector(name):
    return next(one for one in Model().detectors if one.name == name)


def test_lookups_tell_nothing_of_a_host_that_contacts_nobody():
    looks_up = detector("mx_lookups")
    assert looks_up.explain(evidence(mx_lookups=5000, networks=2)).centibans == 0
    assert looks_up.explain(evidence(mx_lookups=5000, networks=3)).centibans == 30
    assert looks_up.explain(evidence(mx_lookups=0, networks=300)).centibans == 0


def hours(*new) -> Evidence:
    e = evidence()
    e.facts[Fact.HOURS], e.facts[Fact.NEW] = len(new), sum(new)
    e.facts[Fact.NEW_SQUARED] = sum(x * x for x in new)
    return e


def test_regularity_tells_a_timer_from_a_working_day():
    steady = detector("regularity")
    assert steady.explain(hours(*[6] * 20)).centibans == 100
    assert steady.explain(hours(*[0] * 10, *[14] * 10)).centibans == 0
    assert steady.explain(hours(*[6] * 17)).centibans == 0
    assert "18 are needed" in steady.explain(hours(*[6] * 17)).reason
    assert "too few" in steady.explain(hours(*[1] * 10, *[0] * 10)).reason


def test_regularity_is_the_ratio_of_the_two_densities_of_its_page():
    rng = np.random.default_rng(4)
    for _ in range(50):
        new = rng.poisson(rng.uniform(1, 9), 20)
        if new.sum() < 20:
            continue
        m = new.mean()
        d, spread = ((new - m) ** 2).sum() / m, 1 + m
        nats = 19 / 2 * np.log(spread) - d / 2 * (1 - 1 / spread)
        worth = max(0, min(100, round(100 * nats / np.log(10))))
        assert detector("regularity").explain(hours(*new.tolist())).centibans == worth


def test_who_encrypts_and_delivers_is_a_mail_server_and_who_encrypts_and_does_not_is_none():
    held = detector("deliveries")
    assert held.explain(evidence(mailed=90, unmailed=10)).centibans == -150
    assert held.explain(evidence(mailed=20, unmailed=20)).centibans == 240
    assert held.explain(evidence()).centibans == 0


def test_sizes_say_nothing_against_who_takes_mail_and_who_checks_or_tests_is_no_bot():
    held = detector("deliveries")
    relay = evidence(mailed=20, unmailed=40, empty=5)
    assert held.explain(relay).centibans == 270
    relay.facts[Fact.INBOUND] = 5
    assert held.explain(relay).centibans <= 0
    assert held.explain(evidence(unmailed=200)).centibans <= 0, "one who checks addresses"
    assert held.explain(evidence(empty=200)).centibans == -150, "one who tests servers"
    assert held.explain(evidence(mailed=4, unmailed=20, empty=15)).centibans == 270


def test_who_was_sent_mail_by_a_host_knows_it_for_no_checker():
    asks = evidence(asked=20, rejected=15)
    assert detector("rejections").explain(asks).code == "rejections.checker"
    assert detector("rejections").explain(asks).centibans == -200
    sends = evidence(asked=20, rejected=15, mailed=30)
    assert detector("rejections").explain(sends).centibans == 270


def test_who_sends_nothing_under_tls_and_leaves_politely_is_one_who_checks():
    def worth(**counts) -> int:
        return Rejections().explain(evidence(**counts)).centibans

    asked = {"rejected": 2, "unmailed": 80}
    assert worth(rejected=2) == 180
    assert worth(**asked, polite=90) == 30
    assert worth(**asked, polite=80, rude=10) == 30
    assert worth(**asked, polite=80, rude=11) == 180
    assert worth(**asked) == 180, "nobody saw how it left them"
    assert 30 < worth(**asked, polite=1) < 180, "but of one"
    assert worth(**asked, polite=90, mailed=2) > 180, "two messages do away with it"
    assert worth(rejected=2, policy=8) == worth(**asked, policy=8, polite=90), "of a listed server"
    assert worth(unmailed=80, polite=90) == 0, "no verdict at all"
    said = Rejections().explain(evidence(**asked, polite=90)).reason
    assert "(80 more were asked with hidden replies, and sent nothing)" in said


def test_sender_domains_count_only_where_servers_refuse_the_mail():
    bot = evidence(rejected=60, accepted=2)
    bot.facts[Fact.FROM_DOMAINS] = 200
    forwarder = evidence(rejected=20, accepted=40)
    forwarder.facts[Fact.FROM_DOMAINS] = 400
    office = evidence(rejected=20)
    office.facts[Fact.FROM_DOMAINS] = 3
    few = evidence(rejected=4)
    few.facts[Fact.FROM_DOMAINS] = 200
    found = {
        name: next(f for f in Model().explain(e) if f.detector == "senders")
        for name, e in {"bot": bot, "forwarder": forwarder, "office": office, "few": few}.items()
    }
    assert {name: f.centibans for name, f in found.items()} == {
        "bot": 300, "forwarder": 0, "office": 0, "few": 0
    }  # fmt: skip
    assert found["forwarder"].code == "senders.taken"


def test_who_tries_again_what_fails_and_delivers_elsewhere_has_an_old_address_book():
    tried = {"first_failed": 80, "first_answered": 20, "unanswered": 120}
    patient = FirstContact().explain(evidence(**tried, mailed=5))
    assert (patient.code, patient.centibans) == ("first_contact.patient", 120)
    assert "(120 tries)" in patient.reason
    for other in (tried, tried | {"mailed": 4}, tried | {"mailed": 5, "unanswered": 119}):
        assert FirstContact().explain(evidence(**other)).centibans == 300


def test_who_takes_mail_is_a_relay_as_long_as_no_more_goes_out_than_came_in():
    verdicts = {"accepted": 30, "rejected": 14, "content": 16}
    relay = evidence(**verdicts, answered=130)
    relay.facts[Fact.INBOUND], relay.facts[Fact.INFLOW] = 200, 30
    assert Rejections().explain(relay).code == "rejections.relay"
    relay.facts[Fact.INFLOW] = 29
    flood = Rejections().explain(relay)
    assert (flood.code, flood.centibans) == ("rejections.nobody", 270)


def test_of_who_takes_mail_sizes_say_nothing_however_much_he_sends():
    tries = evidence(mailed=40, unmailed=60, answered=900)
    assert Deliveries().explain(tries).centibans > 100
    tries.facts[Fact.INBOUND] = 60
    assert Deliveries().explain(tries).centibans <= 0


def test_who_is_rude_to_many_within_minutes_is_no_server_in_a_listed_range():
    def found(policy: int, rude: int, polite: int, in_ten_minutes: int = 99) -> Finding:
        e = evidence(policy=policy, rude=rude, polite=polite)
        e.counts[Count.RUDE, :3] = np.minimum(e.counts[Count.RUDE, :3], in_ten_minutes)
        return Rejections().explain(e)

    device = found(12, 12, 0, in_ten_minutes=7)
    assert (device.code, device.centibans) == ("rejections.listed", 100)
    bot = found(12, 12, 0, in_ten_minutes=8)
    assert bot.centibans == 270
    assert "8 spoken to in 10 min as no server in a listed range does" in bot.reason
    assert found(12, 24, 12).centibans == 270
    assert found(12, 24, 13).centibans == 100
