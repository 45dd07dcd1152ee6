"""Packets that other sensors have: asked of their pages, by role, bounded, in the books of both."""

import contextlib
import http.server
import json
import subprocess
import threading

import msgspec
import pytest

from lab.certificates import Authority
from lab.splitting import by_direction, split
from lab.web import TOKENS, serving, settings_for
from sensor.alerts.alert import Alert
from sensor.console.web import credentials
from sensor.state.audit import Audit
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from tests.conftest import PCAPS, needs, port25

WHOLE = PCAPS / "fast_bot.pcap"
BOUND = "p25_of_one_who_is_bound"


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Folders of two sensors, each of which saw one direction, and the alerts of both together."""
    folder = tmp_path_factory.mktemp("sensors")
    for path, name in zip(split(WHOLE, folder, by_direction), ("north", "south"), strict=True):
        port25("replay", "-q", "--state", str(folder / name), str(path), check=True)
        (folder / name / "settings").mkdir()
    lines = port25("replay", "-q", "--json", str(WHOLE), check=True).stdout.splitlines()
    return folder, [msgspec.json.decode(line, type=Alert) for line in lines]


class Strange(http.server.BaseHTTPRequestHandler):
    """Answers in ways that nobody should follow or believe."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        how = self.path.split("/")[1]
        if how == "moved":
            self.send_response(307)
            self.send_header("Location", "/gif/api/v1/evidence")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "9000" if how == "broken" else "60")
        self.end_headers()
        self.wfile.write(b"GIF89a" * 10)

    def log_message(self, *words):
        """Not here."""


@pytest.fixture(scope="module")
def strange():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strange)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@contextlib.contextmanager
def deciding(tmp_path, alerts, sensors, urls, more="", trusted=None):
    """The page over a folder of who decides; ``urls`` of the sensors it knows.

    ``trusted``: by sensor whom to trust for it.
    """
    state = tmp_path / "decide"
    journal = Journal(StateFolder(state).journal) if state.mkdir() is None else None
    journal.write([msgspec.structs.replace(one, sensor=sensors) for one in alerts])
    journal.close()
    token = tmp_path / "token"
    token.write_text(TOKENS["analyst"] + "\n")
    lines = [more]
    for name, url in urls.items():
        file = tmp_path / f"token-{name}"
        file.write_text(TOKENS["viewer"] if name == "shy" else TOKENS["analyst"])
        lines.append(f'[[web.sensors]]\nname = "{name}"\nurl = "{url}"\ntoken_file = "{file}"')
        lines += [f'ca_file = "{trusted[name]}"'] if trusted and name in trusted else []
    config = settings_for(tmp_path, "\n".join(lines))
    with serving(state, "-c", str(config)) as server:
        yield server, state, config


@contextlib.contextmanager
def sensor(halves, name, more=""):
    state = halves[0] / name
    config = settings_for(state / "settings", more)
    digest = credentials.digest(BOUND)
    with config.open("a") as file:
        file.write(f'\n[[web.tokens]]\nname = "bound"\nrole = "analyst"\nsha256 = "{digest}"\n')
        file.write('prefixes = ["192.0.2.0/24"]\n')
    with serving(state, "-c", str(config)) as server:
        yield server


def interfaces(path):
    needs("tshark")
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.interface_name",
               "-e", "frame.time_epoch", "-e", "ip.addr"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def book(state):
    return Audit(StateFolder(state).audit, read_only=True).page(1000)


