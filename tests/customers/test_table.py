"""The table of leases, against a list that is searched from end to end."""

import ipaddress
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.conversation import START, SYN, Conversation, block
from lab.leases import known_as, lend
from sensor.customers.table import CHILDREN, SLACK
from sensor.hosts.layout import META
from sensor.hosts.subscribers import host_text
from sensor.leases.settings import CustomerSettings
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings

SECOND = 10**9
SMALL = Limits(max_leases=64, max_hosts=256)


class Twin:
    """What ``sensor.customers`` says, said slowly."""

    def __init__(self, ttl):
        self.ttl = ttl
        self.live = []
        self.refused = 0

    def until(self, now):
        """Let end what does."""
        self.live = [one for one in self.live if one["until"] > now]

    def tell(self, begin, until, prefix, ports, who, began):
        self.until(begin)
        base = int(ipaddress.ip_network(prefix).network_address)
        length = ipaddress.ip_network(prefix).prefixlen + 96
        first, last = ports or (0, 65_535)
        bits = 144 - (last - first + 1).bit_length() + 1 if ports else length
        start = (base << 16) + first
        span = 1 << (144 - bits)
        new = {"start": start, "end": start + span, "bits": bits, "who": who, "since": begin}
        new["until"] = until or max(begin, began) + self.ttl
        new["open"] = not until
        same = [o for o in self.live if (o["start"], o["bits"]) == (start, bits)]
        if same:
            (old,) = same
            if old["who"] == who:
                old["until"], old["open"] = new["until"], new["open"]
                return
            if old["since"] >= begin or not (old["open"] or old["until"] <= begin + SLACK):
                self.refused += 1
                return
            self.live.remove(old)
        for other in self.live:
            apart = other["end"] <= start or other["start"] >= start + span
            deep = other["bits"] > bits and (
                (bits < 128 < other["bits"])
                or (other["bits"] - bits > CHILDREN and other["bits"] <= 128)
            )
            if not apart and other["who"] != who and not deep:
                self.refused += 1
                return
        self.live.append(new)

    def whose(self, address, port):
        at = (int(ipaddress.ip_address(address)) << 16) + port
        found = {one["who"] for one in self.live if one["start"] <= at < one["end"]}
        return found.pop() if len(found) == 1 else None


