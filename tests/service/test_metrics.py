"""What Prometheus reads."""

from sensor.pipeline import Pipeline
from sensor.service.metrics import Collector
from sensor.service.rehearsal import LEAST
from sensor.settings import Settings


def test_every_counter_of_the_pipeline_has_a_meaning():
    pipeline = Pipeline(Settings(limits=LEAST))
    shown = {family.name for family in Collector(pipeline.counters).collect()}
    assert {"port25_frames", "port25_hosts", "port25_inbound_messages"} <= shown