def test_packets_come_from_the_sensors_that_saw_them(halves, tmp_path):
    alerts = halves[1]
    bot = alerts[0]
    with contextlib.ExitStack() as stack:
        urls = {n: stack.enter_context(sensor(halves, n)).base for n in ("north", "south")}
        opened = deciding(tmp_path, alerts, "north,south,west", urls)
        server, state, config = stack.enter_context(opened)
        path = f"/api/v1/alerts/{bot.id}"
        assert server.get(f"{path}/packets", "viewer").status_code == 403
        page = server.get(f"{path}/packets?limit=3", "analyst").json()
        told = {one["sensor"]: (one["state"], one["packets"]) for one in page["sources"]}
        assert told["west"] == ("unknown", 0)
        assert told["north"][0] == told["south"][0] == "given"
        file = tmp_path / "of_all.pcapng"
        file.write_bytes(server.get(f"{path}/evidence.pcapng", "analyst").content)
        rows = interfaces(file)
        assert len(rows) == page["total"] == told["north"][1] + told["south"][1]
        assert {row[0] for row in rows} == {"north", "south"}
        times = [row[1] for row in rows]
        assert times == sorted(times) and all(bot.host in row[2] for row in rows)
        # As many as a sensor would have that had seen all.
        alone = tmp_path / "alone"
        port25("replay", "-q", "--state", str(alone), str(WHOLE), check=True)
        last = next(one for one in reversed(alerts) if one.id == bot.id)
        done = port25("evidence", bot.id, "--state", str(alone), "-w", str(tmp_path / "a"))
        assert f"{len(rows):,} packets of {last.host}" in done.stdout.decode()
        # And on the command line.
        words = ("evidence", bot.id, "--state", str(state), "-c", str(config))
        done = port25(*words, "-w", str(tmp_path / "b"), check=True)
        assert f"north: given, {told['north'][1]:,} packets" in done.stdout.decode()
        assert interfaces(tmp_path / "b") == rows
    here = [one for one in book(state) if one.act == "packets"]
    assert {one.by for one in here} >= {"analyst-bot"} and here[-1].host == bot.host
    for name in ("north", "south"):
        there = [one for one in book(halves[0] / name) if one.act == "packets"]
        assert [(one.by, one.detail) for one in there][-1] == (
            "analyst-bot", "for analyst-bot by analyst-bot",
        )  # fmt: skip
        log = (halves[0] / name / "evidence" / "access.log").read_text().splitlines()
        assert json.loads(log[0])["user"] == "analyst-bot by analyst-bot"


def test_who_is_away_or_strange_is_told_and_hinders_no_other(halves, tmp_path, strange):
    odd = {n: f"{strange}/{n}" for n in ("moved", "gif", "broken")}
    odd |= {"gone": "http://127.0.0.1:9"}
    with sensor(halves, "north") as north:
        urls = {"north": north.base, "shy": north.base, **odd}
        opened = deciding(tmp_path, halves[1], ",".join(urls), urls, "evidence_megabytes = 1")
        with opened as (server, _, _):
            page = server.get(f"/api/v1/alerts/{halves[1][0].id}/packets?limit=1", "analyst").json()
    told = {one["sensor"]: (one["state"], one["why"]) for one in page["sources"]}
    assert told["north"] == ("given", "")
    assert told["moved"][0] == "refused" and "307" in told["moved"][1]
    assert told["gif"] == ("refused", "what it sent: it is no capture of port25")
    assert told["broken"][0] == "away" and "broke off" in told["broken"][1]
    assert told["gone"][0] == "away" and "refused" in told["gone"][1]
    assert told["shy"][0] == "refused" and "needs the role analyst" in told["shy"][1]


def test_where_nobody_gives_any_it_is_a_fault_that_says_why(halves, tmp_path):
    with deciding(tmp_path, halves[1], "gone", {"gone": "http://127.0.0.1:9"}) as (server, _, _):
        answer = server.get(f"/api/v1/alerts/{halves[1][0].id}/packets", "analyst")
    assert answer.status_code == 503 and "gone: it is away" in answer.json()["detail"]


def test_a_sensor_gives_what_a_token_may_see_and_no_more_than_it_is_asked_for(halves, tmp_path):
    host = halves[1][0].host
    asked = {"alert": "a" * 32, "host": host, "first": 0, "last": 1 << 62, "by": "ann"}
    with sensor(halves, "south") as server:
        ask = lambda role, **more: server.get(  # noqa: E731
            "/api/v1/evidence", role, method="POST", json=asked | more
        )
        assert ask(None).status_code == 401 and ask("viewer").status_code == 403
        whole = ask("analyst")
        assert whole.status_code == 200 and len(whole.content) > 2000
        for one in ({"by": ""}, {"most": 0}, {"more": 1}):
            assert ask("analyst", **one).status_code == 400, one
        for one in ({"host": "nobody"}, {"addresses": [{"address": "x", "since": 0, "until": 1}]}):
            assert ask("analyst", **one).status_code == 404, one
        bound = {"headers": {"Authorization": f"Bearer {BOUND}"}, "method": "POST"}
        for more, status in (
            ({}, 404),
            ({"host": "192.0.2.9"}, 200),
            (
                {"host": "192.0.2.9", "addresses": [{"address": host, "since": 0, "until": None}]},
                404,
            ),
        ):
            done = server.get("/api/v1/evidence", None, json=asked | more, **bound)
            assert done.status_code == status, more
        none = ask("analyst", host="198.51.100.99")
        assert none.status_code == 200 and len(none.content) < 400


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """The provider's, and another of the same name."""
    needs("openssl")
    return [Authority(tmp_path_factory.mktemp("authority"), "isp.example") for _ in range(2)]


