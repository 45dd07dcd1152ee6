"""An abuse report as XARF's own library reads it."""

import base64
import json

import msgspec
import pytest
import xarf

from lab.alerts import alert
from sensor.alerts.alert import Alert
from sensor.sinks.xarf import report


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8:1:100::/56", "100.64.0.7:1024-2047"])
def test_xarfs_own_library_takes_it(host):
    one = alert(host)
    made = report(one, "Example Net", "abuse@isp.example")
    read = xarf.parse(json.dumps(made))
    assert [error.message for error in read.errors] == []
    assert made["source_identifier"] == host.partition("/")[0].partition(":1024")[0]
    assert made.get("source_port") == (1024 if "1024" in host else None)
    told = base64.b64decode(made["evidence"][0]["payload"])
    assert msgspec.json.decode(told, type=Alert) == one
