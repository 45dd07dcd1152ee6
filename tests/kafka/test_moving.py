"""Blocks of customers who move, on a block list of many partitions: each has one, in order."""

import time

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from msgspec.structs import replace

from lab.alerts import alert
from lab.leases import known_as
from lab.waiting import wait_for
from sensor.blocking.controller import Controller
from sensor.blocking.desk import Desk
from sensor.settings import bounds_of, parse_settings
from tests.customers.test_blocks import away, of
from tests.kafka.test_two_sensors import HOST, OTHER, Net, now, until

PARTITIONS, MOVES = 8, 5
CUSTOMERS = [known_as(f"c{n}@isp.example") for n in range(6)]


def address(customer: int, move: int) -> str:
    """Each gets next what another had before."""
    return f"203.0.113.{10 + (customer + move) % len(CUSTOMERS) + 10 * (move // 6)}"


def test_each_customer_is_in_one_partition_and_nobody_is_blocked_for_another(broker, tmp_path):
    net = Net(broker, tmp_path)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    compacted = {"cleanup.policy": "compact", "delete.retention.ms": "604800000"}
    admin.create_topics([NewTopic(net.blocklist, PARTITIONS, 1, topic_configs=compacted)])
    admin.close()
    sensor = net.sensor("north")
    begun = now()
    last = {}
    for move in range(MOVES):
        for n, who in enumerate(CUSTOMERS):
            at = begun + move * 0.01
            if move:
                sensor.see(away_from(last[n], who, at, move))
        for n, who in enumerate(CUSTOMERS):
            one = of(alert(at=begun + move * 0.01 + 0.001, opened=begun), who=who)
            state = "refreshed" if move else "raised"
            last[n] = replace(
                of(one, who=who, host=address(n, move)), state=state, revision=3 * move + 2
            )
            sensor.see(last[n])
    wanted = sorted(address(n, MOVES - 1) for n in range(len(CUSTOMERS)))
    wait_for(lambda: sensor.in_force() == wanted, 40, f"{wanted}, not {sensor.in_force()}")
    wait_for(lambda: last_words(net) == wanted, 40, "all on Kafka")
    sensor.stop()
    by_customer: dict[bytes, list] = {}
    for record in told(net):
        by_customer.setdefault(record.key.partition(b"@")[0], []).append(record)
    assert by_customer.keys() == {who.encode() for who in CUSTOMERS}
    for records in by_customer.values():
        assert len({one.partition for one in records}) == 1
        live = set()
        for one in sorted(records, key=lambda one: one.offset):
            live = live | {one.key} if one.value is not None else live - {one.key}
            assert len(live) <= 1, "freed first, each time"
    assert len({one.partition for records in by_customer.values() for one in records}) > 1
    # Whichever partition is behind, no customer is blocked at two addresses, and none for another.
    settings = parse_settings(net.config("router"))
    for behind in range(PARTITIONS):
        controller = Controller(bounds_of(settings), (), 1000, lambda _: None)
        every = sorted(
            told(net, everything=True), key=lambda one: (one.partition == behind, one.timestamp)
        )
        for record in every:
            assert controller.take(record.partition, record.key, record.value, time.time_ns()) == ""
            live = controller.in_force(time.time_ns())
            assert len({one.customer for one in live}) == len(live)
        assert sorted(one.host for one in live) == wanted


def away_from(before, who, at, move):
    gone = away(at, who=who, host=before.host)
    return replace(gone, opened=before.opened, id=before.id, revision=3 * move + 1)


def last_words(net):
    """Addresses that are blocked, once all is read."""
    found = {one.key: one.value is not None for one in told(net)}
    return sorted(key.decode().split("@")[1] for key, blocks in found.items() if blocks)


def told(net, everything=False):
    """What is on the block list: of customers, or with the ends under the addresses alone."""
    consumer = KafkaConsumer(bootstrap_servers=net.broker.bootstrap, consumer_timeout_ms=1000)
    consumer.assign([TopicPartition(net.blocklist, n) for n in range(PARTITIONS)])
    consumer.seek_to_beginning()
    found = list(consumer)
    consumer.close()
    return [one for one in found if everything or one.key.startswith(b"c-")]


def test_what_a_person_says_of_a_customer_holds_everywhere_and_for_nobody_else(broker, tmp_path):
    net = Net(broker, tmp_path)
    try:
        a, b = net.sensor("north"), net.sensor("south")
        controller = net.controller()
        alice, bob = CUSTOMERS[:2]
        start = now()
        b.see(of(alert(at=start, opened=start), who=alice, host=HOST))
        until(controller.blocked, [HOST], "the block")
        a.person("release", alice)
        until(b.in_force, [], "the release, at the other sensor")
        until(controller.blocked, [], "the release, at the controller")
        later = now()
        on = {"state": "refreshed", "revision": 2}
        b.see(of(alert(at=later, opened=start, **on), who=alice, host=OTHER))
        b.see(of(alert(at=later, opened=later), who=bob, host=HOST))
        until(b.in_force, [HOST], "who has the address next")
        until(controller.blocked, [HOST], "and nobody else")
        assert b.refusals() == ["mary released it: cleaned"]
        a.person("release", bob, "--exempt", "3")
        until(b.in_force, [], "the exemption, at the other sensor")
        until(controller.blocked, [], "the exemption, at the controller")
        heard = Desk(b.state / "desk.sqlite", read_only=True)
        until(lambda: [one.host for one in heard.in_force(time.time_ns())], [bob], "the desk")
        again = now()
        b.see(of(alert(at=again, opened=later, **on), who=bob, host=OTHER))
        b.see(of(alert(at=again, opened=again), who=CUSTOMERS[2], host=HOST))
        until(b.in_force, [HOST], "the third")
        until(controller.blocked, [HOST], "the third, at the controller")
    finally:
        for end in reversed(net.ends):
            end()
