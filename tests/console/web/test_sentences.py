"""The page says what the sensor says, in both languages: asked of the page itself, in Chromium."""

import datetime
import itertools
import re

import msgspec
import numpy as np
import pytest

from lab.alerts import FIRST_CONTACT, alert, closed
from lab.browser import browsing
from lab.web import serving
from sensor.alerts.recommend import grounds, recommend
from sensor.base.sentences import LANGUAGES, Sentence, in_words, render, sentence
from sensor.blocking.bounds import Bounds
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.subscribers import Exemption
from sensor.hosts.windows import WINDOWS
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.blocking.test_policy import PREFIXES, Desk, at
from tests.conftest import needs

pytestmark = pytest.mark.xdist_group("browser")
NAMES = r"fan_out|first_contact|[a-z0-9.]+/\d+|blocking\.\w+|port25 resume|mary|contract 4711"
"""What is the same in every language."""


@pytest.fixture
def page(state):
    """What the page makes of sentences in a language; the text for those it does not know."""
    needs("chromium")
    with serving(state) as server, browsing(server.printed) as desk:
        page = desk.go("/")

        def says(sentences, language):
            page.locator("select[name=language]").select_option(language)
            module = page.locator("script[type=module]").get_attribute("src")
            script = (
                "([module, all]) => import(new URL('sentences.js', new URL(module, location)))"
                ".then(({ said }) => all.map((one) => said(one.code, one.figures, 'unknown')))"
            )
            return page.evaluate(script, [module, msgspec.to_builtins(sentences)])

        yield says


def alike(page, sentences):
    """The Japanese of sentences, which the page says in both languages as everybody else does."""
    for language in LANGUAGES:
        told = page(sentences, language)
        assert told == [render(one.code, one.figures, language) for one in sentences]
    assert "unknown" not in told
    return told


def untranslated(texts) -> list[str]:
    names = rf"{NAMES}|SYN|RST|MX|TLS|Kafka"
    return [t for t in texts if re.search("[A-Za-z]{2}", re.sub(names, "", t))]


def evidences(number: int):
    """All kinds of hosts: nothing known to full counters, any count alone or beside others."""
    rng = np.random.default_rng(25)
    for _ in range(number):
        most = int(rng.choice([1, 2, 20, 400]))
        counts = np.sort(rng.integers(0, most + 1, (len(Count), len(WINDOWS))), axis=1)
        counts *= rng.integers(0, 2, (len(Count), 1))
        facts = rng.integers(0, 40, len(Fact))
        facts[Fact.NEW_SQUARED] = facts[Fact.NEW] ** 2 * rng.integers(0, 3)
        yield Evidence(counts.astype(np.int64), facts.astype(np.int64))


def test_whatever_detectors_find(page):
    model = Pipeline(Settings()).model
    found = {}
    for evidence in evidences(2000):
        for finding in model.explain(evidence):
            found[finding.reason] = Sentence(finding.code, finding.figures)
        proof = model.proof.explain(evidence)
        missing = model.proof.missing(proof)
        for cases in itertools.product((False, True), repeat=4):
            closed, cleared, proven, shared = cases
            words = grounds(proof, missing, proven, enough=200)
            reason = recommend(
                closed=closed, cleared=cleared, proven=proven, shared=shared, grounds=words
            ).reason
            found[reason.text] = reason
    shapes = {re.sub(r"[\d.,]+", "0", text) for text in found}
    assert len(shapes) > 60, "too few kinds of hosts"
    assert untranslated(alike(page, list(found.values()))) == []
    figures = {
        "window": "1 h", "total": 282, "up": 6.0, "down": -6.0, "answered": 22, "failed": 260,
        "limit": 20.0,
    }  # fmt: skip
    first_contact = Sentence("first_contact.failed", figures)
    assert first_contact.text == FIRST_CONTACT
    assert page([first_contact], "ja") == [
        "1 時間で初回接続 282 件中 260 件が失敗: 260 × +6.0 と 22 × -6.0 (上限 +20.0)"  # noqa: RUF001
    ]


def test_whatever_is_decided(page, tmp_path):
    until = datetime.date(2023, 11, 20)
    bounds = Bounds(PREFIXES, ("203.0.113.8",), (Exemption("203.0.113.9", "contract 4711", until),))
    settings = (
        {}, {}, {"bounds": bounds}, {"flood": 2},
        {"max_blocks": 1, "max_share": 0.5}, {"max_share": 0.00001}, {"max_per_minute": 1},
        {"max_per_minute": 2},
    )  # fmt: skip
    desks = []
    for number, given in enumerate(settings):
        (tmp_path / str(number)).mkdir()
        desks.append(Desk(tmp_path / str(number), **given))
    for desk in desks:
        desk.take(alert())
    desks[0].take(closed(at=200))
    desks[0].take(alert(at=300, opened=300))
    desks[0].ledger.expire(at(10 * 86_400))
    desks[1].ledger.release(lambda _: True, at(60), "contract 4711", "mary")
    desks[1].take(alert(at=600, state="refreshed", revision=2))
    for host in ("203.0.113.8", "203.0.113.9", "198.51.100.1", "100.65.0.8", "203.0.113.0/24"):
        desks[2].take(alert(host))
    for desk in desks[3:]:
        desk.take(alert("203.0.113.11"), alert("203.0.113.12"), alert("203.0.113.13"))
    for when in (700, 1400):
        desks[-1].take(alert("203.0.113.14", at=when, opened=when))
    decided = [entry.decision for desk in desks for entry in desk.ledger.page()]
    kinds = {decision.action for decision in decided}
    assert kinds == {"block", "release", "refuse", "stop", "step", "resume", "alarm"}
    for one in decided:
        assert one.reasons == [cause.text for cause in one.causes] or one.by == "mary"
    causes = {cause.text: cause for one in decided for cause in one.causes}
    told = alike(page, list(causes.values()))
    assert untranslated(told) == []
    assert "mary が解除: contract 4711" in told


def test_what_people_and_the_network_wrote_stays(page):
    words = ["a customer's mail server", "<b>$&\u202e", "{by} [x]", "It is 5 of 6", ""]
    told = [sentence("policy.released", by="mary", reason=text) for text in words]
    assert alike(page, told) == [f"mary が解除: {text}" for text in words]


def test_what_is_not_known_stays_as_it_is_in_english(page):
    strange = [
        Sentence(""),
        Sentence("fan_out.of_tomorrow", {"n": 1}),
        Sentence("fan_out.usual", {}),
        Sentence("first_contact.failed", {"window": "1 h", "failed": "many"}),
        Sentence("block.proven", {"grounds": {"code": 5, "figures": None}}),
        Sentence("block.proven", {"grounds": None}),
    ]
    assert page(strange, "ja") == ["unknown"] * len(strange)
    for one in strange:
        assert in_words(one.code, one.figures, "unknown", "ja") == "unknown"
