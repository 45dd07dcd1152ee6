"""Each form of the block list, read by the program it is for."""

import csv
import io
import json
import os
import socket
import subprocess
import sys
import time

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import jsonschema
import pytest

from lab.waiting import wait_for
from sensor.base.units import SECOND
from sensor.blocking.decision import decision, json_schema
from sensor.blocking.feeds import exabgp, feed, ipset, nftables, rbldnsd
from sensor.hosts.subscribers import where
from tests.conftest import needs

NOW = 1_800_000_000 * SECOND
HOSTS = ("203.0.113.7", "203.0.113.9", "2001:db8:1:100::/56", "100.64.0.1:1024-2047")
OWN = ("192.0.2.25", "2001:db8:ffff::/64")


def block(host: str, left: float = 3600):
    source, ports = where(host)
    return decision(
        "block", NOW - 60 * SECOND, enforced=True, host=host, source=str(source), ports=ports,
        since=NOW - 60 * SECOND, expires=NOW + int(left * SECOND), alert="a" * 32, score=37.6,
        reasons=["the host itself spoke to 22 new destinations", 'fan_out "+62.6"'],
    )  # fmt: skip


BLOCKS = [block(host) for host in HOSTS]


@pytest.fixture
def space():
    """A network namespace for the firewall's programs."""
    needs("ip", "nft", "ipset", root=True)
    name = f"p25feed{time.monotonic_ns() % 10**9}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def inside(space: str, *words: str, text: str = "", check: bool = True) -> str:
    command = ["ip", "netns", "exec", space, *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=200)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def members(space: str) -> dict[str, list[str]]:
    """What the sets of the table hold."""
    found = {}
    said = json.loads(inside(space, "nft", "-j", "list", "table", "inet", "port25"))
    for entry in said["nftables"]:
        if "set" in entry:
            found[entry["set"]["name"]] = [e["elem"] for e in entry["set"].get("elem", [])
                                           if isinstance(e, dict) and "elem" in e]  # fmt: skip
    return found


def test_nftables_takes_it_again_and_again(space):
    script = nftables.render(BLOCKS, NOW, OWN)
    inside(space, "nft", "-c", "-f", "-", text=script)
    for _ in range(2):
        inside(space, "nft", "-f", "-", text=script)
        found = members(space)
        assert {e["val"] for e in found["blocked4"]} == {"203.0.113.7", "203.0.113.9"}
        assert found["blocked6"][0]["val"] == {"prefix": {"addr": "2001:db8:1:100::", "len": 56}}
        assert found["blocked4_ports"][0]["val"] == {
            "concat": ["100.64.0.1", {"range": [1024, 2047]}]
        }
        assert all(e["timeout"] == 3600 for e in found["blocked4"])
    inside(space, "nft", "-f", "-", text=nftables.elements([block("203.0.113.8", 59.1)], NOW))
    found = members(space)
    assert [(e["val"], e["timeout"]) for e in found["blocked4"]] == [("203.0.113.8", 60)]
    assert found["blocked6"] == found["blocked4_ports"] == []
    inside(space, "nft", "-f", "-", text=nftables.render([], NOW))
    assert members(space)["blocked4"] == []


def test_its_elements_end_by_themselves(space):
    inside(space, "nft", "-f", "-", text=nftables.render([block("203.0.113.7", 1)], NOW))
    assert members(space)["blocked4"]
    wait_for(lambda: not members(space)["blocked4"], 10, "the timeout of the element")


def test_without_the_table_elements_alone_are_refused(space):
    assert inside(space, "nft", "-f", "-", text=nftables.elements(BLOCKS, NOW), check=False) == ""
    assert "port25" not in inside(space, "nft", "list", "ruleset")


def test_ipset_takes_it_again_and_again(space):
    for blocks in (BLOCKS, BLOCKS[:1]):
        inside(space, "ipset", "restore", text=ipset.render(blocks, NOW))
        said = inside(space, "ipset", "list", "port25-v4")
        assert said.count(" timeout 3") == sum("." in b.source and not b.ports for b in blocks)
        ports = inside(space, "ipset", "list", "port25-v4-ports")
        assert ports.count("100.64.0.1,tcp:") == (1024 if len(blocks) > 1 else 0)
    names = inside(space, "ipset", "list", "-name").split()
    assert sorted(names) == ["port25-v4", "port25-v4-ports", "port25-v6"]


EXABGP = """
import json, sys
from exabgp.environment import getenv
from exabgp.logger import log
environment = getenv()
environment.log.level = "ERROR"
log.init(environment)
from exabgp.reactor.api import API
api = API(None)
print(json.dumps([[c.extensive() for c in api.api_flow(line.strip())] for line in sys.stdin]))
"""
"""In a process of its own: it takes over signals."""


