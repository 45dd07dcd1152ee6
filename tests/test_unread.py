"""A capture of which nothing could be read is no all-clear."""

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab.frames import pcap, write
from tests.conftest import port25

WEB = bytes(Ether(dst="02:00:00:00:00:01") / IP(src="203.0.113.7") / TCP(dport=443))
LATER = bytes(Ether(dst="02:00:00:00:00:01") / IP(frag=9, proto=6) / Raw(bytes(40)))
SECRET = bytes(Ether(dst="02:00:00:00:00:01") / IP(proto=50) / Raw(bytes(40)))
UNKNOWN = bytes(Ether(dst="02:00:00:00:00:01") / IP() / UDP(dport=51820, sport=9) / Raw(bytes(40)))


@pytest.mark.parametrize(
    ("frame", "link", "why"),
    [
        (WEB, 147, "link type that is not supported (147)"),
        (LATER, 1, "fragments"),
        (SECRET, 1, "encrypted or unknown tunnels"),
        (UNKNOWN, 1, "UDP other than DNS and known tunnels"),
    ],
)
def test_nothing_read(tmp_path, frame, link, why):
    path = write(tmp_path / "a.pcap", pcap([(10**18, frame)] * 3, link=link))
    done = port25("impact", "-q", path)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 1
    assert "nothing can be concluded" in out
    assert why in err


def test_nothing_on_port_25_is_said_and_fine(tmp_path):
    path = write(tmp_path / "a.pcap", pcap([(10**18, WEB)] * 3))
    done = port25("segments", path)
    err = done.stderr.decode()
    assert done.returncode == 0
    assert "3 frames were read, none of port 25" in err
