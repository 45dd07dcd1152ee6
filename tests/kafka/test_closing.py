"""What a producer was given, and could not send, is not sent once it was given up."""

import threading
import time

from kafka import KafkaAdminClient, KafkaProducer

from lab.waiting import wait_for
from sensor.sinks.kafka.closing import close


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
    assert time.monotonic() - begun < 30
    assert sent.failed()
    wait_for(lambda: set(threading.enumerate()) <= before, 10, "its threads to end")
    broker.create(topic)
    other = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    other.send(topic, b"told since", partition=0).get(60)
    close(other, 10)
    assert [record.value for record in broker.read(topic)] == [b"told since"]
