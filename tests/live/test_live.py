"""The sensor on a live interface: what it tells, what it survives, what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from lab import mail_servers
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.waiting import wait_for
from sensor.blocking.desk import Desk
from sensor.blocking.feed_faults import tell
from sensor.blocking.ledger import Ledger
from sensor.state.journal import Journal
from tests.conftest import PCAPS, ROOT, port25

HOST = "203.0.113.1"
FAST = "[live]\nsnapshot = 1\n"


def traffic(lab: Laboratory, *words: str) -> None:
    lab.run(lab.inside, sys.executable, "-m", "lab.subscribers", *words, cwd=ROOT)


def test_live_equals_replay(lab, folder):
    """Of what tcpdump saw beside it, and of what it wrote itself: byte for byte, ids included.

    Both listen where packets leave the router for the mirror port. (Where they arrive, on veth, the
    kernel stamps a packet for each socket anew, microseconds apart.)
    """
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    own, other = folder / "own.pcapng", folder / "other.pcap"
    words = ("-i", "span0", "-w", str(own))
    sensor = Sensor(lab, folder / "sensor", "", *words, where=lab.router).start()
    only = ("--time-stamp-precision=nano", "tcp or icmp or udp")
    tcpdump = lab.capture(lab.router, other, *only)
    traffic(lab, "bot", "60", "20")
    traffic(lab, "mailer", "15", "20")
    time.sleep(13)  # what waits for an answer is given up, with no packet to tell the time
    before = len(sensor.alerts())
    seen = sensor.metrics()["port25_packets_received_total"]
    traffic(lab, "last")
    wait_for(lambda: sensor.metrics()["port25_packets_received_total"] > seen, 5, "the last")
    time.sleep(0.5)
    assert sensor.stop() == 0
    lab.end_capture(tcpdump, other)
    live = sensor.alerts()
    assert [line["schema"] for line in sensor.lines()] == ["port25.alert/1"] * len(live)
    for path in (own, other):
        assert port25("replay", "-q", str(path), check=True).stdout == sensor.out.read_bytes()
    assert before >= 1
    assert {alert["host"] for alert in live} == {HOST}


def test_workers_share_an_interface_and_each_subscriber_is_ones(lab, folder):
    words = ("-i", "span0")  # where each socket is given the same stamps
    sensor = Sensor(
        lab, folder / "sensor", "[live]\nworkers = 3\n", *words, where=lab.router
    ).start()
    path = folder / "beside.pcap"
    tcpdump = lab.capture(lab.router, path, "--time-stamp-precision=nano", "tcp or icmp")
    hosts = [f"203.0.113.{n}" for n in range(10, 22)]
    for host in hosts:
        lab.address(lab.inside, host)
        traffic(lab, "syns", "30", "400", host)
    wait_for(lambda: len({a["host"] for a in sensor.alerts()}) == len(hosts), 20, "all the hosts")
    wanted = 30 * len(hosts)
    wait_for(lambda: sensor.metrics()["port25_attempts_total"] >= wanted, 5, "all attempts")
    metrics = sensor.metrics()
    assert metrics["port25_attempts_total"] == wanted
    assert metrics["port25_hosts"] == len(hosts), "a subscriber was seen by two workers"
    lab.end_capture(tcpdump, path)
    assert sensor.stop() == 0
    busy = [
        len({a.host for _, a in Journal(place / "journal.sqlite", True).read()})
        for place in sorted(sensor.state.glob("worker-*-of-3"))
    ]
    assert sum(busy) == len(hosts)
    assert sum(n > 0 for n in busy) >= 2
    replayed = port25("replay", "-q", str(path), check=True).stdout
    ledger = Ledger(sensor.state / "blocking.sqlite", read_only=True)
    decided = [ledger.position(f"worker-{n}-of-3/journal.sqlite") for n in (1, 2, 3)]
    assert sum(n > 0 for n in decided) == sum(n > 0 for n in busy), "all workers' alerts"
    told = [
        sorted((a["host"], a["state"], a["revision"], a["score"]) for a in alerts)
        for alerts in (sensor.alerts(), map(json.loads, replayed.splitlines()))
    ]
    assert told[0] == told[1]
    words = ("--state", str(sensor.state), "-w", str(folder / "out.pcapng"))
    assert port25("evidence", sensor.alerts()[0]["id"], *words).returncode == 0


def test_a_tap_has_an_interface_for_each_direction(lab, folder):
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    lab.cable(lab.router, "span1", lab.watch, "mirror1")
    lab.run(lab.router, "tc", "filter", "delete", "dev", "acc0", "egress")
    lab.mirror("acc0", "span1")
    own = folder / "own.pcapng"
    words = ("-i", "mirror0", "-i", "mirror1", "-w", str(own))
    sensor = Sensor(lab, folder / "sensor", "", *words).start()
    traffic(lab, "bot", "60", "20")
    wait_for(lambda: sensor.alerts(), 20, "an alert")
    assert sensor.stop() == 0
    assert sensor.alerts()[-1]["proven"] > 5, "who acknowledged what was not seen in order"
    assert port25("replay", "-q", str(own), check=True).stdout == sensor.out.read_bytes()


def test_the_pages_commands(lab, folder):
    ours = re.compile(r"^sudo \.venv/bin/port25 ([^#\n]*)", re.MULTILINE)
    live, evidence, *_ = ours.findall((ROOT / "docs" / "live.md").read_text())
    assert ours.findall((ROOT / "README.md").read_text()) == [live]
    state = ["--state", str(folder / "state")]
    command = [sys.executable, "-m", "sensor", *live.split(), *state]
    sensor = lab.start(lab.watch, *command, log=folder / "log", cwd=ROOT)
    wait_for(lambda: (folder / "state" / "journal.sqlite").exists(), 100)

    def raised() -> bool:  # when it begins to look is told to nobody
        traffic(lab, "syns", "40", "40")
        return "raised" in (folder / "log").read_text()

    wait_for(raised, 20, "an alert")
    assert lab.stop(sensor) == 0
    id_ = json.loads((folder / "log").read_text().splitlines()[0])["id"]
    words = [id_ if re.fullmatch(r"[0-9a-f]{8}", word) else word for word in evidence.split()]
    out = words.index("-w") + 1
    words[out] = str(folder / words[out])
    assert port25(*words, *state).returncode == 0


def test_a_worker_that_dies_ends_them_all(lab, folder):
    sensor = Sensor(lab, folder / "sensor", "[live]\nworkers = 2\n").start()
    assert sensor.process is not None
    children = Path(f"/proc/{sensor.process.pid}/task/{sensor.process.pid}/children").read_text()
    os.kill(int(children.split()[-1]), signal.SIGKILL)
    assert sensor.process.wait(200) == 1


def test_the_ring_gives_what_tcpdump_sees(lab, folder):
    """Tags the card took off, segments the kernel glued together, IPv6."""
    lab.offload(True, (lab.inside, "up0"), (lab.router, "acc0"), (lab.router, "core0"))
    lab.offload(True, (lab.router, "span0"), (lab.watch, "mirror0"))
    code = """