def over_tls(served):
    return f'certificate = "{served.certificate}"\nkey = "{served.key}"'


def test_packets_come_over_tls_from_whoever_the_provider_s_authority_names(
    halves, tmp_path, authorities, strange
):
    """Both pages speak TLS; each sensor is trusted by the file that is named for it."""
    mine, other = authorities
    bot = halves[1][0]
    alone = mine.serve("elsewhere", "DNS:south.isp.example")
    with contextlib.ExitStack() as stack:
        north = stack.enter_context(sensor(halves, "north", over_tls(mine.serve("north"))))
        south = stack.enter_context(sensor(halves, "south", over_tls(alone)))
        assert north.base.startswith("https://127.0.0.1:")
        urls = {
            "north": north.base, "stranger": north.base, "unnamed": north.base,
            "south": south.base, "plain": strange.replace("http:", "https:"),
        }  # fmt: skip
        trusted = dict.fromkeys(("north", "south", "plain"), mine.certificate)
        trusted["stranger"] = other.certificate
        opened = deciding(
            tmp_path, halves[1], ",".join(urls), urls, over_tls(mine.serve("decide")), trusted
        )
        server, state, config = stack.enter_context(opened)
        assert server.base.startswith("https://")
        path = f"/api/v1/alerts/{bot.id}"
        verified = {"verify": str(mine.certificate)}
        page = server.get(f"{path}/packets?limit=1", "analyst", **verified).json()
        told = {one["sensor"]: (one["state"], one["why"]) for one in page["sources"]}
        assert told["north"] == ("given", "") and page["total"] > 10
        for name, why in (
            ("stranger", "unable to get local issuer certificate"),
            ("unnamed", "unable to get local issuer certificate"),
            ("south", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ):
            assert told[name] == (
                "away", f"its certificate is not trusted: {why} (web.sensors.ca_file)",
            ), name  # fmt: skip
        assert told["plain"] == ("away", "it speaks no TLS: WRONG_VERSION_NUMBER")
        file = tmp_path / "of_all.pcapng"
        file.write_bytes(server.get(f"{path}/evidence.pcapng", "analyst", **verified).content)
        assert {row[0] for row in interfaces(file)} == {"north"}
        words = ("evidence", bot.id, "--state", str(state), "-c", str(config))
        done = port25(*words, "-w", str(tmp_path / "b"), check=True).stdout.decode()
        assert "north: given" in done and "not trusted" in done
        assert interfaces(tmp_path / "b") == interfaces(file)
    there = [one.detail for one in book(halves[0] / "south") if one.act == "packets"]
    assert not any("elsewhere" in one for one in there)


@pytest.mark.parametrize(("text", "why"), [(None, "No such file"), ("no PEM", "expected")])
def test_an_authority_that_cannot_be_read_is_said_at_the_start(tmp_path, text, why):
    (tmp_path / "token").write_text("x")
    authority = tmp_path / "ca.pem"
    if text:
        authority.write_text(text)
    config = tmp_path / "port25.toml"
    config.write_text(
        f'[[web.sensors]]\nname = "n"\nurl = "https://n.example"\n'
        f'token_file = "{tmp_path}/token"\nca_file = "{authority}"\n'
    )
    state = tmp_path / "state"
    state.mkdir()
    Journal(StateFolder(state).journal).close()
    done = port25("web", "--state", str(state), "-c", str(config), "--listen", "127.0.0.1:0")
    said = done.stderr.decode()
    assert done.returncode in (1, 2) and f"{authority}: " in said and why in said, said
    assert "Traceback" not in said


def test_settings_that_would_show_a_token_to_others_are_refused(tmp_path):
    (tmp_path / "token").write_text("x")
    config = tmp_path / "port25.toml"
    text = f'[[web.sensors]]\nname = "n"\nurl = "http://n.example"\ntoken_file = "{tmp_path}/token"'
    config.write_text(text)
    state = tmp_path / "state"
    state.mkdir()
    Journal(StateFolder(state).journal).close()
    done = port25("web", "--state", str(state), "-c", str(config), "--listen", "127.0.0.1:0")
    assert done.returncode == 2 and b"only https" in done.stderr
