"""Kea's lease files: what a line says, and files that are set aside while they are read."""

import time

import numpy as np
import pytest

from sensor.base.addresses import network_text
from sensor.customers.layout import CHANGE
from sensor.hosts.customer_key import customer_key
from sensor.leases.kea import Kea
from sensor.leases.settings import CustomerSettings, KeaSettings

SECOND = 10**9
FOUR = (
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,"
    "user_context\n"
)
SIX = (
    "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,"
    "fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n"
)
MAC = "02:00:00:00:00:01"
DUID = "00:01:00:01:32:9a:ee:f3:02:00:00:00:00:01"
LIFETIME = 36_000
"""Seconds: longer than the tests last from where they are collected."""
NOW = int(time.time())
LATER = NOW + LIFETIME - 100


def four(address="203.0.113.7", hwaddr=MAC, lifetime=LIFETIME, expire=LATER, state=0, context=""):
    return f"{address},{hwaddr},01:02,{lifetime},{expire},1,0,0,home,{state},{context}\n"


def six(address, kind=0, length=128, hwaddr=MAC, context=""):
    when = f"{LIFETIME},{LATER}"
    return f"{address},{DUID},{when},1,500,{kind},7,{length},0,0,,{hwaddr},0,{context},1,2\n"


class Reading:
    def __init__(self, folder, customer=("hwaddr", "duid"), position=""):
        self.files = [folder / "four.csv", folder / "six.csv"]
        kea = KeaSettings(tuple(map(str, self.files)), customer)
        self.source = Kea(CustomerSettings(kea=kea))
        self.source.open(position)

    def told(self):
        """Customer and prefix of all that is there."""
        for tail in self.source._tails:
            tail._looked = 0.0
        for _ in range(3):
            self.source.turn(0)
        heard = self.source.intake.drain(1000)
        self.said = [one.text for one in heard.said]
        self.rows = np.frombuffer(heard.rows, CHANGE)
        rows = [[int(row[name]) for name in self.rows.dtype.names] for row in self.rows]
        named = [dict(zip(self.rows.dtype.names, row, strict=True)) for row in rows]
        return [
            ((row["who_hi"], row["who_lo"]), network_text(row["hi"], row["lo"], row["bits"]))
            for row in named
        ]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "four.csv").write_text(FOUR)
    (tmp_path / "six.csv").write_text(SIX)
    return tmp_path


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_addresses_and_prefixes_of_one_customer(files):
    append(files / "four.csv", four())
    append(files / "six.csv", six("2001:db8:1::100") + six("2001:db8:8000::", 2, 56))
    one = Reading(files)
    him = customer_key(MAC, b"")
    assert one.told() == [
        (him, "203.0.113.7"), (him, "2001:db8:1::100"), (him, "2001:db8:8000::/56"),
    ]  # fmt: skip
    assert one.rows["since"].tolist() == [(LATER - LIFETIME) * SECOND] * 3
    assert one.rows["until"].tolist() == [LATER * SECOND] * 3
    append(files / "six.csv", six("2001:db8:1::101", hwaddr=""))
    assert one.told() == [(customer_key(DUID, b""), "2001:db8:1::101")]


def test_a_release_ends_it_now(files):
    append(files / "four.csv", four() + four(lifetime=0, expire=LATER - LIFETIME))
    one = Reading(files)
    assert len(one.told()) == 2
    assert abs(int(one.rows["until"][1]) - time.time_ns()) < 60 * SECOND


def test_one_for_ever_has_no_end(files):
    append(files / "four.csv", four(lifetime=0xFFFFFFFF, expire=NOW + 0xFFFFFFFF))
    one = Reading(files)
    assert len(one.told()) == 1 and one.rows["until"][0] == 0
    assert one.rows["since"][0] == NOW * SECOND


def test_what_nobody_has_is_no_lease(files):
    over = four(expire=int(time.time()) - 5)
    append(files / "four.csv", four(state=1) + four(state=2) + over + four(hwaddr=""))
    one = Reading(files, ("hwaddr",))
    assert one.told() == [] and not one.said
    assert one.source.counters() == {"kea_without_customer": 1, "kea_over": 1}


@pytest.mark.parametrize(
    ("context", "names", "customer"),
    [
        ('{ "ISC": { "relay-agent-info": "0x01036162630203786f66" } }', "remote-id", "786f66"),
        ('{ "ISC": { "relay-agent-info": "0x01036162630203786f66" } }', "circuit-id", "616263"),
        (
            '{ "ISC": { "relay-agent-info": { "sub-options": "0x0203786f66" } } }',
            "remote-id",
            "786f66",
        ),
        ('{ "ISC": { "relay-agent-info": "0x01ff" } }', "remote-id", MAC),
        ('{ "ISC": { "relay-agent-info": "zz" } }', "remote-id", MAC),
        ('{ "ISC": [] }', "remote-id", MAC),
        ("{", "remote-id", MAC),
        pytest.param("[" * 3000, "remote-id", MAC, id="deep"),
    ],
)
def test_what_the_access_node_says(files, context, names, customer):
    append(files / "four.csv", four(context=context.replace(",", "&#x2c")))
    ((who, _),) = Reading(files, (names, "hwaddr")).told()
    assert who == customer_key(customer, b"")


def test_the_access_node_of_dhcpv6(files):
    context = '{ "ISC": { "relay-info": [ { "hop": 0, "options": "0x00250007000000097a786f" } ] } }'
    append(files / "six.csv", six("2001:db8::1", context=context.replace(",", "&#x2c")))
    ((who, _),) = Reading(files, ("remote-id",)).told()
    assert who == customer_key("7a786f", b"")


def test_files_that_are_set_aside_are_read_to_their_end(files):
    path = files / "four.csv"
    append(path, four("203.0.113.1"))
    one = Reading(files)
    assert len(one.told()) == 1
    append(path, four("203.0.113.2"))
    path.rename(files / "four.csv.1")
    path.write_text(FOUR + four("203.0.113.3"))
    assert [prefix for _, prefix in one.told()] == ["203.0.113.2", "203.0.113.3"]
    position = one.source.position
    append(path, four("203.0.113.4"))
    assert [p for _, p in Reading(files, position=position).told()] == ["203.0.113.4"]
    fresh = [p for _, p in Reading(files).told()]
    assert fresh == [f"203.0.113.{n}" for n in range(1, 5)], "what was set aside comes first"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("203.0.113.7,02:00\n", "it has 2 fields, expected 11"),
        (four(lifetime="ten"), "no time"),
        (four(expire="9" * 30), "no time"),
        (four(address="203.0.113"), "no prefix"),
        (six("2001:db8::", 2, "99x"), "no prefix"),
    ],
    ids=["few fields", "lifetime", "expiry", "address", "length"],  # lines have the time in them
)
def test_a_line_that_cannot_be_read_costs_that_line(files, line, why):
    path = files / ("six.csv" if "2001" in line else "four.csv")
    append(path, line + (six("2001:db8::1") if "2001" in line else four()))
    one = Reading(files)
    assert len(one.told()) == 1
    (text,) = one.said
    assert f"line 2 of {path}" in text and why in text


def test_a_file_without_the_columns_is_said(files):
    (files / "four.csv").write_text("address,owner\n203.0.113.7,me\n")
    one = Reading(files)
    assert one.told() == []
    assert "it has no column valid_lifetime, expire, state" in one.said[0]
