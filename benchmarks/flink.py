"""``port25 correlate`` beside Apache Flink: the two directions of connections, over two sensors.

    python -m benchmarks.flink [--connections 300000] [--bots 800] [--page]   (Java, Maven, 0.8 GB)

One Kafka for both, one partition, the same packets: SYNs at one sensor, what answers them at the
other. ``benchmarks/pyflink/join.py`` joins each SYN with its SYN-ACK; ``correlate`` does that and
judges the hosts. Each gets them as it likes them best: a line of CSV for each segment, batches of
``port25 forward``. Both tell others in transactions, and who reads committed messages counts.

*Rate*: what lies on the topics already, for each second of processor time of all processes that
follow it. Of Flink from the first third on, when Java has compiled it; of ``correlate`` what more
connections cost than few.

*Latency and death*: hosts one after another open connections, each stamped when it is sent. Half
way who follows is killed (-9) while another stands by. Latency is from the stamp of the packet that
a message tells of to its being read as committed, before the kill; to take over takes until
something is read again. Then what was told is held against what had to be.
"""

import argparse
import csv
import importlib.metadata
import ipaddress
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from benchmarks.page import part
from benchmarks.processor import used
from lab import ROOT, port25
from lab.broker import Broker, free_ports
from lab.storm import one_after_another, storm, write
from lab.waiting import wait_for
from sensor.capture.merge import Captures
from sensor.cluster.forwarder import Forwarder
from sensor.cluster.sending import Sender
from sensor.cluster.topics import ensure_segments_topic
from sensor.decode.decoder import Decoder
from sensor.settings import load_settings
from sensor.sinks.kafka.connection import Connection, named

RIVAL = ROOT / "benchmarks" / "pyflink"
MADE = ROOT / "build" / "pyflink"
SETTINGS = """
[kafka]
bootstrap = ["{bootstrap}"]
alerts_topic = "alerts-{run}"
[cluster]
segments_topic = "segments-{run}"
state_topic = "state-{run}"
group = "group-{run}"
patience = 0.5
"""
PROPERTIES = {
    "jobmanager.rpc.port": "{port}",
    "rest.port": "{rest}",
    "rest.bind-port": "{rest}",
    "heartbeat.interval": "2s",  # as those who correlate have it
    "heartbeat.timeout": "10s",
    "execution.checkpointing.interval": "500ms",
    "execution.checkpointing.dir": "file://{folder}/checkpoints",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "1000",
    "restart-strategy.fixed-delay.delay": "250ms",
}
LISTENER = """
import sys, time
from kafka import KafkaConsumer, TopicPartition
consumer = KafkaConsumer(bootstrap_servers=sys.argv[1], isolation_level="read_committed")
parts = [TopicPartition(sys.argv[2], p) for p in consumer.partitions_for_topic(sys.argv[2])]
consumer.assign(parts)
consumer.seek_to_beginning(*parts)
print("ready", flush=True)
while True:
    for records in consumer.poll(timeout_ms=1000).values():
        now = time.time_ns()
        for record in records:
            print(now, record.value.decode())
    sys.stdout.flush()
"""
WORD = 500_000_000 // 3
"""Nanoseconds between a sensor's batches, as ``live --forward`` has it where patience is 0.5 s."""
TICK = 0.005
WARM = 8.0
"""Seconds of traffic before latency counts."""
EACH = 30
ANSWERED = 8
"""Of a host's connections so many are answered, the others refused."""


class Found(NamedTuple):
    """One engine's column."""

    rate: float
    p50: float
    p99: float
    over: float
    told: int
    lost: int
    twice: int
    resident: float
    """megabytes at most, of all that one needs who follows"""


