"""Decoded segments equal tshark's, field by field, on every capture it can read.

tshark runs without IP reassembly: the sensor decodes a first fragment by itself and counts the
others (``fragment``).
"""

import subprocess

import msgspec
import pytest

from sensor.capture.merge import Captures
from sensor.decode.decoder import Decoder
from sensor.decode.segment import TCP, describe
from tests.conftest import PCAPS, SHARED, in_a_process, port25, shared_captures

FIELDS = (
    *("frame.number", "frame.time_epoch", "frame.protocols", "vlan.id"),
    *("ip.src", "ip.dst", "ipv6.src", "ipv6.dst"),
    *("tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.len"),
)

LAYERS = {  # tshark's name of a layer: ours
    "mpls": "mpls",
    "pppoes": "pppoe",
    "gre": "gre",
    "erspan": "erspan",
    "vxlan": "vxlan",
    "geneve": "geneve",
    "gtp": "gtpu",
    "teredo": "teredo",
}

DIFFERENCES = {
    "frag-eth-vlan-ip-tcp-syn.pcap": (
        {1},
        "the first fragment ends inside the TCP header: malformed to us; tshark shows the ports",
    ),
    "zeek--pppoe-over-qinq.pcap": (
        {19, 33, 41, 47, 63, 81},
        "IP claims six bytes more than PPPoE (Ethernet padding that was tunnelled along): tshark "
        "believes PPPoE, we the IP header, as TCP itself does",
    ),
    "zeek--tunnels--gre-aruba-amsdu.pcap": (
        {1},
        "IEEE 802.11 frames inside GRE: no mirror of a provider's uplink carries them",
    ),
}
"""Frames decoded differently on purpose, by the end of the file's name, and why.

One difference is of all files: of a first fragment tshark gives no ``tcp.len``, and we the bytes
that fragment carries.
"""

DAMAGED = {"10.7.29.101_49898-178.63.41.150_25.pcap": "claims 3,925,868,813 bytes"}
"""Captures with a damaged record, where tshark stops as well, and what we say."""

FILES = [*sorted(PCAPS.glob("*.pcap")), *shared_captures()]


def tshark_segments(tshark, path):
    """What tshark says, in our words; the innermost values of each field."""
    command = [tshark, "-r", str(path), "-n", "-Y", "tcp && !icmp && !icmpv6", "-T", "fields"]
    for preference in ("ip.defragment", "ipv6.defragment", "tcp.relative_sequence_numbers"):
        command += ["-o", f"{preference}:FALSE"]
    for name in FIELDS:
        command += ["-e", name]
    command += ["-E", "occurrence=a", "-E", "separator=|", "-E", "aggregator=;"]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for line in out.splitlines():
        row = dict(zip(FIELDS, line.split("|"), strict=True))
        last = {name: value.split(";")[-1] for name, value in row.items()}
        protocols = row["frame.protocols"].split(":")
        below = protocols[: len(protocols) - protocols[::-1].index("tcp")]
        six = [p for p in below if p in ("ip", "ipv6")][-1] == "ipv6"
        seconds, _, fraction = row["frame.time_epoch"].partition(".")
        found[int(row["frame.number"])] = {
            "frame": int(row["frame.number"]),
            "ts": int(seconds) * 10**9 + int(fraction.ljust(9, "0")),
            "src": last["ipv6.src" if six else "ip.src"],
            "dst": last["ipv6.dst" if six else "ip.dst"],
            "sport": int(last["tcp.srcport"]),
            "dport": int(last["tcp.dstport"]),
            "seq": int(last["tcp.seq_raw"] or 0),
            "ack": int(last["tcp.ack_raw"] or 0),
            "flags": int(last["tcp.flags"] or "0", 16),
            "len": int(last["tcp.len"]) if last["tcp.len"] else None,
            "vlan": int(row["vlan.id"].split(";")[0]) if row["vlan.id"] else None,
            "layers": [LAYERS[p] for p in below if p in LAYERS],
        }
    return found


def our_segments(path):
    decoder = Decoder(None)
    captures = Captures([str(path)])
    found = {}
    for block in captures:
        rows = decoder.decode(block)
        for row in rows[rows["kind"] == TCP]:
            segment = describe(row)
            assert segment["captured"] <= max(segment["len"], 0)
            del segment["captured"]
            names = segment.pop("tunnels")
            segment["layers"] = [n for n in names if n in LAYERS.values()]
            if "erspan" in names:  # tshark lists the GRE below it as well
                segment["layers"].insert(segment["layers"].index("erspan"), "gre")
            found[segment["frame"]] = segment
    return found, decoder, captures


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_equals_tshark(tshark, path):
    expected = tshark_segments(tshark, path)
    found, decoder, captures = our_segments(path)
    for end, (frames, _) in DIFFERENCES.items():
        for number in frames if path.name.endswith(end) else ():
            assert found.pop(number, None) != expected.pop(number, None), "no longer different"
    for number, segment in expected.items():
        if segment["len"] is None:
            found[number]["len"] = None
    assert found == expected
    assert decoder.counts.sum() == sum(len(block.frames) for block in Captures([str(path)]))
    faults = " ".join(map(str, captures.faults))
    assert DAMAGED[path.name] in faults if path.name in DAMAGED else not faults


def test_the_peers_captures_are_there():
    if not SHARED.exists():
        pytest.skip("no ../shared/captures beside this checkout: compared on the fixtures alone")
    assert len(shared_captures()) > 90


def syns_by_pyshark(path, tshark):
    import pyshark

    syns = "tcp.flags.syn==1"
    with pyshark.FileCapture(str(path), display_filter=syns, tshark_path=tshark) as capture:
        return [(int(p.number), p.ip.src, p.ip.dst) for p in capture]


def test_pyshark_reads_the_same_sessions(tshark):
    path = PCAPS / "home_user.pcap"
    theirs = in_a_process(syns_by_pyshark, path, tshark)
    ours = [
        (s["frame"], s["src"], s["dst"]) for s in our_segments(path)[0].values() if s["flags"] & 2
    ]
    assert theirs == ours


def test_the_command_prints_the_same():
    path = PCAPS / "worm.pcap"
    out = port25("segments", str(path), check=True).stdout
    lines = [msgspec.json.decode(line) for line in out.splitlines()]
    found = our_segments(path)[0]
    assert [line["frame"] for line in lines] == list(found)
    keys = [
        "frame",
        "ts",
        "src",
        "dst",
        "sport",
        "dport",
        "seq",
        "ack",
        "flags",
        "len",
        "captured",
        "vlan",
        "tunnels",
    ]
    assert all([k for k in line if k != "duplicate"] == keys for line in lines)
