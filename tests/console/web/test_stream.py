"""The stream: what is new reaches everybody who follows, once and in order."""

import asyncio
import json
import os
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from lab.alerts import alert
from lab.web import TOKENS
from sensor.base.access import EVERYTHING
from sensor.blocking.desk import Desk
from sensor.blocking.handling import Act
from sensor.console.web.places import place_of, place_text
from sensor.console.web.stream import Follower
from sensor.console.web.view_pool import ViewPool
from sensor.state.journal import Journal


class Listener:
    """Somebody who follows, in a thread."""

    def __init__(self, server, last: str = ""):
        headers = {"Last-Event-ID": last} if last else {}
        self.answer = server.get("/api/v1/stream", stream=True, headers=headers, timeout=300)
        self.events: list[tuple[str, dict, str]] = []
        self.lines = self.answer.iter_lines(decode_unicode=True)
        assert self.answer.status_code == 200
        self.begun = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.begun.wait(200)

    def _listen(self):
        event = {}
        try:
            for line in self.lines:
                if line == ": port25":  # it is told what comes from now on
                    self.begun.set()
                elif line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif "event" in event:
                    data = json.loads(event["data"])
                    self.events.append((event["event"], data, event.get("id", "")))
                    event = {}
        except (requests.RequestException, AttributeError):  # the server has gone
            return

    def wait(self, name, count=1, patience=200.0):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if len(found := [one for one in self.events if one[0] == name]) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{count} {name} wanted, had {self.events}")


def write(state, count, first=0):
    journal = Journal(state / "journal.sqlite")
    made = [alert(f"198.51.100.{k}", opened=first + k) for k in range(count)]
    journal.write(made)
    journal.close()
    return [one.id for one in made]


def test_alerts_come_in_order_and_once(server, state):
    listener = Listener(server)
    ids = write(state, 30)
    found = listener.wait("alert", 30)
    assert [data["id"] for _, data, _ in found] == ids
    time.sleep(0.6)
    assert len([e for e in listener.events if e[0] == "alert"]) == 30


def test_who_comes_back_is_told_what_was_missed(server, state):
    listener = Listener(server)
    write(state, 3)
    place = listener.wait("alert", 3)[-1][2]
    ids = write(state, 4, first=100)
    again = Listener(server, last=place)
    assert [data["id"] for _, data, _ in again.wait("alert", 4)] == ids
    page = server.get(f"/api/v1/messages?after={place}").json()
    assert [one["id"] for one in page["messages"]] == ids


def test_who_was_away_too_long_or_comes_from_elsewhere_begins_anew(server, state):
    listener = Listener(server, last="journal:999999999")
    listener.wait("reset")
    write(state, 600)
    Listener(server, last="journal:1").wait("reset")
    assert server.get("/api/v1/stream", headers={"Last-Event-ID": "x"}).status_code == 400


def test_what_persons_do_and_how_it_goes_is_told(server, state):
    listener = Listener(server)
    desk = Desk(state / "desk.sqlite")
    desk.act({"f" * 32: 1}, 1, Act("done", "ann", "x"))
    listener.wait("desk")
    body = {"host": "203.0.113.10", "reason": "x"}
    server.get("/api/v1/releases", "operator", method="POST", json=body)
    listener.wait("blocks")


@pytest.mark.slow
def test_more_than_may_follow_are_turned_away(state, tmp_path):
    from lab.web import serving, settings_for

    config = settings_for(tmp_path, "max_streams = 2")
    with serving(state, "-c", str(config)) as server:
        both = [Listener(server), Listener(server)]
        answer = server.get("/api/v1/stream")
        assert answer.status_code == 503 and "max_streams" in answer.json()["detail"]
        both[0].answer.close()
        end = time.monotonic() + 20
        while server.get("/api/v1/health").json()["streams"] > 1 and time.monotonic() < end:
            time.sleep(0.1)
        Listener(server)


def test_a_browser_that_does_not_read_slows_nobody(server, state):
    host, port = server.base.removeprefix("http://").split(":")
    lazy = socket.create_connection((host, int(port)))
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    head = (
        f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKENS['viewer']}"
    )
    lazy.sendall(f"{head}\r\n\r\n".encode())
    time.sleep(0.5)
    listener = Listener(server)
    for k in range(8):
        write(state, 250, first=k * 1000)
        listener.wait("alert", 250 * (k + 1))
    assert server.get("/api/v1/health").json()["streams"] == 2
    lazy.close()


def in_thread(coroutine):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def test_the_slow_are_reset_and_hold_little(state):
    async def run():
        follower = Follower(ViewPool(state), 10)
        slow = follower.follow(None)
        await anext(slow)
        for k in range(200):
            follower._tell(f"event: alert\ndata: {k}\n\n".encode())
        assert follower.resets == 3
        chunk = await anext(slow)
        assert chunk.startswith(b"event: reset")
        await slow.aclose()
        assert len(follower) == 0

    in_thread(run())


def test_a_storm_is_not_told_one_by_one(state):
    async def run():
        views = ViewPool(state)
        follower = Follower(views, 10)

        def look(view):
            (chunks,) = follower._look(view, {EVERYTHING}).values()
            return chunks

        assert [b"event: status" in one for one in await views.watch(look)] == [True]
        write(state, 10_100)
        chunks = await views.watch(look)
        assert any(one.startswith(b"event: reset") for one in chunks) and len(chunks) < 6

    in_thread(run())


def test_places_are_written_and_read():
    place = {"worker-1-of-2": 5, "worker-2-of-2": 0}
    assert place_of(place_text(place)) == place
    assert place_of("") == {}
    for bad in ("x", "a:b", ":5", "a:-1", "a:1,", "a:" + "9" * 40):
        with pytest.raises(ValueError, match="no place"):
            place_of(bad)


@pytest.fixture
def dead(state):
    """A state folder whose sensor last wrote a good while ago."""
    then = time.time() - 372
    os.utime(state / "journal.sqlite", (then, then))


def test_a_sensor_that_dies_is_told_though_no_file_changes(dead, server, state):
    """And so is a state folder that was taken away, or replaced."""
    listener = Listener(server)
    now = time.time()
    ahead = now + 3600  # so that it lives however slow the machine is
    os.utime(state / "journal.sqlite", (ahead, ahead))
    assert listener.wait("status")[-1][1]["running"] is True
    assert server.get("/api/v1/status").json()["running"] is True
    os.utime(state / "journal.sqlite", (now - 372, now - 372))
    listener.wait("status", 2)
    name, told, _ = listener.events[-1]
    assert name == "status" and told["running"] is False and told["silent"] > 370
    assert server.get("/api/v1/status").json()["running"] is False
    assert server.get("/api/v1/health").json()["troubles"][0]["code"] == "no_vitals"

    state.rename(state.with_name("away"))
    assert "taken away or replaced" in listener.wait("status", 3)[-1][1]["fault"]
    for path in ("/api/v1/health", "/api/v1/alerts", "/api/v1/status"):
        answer = server.get(path)
        assert answer.status_code == 503 and "no sensor ran here" in answer.json()["detail"]
    shutil.copytree(state.with_name("away"), state)
    assert listener.wait("status", 4)[-1][1]["fault"] == ""
    listener.wait("reset")
    (new,) = write(state, 1)
    assert listener.wait("alert")[-1][1]["id"] == new
    assert server.get("/api/v1/alerts").json()["alerts"]
