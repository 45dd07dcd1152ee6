"""What kind of abuse it is: by what only that kind shows."""

import numpy as np
import pytest

from sensor.alerts.abuse import KINDS, kind_in_words, kind_of
from sensor.base.sentences import CATALOGUES
from sensor.hosts.evidence import Count, Fact


def kind(facts=(), **counts) -> str:
    seen, known = np.zeros((len(Count), 5), np.int64), np.zeros(len(Fact), np.int64)
    for name, value in counts.items():
        seen[Count[name.upper()]] = value
    for name, value in dict(facts).items():
        known[Fact[name.upper()]] = value
    return KINDS[kind_of(seen, known)]


CUTWAIL = {"first_answered": 90, "first_failed": 10, "rejected": 40, "accepted": 30, "rude": 90}
WORM = {"first_answered": 40, "first_failed": 60, "rejected": 10, "accepted": 25, "rude": 40}
FILTERED = {
    "networks": 230, "first_answered": 8, "first_failed": 340, "rejected": 8, "rude": 8
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "counts", "expected"),
    [
        ({"mails": 90, "to_domains": 80}, CUTWAIL, "spam"),
        ({"mails": 40, "to_domains": 40}, WORM, "worm"),
        ({"mails": 8, "to_domains": 8}, FILTERED, "spam"),
        ({}, {"mailed": 20, "polite": 40}, "spam"),
        ({"logins_refused": 20, "wordless": 69, "mails": 1}, {"rude": 30}, "credential guessing"),
        ({"logins_refused": 3}, {"rude": 3}, "unknown"),
        (
            {"mails": 200, "to_domains": 1},
            {"networks": 150, "rejected": 140, "accepted": 1, "rude": 200},
            "relay testing",
        ),
        ({"mails": 200, "to_domains": 3}, {"networks": 40, "rejected": 40, "rude": 90}, "spam"),
        ({}, {"policy": 37, "rude": 37}, "spam"),
        ({}, {"policy": 30, "rude": 70}, "scanning"),
        ({"wordless": 60}, {"first_answered": 60, "first_failed": 300}, "scanning"),
        ({}, {"polite": 70}, "scanning"),
        ({}, {"first_answered": 300, "first_proven": 300, "networks": 300}, "unknown"),
        ({}, {"first_failed": 300}, "unknown"),
    ],
    ids=[
        "spam", "worm", "a filtered path", "under TLS", "stolen accounts", "a family's passwords",
        "relays", "three webmail providers", "turned away by all", "turned away by some",
        "census", "TLS tester", "headers only", "only SYNs",
    ],
)  # fmt: skip
def test_each_kind(facts, counts, expected):
    assert kind(facts, **counts) == expected


@pytest.mark.parametrize("one", KINDS)
def test_each_has_a_sentence_in_every_language(one):
    code = kind_in_words(one).code
    assert all(code in catalogue for catalogue in CATALOGUES.values())