import sys, time
from sensor.capture.afpacket import Interface, Interfaces
from sensor.capture.bpf import mail_filter
from sensor.decode.decoder import Decoder
from sensor.decode.segment import describe
interface = Interface("mirror0", mail_filter([25]), 8)
source, decoder, end = Interfaces([interface]), Decoder([25], duplicate_window=0), time.time() + 6
print("ready", flush=True)
while time.time() < end:
    for block in source.read(0.2):
        for row in decoder.decode(block):
            d = describe(row)
            print(d["ts"], d["src"], d["seq"], d["len"], d["captured"], d["vlan"], flush=True)
"""
    log = folder / "ring.log"
    reader = lab.start(lab.watch, sys.executable, "-c", code, log=log)
    wait_for(lambda: "ready" in log.read_text(), 60, log.read_text())
    path = folder / "beside.pcap"
    tcpdump = lab.capture(lab.watch, path, "--time-stamp-precision=nano")
    serve = (
        "import socket,sys\ns=socket.create_server((sys.argv[1],25))\n"
        "c,_=s.accept()\nn=0\nwhile d:=c.recv(1<<16): n+=len(d)\nprint(n)"
    )
    send = "import socket,sys\nsocket.create_connection((sys.argv[1],25)).sendall(b'x'*400000)"
    address = "198.51.100.1"
    server = lab.start(lab.outside, sys.executable, "-c", serve, address, log=folder / "server")
    wait_for(lambda: f"{address}:25" in lab.run(lab.outside, "ss", "-ltn").stdout, 20)
    lab.run(lab.inside, sys.executable, "-c", send, address)
    assert server.wait(200) == 0
    tagged = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=5)
    put = (
        "import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\n"
        "s.bind(('span0',0))\ns.send(bytes.fromhex(sys.argv[1]))"
    )
    for packet in (
        tagged / IP(src=HOST, dst="198.18.0.1") / TCP(sport=4000, dport=25),
        tagged / Dot1Q(vlan=6) / IPv6(src="2001:db8::1") / TCP(sport=4000, dport=25),
    ):
        lab.run(lab.router, sys.executable, "-c", put, bytes(packet).hex())
    reader.wait()
    lab.end_capture(tcpdump, path)
    segments = port25("segments", str(path), check=True).stdout.splitlines()
    theirs = [
        [d["ts"], *(str(d[k]) for k in ("src", "seq", "len", "captured", "vlan"))]
        for d in map(json.loads, segments)
    ]
    mine = log.read_text().splitlines()[1:]
    # Two processors may hand two sockets packets of the two directions in different order.
    theirs.sort(key=lambda line: line[1])
    mine.sort(key=lambda line: line.split()[1])
    assert [line.split()[1:] for line in mine] == [line[1:] for line in theirs]
    for line, (ts, *_) in zip(mine, theirs, strict=True):
        assert abs(int(line.split()[0]) - ts) < 10**6
    assert any(int(line.split()[3]) > 10_000 for line in mine), "no giant segment came"
    assert Counter(line.split()[-1] for line in mine)["5"] == 2


def test_a_sensor_that_stands_still_for_seconds_loses_nothing(lab, folder):
    """A disk, a hypervisor or a debugger may hold it up; the ring outlasts that."""
    own = folder / "own.pcapng"
    sensor = Sensor(lab, folder / "sensor", "", "-w", str(own)).start()
    sensor.send(signal.SIGSTOP)
    traffic(lab, "syns", "160", "40")
    sensor.send(signal.SIGCONT)
    wait_for(lambda: sensor.metrics()["port25_attempts_total"] == 160, 10, "all attempts")
    assert sensor.metrics()["port25_packets_dropped_total"] == 0
    assert sensor.stop() == 0
    assert sensor.alerts()
    assert port25("replay", "-q", str(own), check=True).stdout == sensor.out.read_bytes()


def test_kill_and_restart_during_an_attack(lab, folder):
    sensor = Sensor(lab, folder / "sensor", FAST).start()
    traffic(lab, "syns", "60", "40")
    wait_for(lambda: sensor.alerts(), 30, "an alert")
    wait_for(lambda: sensor.metrics()["port25_attempts_total"] == 60, 20, "what is to be kept")
    kept = sensor.state / "state.p25"
    for _ in range(2):  # the first may have been begun before
        last = kept.stat().st_mtime_ns if kept.exists() else 0
        newer = partial(lambda then: kept.exists() and kept.stat().st_mtime_ns > then, last)
        wait_for(newer, 10, "a snapshot")
    known = sensor.alerts()[-1]
    sensor.stop(signal.SIGKILL)
    sensor.start()
    traffic(lab, "syns", "250", "80")
    wait_for(lambda: sensor.alerts()[-1]["revision"] > known["revision"], 20, "an escalation")
    wait_for(lambda: sensor.metrics()["port25_attempts_total"] == 60 + 250, 5, "all attempts")
    assert sensor.stop() == 0
    alerts = sensor.alerts()
    assert {alert["id"] for alert in alerts} == {known["id"]}
    assert max(Counter((a["id"], a["revision"]) for a in alerts).values()) == 1
    assert [a["revision"] for a in alerts] == list(range(1, len(alerts) + 1))
    assert alerts[-1]["first_seen"] == known["first_seen"]


def test_killed_before_the_snapshot_the_alert_goes_on_under_its_id(lab, folder):
    sensor = Sensor(lab, folder / "sensor", "[live]\nsnapshot = 3600\n").start()
    traffic(lab, "syns", "40", "40")
    wait_for(lambda: sensor.alerts(), 15, "an alert")
    sensor.stop(signal.SIGKILL)
    sensor.start()
    traffic(lab, "syns", "250", "80")
    wait_for(lambda: len(sensor.alerts()) > 2, 20, "an escalation")
    assert sensor.stop() == 0
    assert len({alert["id"] for alert in sensor.alerts()}) == 1
    assert max(Counter((a["id"], a["revision"]) for a in sensor.alerts()).values()) == 1


def test_overload_is_counted_and_told(lab, folder):
    sensor = Sensor(lab, folder / "sensor", "[live]\nring = 2\n").start()
    sensor.send(signal.SIGSTOP)
    flood = (
        "import socket\ns=socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind(('span0',0))\n"
        "f=bytes.fromhex('020000000002020000000001080045000028000100004006')+b'\\0\\0'"
        "+bytes([203,0,113,9,198,18,0,1,15,160,0,25])+bytes(8)+b'\\x50\\x02'+bytes(6)\n"
        "for k in range(60000): s.send(f[:18]+k.to_bytes(4,'big')[2:]+f[20:])"
    )
    lab.run(lab.router, sys.executable, "-c", flood)
    sensor.send(signal.SIGCONT)
    wait_for(lambda: sensor.notices("capture_loss"), 30, "the alarm")
    metrics = sensor.metrics()
    assert metrics["port25_packets_dropped_total"] > 1000
    assert metrics["port25_packets_received_total"] >= 60_000
    assert metrics["port25_packets_received_total"] == (
        metrics["port25_packets_dropped_total"]
        + sum(v for name, v in metrics.items() if name.startswith("port25_frames_total"))
    )
    assert metrics["port25_loss_ratio"] > 0.01 or sensor.notices("capture_loss")
    traffic(lab, "syns", "40", "40")  # and it goes on
    wait_for(lambda: any(a["host"] == HOST for a in sensor.alerts()), 20, "an alert")
    assert sensor.stop() == 0


def test_an_interface_that_goes_down_and_comes_up(lab, folder):
    sensor = Sensor(lab, folder / "sensor").start()
    for way in ("down", "up"):
        told = len(sensor.notices("interface"))
        lab.run(lab.watch, "ip", "link", "set", "mirror0", way)
        wait_for(lambda told=told: len(sensor.notices("interface")) > told, 5, way)

    def bursts():
        """Until there is an alert: what is sent while a link comes up may be lost."""
        traffic(lab, "syns", "40", "40")
        return sensor.alerts()

    wait_for(bursts, 15, "an alert")
    lab.run(lab.router, "ip", "link", "delete", "span0")
    assert sensor.process is not None
    assert sensor.process.wait(300) == 1
    assert "gone" in sensor.err.read_text()


def test_signals_settings_and_the_supervisor(lab, folder):
    sensor = Sensor(lab, folder / "sensor", "").start()
    sensor.send(signal.SIGUSR1)
    wait_for(lambda: "packets_received" in sensor.err.read_text(), 10)
    assert json.loads(sensor.err.read_text().splitlines()[0])["capture"]["packets_dropped"] == 0
    wait_for(lambda: sensor.said("WATCHDOG=1"), 10, "the watchdog's bone")

    sensor.configure("prots = [25]\n")
    sensor.send(signal.SIGHUP)
    wait_for(lambda: sensor.notices("settings"), 10)
    assert "old ones stay" in sensor.notices("settings")[-1]
    assert "prots: no such setting" in sensor.err.read_text()

    traffic(lab, "syns", "4", "40")
    exempt = f'exempt = [{{ prefix = "{HOST}", reason = "test", until = 2099-01-01 }}]\n'
    sensor.configure(exempt + "[limits]\nmax_hosts = 5000\n")
    sensor.send(signal.SIGHUP)
    wait_for(lambda: len(sensor.notices("settings")) == 2, 10)
    assert "at the next start: limits" in sensor.notices("settings")[-1]
    traffic(lab, "syns", "60", "60")
    suppressed = "port25_suppressed_by_exemption_total"
    wait_for(lambda: sensor.metrics()[suppressed] > 0, 5, "what is suppressed")
    time.sleep(1)
    assert sensor.alerts() == []

    sensor.configure("")
    sensor.send(signal.SIGHUP)
    wait_for(lambda: len(sensor.notices("settings")) == 3, 10)
    traffic(lab, "syns", "3", "40")
    wait_for(lambda: sensor.alerts(), 10, "an alert on all the evidence")
    assert sensor.alerts()[0]["connections"] > 60
    wait_for(lambda: sensor.said("READY=1"), 10)
    assert any(line.startswith("RELOADING=1") for line in sensor.heard)
    assert sensor.stop() == 0


def test_evidence_of_an_alert_for_wireshark(lab, folder, tshark):
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    for privacy, commands in (("envelope", 0), ("evidence", 10)):
        sensor = Sensor(lab, folder / privacy, f'privacy = "{privacy}"\n').start()
        traffic(lab, "bot", "60", "20")
        traffic(lab, "mailer", "3", "20")
        wait_for(lambda s=sensor: s.alerts(), 15, "an alert")
        assert sensor.stop() == 0
        alert = sensor.alerts()[-1]
        out = folder / f"{privacy}.pcapng"
        words = ("--state", str(sensor.state), "-w", str(out))
        done = port25("evidence", alert["id"][:12], *words)
        assert done.returncode == 0, done.stderr
        shown = subprocess.run(
            [tshark, "-r", str(out), "-n", "-T", "fields"]
            + ["-e", "ip.addr", "-e", "smtp.req.command"],
            check=True, capture_output=True, text=True,
        ).stdout.splitlines()  # fmt: skip
        assert len(shown) > 200
        assert all(HOST in line for line in shown)
        assert sum("MAIL" in line for line in shown) >= commands
        assert b"Subject" not in out.read_bytes()
        if not commands:
            assert b"MAIL" not in out.read_bytes()
        comment = subprocess.run(
            [tshark, "-r", str(out), "-c", "1", "-V"], check=True, capture_output=True, text=True
        )
        assert comment.returncode == 0
        assert alert["id"].encode() in out.read_bytes()
        log = [json.loads(line) for line in (sensor.state / "evidence/access.log").open()]
        assert log[0]["alert"] == alert["id"]
        assert log[0]["packets"] == len(shown)
        if commands:  # enough to come to the same conclusion
            assert HOST.encode() in port25("replay", "-q", str(out), check=True).stdout
    assert port25("evidence", "f" * 32, "--state", str(sensor.state), "-w", "x").returncode == 1


def test_a_full_disk_stops_neither_detection_nor_alerts(lab, folder):
    (folder / "sensor" / "state").mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder / "sensor" / "state")],
        check=True,
    )
    try:
        sensor = Sensor(lab, folder / "sensor", "[live]\nsnapshot = 1\n").start()
        filler = folder / "sensor" / "state" / "filler"
        subprocess.run(f"cat /dev/zero > {filler}", shell=True, check=False, capture_output=True)
        traffic(lab, "syns", "60", "60")
        wait_for(lambda: sensor.alerts(), 20, "an alert")
        wait_for(lambda: sensor.notices("journal"), 10, "a notice")
        assert "not on disk" in sensor.notices("journal")[0]
        filler.unlink()
        wait_for(lambda: sensor.metrics()["port25_outbox_alerts"] == 0, 20, "the journal")
        assert sensor.stop() == 0
        journal = Journal(sensor.state / "journal.sqlite", True)
        kept = [alert.id for _, alert in journal.read()]
        journal.close()
        assert kept == [alert["id"] for alert in sensor.alerts()]
    finally:
        lab.stop_all()
        subprocess.run(["umount", str(folder / "sensor" / "state")], check=True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-i", "nothere0"), 1, "nothere0: no such interface; there are: lo, "),
        (("-i", "lo", "-i", "nothere0"), 1, "nothere0: no such interface; there are: lo, "),
        (("-i", "tunnel0"), 1, "link type"),
        (("-i", "lo", "-f", "tcp prt 25"), 2, "--bpf: "),
        (("-i", "lo", "--metrics", "127.0.0.1:7777"), 1, "in use"),
        (("-i", "lo", "--user", "nobody-at-all"), 1, "no user"),
        (("-i", "lo", "--state", "/proc/nothing"), 1, "/proc/nothing"),
        (("-i", "lo", "-c", "two.toml", "-w", "x"), 2, "several workers"),
        (("-i", "nothere0", "-c", "two.toml"), 1, "nothere0: no such interface"),
        (("-i", "lo", "-c", "two.toml", "--metrics", "127.0.0.1:7777"), 1, "in use"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_one_clear_line(lab, folder, words, code, said):
    can = (  # a tun device that says it is a CAN bus (TUNSETIFF, TUNSETLINK)
        "import fcntl,struct,time\nf=open('/dev/net/tun','rb+',buffering=0)\n"
        "fcntl.ioctl(f,0x400454ca,struct.pack('16sH',b'tunnel0',0x1001))\n"
        "fcntl.ioctl(f,0x400454cd,280)\nprint('x',flush=True)\ntime.sleep(60)"
    )
    lab.start(lab.watch, sys.executable, "-c", can, log=folder / "can")
    wait_for(lambda: (folder / "can").read_text() == "x\n", 10)
    busy = (
        "import socket,sys,time\ns=socket.create_server(('127.0.0.1',7777))\n"
        "print('x',flush=True)\ntime.sleep(60)"
    )
    lab.start(lab.watch, sys.executable, "-c", busy, log=folder / "busy")
    wait_for(lambda: (folder / "busy").read_text(), 10)
    command = [sys.executable, "-m", "sensor", "live", *words]
    if "--state" not in words:
        command += ["--state", str(folder / "state")]
    (folder / "two.toml").write_text("[live]\nworkers = 2\n")
    command = [str(folder / word) if word == "two.toml" else word for word in command]
    done = lab.run(lab.watch, *command, cwd=ROOT, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "state").exists(), "nothing is left behind"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_sensor_on_one_state_folder_is_refused_and_the_first_goes_on(lab, folder, workers):
    settings = f'[live]\nworkers = {workers}\nuser = "nobody"\nmetrics = ""\n'
    sensor = Sensor(lab, folder / "sensor", settings).start()
    command = [sys.executable, "-m", "sensor", "live", "-i", "mirror0", "-c", str(sensor.config)]
    done = lab.run(lab.watch, *command, "--state", str(sensor.state), cwd=ROOT, check=False)
    assert done.returncode == 1, done.stderr
    assert f"pid {sensor.process.pid} (port25 live) writes there already" in done.stderr
    assert done.stderr.count("\n") == 1
    again = port25("replay", "-q", "--state", str(sensor.state), str(PCAPS / "home_user.pcap"))
    assert again.returncode == 1
    assert b"writes there already" in again.stderr
    sensor.send(signal.SIGKILL)
    wait_for(lambda: sensor.process.poll() is not None, 10)
    assert sensor.start().stop() == 0


def test_an_interface_that_is_down_is_said(lab, folder):
    lab.run(lab.watch, "ip", "link", "set", "mirror0", "down")
    sensor = Sensor(lab, folder / "sensor").start()
    wait_for(lambda: sensor.notices("interface"), 5, "a notice")
    assert sensor.notices("interface")[0].startswith("mirror0 is down, nothing can come from it")
    lab.run(lab.watch, "ip", "link", "set", "mirror0", "up")
    wait_for(lambda: len(sensor.notices("interface")) > 1, 20, "a notice")
    assert sensor.notices("interface")[1] == "mirror0 is up again"
    lab.run(lab.router, "ip", "link", "set", "span0", "down")
    wait_for(lambda: len(sensor.notices("interface")) > 2, 20, "a notice")
    assert "mirror0 has no carrier" in sensor.notices("interface")[2]
    assert sensor.stop() == 0


def test_without_privileges_it_says_what_it_needs(folder):
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
        + [sys.executable, "-m", "sensor", "live", "-i", "lo", "--state", str(folder / "s")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "CAP_NET_RAW" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "s").exists(), "nothing is left behind"


@pytest.mark.xdist_group("whole machine")
@pytest.mark.slow
def test_memory_is_flat_under_mixed_load():
    from lab.soak import soak

    assert len(soak(120)) >= 10


def test_who_is_exempt_at_the_desk_is_left_alone_from_the_next_second_on(lab, folder):
    sensor = Sensor(lab, folder / "sensor", "").start()
    wait_for(lambda: (sensor.state / "journal.sqlite").exists(), 10)
    desk = Desk(sensor.state / "desk.sqlite")
    desk.exempt("203.0.113.10", 1, time.time_ns(), "ann", "their own server")
    wait_for(lambda: "exemptions made at the desk" in sensor.out.read_text(), 10, "obedience")
    for host in ("203.0.113.10", "203.0.113.11"):
        lab.address(lab.inside, host)
        traffic(lab, "syns", "40", "100", host)
    wait_for(lambda: sensor.alerts(), 20, "an alert on the other")
    time.sleep(1)
    wait_for(lambda: Journal(sensor.state / "journal.sqlite", True).vitals(9), 20, "vitals")
    assert sensor.stop() == 0
    assert {a["host"] for a in sensor.alerts()} == {"203.0.113.11"}


def test_what_a_router_refuses_is_a_notice(lab, folder):
    sensor = Sensor(lab, folder / "sensor", "").start()
    wait_for(lambda: (sensor.state / "journal.sqlite").exists(), 10)
    tell(sensor.state, "exabgp", ["announce flow route"], time.time_ns())
    wait_for(lambda: "exabgp refuses 1 of what" in sensor.out.read_text(), 10, "the notice")
    tell(sensor.state, "exabgp", [], time.time_ns())
    wait_for(lambda: "exabgp refuses nothing" in sensor.out.read_text(), 10, "its end")
    assert sensor.stop() == 0
    assert sensor.out.read_text().count("exabgp refuses") == 2, "told once"


def test_what_subscribers_use_the_port_for_is_kept_where_that_is_asked_for(lab, folder):
    mail_servers.start(lab, "postfix", folder / "mx", mail_servers.EVERYWHERE)
    sensor = Sensor(lab, folder / "sensor", "[live]\nusage = true\nsnapshot = 1\n").start()
    traffic(lab, "bot", "40", "20")
    wait_for(lambda: (sensor.state / "usage.sqlite").exists(), 20, "usage on disk")
    assert sensor.stop() == 0, sensor.err.read_text()
    words = ("--journal", "--state", str(sensor.state), "--format", "json")
    (one,) = json.loads(port25("impact", *words, check=True).stdout)["subscribers"]
    sessions = [s for s in (one["sessions"], one["connections"]) if s]
    assert one["kind"] == "spam source" and min(sessions) > 10
