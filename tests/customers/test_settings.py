"""What cannot be together with a source of leases is refused, whichever source it is."""

import pytest

from sensor.settings import SettingsError, parse_settings

SOURCES = {
    "file": '[customers]\nfile = "/x"\n',
    "radius": '[customers.radius]\nlisten = "127.0.0.1:1813"\n',
    "kea": '[customers.kea]\nfiles = ["/x"]\n',
    "dhcp": '[customers.dhcp]\ninterfaces = ["eth3"]\n',
    "cgn_log": '[customers.cgn_log]\nlisten = "127.0.0.1:5140"\n',
    "ipfix": '[customers.ipfix]\nlisten = "127.0.0.1:4739"\n',
    "resolver": '[customers.resolver]\nurl = "https://ipam.isp.example/"\n',
    "cgn": "[customers]\ncgn = [{inside = '10.0.0.0/30', outside = '203.0.113.1', ports = 9000}]\n",
}
OTHERS = {
    "[live]\nworkers = 2\n": "live.workers: 1 is all where customers are known",
    '[cluster]\nmode = "forward"\n[kafka]\nbootstrap = ["b:9092"]\n': "customers: nobody is known",
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("source", SOURCES)
def test_with_several_workers_or_who_correlates(source, other):
    assert parse_settings(SOURCES[source]) and parse_settings(other)
    with pytest.raises(SettingsError) as error:
        parse_settings(SOURCES[source] + other)
    assert OTHERS[other] in str(error.value)
