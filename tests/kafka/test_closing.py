"""Of a client that is given up, or never reached a broker, nothing stays, and nothing goes out."""

import threading
import time

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from lab.waiting import BUSY, wait_for
from sensor.settings import parse_settings
from sensor.sinks.kafka.closing import close
from sensor.sinks.kafka.connection import Connection


@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_of_a_client_that_reaches_no_broker_nothing_stays(kind):
    connection = Connection(parse_settings('[kafka]\nbootstrap = ["127.0.0.1:9"]\n').kafka)
    arguments = connection.arguments | {"bootstrap_timeout_ms": 300}
    before = set(threading.enumerate())
    for _ in range(3):
        with pytest.raises(KafkaError):
            kind(**arguments)
    wait_for(lambda: set(threading.enumerate()) <= before, 10, "their threads to end")


def test_a_producer_that_is_given_up_sends_nothing_any_more(broker):
    topic = f"closing-{time.time_ns()}"
    broker.create(topic)
    before = set(threading.enumerate())
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, acks="all", delivery_timeout_ms=(1 << 31) - 1
    )
    producer.send(topic, b"first", partition=0).get(60)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_topics([topic])
    wait_for(lambda: topic not in admin.list_topics(), 60, "no topic")
    admin.close()
    sent = producer.send(topic, b"given up", partition=0)
    begun = time.monotonic()
    close(producer, 0)
    assert time.monotonic() - begun < 3 * BUSY
    assert sent.failed()
    wait_for(lambda: set(threading.enumerate()) <= before, 10, "its threads to end")
    broker.create(topic)
    other = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    other.send(topic, b"told since", partition=0).get(60)
    close(other, 10)
    assert [record.value for record in broker.read(topic)] == [b"told since"]
