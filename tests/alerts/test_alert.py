import doctest
import json

import msgspec

from sensor.alerts import alert, notice
from sensor.base import addresses
from sensor.blocking import acts, decision
from sensor.hosts import subscribers
from tests.conftest import ROOT


def test_the_published_schemas_are_the_programs():
    for name, schema in (
        ("alert", alert.json_schema()),
        ("notice", notice.json_schema(notice.Notice)),
        ("health", notice.json_schema(notice.Health)),
        ("decision", decision.json_schema()),
        ("act", acts.json_schema()),
    ):
        published = json.loads((ROOT / "docs" / f"{name}.schema.json").read_text())
        assert published == schema, "run: make schema"


def test_ids_depend_on_host_and_moment_alone():
    first = alert.alert_id("192.0.2.1", 5)
    assert first == alert.alert_id("192.0.2.1", 5)
    assert len({first, alert.alert_id("192.0.2.1", 6), alert.alert_id("192.0.2.2", 5)}) == 3


def test_every_field_survives_json():
    decoder = msgspec.json.Decoder(alert.Alert)
    schema = alert.json_schema()
    assert set(schema["$defs"]["Alert"]["properties"]) == set(alert.Alert.__struct_fields__)
    assert decoder.type is alert.Alert


def test_docstrings_tell_the_truth():
    assert doctest.testmod(alert).failed == 0
    assert doctest.testmod(addresses).failed == 0
    assert doctest.testmod(subscribers).failed == 0