PREFIXES = ["203.0.113.4", "203.0.113.5", "203.0.113.4/31", "203.0.113.0/28", "203.0.113.0/24"]
PORTS = [None, None, (0, 32767), (32768, 65535), (4096, 8191), (4000, 4003)]
LEASES = st.lists(
    st.tuples(
        st.integers(-20, 60), st.integers(0, 40), st.sampled_from(PREFIXES), st.sampled_from(PORTS),
        st.sampled_from("abc"),
    ),
    max_size=12,
)  # fmt: skip
SYNS = st.lists(
    st.tuples(
        st.integers(1, 70), st.sampled_from(["203.0.113.4", "203.0.113.5", "203.0.113.77"]),
        st.sampled_from([4000, 5000, 40_000]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def syn(seconds, address, port, server):
    one = Conversation(sport=port, ends=(address, server))
    one.now = START + seconds * SECOND
    one.send("c", flags=SYN)
    return one.frames[0]


def hosts_of(pipeline):
    """Connections by host: an address, or a pseudonym."""
    table = pipeline._state.hosts
    rows = table.rows[: int(table.meta[META["_used"]])]
    return {
        host_text(int(row["hi"]), int(row["lo"]), 128, 0): int(row["connections"])
        for row in rows
        if row["last_seen"]
    }


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(LEASES, SYNS)
def test_each_connection_is_whose_the_address_is(tmp_path_factory, leases, syns):
    began = START + 10**6
    at = SECOND // 2  # what is told stands between packets
    leases = [
        (START + b * SECOND + at, START + (b + n) * SECOND + at if n else 0, prefix, ports, who)
        for b, n, prefix, ports, who in leases
        if ports is None or "/" not in prefix
    ]
    twin = Twin(30 * SECOND)
    pipeline = Pipeline(Settings(limits=SMALL, customers=CustomerSettings(ttl=30)))
    lines = [
        f"{b},{u or ''},{prefix},{f'{ports[0]}-{ports[1]}' if ports else ''},{who}"
        for b, u, prefix, ports, who in leases
    ]
    lend(pipeline, tmp_path_factory.mktemp("leases") / "l", lines)
    syns = [(0, "192.0.2.200", 1000), *sorted(syns)]
    frames = [syn(t, address, port, f"198.18.{k}.1") for k, (t, address, port) in enumerate(syns)]
    list(pipeline.feed(block(frames)))
    told, expected = sorted(leases, key=lambda lease: lease[0]), {}
    for t, address, port in syns:
        now = START + t * SECOND + 10**6
        while told and told[0][0] <= now:
            twin.tell(*told.pop(0), began)
        twin.until(now)
        who = twin.whose(address, port)
        key = known_as(who) if who else address
        expected[key] = expected.get(key, 0) + 1
    found = hosts_of(pipeline)
    customers = {k: n for k, n in expected.items() if k.startswith("c-")}
    assert {k: n for k, n in found.items() if k.startswith("c-")} == customers
    # What was counted of an address before it was a customer's is forgotten.
    assert all(n <= expected[k] for k, n in found.items())
    assert pipeline.counters()["customers"]["leases_overlapping"] == twin.refused


def lent(tmp_path, lines, frames=(), **more):
    pipeline = Pipeline(Settings(**more))
    file = lend(pipeline, tmp_path / "l", lines)
    first = syn(0, "192.0.2.200", 1000, "198.18.0.1")
    list(pipeline.feed(block([first, *frames])))
    counters = pipeline.counters()["customers"]
    return counters, [one.text for one in file.faults(pipeline.leases_refused, counters)], pipeline


def test_an_own_mail_server_is_nobodys(tmp_path):
    lines = [f"{START},,{prefix},,a" for prefix in ("192.0.2.25", "192.0.2.0/24", "192.0.3.0/24")]
    own = {"own_mail_servers": ("192.0.2.25", "192.0.2.128/25")}
    counters, said, _ = lent(tmp_path, lines, **own)
    assert (counters["leases_of_own_servers"], counters["leases_taken"]) == (2, 1)
    assert "2 leases not taken, the first in line 2: a mail server of the provider" in said[0]


def test_a_full_table_refuses_what_is_new_and_forgets_what_is_past(tmp_path):
    past = [f"{START - 9},{START - 5},203.0.113.{k},,p{k}" for k in range(10)]
    live = [f"{START},,198.51.100.{k},,c{k}" for k in range(20)]
    counters, said, _ = lent(tmp_path, past + live, limits=Limits(max_leases=16))
    assert counters["leases_live"] == counters["customers_known"] == 16
    assert counters["leases_without_room"] == 4
    assert counters["leases_past_dropped"] == 10
    assert "limits.max_leases" in said[0]


def test_many_leases_come_and_go(tmp_path):
    """Rows, places in the heap and in the index are used again and again."""
    lines = [
        f"{START + k * SECOND},{START + (k + n) * SECOND},198.51.{k % 50}.{k % 9},,c{k % 30}"
        for k, n in enumerate(itertools.islice(itertools.cycle(range(3, 10)), 500))
    ]
    frames = [syn(600, "192.0.2.200", 1001, "198.18.0.2")]
    counters, _, _ = lent(tmp_path, lines, frames, limits=Limits(max_leases=64))
    assert counters["leases_live"] == 0
    assert counters["leases_taken"] == counters["leases_ended"]
    assert counters["leases_taken"] + counters["leases_renewed"] + counters[
        "leases_overlapping"
    ] == 500  # fmt: skip


def test_a_lease_without_end_is_over_after_the_ttl(tmp_path):
    settings = {"customers": CustomerSettings(ttl=60)}
    told = [f"{START - 10**12},,203.0.113.7,,a", f"{START + 50 * SECOND},,203.0.113.7,,a"]
    at = [syn(t, "203.0.113.7", 4000 + t, "198.18.0.2") for t in (59, 109, 111)]
    _, _, pipeline = lent(tmp_path, told, at, **settings)
    assert hosts_of(pipeline)[known_as("a")] == 2
    assert hosts_of(pipeline)["203.0.113.7"] == 1
    assert pipeline.counters()["customers"]["leases_expired"] == 1
    _, _, pipeline = lent(tmp_path, told[:1], at, **settings)
    assert hosts_of(pipeline)["203.0.113.7"] == 2, "from when the packets begin, not before"


@pytest.mark.parametrize("prefix", ["2001:db8:0:100::/56", "2001:db8:0:101::/64", "2001:db8::/48"])
def test_prefixes_of_ipv6(tmp_path, prefix):
    frames = [syn(5, "2001:db8:0:101::7", 4000, "2001:db8:ffff::1")]
    _, _, pipeline = lent(tmp_path, [f"{START},,{prefix},,a"], frames)
    assert hosts_of(pipeline)[known_as("a")] == 1
