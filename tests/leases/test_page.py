"""docs/customers.md: what stands there to copy is run as it stands, but for addresses and files."""

import datetime
import json
import re
import time
from pathlib import Path

import msgspec
import numpy as np

from sensor.customers.layout import CHANGE
from sensor.hosts.customer_key import customer_key
from sensor.leases.computed import Computed
from sensor.leases.file import LeaseFile
from sensor.leases.followed import FollowedFile
from sensor.leases.settings import CustomerSettings
from sensor.settings import Settings, parse_settings
from tests.conftest import ROOT
from tests.leases.test_cgn_log import GIVEN, TAKEN
from tests.leases.test_cgn_log import changes as heard_of
from tests.leases.test_cgn_log import log as syslog
from tests.leases.test_cgn_log import send as to_syslog
from tests.leases.test_dhcp import Passing, agent, four, with_agent
from tests.leases.test_ipfix import Hearing, event, message, one_set, template
from tests.leases.test_kea import Reading, append
from tests.leases.test_kea import files as kea_files
from tests.leases.test_kea import four as kea_four
from tests.leases.test_radius import Listening, attributes, request
from tests.leases.test_resolver import HOST, Asking, System

__all__ = ["kea_files", "syslog"]

PAGE = (ROOT / "docs" / "customers.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SECOND = 10**9
BY_README = "tests/test_readme.py::test_commands"
HERE = "tests/leases/test_page.py::test_"
LIVE = "tests/live/test_customers.py::test_a_bot_that_reconnects_is_one_alert_and_one_block"
RUN_BY = {
    ".venv/bin/port25 replay pcaps/reconnects.pcap": BY_README,
    "from,until,prefix,ports,customer": f"{HERE}a_file_of_leases",
    "port25 replay capture.pcapng --leases": LIVE,
    "[customers]\nfile": f"{HERE}a_file_that_grows",
    "[customers.radius]": f"{HERE}radius",
    "detail port25 {": LIVE,  # by lab/radius.py
    "home_server port25 {": LIVE,
    "port25\n": LIVE,
    "[customers.kea]": f"{HERE}kea",
    '"store-extended-info"': "tests/live/test_kea.py::test_",  # by lab/kea.py
    "[customers.dhcp]": f"{HERE}dhcp",
    "port25 leases -c port25.toml": "tests/leases/test_dhcp.py::test_a_capture_becomes",
    "[customers.cgn_log]": f"{HERE}a_cgn_s_log",
    "*.* action(": "tests/leases/test_cgn_log.py::test_a_real_rsyslog_passes_it_on",
    "[customers.ipfix]": f"{HERE}ipfix",
    "[customers.resolver]": f"{HERE}a_system_that_is_asked",
    '{"customer"': f"{HERE}a_system_that_is_asked",
    "[customers]\ncgn": f"{HERE}rules",
    ".venv/bin/port25 explain": BY_README,
    '[customers]\nnames = "operator"': "tests/console/web/test_customer_name.py::test_the_role",
    "port25 customer c-": "tests/console/web/test_customer_name.py::test_the_terminal",
    "[customers]\nttl": f"{HERE}the_defaults",
}
"""How each block of the page begins, and how the name of the test begins that runs it."""


def block(begins: str) -> str:
    (found,) = [text for _, text in BLOCKS if text.startswith(begins)]
    return found


def customers(begins: str) -> CustomerSettings:
    return parse_settings(block(begins)).customers


def test_each_block_has_a_test_that_runs_it():
    left = [text for _, text in BLOCKS]
    for begins, test in RUN_BY.items():
        (found,) = [text for text in left if text.startswith(begins)]
        left.remove(found)
        path, _, name = test.partition("::")
        assert re.search(rf"^def {name}", (ROOT / path).read_text(), re.MULTILINE), test
    assert left == []


def test_a_file_of_leases(tmp_path):
    path = tmp_path / "leases.csv"
    path.write_text(block("from,until"))
    leases = LeaseFile(str(path), CustomerSettings())
    assert len(leases.changes) == 4 and not any(leases.counters.values())
    alice = customer_key("alice@isp.example", b"")
    assert sum((row["who_hi"], row["who_lo"]) == alice for row in leases.changes) == 2


def test_a_file_that_grows(tmp_path):
    path = tmp_path / "leases.csv"
    given = msgspec.structs.replace(customers("[customers]\nfile"), file=str(path), late=1 << 40)
    source = FollowedFile(given)
    header, *lines = block("from,until").splitlines(keepends=True)
    path.write_text(header)
    source.open("")
    for n, line in enumerate(lines):
        append(path, line)
        source.turn(0)
        assert len(source.intake.drain(10).rows) // CHANGE.itemsize == 1, n


def test_radius(tmp_path):
    given = customers("[customers.radius]").radius
    (client,) = given.clients
    assert client.prefix == "192.0.2.10" and client.secret_file.startswith("/etc/port25/")
    server = Listening(tmp_path, customer=given.customer)
    server.send(request(attributes()))
    (row,) = server.leases()
    assert (row["who_hi"], row["who_lo"]) == customer_key("alice", b"")
    server.client.close()
    server.source._socket.close()


def test_kea(kea_files):
    given = customers("[customers.kea]").kea
    assert [Path(name).name for name in given.files] == ["kea-leases4.csv", "kea-leases6.csv"]
    reading = Reading(kea_files, given.customer)
    append(reading.files[0], kea_four())
    ((who, prefix),) = reading.told()
    assert prefix == "203.0.113.7" and who == customer_key("02:00:00:00:00:01", b"")


def test_dhcp():
    given = customers("[customers.dhcp]").dhcp
    passing = Passing(given.customer, given.servers)
    (lease,) = passing.hear(with_agent(four(), agent(b"line-7")))
    assert lease[:2] == ("203.0.113.7", b"line-7".hex())
    assert passing.hear(four(server="198.51.100.67")) == []
    assert passing.counts["dhcp_unknown_servers"] == 1


def test_a_cgn_s_log(syslog):
    given = customers("[customers.cgn_log]").cgn_log
    assert given.senders == ("192.0.2.0/28",)
    one, port = syslog(patterns=given.patterns)
    to_syslog(port, GIVEN.format(1024, 2047), TAKEN.format(1024, 2047))
    rows, _ = heard_of(one)
    assert [(int(row["port"]), bool(row["until"])) for row in rows] == [(1024, False), (1024, True)]


def test_ipfix():
    given = customers("[customers.ipfix]").ipfix
    hearing = Hearing(customer=given.customer, inside_ipv6=given.inside_ipv6)
    told = hearing.hear(message(template(), one_set(256, event(at=time.time() - 60))))
    assert told == [("198.51.100.1", 1024, customer_key("10.0.0.5", b""), False)]
    hearing.udp.close()
    hearing.source._ports.close()


def test_a_system_that_is_asked(tmp_path):
    given, system = customers("[customers.resolver]").resolver, System()
    answer = json.loads(block('{"customer"'))
    begun = datetime.datetime.now(datetime.UTC)
    for name, hours in (("from", -1), ("until", 1)):  # the page's are of a day
        answer[name] = (begun + datetime.timedelta(hours=hours)).isoformat()
    system.otherwise = 200, json.dumps(answer).encode()
    url = given.url.replace("https://ipam.isp.example", f"http://127.0.0.1:{system.port}")
    token = tmp_path / Path(given.token_file).name
    token.write_text("secret\n")
    asking = Asking(tmp_path, url, token_file=str(token))
    asking.see(f"{HOST}:1024-2047")
    ((prefix, who, until),) = asking.turn()
    assert prefix == answer["prefix"] and who == customer_key(answer["customer"], b"")
    assert abs(until - time.time_ns() - 3600 * SECOND) < 60 * SECOND
    (asked,) = system.asked
    assert (asked["address"], asked["port"], asked["token"]) == (HOST, "1024", "Bearer secret")
    assert abs(datetime.datetime.fromisoformat(asked["time"]) - begun).total_seconds() < 60
    system.server.shutdown()
    system.server.server_close()


def test_rules():
    given = customers("[customers]\ncgn")
    told = Computed(given, Settings().limits.max_leases).tell_all()
    rows = np.frombuffer(told, CHANGE)
    names = {(int(row["who_hi"]), int(row["who_lo"])) for row in rows}
    for name in ("100.64.0.0", "100.64.15.255", "2001:db8:0:8::/61", "2001:db8:4000::/56"):
        assert customer_key(name, b"") in names, name


def test_the_defaults():
    assert customers("[customers]\nttl") == CustomerSettings()
