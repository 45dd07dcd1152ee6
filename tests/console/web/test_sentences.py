"""Every sentence of the sensor has its Japanese: asked of the page itself, in Chromium."""

import datetime
import itertools
import re

import numpy as np
import pytest

from lab.alerts import FIRST_CONTACT, alert, closed
from lab.browser import browsing
from lab.web import serving
from sensor.alerts.recommend import grounds, recommend
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
def japanese(state):
    """Sentences in, what the page makes of them out."""
    needs("chromium")
    with serving(state) as server, browsing(server.printed) as desk:
        page = desk.go("/")
        page.locator("select[name=language]").select_option("ja")
        module = page.locator("script[type=module]").get_attribute("src")
        script = (
            "([module, texts]) => import(new URL('sentences.js', new URL(module, location)))"
            ".then(({ said }) => texts.map(said))"
        )
        yield lambda texts: page.evaluate(script, [module, texts])


def untranslated(texts) -> list[str]:
    return [t for t in texts if re.search("[A-Za-z]{2}", re.sub(rf"{NAMES}|SYN|MX|Kafka", "", t))]


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


def test_whatever_detectors_find(japanese):
    model = Pipeline(Settings()).model
    texts = set()
    for evidence in evidences(2000):
        texts |= {finding.reason for finding in model.explain(evidence)}
        proof = model.proof.explain(evidence)
        missing = model.proof.missing(proof)
        for cases in itertools.product((False, True), repeat=4):
            closed, cleared, proven, shared = cases
            words = grounds(proof, missing, proven, enough=200)
            texts.add(
                recommend(
                    closed=closed, cleared=cleared, proven=proven, shared=shared, grounds=words
                ).reason
            )
    shapes = {re.sub(r"[\d.,]+", "0", text): text for text in texts}
    assert len(shapes) > 60, "too few kinds of hosts"
    assert untranslated(japanese(sorted(shapes.values()))) == []
    assert japanese([FIRST_CONTACT]) == [
        "1 時間で初回接続 282 件中 260 件が失敗: 260 × +6.0 と 22 × -6.0 (上限 +20.0)"  # noqa: RUF001
    ]


def test_whatever_is_decided(japanese, tmp_path):
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
    texts = sorted(
        {reason for decision in decided for reason in decision.reasons} - {"contract 4711"}
    )
    told = japanese(texts)
    assert untranslated(told) == []
    assert "mary が解除: contract 4711" in told


def test_what_people_and_the_network_wrote_stays(japanese):
    texts = ["a customer's mail server", "<b>$&\u202e", "It is 5 of 6", ""]
    assert japanese(texts) == texts
