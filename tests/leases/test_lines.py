"""Leases as they are written: what is read, and why the rest is not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.base.addresses import MAPPED
from sensor.hosts.customer_key import customer_key, is_customer, parse_pseudonym, pseudonym
from sensor.leases.lines import LineError, Reader, Told, pieces

NS = 1_750_000_000 * 10**9
READER = Reader(b"0123456789abcdef", 24, 40)
ALICE = customer_key("alice", b"0123456789abcdef")
PLAIN = {"from": str(NS), "until": "", "prefix": "203.0.113.7", "ports": "", "customer": "alice"}


def line(**values):
    return ",".join((PLAIN | {k.rstrip("_"): v for k, v in values.items()}).values())


def told(**values):
    return list(READER.read(line(**values)))


def test_times_are_rfc_3339_or_nanoseconds():
    (one,) = told(from_="2025-06-15T15:06:40Z", until="2025-06-15T17:06:40.000001+02:00")
    assert one == Told(NS, NS + 1000, 0, MAPPED | 0xCB007107, 0, 128, ALICE)
    assert told(from_="2025-06-15T15:06:40Z") == told(from_=str(NS))
    assert told()[0].until == 0


def test_prefixes():
    assert told(prefix="203.0.113.0/25")[0].bits == 121
    (six,) = told(prefix="2001:db8:1::/56")
    assert (six.hi, six.lo, six.bits) == (0x20010DB800010000, 0, 56)


def test_json_lines_have_the_same_keys():
    assert list(READER.read(json.dumps(PLAIN))) == told()
    assert list(READER.read(json.dumps(PLAIN | {"from": NS, "until": None}))) == told()


def test_a_name_with_a_comma_stands_in_quotes():
    key = customer_key('a, "b"', b"0123456789abcdef")
    assert told(customer='"a, ""b"""')[0].customer == key


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"from_": "yesterday"}, "time"),
        ({"from_": "2025-06-15T15:06:40"}, "time"),
        ({"from_": ""}, "time"),
        ({"from_": "-5"}, "time"),
        ({"until": "9" * 30}, "time"),
        ({"until": str(NS)}, "backwards"),
        ({"until": str(NS - 1)}, "backwards"),
        ({"prefix": "203.0.113.7/24"}, "prefix"),
        ({"prefix": "203.0.113.256"}, "prefix"),
        ({"prefix": "ff02::1"}, "prefix"),
        ({"prefix": "::ffff:203.0.113.7"}, "prefix"),
        ({"prefix": "128.0.0.0/1"}, "too_wide"),
        ({"prefix": "203.0.112.0/23"}, "too_wide"),
        ({"prefix": "2000::/3"}, "too_wide"),
        ({"ports": "1024"}, "ports"),
        ({"ports": "2047-1024"}, "ports"),
        ({"ports": "1024-65536"}, "ports"),
        ({"ports": "1-2", "prefix": "203.0.113.0/24"}, "ports_of_many"),
        ({"ports": "1-2", "prefix": "2001:db8::/64"}, "ports_of_many"),
        ({"customer": ""}, "customer"),
        ({"customer": "a\x1b[2J"}, "customer"),
        ({"customer": "a" * 254}, "customer"),
        ({"customer": '"open'}, "quote"),
        ({"customer": "one,more"}, "fields"),
        ({"customer": "a" * 5000}, "long_line"),
    ],
)
def test_what_is_no_lease_is_said(values, code):
    with pytest.raises(LineError) as error:
        told(**values)
    assert error.value.why.code == f"leases.{code}"
    assert error.value.why.text.isprintable()


@pytest.mark.parametrize(
    "text", ['{"from":' * 500, "{", '{"from": 1}', '{"from": [], "prefix": 3}', "", "1,2"]
)
def test_what_is_cut_is_no_lease(text):
    with pytest.raises(LineError):
        list(READER.read(text))


@given(st.text())
def test_nothing_else_comes_of_any_text(text):
    try:
        list(READER.read(text))
    except LineError as error:
        assert error.why.text


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_pieces_are_the_range(a, b):
    first, last = sorted((a, b))
    ports = []
    for port, bits in pieces(first, last):
        size = 1 << (144 - bits)
        assert port % size == 0
        ports += range(port, port + size)
    assert ports == list(range(first, last + 1))


@given(st.text(), st.binary(max_size=64))
def test_a_pseudonym_is_its_key(name, secret):
    hi, lo = customer_key(name.encode(errors="replace").decode(), secret)
    assert is_customer(np.uint64(hi))
    assert parse_pseudonym(pseudonym(hi, lo)) == (hi, lo)


def test_the_secret_makes_the_pseudonym():
    assert customer_key("alice", b"one") != customer_key("alice", b"two")
    assert parse_pseudonym("alice") is None
    assert parse_pseudonym("c-00000000" + "0" * 16) is None, "of an address"
