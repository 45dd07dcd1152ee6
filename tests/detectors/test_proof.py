"""What a block may rest on: the bots it must reach, and the honest it must never."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.proof import proof
from detectors.score import Model
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.settings import AlertSettings

MODEL = Model()
ENOUGH = round(AlertSettings().enough_proof * 10)
FACTS = ("proven_refused", "proven_taken", "proven_rude", "proven_polite", "insisted", "denied")


def evidence(contacts: int = 0, **facts: int) -> Evidence:
    """``contacts`` proven, all within ten seconds."""
    counts = np.zeros((len(Count), 5), np.int64)
    counts[Count.FIRST_PROVEN] = contacts
    values = np.zeros(len(Fact), np.int64)
    for name, n in facts.items():
        values[Fact[name.upper()]] = n
    return Evidence(counts, values)


def worth(e: Evidence) -> int:
    return int(proof(e.counts, e.facts, MODEL.proof.tables))


@pytest.mark.parametrize(
    "facts",
    [
        {"proven_refused": 8, "proven_rude": 5},  # Send-Safe, 2017
        {"proven_refused": 5, "proven_rude": 4},
        {"proven_refused": 9, "proven_taken": 2, "proven_rude": 10, "proven_polite": 1},
        {"proven_refused": 4, "proven_rude": 2, "insisted": 10},  # the same in its first minute
        {"contacts": 8},
        {"contacts": 40, "denied": 20},  # somebody forges a bot's address, too
    ],
)
def test_what_is_enough(facts):
    assert worth(evidence(**facts)) >= ENOUGH


@pytest.mark.parametrize(
    ("who", "facts"),
    [
        ("greylisted", {"contacts": 5, "proven_polite": 5}),
        ("pipelining, greylisted, then taken", {"proven_taken": 30, "proven_polite": 40}),
        ("behind a broken route", {"contacts": 6, "proven_rude": 30}),
        ("newsletter to dead addresses", {"proven_refused": 200, "proven_polite": 200}),
        ("newsletter, some sessions cut", {
            "proven_refused": 60, "proven_taken": 140, "proven_rude": 20, "proven_polite": 180}),
        ("forwarder of others' spam", {
            "proven_refused": 30, "proven_taken": 70, "proven_polite": 100}),
        ("forwarder, clumsy", {"proven_refused": 30, "proven_taken": 120, "proven_rude": 150}),
        ("on a dynamic address, listed", {"proven_refused": 90, "proven_polite": 90}),
        ("a script without QUIT", {"proven_taken": 50, "proven_rude": 50}),
        ("a device, refused by its four servers", {"proven_refused": 4, "proven_rude": 4}),
        ("refused, and clumsy three times", {"proven_refused": 9, "proven_rude": 3}),
        ("a device in a loop, refused by one provider's three", {
            "proven_refused": 3, "proven_rude": 3, "insisted": 60}),
        ("a queue for one that is closed", {
            "proven_refused": 4, "proven_rude": 2, "proven_taken": 1, "insisted": 60}),
        ("the same, which says QUIT elsewhere", {
            "proven_refused": 4, "proven_rude": 2, "proven_polite": 1, "insisted": 60}),
        ("forged by an insider", {
            "contacts": 120, "proven_refused": 120, "proven_rude": 120, "denied": 120}),
        ("forged, a few resets lost", {
            "contacts": 40, "proven_refused": 40, "proven_rude": 40, "denied": 37}),
    ],
)  # fmt: skip
def test_the_honest_are_out_of_reach(who, facts):
    assert worth(evidence(**facts)) < ENOUGH, who


@given(st.lists(st.integers(0, 300), min_size=7, max_size=7))
def test_what_is_explained_is_what_the_kernel_says(values):
    contacts, *facts = values
    e = evidence(contacts, **dict(zip(FACTS, facts, strict=True)))
    found = MODEL.proof.explain(e)
    assert found.centibans == worth(e)
    assert found.figures["denied"] == facts[-1]
    assert ("denied" in found.reason) == (facts[-1] > 0)


@given(st.lists(st.integers(0, 300), min_size=7, max_size=7), st.integers(1, 50))
def test_a_denial_is_never_against_the_host(values, more):
    contacts, *facts = values
    before = dict(zip(FACTS, facts, strict=True))
    after = before | {"denied": before["denied"] + more}
    assert worth(evidence(contacts, **after)) <= worth(evidence(contacts, **before))


def tried(networks: int, addresses: int, contacts: int = 0, **facts: int) -> Evidence:
    """Connections opened within ten seconds, answered or not."""
    e = evidence(contacts, **facts)
    e.counts[Count.NETWORKS] = networks
    e.counts[Count.ADDRESSES] = addresses
    return e


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (tried(8, 8), "proof.tried"),
        (tried(2, 40), "proof.tried"),
        (tried(3, 10, contacts=10), "proof.contacts"),
    ],
)
def test_where_nobody_can_forge_an_address_what_it_tries_is_proof(seen, code):
    validated = Model(source_validation=True).proof
    found = validated.explain(seen)
    assert (found.code, found.centibans >= ENOUGH) == (code, True)
    assert found.centibans == int(proof(seen.counts, seen.facts, validated.tables))
    assert (worth(seen) >= ENOUGH) == (code == "proof.contacts")


def test_nor_are_tries_proof_where_nothing_said_is_read():
    validated = Model(source_validation=True).proof
    assert validated.explain(tried(60, 60, unread=1)).centibans == 0


def test_what_is_missing_is_said():
    found = MODEL.proof.explain(evidence(proven_refused=3, proven_rude=1, proven_polite=1))
    missing = MODEL.proof.missing(found)
    assert missing is not None
    assert missing.text == (
        "3 of 3 servers refused it and 1 of 2 were spoken to as no mail server does, where nearly"
        " all of at least 5 and 4 are needed"
    )
    assert MODEL.proof.missing(MODEL.proof.explain(evidence(3))) is None


def test_how_many_were_spoken_to_is_no_proof_where_nothing_said_is_read():
    seen = evidence(contacts=60)
    assert worth(seen) >= ENOUGH
    unread = evidence(contacts=60, unread=1)
    assert worth(unread) == 0
    found = MODEL.proof.explain(unread)
    assert found.code == "proof.unread" and "60 new destinations" in found.reason
