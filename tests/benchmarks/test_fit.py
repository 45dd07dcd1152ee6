"""What ``docs/fit.md`` says of the detectors is what the data say."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fit
from benchmarks.fit import (
    BAD,
    KINDS,
    NAMES,
    Data,
    above_the_honest,
    fitted,
    gathered,
    held_out,
    isotonic,
    worth_alone,
)
from tests.conftest import ROOT


def data(says_of, hosts: int = 40, seed: int = 5) -> Data:
    """``hosts`` of each kind; ``says_of(rng, is bad)`` are the decibans of one."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((hosts * len(KINDS), len(NAMES)))
    kind = np.repeat(np.arange(len(KINDS)), hosts)
    for n, k in enumerate(kind):
        first = says_of(rng, KINDS[k] in BAD)
        rows[n, : len(first)] = first
    return Data(rows, kind)


def _normal(rng, bad: bool, worth: float = 6.0) -> float:
    """Decibans that are right: their log-likelihood ratio is what they are."""
    nats = worth * np.log(10) / 10
    return rng.normal(nats if bad else -nats, np.sqrt(2 * nats)) / np.log(10) * 10


def test_who_says_what_is_has_a_factor_of_one():
    found = fitted(data(lambda rng, bad: [_normal(rng, bad), _normal(rng, bad)]))
    assert found.factors[:2] == pytest.approx([1, 1], abs=0.15)


def test_who_repeats_another_has_half_of_it():
    def twins(rng, bad):
        once = _normal(rng, bad)
        return [once, once]

    found = fitted(data(twins))
    assert found.factors[:2].sum() == pytest.approx(1, abs=0.2)
    assert found.factors[0] == pytest.approx(found.factors[1], abs=0.05)


def test_who_says_the_contrary_has_none_and_never_less():
    found = fitted(data(lambda rng, bad: [_normal(rng, bad), -_normal(rng, bad)]))
    assert found.factors[1] == 0 and (found.factors >= 0).all()


def test_who_says_nothing_keeps_one():
    assert (fitted(data(lambda rng, bad: [_normal(rng, bad)])).factors[1:] == 1).all()


def test_a_kind_is_judged_without_itself():
    """One kind says the contrary of all others: its own data would have told that."""
    told = data(lambda rng, bad: [_normal(rng, bad, 12.0)])
    liar = KINDS.index("Cutwail")
    told.says[told.kind == liar, 0] *= -1
    sums, span = held_out(told, 0.01)
    factors = fitted(told.without(liar)).factors
    assert span[1, 0] >= factors[0] - 0.1
    assert sums[told.kind == liar].mean() < 0


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_isotonic_is_the_least_squares_fit(values, random):
    y = np.array(values, float)
    weight = np.array([random.uniform(0.1, 3) for _ in values])
    found = isotonic(y, weight)
    assert (np.diff(found) >= -1e-9).all()
    assert np.average(found, weights=weight) == pytest.approx(np.average(y, weights=weight))
    for level in np.unique(found):  # each pool is its own mean: the condition of the optimum
        pool = found == level
        assert level == pytest.approx(np.average(y[pool], weights=weight[pool]))


def test_worth_alone_rises_and_counts_each_host_once():
    told = data(lambda rng, bad: [round(_normal(rng, bad))])
    steps = worth_alone(told, 0)
    worths = [worth for _, _, worth, _ in steps]
    assert worths == sorted(worths) and len(steps) > 3
    assert sum(hosts for *_, hosts in steps) == len(told.kind)
    assert all(low <= high for low, high, *_ in steps)


@pytest.mark.slow
def test_hosts_of_some_kinds_are_gathered_and_told_of(tmp_path):
    some = gathered(2, 3, 1, ["Cutwail", "newsletter", "office"])
    assert some.says.shape == (6, len(NAMES))
    assert some.says[some.bad].sum(axis=1).min() > 50 > some.says[~some.bad].sum(axis=1).max()
    assert gathered(2, 3, 1, ["Cutwail", "newsletter", "office"]).digest == some.digest
    text, figures = fit.page(some, "a command")
    assert some.digest[:16] in text and figures["digest"] == some.digest
    assert json.dumps(figures)


def test_the_page_is_of_its_figures():
    found = json.loads((ROOT / "docs" / "fit.json").read_text())
    text = (ROOT / "docs" / "fit.md").read_text()
    assert found["digest"][:16] in text and found["command"] in text
    assert set(found["factors"]) == set(NAMES), "make fit: a detector is new"
    for name, factor in found["factors"].items():
        assert f"| {name} | {factor:.2f} |" in text


def test_who_is_above_the_honest_is_found_at_some_level_without_a_false_one():
    told = data(lambda rng, bad: [1.0 if bad else 0.0], hosts=1)
    sums = told.says[:, 0].copy()
    assert above_the_honest(told, sums) == told.bad.sum()
    sums[np.flatnonzero(~told.bad)[0]] = 1.0
    assert above_the_honest(told, sums) == 0