def packets(connections: int) -> np.ndarray:
    """SYNs and SYN-ACKs alone, of thousands of hosts; records of ``lab.storm``."""
    hosts = max(1, connections // 25)
    return answered(storm(hosts, 25, 120.0), 25)


def answered(records: np.ndarray, most: int) -> np.ndarray:
    """The same, with the first ``most`` connections of each host answered by a SYN-ACK."""
    back = records["dport"] != 25
    records["seq"][back] = np.arange(back.sum())
    records["flags"][back & ((records["src"] >> 8 & 0xFFFF) < most)] = 0x12
    return records


def at(records: np.ndarray) -> np.ndarray:
    """Nanoseconds since 1970 of each packet."""
    return records["sec"].astype(np.int64) * 10**9 + records["nsec"]


def stamped(records: np.ndarray, begin: int) -> np.ndarray:
    """The same, from a moment on."""
    when = at(records)
    when += begin - when[0]
    records["sec"], records["nsec"] = when // 10**9, when % 10**9
    return records


def lines(records: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """The sensor of each packet, and what it says to Flink."""
    names: dict[int, str] = {}

    def name(address: int) -> str:
        if address not in names:
            names[address] = str(ipaddress.ip_address(address))
        return names[address]

    fields = [
        records[field].tolist() for field in ("src", "sport", "dst", "dport", "seq", "ack", "flags")
    ]
    for ts, src, sport, dst, dport, seq, ack, flags in zip(
        at(records).tolist(), *fields, strict=True
    ):
        told = f"{ts},{name(src)},{sport},{name(dst)},{dport},{seq},{ack},{flags}"
        yield int(dport != 25), told.encode()


class Port25:
    """Sensors, and those who correlate."""

    def __init__(self, broker: Broker, folder: Path, run: str) -> None:
        self.topic = f"alerts-{run}"
        self.folder, self.run = folder, run
        self.config = folder / f"{run}.toml"
        self.config.write_text(SETTINGS.format(bootstrap=broker.bootstrap, run=run))
        self.settings = load_settings(str(self.config))
        self.connection = Connection(named(self.settings.kafka))
        self.members: list[tuple[subprocess.Popen[bytes], Path]] = []

    # --- what lies there already ------------------------------------------------------------------

    def lay(self, records: np.ndarray) -> None:
        """Forward all of it."""
        for name, path in self._captures(records):
            words = ("forward", "-q", str(path), "--sensor", name, "-c", str(self.config))
            port25(*words, check=True)

    def _captures(self, records: np.ndarray) -> list[tuple[str, Path]]:
        found = []
        for number, name in enumerate(("north", "south")):
            found.append((name, self.folder / f"{self.run}-{name}.pcap"))
            write(found[-1][1], records[(records["dport"] != 25) == bool(number)])
        return found

    def follow(self) -> tuple[float, float]:
        """Processor seconds that it takes to the end, and megabytes."""
        words = ("correlate", "-q", "-c", str(self.config), "--until-idle", "1")
        process = subprocess.Popen(
            [sys.executable, "-m", "sensor", *words], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024

    # --- what comes as it is sent -----------------------------------------------------------------

    def start(self) -> None:
        """Two who correlate; one has the partition."""
        ensure_segments_topic(self.connection, self.settings)
        for number in range(2):
            log = self.folder / f"{self.run}-{number}.log"
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "sensor", "correlate", "-c", str(self.config)],
                    stdout=out, stderr=out, cwd=ROOT,
                )  # fmt: skip
            self.members.append((process, log))
            wait_for(lambda log=log: "follows partitions" in log.read_text(), 60, str(log))

    def feed(self, records: np.ndarray, between: Callable[[], None]) -> None:
        """Two sensors, each packet when its time comes; ``between`` now and then."""
        senders, sensors = [], []
        for name, path in self._captures(records):
            sender = Sender(self.connection, self.settings.cluster.segments_topic, name)
            forwarder = Forwarder(self.settings, name, 1, sender.send, live=True)
            decoder = Decoder(self.settings.ports, self.settings.duplicate_window, True)
            senders.append(sender)
            # A reader's blocks share their memory.
            blocks = [
                block._replace(frames=block.frames.copy(), data=block.data.copy())
                for block in Captures([str(path)])
            ]
            sensors.append((forwarder, decoder, blocks))
        done, told, last = 0, 0, int(at(records)[-1])
        while done <= last:
            now = time.time_ns()
            for forwarder, decoder, blocks in sensors:
                for block in blocks:
                    when = block.frames["ts"]
                    first, stop = np.searchsorted(when, [done, now])
                    if first < stop:
                        due = block._replace(frames=block.frames[first:stop])
                        forwarder.add(decoder.decode(due), due.data, int(when[stop - 1]), "tap0")
                forwarder.advance(now - 1)
                if now - told >= WORD:
                    forwarder.flush("tap0")
            told = now if now - told >= WORD else told
            done = now
            between()
            time.sleep(TICK)
        for (forwarder, _, _), sender in zip(sensors, senders, strict=True):
            forwarder.end("tap0")
            sender.flush()
            sender.close()

    def kill(self) -> None:
        """Who has the partition."""
        has = [member for member in self.members if "partitions 0" in member[1].read_text()]
        has[0][0].kill()
        has[0][0].wait()

    def expected(self, records: np.ndarray) -> set[Any]:
        """What a replay of all of it tells."""
        whole = self.folder / f"{self.run}.pcap"
        write(whole, records)
        told = port25("replay", "-q", "--json", "-c", str(self.config), str(whole), check=True)
        return {self.key(line.decode()) for line in told.stdout.splitlines()}

    @staticmethod
    def key(told: str) -> tuple[Any, ...]:
        """What a message is known by."""
        alert = json.loads(told)
        return alert["id"], alert["revision"]

    @staticmethod
    def ts(told: str) -> int:
        """Of the packet that a message tells of."""
        return int(json.loads(told)["ts"])

    def stop(self) -> None:
        """The other as well."""
        for process, _ in self.members:
            process.terminate()
            process.wait(60)


class Flink:
    """A cluster of its own: who manages jobs, and two who do them."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        (self.home,) = MADE.glob("lib/python*/site-packages/pyflink")
        self.rest = free_ports()
        given = {"rest": self.rest, "port": self.rest + 1, "folder": folder}
        self.words = [f"-D{name}={value.format(**given)}" for name, value in PROPERTIES.items()]
        self.environment = os.environ | {
            "FLINK_LOG_DIR": str(folder), "FLINK_PID_DIR": str(folder),
            "FLINK_CONF_DIR": str(self.home / "conf"),
        }  # fmt: skip
        self.manager = self._process("jobmanager.sh", "manager")
        wait_for(lambda: self.asked("/overview") is not None, 60, "Flink")
        self.workers = [self._worker(1)]
        self.topics: list[str] = []
        self.topic = ""

    def _process(self, script: str, name: str) -> subprocess.Popen[bytes]:
        """Its words in pairs: what reads them wants that."""
        words = [word for pair in self.words for word in ("-D", pair.removeprefix("-D"))]
        with (self.folder / f"{name}.log").open("wb") as out:
            return subprocess.Popen(
                [str(self.home / "bin" / script), "start-foreground", *words],
                env=self.environment, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        process = self._process("taskmanager.sh", f"worker{number}")
        wait_for(lambda: self.asked("/overview")["taskmanagers"] == number, 60, "a worker")
        return process

    def asked(self, path: str) -> Any:
        """What the job manager says; None: nothing yet."""
        try:
            with urllib.request.urlopen(f"http://localhost:{self.rest}{path}", timeout=5) as told:
                return json.load(told)
        except OSError:
            return None

    def topics_of(self, run: str) -> None:
        """Make those of another job."""
        *self.topics, self.topic = (f"{name}-{run}" for name in ("north", "south", "joined"))
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        admin.create_topics([NewTopic(topic, 1, 1) for topic in (*self.topics, self.topic)])
        admin.close()

    def submit(self) -> None:
        """Have it begin."""
        words = ["run", "-d", "-t", "remote", "-Drest.address=localhost", *self.words]
        words += ["-pyclientexec", str(MADE / "bin" / "python"), "-py", str(RIVAL / "join.py")]
        words += [self.broker.bootstrap, ",".join(self.topics), self.topic]
        done = subprocess.run(
            [str(self.home / "bin" / "flink"), *words],
            env=self.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        wait_for(self._runs, 120, "the job")

    def _runs(self) -> bool:
        """Whether all its tasks do."""
        for job in self.asked("/jobs/overview")["jobs"]:
            if job["name"] == self.topic:
                return bool(job["tasks"]["running"] == job["tasks"]["total"] > 0)
        return False

    def cancel(self) -> None:
        """End the job."""
        for job in self.asked("/jobs/overview")["jobs"]:
            if job["name"] == self.topic:
                url = f"http://localhost:{self.rest}/jobs/{job['jid']}?mode=cancel"
                urllib.request.urlopen(urllib.request.Request(url, method="PATCH"), timeout=30)
        wait_for(lambda: self.asked("/overview")["slots-available"] == len(self.workers), 60, "it")

    def _sender(self) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self.broker.bootstrap, acks="all", batch_size=1 << 18, linger_ms=5
        )

    # --- what lies there already ------------------------------------------------------------------

    def lay(self, records: np.ndarray) -> None:
        """Send all of it."""
        sender = self._sender()
        for number, line in lines(records):
            sender.send(self.topics[number], line)
        sender.flush()
        sender.close()

    def used(self) -> float:
        """Processor seconds so far of all that run."""
        return used(process.pid for process in (self.manager, *self.workers))

    def resident(self) -> float:
        """Megabytes at most, of who manages and one who works."""
        total = 0
        for process in (self.manager, self.workers[0]):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    total += int(line.split()[1])
        return total / 1024

    # --- what comes as it is sent -----------------------------------------------------------------

    def start(self) -> None:
        """The job, and who stands by."""
        self.submit()
        self.workers.append(self._worker(2))

    def feed(self, records: np.ndarray, between: Callable[[], None]) -> None:
        """Each packet when its time comes."""
        sender = self._sender()
        when = at(records)
        told, done = list(lines(records)), 0
        while done < len(told):
            stop = int(np.searchsorted(when, time.time_ns()))
            for number, line in told[done:stop]:
                sender.send(self.topics[number], line)
            done = stop
            between()
            time.sleep(TICK)
        sender.flush()
        sender.close()

    def kill(self) -> None:
        """The worker that has the job."""
        self.workers[0].kill()
        self.workers[0].wait()

    def expected(self, records: np.ndarray) -> set[Any]:
        """All that were answered."""
        told = (line.decode().split(",") for number, line in lines(records) if number)
        return {(line[3], line[4], line[1]) for line in told if line[7] == "18"}

    @staticmethod
    def key(told: str) -> tuple[Any, ...]:
        """What a message is known by."""
        return tuple(next(csv.reader([told]))[2:5])

    @staticmethod
    def ts(told: str) -> int:
        """Of the packet that a message tells of."""
        return int(told.split(",")[1])

    def stop(self) -> None:
        """All of it."""
        for process in (*self.workers, self.manager):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def live(
    engine: Port25 | Flink, broker: Broker, folder: Path, bots: int
) -> tuple[float, float, float, int, int, int]:
    """Latency (ms, half and 99 %), seconds to take over, and how many told, lost, twice."""
    engine.start()
    heard = folder / f"{engine.topic}.heard"
    with heard.open("wb") as out:
        listener = subprocess.Popen(
            [sys.executable, "-c", LISTENER, broker.bootstrap, engine.topic], stdout=out
        )
    try:
        wait_for(lambda: heard.stat().st_size, 60, "the listener")
        seconds = 40.0
        records = answered(one_after_another(bots, seconds, EACH), ANSWERED)
        records = stamped(records, time.time_ns() + 500_000_000)
        begin = int(at(records)[0])
        due, killed = begin + round(seconds / 2 * 1e9), 0

        def between() -> None:
            nonlocal killed
            if not killed and time.time_ns() >= due:
                killed = time.time_ns()
                engine.kill()

        engine.feed(records, between)
        want = engine.expected(records)
        wait_for(lambda: heard.read_text().count("\n") > len(want), 60, f"{len(want)} messages")
        time.sleep(2)  # what would be told twice
    finally:
        listener.kill()
        listener.wait()
        engine.stop()
    told = [line.split(" ", 1) for line in heard.read_text().splitlines()[1:]]
    keys = [engine.key(text) for _, text in told]
    late = sorted(
        (int(now) - engine.ts(text)) / 1e6
        for now, text in told
        if engine.ts(text) > begin + WARM * 1e9 and int(now) < killed
    )
    # Within a second of the kill come those that were committed before it.
    over = min(int(now) for now, _ in told if int(now) > killed + 10**9) - killed
    lost, twice = len(want - set(keys)), len(keys) - len(set(keys))
    return late[len(late) // 2], late[len(late) * 99 // 100], over / 1e9, len(want), lost, twice


def of_port25(broker: Broker, folder: Path, connections: int, bots: int) -> Found:
    """Its column."""
    costs = []
    for number, count in enumerate((connections // 10, connections)):
        engine = Port25(broker, folder, f"laid{number}")
        engine.lay(packets(count))
        costs.append(engine.follow())
    more = connections - connections // 10
    rate = more / (costs[1][0] - costs[0][0])
    return Found(rate, *live(Port25(broker, folder, "live"), broker, folder, bots), costs[1][1])


def of_flink(broker: Broker, folder: Path, connections: int, bots: int) -> Found:
    """Its column."""
    engine = Flink(broker, folder)
    try:
        engine.topics_of("laid")
        engine.lay(packets(connections))
        engine.submit()
        begun: tuple[int, float] | None = None
        while (found := told_by(broker, engine.topic)) < connections:
            if begun is None and found >= connections // 3:
                begun = found, engine.used()
            time.sleep(0.2)
        begun = begun or (0, 0.0)
        rate = (found - begun[0]) / (engine.used() - begun[1])
        resident = engine.resident()
        assert len(broker.read(engine.topic, "read_committed")) == connections
        engine.cancel()
        engine.topics_of("live")
        return Found(rate, *live(engine, broker, folder, bots), resident)
    finally:
        engine.stop()


def told_by(broker: Broker, topic: str) -> int:
    """How far a topic of one partition is committed; the ends of transactions count as well."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level="read_committed")
    tp = TopicPartition(topic, 0)
    try:
        return int(consumer.end_offsets([tp])[tp])
    finally:
        consumer.close()


def megabytes(root: str, path: list[str] | None = None) -> float:
    """What a distribution and all it requires take, as installed."""
    from packaging.requirements import Requirement

    found: dict[str, Any] = {}
    waiting = [root]
    while waiting:
        asked = Requirement(waiting.pop())
        search = {"path": path} if path else {}
        for one in importlib.metadata.distributions(name=asked.name, **search):
            if asked.name in found:
                break
            found[asked.name] = one
            for more in one.requires or ():
                marker = Requirement(more).marker
                extras = asked.extras or {""}
                if marker is None or any(marker.evaluate({"extra": e}) for e in extras):
                    waiting.append(more)
            break
    files = (file.locate() for one in found.values() for file in one.files or ())
    return sum(Path(file).stat().st_size for file in files if Path(file).is_file()) / 1e6


def code(*files: Path) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for file in files for line in file.read_text().splitlines())


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=300_000)
    parser.add_argument("--bots", type=int, default=800)
    parser.add_argument("--page", action="store_true", help="into docs/cluster.md")
    options = parser.parse_args()
    subprocess.run([str(RIVAL / "install")], check=True)
    with tempfile.TemporaryDirectory(prefix="port25-flink-") as made:
        folder = Path(made)
        broker = Broker(folder / "kafka").start()
        try:
            ours = of_port25(broker, folder, options.connections, options.bots)
            theirs = of_flink(broker, folder, options.connections, options.bots)
        finally:
            broker.kill()
    with part("flink", options.page, ROOT / "docs" / "cluster.md"):
        show(options.connections, ours, theirs)


