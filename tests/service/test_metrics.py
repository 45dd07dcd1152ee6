"""What Prometheus reads."""

import re

from sensor.pipeline import Pipeline
from sensor.service.metrics import GAUGES, LABELLED, MEANINGS, Collector
from sensor.service.rehearsal import LEAST
from sensor.settings import Settings


def test_every_counter_of_the_pipeline_has_a_meaning():
    pipeline = Pipeline(Settings(limits=LEAST))
    shown = {family.name for family in Collector(pipeline.counters).collect()}
    assert {"port25_frames", "port25_hosts", "port25_inbound_messages"} <= shown


def test_each_meaning_is_understood_without_those_around_it():
    """Prometheus shows one alone."""
    said = {**GAUGES, **MEANINGS, **{name: one.said for name, one in LABELLED.items()}}
    leans = re.compile(
        r"^(the same|such|those|times they)\b|\bof them\b|^\w+ in them$|\bthat topic\b"
    )
    assert {name: text for name, text in said.items() if leans.search(text)} == {}
