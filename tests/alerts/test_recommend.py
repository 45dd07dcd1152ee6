"""The rule for recommending a block, each way through it; and that alerts say what it says."""

import itertools

import pytest

from detectors.detector import Finding
from sensor.alerts.recommend import grounds, recommend

PROOF = Finding("proof", 200, "40 networks", {})


def rule(**given: bool) -> tuple[bool, str]:
    case = {"closed": False, "cleared": False, "proven": True, "shared": False, **given}
    return recommend(**case, grounds="40 networks")


def test_enough_is_proven_of_one_customer():
    assert rule() == (True, "the host itself spoke to 40 networks")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"proven": False}, "SYNs can be forged, and what is proven is not enough: 40 networks"),
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


def test_nothing_proven_counts_before_the_address_is_asked_for():
    assert "SYNs can be forged" in rule(proven=False, shared=True)[1]


def test_grounds_name_what_is_proven_and_what_is_missing():
    assert grounds(PROOF, "", proven=False, enough=200) == "40 networks"
    assert grounds(PROOF, "5 more", proven=False, enough=200) == "40 networks; 5 more"
    assert grounds(PROOF, "5 more", proven=True, enough=200) == "40 networks"


def test_what_was_proven_in_the_alert_stays_so_when_its_windows_have_run_out():
    assert grounds(PROOF, "5 more", proven=True, enough=201) == "enough new destinations before"
