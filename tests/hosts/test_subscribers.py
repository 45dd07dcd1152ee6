import datetime
import ipaddress
import random

import numpy as np
import pytest

from sensor.base import addresses
from sensor.hosts.subscribers import (
    Exemption,
    SubscriberPrefix,
    classify,
    compile_subscribers,
    host_text,
    parse_host,
    subscriber_key,
)


def class_of(subscribers, text):
    number = addresses.as_int(ipaddress.ip_address(text))
    halves = np.uint64(number >> 64), np.uint64(number & (1 << 64) - 1)
    return subscribers.classes[classify(subscribers, *halves)], halves


def host(subscribers, text, port=0):
    class_, halves = class_of(subscribers, text)
    hi, lo = subscriber_key(class_, *halves, port)
    return host_text(int(hi), int(lo), int(class_["fold"]), int(class_["ports"]))


def test_without_settings_everyone_is_a_subscriber():
    subscribers = compile_subscribers()
    for text in ("192.0.2.1", "2001:db8::1", "0.0.0.0", "255.255.255.255", "::", "ffff::"):
        assert class_of(subscribers, text)[0]["subscriber"]
    assert host(subscribers, "192.0.2.1") == "192.0.2.1"
    assert host(subscribers, "2001:db8:1:2:3::4") == "2001:db8:1:2::/64"


def test_longest_prefix_wins_against_ipaddress():
    rng = random.Random(4)
    networks = {}
    for _ in range(300):
        if rng.random() < 0.5:
            length = rng.randrange(4, 33)
            base = ipaddress.ip_network((rng.getrandbits(32), length), strict=False)
        else:
            length = rng.randrange(16, 65)
            base = ipaddress.ip_network((rng.getrandbits(128), length), strict=False)
        networks[base] = rng.randrange(40, 65)
    inside = [n.network_address + rng.randrange(min(n.num_addresses, 1 << 60)) for n in networks]
    prefixes = tuple(SubscriberPrefix(str(n), delegated=d) for n, d in networks.items())
    subscribers = compile_subscribers(prefixes)
    samples = inside + [ipaddress.ip_address(rng.getrandbits(32)) for _ in range(300)]
    samples += [ipaddress.IPv6Address(rng.getrandbits(128)) for _ in range(300)]
    for address in samples:
        holding = [n for n in networks if address in n]
        class_, _ = class_of(subscribers, str(address))
        assert bool(class_["subscriber"]) == bool(holding)
        if holding and address.version == 6:
            assert class_["fold"] == networks[max(holding, key=lambda n: n.prefixlen)]


def test_own_servers_and_exemptions_are_lists_of_their_own():
    subscribers = compile_subscribers(
        (SubscriberPrefix("192.0.2.0/24"),),
        ("192.0.2.25",),
        (Exemption("192.0.2.16/28", "test", datetime.date(2026, 1, 31)),),
    )
    class_, _ = class_of(subscribers, "192.0.2.25")
    assert (class_["subscriber"], class_["own"], class_["exempt"]) == (1, 1, 0)
    class_, _ = class_of(subscribers, "192.0.2.17")
    assert (class_["subscriber"], class_["own"], class_["exempt"]) == (1, 0, 0)
    midnight = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC).timestamp()
    assert class_["exempt_until"] == midnight * 1e9
    assert not class_of(subscribers, "198.51.100.1")[0]["subscriber"]


def test_customers_behind_one_address_by_their_ports():
    subscribers = compile_subscribers(
        (
            SubscriberPrefix("100.64.0.0/16", cgn=True, ports_per_subscriber=1000),
            SubscriberPrefix("100.65.0.0/16", cgn=True),
        )
    )
    assert host(subscribers, "100.64.0.1", 999) == "100.64.0.1:0-999"
    assert host(subscribers, "100.64.0.1", 1000) == "100.64.0.1:1000-1999"
    assert host(subscribers, "100.64.0.1", 65535) == "100.64.0.1:65000-65535"
    assert host(subscribers, "100.65.0.1", 1000) == "100.65.0.1"
    assert class_of(subscribers, "100.65.0.1")[0]["shared"]
    assert not class_of(subscribers, "100.64.0.1")[0]["shared"]


@pytest.mark.parametrize("text", ["192.0.2.1", "2001:db8:0:7::/64", "100.64.0.1:1000-1999"])
def test_a_host_is_found_by_what_is_printed_for_it(text):
    subscribers = compile_subscribers(
        (
            SubscriberPrefix("0.0.0.0/0"),
            SubscriberPrefix("::/0"),
            SubscriberPrefix("100.64.0.0/16", cgn=True, ports_per_subscriber=1000),
        )
    )
    hi, lo = parse_host(text, subscribers)
    first = text.partition("/")[0].partition(":10")[0]
    class_, _ = class_of(subscribers, first)
    assert host_text(hi, lo, int(class_["fold"]), int(class_["ports"])) == text


@pytest.mark.parametrize("text", ["", "mail.example", "192.0.2.256", "192.0.2.1:70000", "a:b"])
def test_what_is_no_host_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_host(text, compile_subscribers())
