"""One bad message of the desk topic is left out, that is said as it is, and all else is heard."""

import time
import uuid

import msgspec
from kafka import KafkaProducer

from lab.waiting import wait_for
from sensor.blocking.desk_record import record
from sensor.sinks.kafka import desk_listener
from sensor.sinks.kafka.connection import Connection, KafkaSettings
from sensor.sinks.kafka.desk_listener import DeskListener

BAD, UNTHOUGHT_OF = b"act/bad", b"act/unthought-of"


def test_what_is_left_out_of_the_desk_topic_is_said_and_the_rest_is_heard(broker, monkeypatch):
    topic = f"desk-{uuid.uuid4().hex[:8]}"
    broker.create(topic)
    now = time.time_ns()
    good = record("exempt", "203.0.113.7", now, now + 10**12, "ann", "known", "north")
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for key in (BAD, BAD, UNTHOUGHT_OF, UNTHOUGHT_OF):
        producer.send(topic, b"{}", key, partition=0)
    producer.send(topic, msgspec.json.encode(good), good.key.encode(), partition=0)
    producer.close()
    read_word = desk_listener.read_word

    def reads(key, value, now):
        if key == UNTHOUGHT_OF:
            raise RuntimeError("a fault of ours")
        return read_word(key, value, now)

    monkeypatch.setattr(desk_listener, "read_word", reads)
    said: list = []
    settings = KafkaSettings(bootstrap=(broker.bootstrap,), desk_topic=topic)
    listener = DeskListener(Connection(settings), said.append)
    listener.start()
    try:
        wait_for(lambda: listener.next == good, 30, "the good word")
        assert listener.counters() == {"desk_heard": 1, "desk_refused": 4}
        malformed, unthought_of = (one.text for one in said)
        assert malformed.startswith("one word on the desk topic is left out: malformed")
        assert "a fault of ours" in unthought_of
        assert all("All others are heard" in one.text for one in said)
    finally:
        listener.stop()
        listener.join(300)
