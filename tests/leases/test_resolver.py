"""A system that is asked whose an address is; it may lie, hang, or answer megabytes."""

import http.server
import json
import socket
import socketserver
import threading
import time
import urllib.parse

import numpy as np
import pytest

from lab.alerts import alert
from lab.waiting import BUSY
from sensor.alerts.alert import rfc3339
from sensor.base.addresses import network_text
from sensor.customers.layout import CHANGE
from sensor.hosts.customer_key import customer_key
from sensor.leases.resolver import Resolver
from sensor.leases.settings import CustomerSettings, LeaseSettingsError, ResolverSettings
from sensor.state.journal import Journal
from tests.blocking.test_http import free_port

SECOND = 10**9
HOST = "203.0.113.7"


class System:
    """The provider's: says what it is told to say."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.otherwise = (404, b"")
        self.drips = False
        system = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                system.asked.append(query | {"token": self.headers.get("Authorization", "")})
                status, body = system.answers.get(query.get("a", ""), system.otherwise)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{system.port}/?a=elsewhere")
                self.end_headers()
                try:
                    if system.drips:
                        for _ in range(100):
                            self.wfile.write(b" ")
                            time.sleep(0.1)
                    self.wfile.write(body)
                except OSError:
                    return

            def log_message(self, *words):
                """Not here."""

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/who?a={{address}}&p={{port}}&t={{time}}"

    def say(self, customer, host: str = HOST, **more) -> None:
        self.answers[host] = 200, json.dumps({"customer": customer, **more}).encode()


@pytest.fixture
def system():
    made = System()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Asking:
    """A resolver, and a journal it looks into."""

    def __init__(self, folder, url: str, **settings) -> None:
        self.path = folder / "journal.sqlite"
        self.journal = Journal(self.path)
        self.clock = 1000.0
        told = ResolverSettings(url, **({"timeout": 0.5} | settings))
        self.source = Resolver(CustomerSettings(resolver=told), self.path, lambda: self.clock)
        self.source.open("")
        self.said: list[str] = []
        self.unfit: dict[str, int] = {}

    def see(self, host: str = HOST, **fields) -> int:
        at = time.time() - 1_700_000_000
        self.journal.write([alert(host=host, at=at, opened=at, **fields)])
        return self.journal.suspects(0, 100)[-1][1]

    def turn(self, seconds: float = 2.0) -> list[tuple[str, tuple, int]]:
        """What was told: prefix, whose key, until when."""
        self.clock += seconds
        for _ in range(3):
            self.source.turn(0)
        heard = self.source.intake.drain(100)
        self.said += [one.text for one in heard.said]
        self.unfit = heard.unfit
        rows = np.frombuffer(heard.rows, CHANGE)
        self.rows = rows
        return [
            (network_text(int(r["hi"]), int(r["lo"]), min(128, int(r["bits"]))),
             (int(r["who_hi"]), int(r["who_lo"])), int(r["until"]))
            for r in rows
        ]  # fmt: skip

    @property
    def counts(self) -> dict[str, int]:
        return {name: n for name, n in self.source.counters().items() if n}


@pytest.fixture
def asking(system, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    return Asking(tmp_path, system.url, token_file=str(tmp_path / "token"))


def test_a_host_with_an_alert_is_asked_about_once(system, asking):
    ts = asking.see()
    system.say("alice")
    ((prefix, who, until),) = asking.turn()
    assert (prefix, who) == ("203.0.113.7", customer_key("alice", b""))
    assert abs(until - time.time_ns() - 3600 * SECOND) < 60 * SECOND
    assert int(asking.rows["since"][0]) == ts
    assert system.asked == [{"a": HOST, "t": rfc3339(ts), "token": "Bearer secret"}]
    asking.see(revision=2, state="refreshed")
    assert asking.turn() == [] and len(system.asked) == 1, "it is known"
    asking.see(revision=3, state="refreshed")
    assert asking.turn(1801) and len(system.asked) == 2, "at half its time it is asked again"
    assert asking.counts == {"resolver_asked": 2, "resolver_answered": 2}


def test_what_an_answer_may_say(system, asking):
    ts = asking.see("2001:db8:1:100::/56")
    hour = 3600 * SECOND
    system.say("bob", "2001:db8:1:100::", **{"from": ts - hour, "until": rfc3339(ts + hour)})
    ((prefix, _, until),) = asking.turn()
    assert prefix == "2001:db8:1:100::/56" and abs(until - ts - hour) < 1000
    asking.see("100.64.0.1:1024-2047")
    system.say("carol", "100.64.0.1", ports="1024-1535")
    ((_, who, _),) = asking.turn()
    assert who == customer_key("carol", b"") and int(asking.rows["port"][0]) == 1024
    assert system.asked[-1]["p"] == "1024"


@pytest.mark.parametrize("status", [204, 404])
def test_nobody_is_an_answer(system, asking, status):
    asking.see()
    system.answers[HOST] = status, b""
    assert asking.turn() == []
    asking.see("203.0.113.8")
    system.say(None, "203.0.113.8")
    assert asking.turn() == []
    assert asking.counts == {"resolver_asked": 2, "resolver_unknown": 2} and not asking.said


@pytest.mark.parametrize(
    ("counter", "answer"),
    [
        ("ill_formed", (200, b"<html>")),
        ("ill_formed", (200, b"[" * 50_000)),
        ("ill_formed", (200, b'{"customer": 7}')),
        ("ill_formed", (200, b'{"customer": "\xff"}')),
        ("ill_formed", (400, b"")),
        ("too_large", (200, b'{"customer": "' + b"a" * 5_000_000 + b'"}')),
        ("redirects", (302, b"")),
        ("failed", (500, b"")),
        ("failed", (401, b"")),
        ("elsewhere", {"prefix": "203.0.113.8"}),
        ("elsewhere", {"prefix": "2001:db8::/56"}),
        ("elsewhere", {"after": 1800}),
        ("elsewhere", {"from": 1, "until": 2}),
    ],
)
def test_what_is_no_lease_is_counted_and_said_once(system, asking, counter, answer):
    asking.see()
    if isinstance(answer, dict):
        if "after" in answer:
            now = time.time_ns()
            answer = {"from": now + answer["after"] * SECOND, "until": 2 * now}
        system.say("mallory", **answer)
    else:
        system.answers[HOST] = answer
    assert asking.turn() == []
    assert asking.counts == {"resolver_asked": 1, f"resolver_{counter}": 1}
    (said,) = asking.said
    assert said.startswith(f"the resolver: an answer was not taken (asked for {HOST})")
    assert not any(one["a"] == "elsewhere" for one in system.asked)


@pytest.mark.parametrize(
    ("counter", "answer"),
    [
        ("leases_too_wide", {"prefix": "203.0.0.0/16"}),
        ("leases_ill_formed", {"prefix": "half the Internet"}),
        ("leases_ill_formed", {"customer": "x" * 300}),
        ("leases_backwards", {"from": 1000, "until": 10}),
        ("leases_ill_formed", {"from": "yesterday"}),
    ],
)
def test_what_would_be_no_lease_from_anybody(system, asking, counter, answer):
    asking.see()
    system.say(answer.pop("customer", "mallory"), **answer)
    assert asking.turn() == []
    assert asking.unfit[counter] == 1 and len(asking.said) == 1


def test_one_that_hangs_drips_or_is_gone_is_given_up_and_asked_again(system, tmp_path):
    asking = Asking(tmp_path, system.url)
    system.drips = True
    system.say("alice")
    asking.see()
    began = time.monotonic()
    assert asking.turn() == [] and time.monotonic() - began < 2 * BUSY
    assert asking.said == [
        f"the resolver: an answer was not taken (asked for {HOST}): no answer in time; more of the"
        " kind are only counted"
    ]
    system.drips = False
    assert asking.turn(1) == [], "it is spared for a while"
    assert len(asking.turn(10)) == 1
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        port = silent.getsockname()[1]
        other = Asking(tmp_path, f"http://127.0.0.1:{port}/{{address}}")
        began = time.monotonic()
        assert other.turn() == [] and time.monotonic() - began < 2 * BUSY
    assert other.turn(100) == [], "and nobody listens there any more"
    assert other.counts == {"resolver_asked": 2, "resolver_failed": 2}


def test_questions_are_bounded(system, asking, monkeypatch):
    monkeypatch.setattr("sensor.leases.resolver._WAITING", 2)
    for n in range(6):
        asking.see(f"203.0.113.{n}")
    asking.turn()
    assert asking.counts["resolver_not_asked"] == 4 and asking.counts["resolver_asked"] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://"}, "expected http:// or https:// and a server"),
        ({"url": "http://x/{who}"}, "'http://x/{who}': 'who'"),
        ({"url": "http://x/", "token_file": "/none"}, "/none: No such file"),
        ({"url": "https://x/", "ca_file": "/none"}, "No such file"),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, said):
    with pytest.raises(LeaseSettingsError, match=said.replace("{", r"\{")):
        Resolver(CustomerSettings(resolver=ResolverSettings(**settings)), tmp_path / "j")
