"""The way to Kafka: alerts a second, and how long after the packet a broker has the alert.

    python -m benchmarks.delivery [--alerts 20000] [--hosts 500] [--page]    (root, Java 17, Maven)

Apache Kafka runs beside it on loopback. For the rate, a journal full of alerts is passed on, and
decided upon, until the last is acknowledged; beside it a bare kafka-python producer sends the same
bytes with the same settings. For the delay, hosts one after the other open connections in a network
namespace until each is one too many; it is the time from the packet that tipped the score, as the
kernel stamped it, to the broker's acknowledgement, by the sensor's own metric.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from kafka import KafkaProducer

from benchmarks.live import SENDER
from benchmarks.page import part
from lab.alerts import alert
from lab.broker import Broker, start_in
from lab.network import Laboratory
from lab.sensing import Sensor
from lab.waiting import wait_for
from sensor.alerts.alert import Alert
from sensor.service.delivery import Delivery
from sensor.settings import parse_settings
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.tracking.output import MUCH


def _written(state: Path, messages: list[Alert], at_a_time: int) -> float:
    """Seconds that a new journal takes for them."""
    state.mkdir()
    journal = Journal(StateFolder(state).journal)
    started = time.monotonic()
    for at in range(0, len(messages), at_a_time):
        journal.write(messages[at : at + at_a_time])
    return time.monotonic() - started


def rate(alerts: int) -> None:
    """The table of alerts a second."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        broker = Broker(folder / "kafka").start()
        state = folder / "state"
        text = f'[kafka]\nbootstrap = ["{broker.bootstrap}"]\n'
        words = {"block_recommended": False, "windows": {"10s": dict.fromkeys("abcdefgh", 1)}}
        messages = [alert(f"10.0.{n // 250}.{n % 250}", at=n, **words) for n in range(alerts)]
        few = _written(state, messages, 500)
        many = _written(folder / "flood", messages, MUCH)

        delivery = Delivery(parse_settings(text), state, live=False)
        delivery.begin()
        wait_for(lambda: _count(delivery) > 0, 60, "the first")
        started, first = time.monotonic(), _count(delivery)
        wait_for(lambda: _count(delivery) >= alerts, 300, "the last")
        passed = time.monotonic() - started
        delivery.stop(10)
        values = [record.value for record in broker.read("port25.alerts")]

        producer = KafkaProducer(
            bootstrap_servers=broker.bootstrap, acks="all", enable_idempotence=True,
            compression_type="gzip", batch_size=65_536,
        )  # fmt: skip
        broker.create("bare")
        producer.send("bare", b"x").get(10)
        started = time.monotonic()
        for n, value in enumerate(values):
            producer.send("bare", value, key=str(n % 500).encode())
        producer.flush()
        bare = time.monotonic() - started
        producer.close()
        broker.kill()
    size = sum(map(len, values)) // len(values)
    print(f"**{alerts:,} alerts of {size:,} bytes**\n")
    print("| | alerts/s |\n| --- | ---: |")
    print(f"| journal to Kafka, acknowledged, decided upon | {(alerts - first) / passed:,.0f} |")
    print(f"| a bare kafka-python producer, the same bytes | {len(values) / bare:,.0f} |")
    print(f"| into the journal, 500 at a time | {alerts / few:,.0f} |")
    print(f"| the same {MUCH:,} at a time, as a flood of them is written | {alerts / many:,.0f} |")


def _count(delivery: Delivery) -> int:
    delivery.turn()
    return int(delivery.counters.get("kafka", {}).get("kafka_acknowledged", 0))


def delay(hosts: int) -> None:
    """The line of delays, of one alert a host."""
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)
        text = f'[kafka]\nbootstrap = ["{start_in(lab, lab.watch, folder)}"]\n'
        sensor = Sensor(lab, folder / "sensor", text).start()
        connected = 'port25_kafka_state{state="connected"}'
        wait_for(lambda: sensor.metrics().get(connected), 30, "Kafka")
        words = (sys.executable, "-c", SENDER, str(hosts))
        lab.run(lab.router, *words, cwd=Path.cwd(), timeout=300)

        def told() -> float:
            return sensor.metrics()["port25_kafka_acknowledged_total"]

        wait_for(lambda: told() >= hosts, 20, f"{hosts} alerts")
        seconds = sensor.metrics()["port25_kafka_delay_p99_seconds"]
        sensor.stop()
    print(f"\n{hosts} alerts live, packet to acknowledgement: p99 {seconds * 1000:.0f} ms")


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alerts", type=int, default=20_000)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    with part("delivery", options.page):
        rate(options.alerts)
        delay(options.hosts)


if __name__ == "__main__":
    main()
