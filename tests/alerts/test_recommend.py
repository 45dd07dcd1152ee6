"""The rule for recommending a block, each way through it; and that alerts say what it says."""

import itertools

import pytest

from detectors.detector import Finding
from sensor.alerts.recommend import grounds, recommend
from sensor.base.sentences import Sentence

FIGURES = {"window": "1 h", "proven": 40, "usual": 9}
PROOF = Finding("proof", 200, "proof.contacts", FIGURES)
FORTY = "40 new destinations in 1 h, where 9 are usual"
MISSING = Sentence(
    "proof.missing",
    {"refused": 3, "servers": 3, "rude": 1, "spoken": 2, "servers_needed": 5, "spoken_needed": 4},
)


def rule(**given: bool) -> tuple[bool, str]:
    case = {"closed": False, "cleared": False, "proven": True, "shared": False, **given}
    advice = recommend(**case, grounds=Sentence(PROOF.code, PROOF.figures))
    return advice.block, advice.reason.text


def test_enough_is_proven_of_one_customer():
    assert rule() == (True, f"the host itself spoke to {FORTY}")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"proven": False}, f"SYNs can be forged, and what is proven is not enough: {FORTY}"),
        ({"shared": True}, "shared address: look up the customer by port and time"),
        ({"closed": True, "cleared": True}, "the evidence has lapsed"),
        (
            {"closed": True},
            "nothing of it was proven, and it fell silent in a flood of forged SYNs",
        ),
    ],
)
def test_each_reason_not_to_recommend_is_enough_by_itself(given, why):
    assert rule(**given) == (False, why)


def test_of_all_cases_there_is_one_in_which_a_block_is_recommended():
    cases = itertools.product((False, True), repeat=3)
    blocks = [
        case
        for closed, proven, shared in cases
        for cleared in (False, True)
        if rule(closed=closed, cleared=cleared, proven=proven, shared=shared)[0]
        for case in [(closed, proven, shared)]
    ]
    assert set(blocks) == {(False, True, False)}, (
        "whether or not its score is below the clear level"
    )


def test_who_judges_alone_recommends_nothing_whatever_is_proven():
    cases = itertools.product((False, True), repeat=6)
    names = ("closed", "cleared", "proven", "shared", "allowed", "validated")
    for case in cases:
        assert not rule(**dict(zip(names, case, strict=True)), alone=True)[0]
    assert "sees its share only" in rule(alone=True)[1]


def test_nothing_proven_counts_before_the_address_is_asked_for():
    assert "SYNs can be forged" in rule(proven=False, shared=True)[1]


def test_where_nobody_can_forge_an_address_nothing_is_said_of_forging():
    assert rule(proven=False, validated=True)[1].startswith("too little for a block: ")


def test_grounds_name_what_is_proven_and_what_is_missing():
    assert grounds(PROOF, None, proven=False, enough=201).text == FORTY
    lacking = grounds(PROOF, MISSING, proven=False, enough=201)
    assert lacking.text == f"{FORTY}; {MISSING.text}"
    assert lacking.figures["missing"]["figures"]["servers_needed"] == 5
    assert grounds(PROOF, MISSING, proven=True, enough=200).text == FORTY


def test_of_who_would_not_be_accused_now_it_is_said_so():
    assert grounds(PROOF, MISSING, proven=False, enough=PROOF.centibans).text == FORTY
    recommended, why = rule(proven=False, fallen=True)
    assert not recommended
    assert why.startswith("the score is below the level at which alerts are raised. The host")


def test_what_was_proven_in_the_alert_stays_so_when_its_windows_have_run_out():
    before = grounds(PROOF, MISSING, proven=True, enough=201)
    assert (before.code, before.text) == ("proof.before", "enough new destinations before")