def parsed(text: str) -> list[str]:
    """What ExaBGP understands of commands."""
    command = [sys.executable, "-c", EXABGP]
    done = subprocess.run(command, input=text, capture_output=True, check=True, text=True)
    flows = json.loads(done.stdout.splitlines()[-1])
    assert [len(flow) for flow in flows] == [1] * len(text.splitlines()), text
    return [flow[0] for flow in flows]


def test_exabgps_own_parser_takes_every_command():
    announced = parsed(exabgp.render(BLOCKS, NOW))
    assert [a.partition(" ext")[0] for a in announced] == [
        "flow source-ipv4 203.0.113.7/32 protocol =tcp destination-port =smtp",
        "flow source-ipv4 203.0.113.9/32 protocol =tcp destination-port =smtp",
        "flow source-ipv6 2001:db8:1:100::/56/0 next-header =tcp destination-port =smtp",
        "flow source-ipv4 100.64.0.1/32 protocol =tcp destination-port =smtp"
        " source-port [ >=1024&<=dls ]",
    ]
    assert all(a.endswith("rate-limit:0") for a in announced)
    changes = exabgp.changes(BLOCKS[:2], [BLOCKS[1], block("203.0.113.8")])
    assert [line.split()[0] for line in changes.splitlines()] == ["withdraw", "announce"]
    assert "203.0.113.7/32" in parsed(changes)[0]
    renewed = block("203.0.113.7", 7200)
    assert exabgp.changes([BLOCKS[0]], [renewed]) == "", "a renewal is no new route"


def test_rbldnsd_serves_the_zone(folder):
    needs("rbldnsd")
    zone = folder / "port25.zone"
    zone.write_text(rbldnsd.render(BLOCKS, NOW))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = ["rbldnsd", "-n", *user, "-b", f"127.0.0.1/{port}"]
    data = f"blocked.example:combined:{zone}"
    server = subprocess.Popen([*command, data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def ask(name: str, kind: str) -> list[str]:
        question = dns.message.make_query(f"{name}.blocked.example", kind)
        answer = dns.query.udp(question, "127.0.0.1", 5, port)
        return [str(rdata) for rrset in answer.answer for rdata in rrset]

    def answers() -> bool:
        assert server.poll() is None, server.communicate()[0]
        try:
            return bool(ask("7.113.0.203", "A"))
        except (OSError, dns.exception.DNSException):
            return False

    try:
        wait_for(answers, 5, "rbldnsd")
        assert ask("7.113.0.203", "A") == ["127.0.0.2"]
        (text,) = ask("7.113.0.203", "TXT")
        assert "203.0.113.7" in text
        assert "a" * 32 in text
        assert ask("8.113.0.203", "A") == []
        assert ask("1.0.64.100", "A") == [], "a shared address is never listed"
        nibbles = ".".join(reversed("20010db8000101" + "5" * 18))
        assert ask(nibbles, "A") == ["127.0.0.2"]
        assert ask(".".join(reversed("20010db8000102" + "5" * 18)), "A") == []
    finally:
        server.terminate()
        server.wait(300)


def test_lists():
    rows = list(csv.DictReader(io.StringIO(feed("csv").render(BLOCKS, NOW))))
    assert [row["host"] for row in rows] == list(HOSTS)
    assert (rows[3]["source"], rows[3]["first_port"], rows[3]["last_port"]) == (
        "100.64.0.1/32", "1024", "2047",
    )  # fmt: skip
    assert rows[0]["expires"] == "2027-01-15T09:00:00.000000Z"
    assert 'fan_out "+62.6"' in rows[0]["reason"]
    array = json.loads(feed("json").render(BLOCKS, NOW))
    for one in array:
        jsonschema.validate(one, json_schema())
    assert [one["host"] for one in array] == list(HOSTS)
    assert json.loads(feed("json").render([], NOW)) == []
    plain = feed("plain").render(BLOCKS, NOW).splitlines()
    assert plain == ["203.0.113.7", "203.0.113.9", "2001:db8:1:100::/56", "100.64.0.1:1024-2047"]


def test_all_that_is_blocked_is_port_25():
    """In every form that blocks."""
    assert nftables.render(BLOCKS, NOW).count("dport") == 1
    assert "tcp dport 25 jump smtp" in nftables.render(BLOCKS, NOW)
    for line in exabgp.render(BLOCKS, NOW).splitlines():
        assert "destination-port =25;" in line
