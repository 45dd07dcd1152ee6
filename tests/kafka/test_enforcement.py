"""What a controller says over Kafka reaches the page of a sensor elsewhere."""

import time
import types
from contextlib import closing

import msgspec

from lab.waiting import BUSY, wait_for
from sensor.base.units import SECOND
from sensor.blocking.bounds import Bounds
from sensor.blocking.controller import Controller
from sensor.blocking.enforcement import Enforcement, kept
from sensor.console.view import View
from sensor.console.web.api import OPERATIONS
from sensor.console.web.schemas import LimitQuery
from sensor.service.reporting import Reporter
from sensor.settings import parse_settings
from sensor.sinks.kafka.connection import Connection
from tests.blocking.test_controller import HOUR, Firewall, block
from tests.kafka.test_two_sensors import HOST, alert, net, now

__all__ = ["net"]


def test_a_block_in_force_is_on_the_page_of_a_sensor_elsewhere(net):
    sensor = net.sensor("north")
    connection = Connection(parse_settings(net.config("router")).kafka)
    with closing(Reporter(connection, "router")) as reporter:
        firewall = Firewall()
        held = Controller(Bounds((), (), ()), (), 9, firewall, count=lambda: {(HOST, None): 3})
        reporter.turn(held, time.time_ns(), True)
        start = now()
        sensor.see(alert(at=start, opened=start))
        wait_for(lambda: sensor.in_force() == [HOST], 40, "the block")

        def records() -> list:
            try:
                return net.broker.read(net.blocklist)
            except ValueError:  # the topic is not there yet
                return []

        wait_for(records, 40, "the record")
        record = records()[-1]
        assert held.take(0, record.key, record.value, time.time_ns()) == ""
        held.carry_out(time.time_ns())
        reporter.turn(held, time.time_ns(), True)
        wait_for(lambda: HOST in kept(sensor.state), 40, "what the controller says")
        (told,) = kept(sensor.state)[HOST]
        assert told.state == "in force" and told.controller == "router"
        assert told.delay is not None and 0 <= told.delay < 40
        held.carry_out(time.time_ns())
        reporter.turn(held, time.time_ns(), True)
        wait_for(lambda: kept(sensor.state)[HOST][0].dropped == 3, 40, "what was counted")
        (blocks,) = [one for one in OPERATIONS if one.path == "/api/v1/blocks"]
        asked = types.SimpleNamespace(view=View(sensor.state), query=LimitQuery())
        (shown,) = blocks.does(asked).carried_out
        assert (shown.host, shown.dropped, shown.since) == (HOST, 3, told.since)

        topic = f"enforcement-{net.run}"
        net.send(topic, b"x", b"no json")
        net.send(topic, f"{HOST}@other".encode(), msgspec.json.encode(told))
        held.take(0, record.key, None, time.time_ns())
        held.carry_out(time.time_ns())
        reporter.turn(held, time.time_ns(), True)
        wait_for(lambda: kept(sensor.state) == {}, 40, "its end")
        wait_for(lambda: sensor.counted("enforcement_refused") == 2, 20, "what is malformed")
        records = [one for one in net.broker.read(topic) if one.key == f"{HOST}@router".encode()]
        last = msgspec.json.decode(records[-2].value, type=Enforcement)
        assert (last.state, last.dropped, records[-1].value) == ("ended", 3, None)


def test_a_broker_that_is_away_holds_up_no_block(net, capsys):
    config = net.config("router").replace(net.broker.bootstrap, "127.0.0.1:9")
    reporter = Reporter(Connection(parse_settings(config).kafka), "router", str(net.folder))
    held = Controller(Bounds((), (), ()), (), 9, Firewall())
    ts = time.time_ns()
    one = msgspec.structs.replace(block(since=ts, expires=ts + HOUR), ts=ts - SECOND)
    held.take(0, one.host.encode(), msgspec.json.encode(one), ts)
    held.carry_out(ts)
    began = time.monotonic()
    reporter.turn(held, ts, True)
    assert time.monotonic() - began < BUSY
    assert kept(net.folder)[HOST][0].dropped is None, "a folder beside it is told all the same"
    wait_for(lambda: reporter.counters["reports_failed"] >= 1, 60, "a failure that is counted")
