"""A block list that appliances fetch: by token, with ETag, and never empty because of a fault."""

import contextlib
import hashlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from lab.waiting import wait_for
from sensor.blocking.feeds import http as feed
from sensor.blocking.http_settings import HttpSettings
from tests.blocking.test_commands import state
from tests.blocking.test_controller import HOUR, block
from tests.conftest import ROOT

__all__ = ["state"]

TOKEN = "a-token-of-an-appliance"
HASHED = hashlib.sha256(TOKEN.encode()).hexdigest()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Appliance:
    """The server in a thread, and who asks it."""

    def __init__(self, **settings) -> None:
        self.port = free_port()
        self.blocks = [self.block("203.0.113.7"), self.block("100.64.0.1:1024-2047")]
        self.said: list[str] = []
        self.counted: dict[str, int] = {}
        self.ends = threading.Event()
        told = HttpSettings(f"127.0.0.1:{self.port}", tokens=("0" * 64, HASHED), **settings)
        self.thread = threading.Thread(
            target=feed.serve,
            args=(told, self.read, self.ends.is_set, self.said.append, self.counted.update),
        )
        self.thread.start()
        wait_for(lambda: self.said, 10, "the server")

    @staticmethod
    def block(host: str):
        now = time.time_ns()
        return block(host, since=now, expires=now + HOUR)

    def read(self, ts: int):
        if self.blocks is None:
            raise OSError("disk I/O error")
        return self.blocks

    def ask(self, path: str = "/blocklist", method: str = "GET", token: str = TOKEN, **head):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, 10)) as one:
            head = {name.replace("_", "-"): value for name, value in head.items()}
            if token:
                head["Authorization"] = f"Bearer {token}"
            one.request(method, path, headers=head)
            answer = one.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def stop(self) -> dict[str, int]:
        self.ends.set()
        self.thread.join(300)
        return self.counted


@pytest.fixture
def appliance():
    made = Appliance()
    yield made
    made.stop()


def test_text_json_and_what_has_not_changed(appliance):
    wait_for(lambda: appliance.ask()[0] == 200, 5, "the list")
    status, head, text = appliance.ask()
    assert (status, text) == (200, "203.0.113.7\n100.64.0.1:1024-2047\n")
    assert head["Content-Type"].startswith("text/plain")
    assert appliance.ask(If_None_Match=f'"other", W/{head["ETag"]}')[::2] == (304, "")
    assert appliance.ask(method="HEAD")[::2] == (200, "")
    status, other, text = appliance.ask(Accept="application/json")
    assert [one["host"] for one in json.loads(text)] == ["203.0.113.7", "100.64.0.1:1024-2047"]
    assert other["ETag"] != head["ETag"] and text == appliance.ask("/blocklist.json")[2]
    del appliance.blocks[0]
    wait_for(lambda: appliance.ask(If_None_Match=head["ETag"])[0] == 200, 5, "the change")
    assert appliance.stop()["unchanged"] >= 1


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "\xff" * 100])
def test_nobody_without_a_token_is_told(appliance, token):
    status, head, text = appliance.ask(token=token)
    assert (status, text) == (401, "") and "Bearer" in head["WWW-Authenticate"]
    assert appliance.ask("/x", token=token)[0] == 401, "nor what there is"
    assert sum("without a token" in one for one in appliance.said) == 1
    assert appliance.stop()["without_token"] == 2


def test_a_list_that_cannot_be_read_is_not_told_empty(appliance):
    wait_for(lambda: appliance.ask()[0] == 200, 5, "the list")
    appliance.blocks = None
    wait_for(lambda: appliance.ask()[0] == 503, 5, "the fault")
    assert appliance.ask()[1]["Retry-After"] == "10"
    wait_for(lambda: any("disk I/O error" in one for one in appliance.said), 5, "a line")
    appliance.blocks = []
    wait_for(lambda: appliance.ask()[::2] == (200, ""), 5, "an empty list that is one")


def test_what_is_no_request_of_an_appliance(appliance):
    assert appliance.ask("/../../etc/passwd")[0] == 404
    assert appliance.ask(method="POST")[0] == 501
    for raw in (b"\x16\x03\x01" + b"\x00" * 200 + b"\n", b"GET /" + b"a" * 70_000, b"\n\n", b""):
        at = ("127.0.0.1", appliance.port)
        with contextlib.suppress(OSError), socket.create_connection(at, 5) as one:
            one.sendall(raw)
            one.shutdown(socket.SHUT_WR)
            one.recv(100)
    assert appliance.ask()[0] == 200
    assert appliance.stop()["no_such_list"] == 1


def test_connections_are_so_many_and_not_for_ever(appliance, monkeypatch):
    wait_for(lambda: appliance.ask()[0] == 200, 5, "the list")
    with contextlib.ExitStack() as at_end:
        for _ in range(feed._CONNECTIONS):
            at_end.enter_context(socket.create_connection(("127.0.0.1", appliance.port), 5))
        with socket.create_connection(("127.0.0.1", appliance.port), 5) as beyond:
            assert beyond.recv(1) == b""
        monkeypatch.setattr(feed, "_LONGEST", 0.1)
        wait_for(lambda: not appliance_full(appliance), 5, "an end of them")
    counted = appliance.stop()
    assert counted["too_slow"] >= 1 and counted["refused_connections"] >= 1


def appliance_full(appliance: Appliance) -> bool:
    try:
        return appliance.ask()[0] != 200
    except (OSError, http.client.HTTPException):
        return True


def test_the_verb_with_tls(state, tmp_path):
    port, pem = free_port(), tmp_path / "pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", pem, "-out", f"{pem}.crt", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    config = tmp_path / "port25.toml"
    config.write_text(
        f'[blocking.http]\nlisten = "127.0.0.1:{port}"\ntokens = ["{HASHED}"]\n'
        f'certificate = "{pem}.crt"\nkey = "{pem}"\n'
    )
    words = ("blocklist", "--format", "http", "--follow", "-c", config, "--state", state)
    running = subprocess.Popen(
        [sys.executable, "-m", "sensor", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=ROOT,
    )  # fmt: skip
    trust = ssl.create_default_context(cafile=f"{pem}.crt")

    def text() -> str:
        one = http.client.HTTPSConnection("127.0.0.1", port, timeout=300, context=trust)
        with contextlib.closing(one), contextlib.suppress(OSError):
            one.request("GET", "/blocklist.txt", headers={"Authorization": f"Bearer {TOKEN}"})
            return one.getresponse().read().decode()
        return ""

    try:
        wait_for(lambda: "203.0.113.7\n" in text(), 30, "the list")
        with socket.create_connection(("127.0.0.1", port), 60) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert plain.recv(100)[:4] != b"HTTP"
    finally:
        running.send_signal(signal.SIGTERM)
        out, said = running.communicate(timeout=200)
    assert running.returncode == 0, said
    counters = json.loads(out.splitlines()[-1])["counters"]
    assert counters["answered"] >= 1 and counters["broken_off"] >= 1
