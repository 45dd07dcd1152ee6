"""Whose an address is, by tables of three kinds; broken ones say file and line."""

import ipaddress

import numpy as np
import pytest

from sensor.console.networks import Networks, NetworksError

CSV = """prefix,asn,name
192.0.2.0/24,64500,"Outer, Inc."
192.0.2.128/25,AS64501,Inner\u202e
2001:db8::/32,64502,Six
"""
PYASN = "; IP-ASN32-DAT file\n192.0.2.0/24\t64500\n192.0.2.128/25\t64501\n2001:db8::/32\t64502\n"


def test_the_longest_prefix_counts_and_names_are_printable(tmp_path):
    (tmp_path / "as.csv").write_text(CSV)
    found = Networks(str(tmp_path / "as.csv"))
    assert found.of("192.0.2.1") == (64500, "Outer, Inc.")
    assert found.of("192.0.2.200") == (64501, "Inner\\u202e")
    assert found.of("2001:db8:9::1") == (64502, "Six")
    assert found.of("198.51.100.1") == found.of("2001:db9::") == (0, "")
    (tmp_path / "new").write_text("192.0.2.0/24,1,Other\n")
    (tmp_path / "new").replace(tmp_path / "as.csv")
    assert found.of("192.0.2.200") == (1, "Other"), "a file that was replaced is read again"


def test_a_table_as_pyasn_writes_it(tmp_path):
    (tmp_path / "as.dat").write_text(PYASN)
    assert Networks(str(tmp_path / "as.dat")).of("192.0.2.200") == (64501, "")


def test_any_address_is_as_the_long_way_says(tmp_path):
    rng = np.random.default_rng(7)
    prefixes = {}
    for k in range(400):
        length = int(rng.integers(1, 33))
        first = int(rng.integers(0, 1 << 32)) >> (32 - length) << (32 - length)
        prefixes[ipaddress.ip_network((first, length))] = k + 1
    (tmp_path / "t").write_text("".join(f"{p},{k}\n" for p, k in prefixes.items()))
    table = Networks(str(tmp_path / "t"))
    for number in rng.integers(0, 1 << 32, 300):
        address = ipaddress.ip_address(int(number))
        holding = [p for p in prefixes if address in p]
        best = prefixes[max(holding, key=lambda p: p.prefixlen)] if holding else 0
        assert table.of(str(address)).number == best


@pytest.mark.parametrize(("text", "said"), [
    ("192.0.2.0/24,x,y", "line 1: expected prefix,asn"), ("\n300.0.0.0/8,1", "line 2"),
    ("192.0.2.0/24", "line 1"), ("192.0.2.0/24,-1", "line 1"), ("\ud800", "utf-8"),
])  # fmt: skip
def test_a_broken_table_says_where(tmp_path, text, said):
    (tmp_path / "t").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(NetworksError, match=said):
        Networks(str(tmp_path / "t")).of("192.0.2.1")
    with pytest.raises(NetworksError, match="No such file"):
        Networks(str(tmp_path / "nowhere")).of("192.0.2.1")


def packed(value):
    """A value as a MaxMind database has it (format 2.0): maps, texts, numbers, lists of texts."""
    if isinstance(value, str):
        text = value.encode()
        size = [2 << 5 | len(text)] if len(text) < 29 else [2 << 5 | 29, len(text) - 29]
        return bytes(size) + text
    if isinstance(value, int):
        return bytes([6 << 5 | 4]) + value.to_bytes(4, "big")
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(packed, value))
    pairs = b"".join(packed(k) + packed(v) for k, v in value.items())
    return bytes([7 << 5 | len(value)]) + pairs


def test_a_maxmind_database(tmp_path):
    pytest.importorskip("maxminddb", reason="maxminddb is not installed")
    data = packed({"autonomous_system_number": 64500, "autonomous_system_organization": "Max"})
    nodes = 8  # the way to 192.0.0.0/8; everything else is empty
    bits = f"{192:08b}"
    tree = b""
    for k, bit in enumerate(bits):
        onward = k + 1 if k + 1 < nodes else nodes + 16
        pair = [nodes, onward] if bit == "1" else [onward, nodes]
        tree += b"".join(one.to_bytes(3, "big") for one in pair)
    about = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1,
        "database_type": "ASN", "ip_version": 4, "languages": ["en"], "description": {},
        "node_count": nodes,
        "record_size": 24,
    }  # fmt: skip
    whole = tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + packed(about)
    (tmp_path / "asn.mmdb").write_bytes(whole)
    found = Networks(str(tmp_path / "asn.mmdb"))
    assert found.of("192.0.2.1") == (64500, "Max") and found.of("10.0.0.1") == (0, "")
    assert found.of("2001:db8::1") == (0, ""), "a database of IPv4 alone"
    (tmp_path / "bad.mmdb").write_bytes(b"no database")
    with pytest.raises(NetworksError, match=r"bad\.mmdb"):
        Networks(str(tmp_path / "bad.mmdb")).of("192.0.2.1")