def show(connections: int, ours: Found, theirs: Found) -> None:
    """Both beside each other."""
    room = sorted((ROOT / "sensor" / "cluster").glob("*.py"))
    (packages,) = MADE.glob("lib/python*/site-packages")
    connector = sum(p.stat().st_size for p in (packages / "pyflink" / "lib").glob("*kafka*")) / 1e6
    print(f"{connections:,} connections, a SYN and a SYN-ACK each\n")
    print("| | `port25 correlate` | PyFlink 2.2.1 |\n| --- | ---: | ---: |")
    rows = (
        ("connections a second, one core", "{:,.0f}", ours.rate, theirs.rate),
        ("packet to committed message, p50", "{:,.0f} ms", ours.p50, theirs.p50),
        ("p99", "{:,.0f} ms", ours.p99, theirs.p99),
        ("another takes over after `kill -9`", "{:.1f} s", ours.over, theirs.over),
        ("messages then", "{:,}", ours.told, theirs.told),
        ("lost", "{}", ours.lost, theirs.lost),
        ("twice", "{}", ours.twice, theirs.twice),
        ("memory at most", "{:,.0f} MB", ours.resident, theirs.resident),
        (
            "installed", "{:,.0f} MB", megabytes("port25[kafka]"),
            megabytes("apache-flink", [str(packages)]) + connector,
        ),
        ("lines", "{:,}", code(*room), code(RIVAL / "join.py")),
    )  # fmt: skip
    for name, form, mine, other in rows:
        print(f"| {name} | {form.format(mine)} | {form.format(other)} |")


if __name__ == "__main__":
    main()
