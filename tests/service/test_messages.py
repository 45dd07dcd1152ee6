"""What processes say to each other arrives as it was, and what is none of it is refused."""

import datetime

import msgspec
import pytest

from lab.alerts import alert
from sensor.alerts.notice import notice
from sensor.base.sentences import sentence
from sensor.hosts.subscribers import Exemption, SubscriberPrefix
from sensor.service import messages
from sensor.service.messages import (
    Asked,
    Began,
    Counted,
    Failed,
    Lent,
    Noticed,
    Progress,
    Raised,
    Remarked,
    Resumed,
    Settled,
    Standing,
    Stopping,
    Taken,
    decode_of_source,
    decode_to_deliverer,
    decode_to_parent,
    decode_to_sensor,
    decode_to_source,
    encode,
)
from sensor.settings import Settings
from sensor.sinks.kafka.connection import KafkaSettings

SETTINGS = Settings(
    subscriber_prefixes=("198.51.100.0/24", SubscriberPrefix("2001:db8::/32", delegated=56)),
    exempt=(Exemption("192.0.2.1/32", "a scanner of ours", datetime.date(2027, 1, 31)),),
    kafka=KafkaSettings(bootstrap=("127.0.0.1:9092",), sensor="north"),
)
NOTICE = notice("journal", "a text of two\nlines, and \u202e", 1_700_000_000_123_456_789)
COUNTERS = {"frames": {"segment": 7}, "kafka": {"kafka_state": "away", "kafka_delay": 0.25}}
DIRECTIONS = (
    (decode_to_deliverer, (Began(), Settled(SETTINGS), Noticed(NOTICE), Standing(COUNTERS),
                           Stopping(12.5))),
    (decode_to_sensor, (Noticed(NOTICE), Progress(COUNTERS, 3))),
    (decode_to_source, (Began(), Resumed("8:15:3"), Taken())),
    (decode_of_source, (Asked(), Lent(bytes(range(256)), {"leases_late": 2}, {}, "8:15:3"),
                        Remarked(sentence("leases.line", line=3)))),
    (decode_to_parent, (Raised(alert("203.0.113.7")), Noticed(NOTICE), Counted(COUNTERS),
                        Failed("eth0: no such interface"))),
)  # fmt: skip


@pytest.mark.parametrize(
    ("decode", "what"), [(decode, what) for decode, said in DIRECTIONS for what in said]
)
def test_it_arrives_as_it_was(decode, what):
    sent = encode(what)
    assert decode(sent) == what
    assert b"\n" not in sent, "a line each"
    assert len(sent) < messages.LARGEST


def test_nothing_is_left_out_of_this():
    said = {type(what) for _, all_ in DIRECTIONS for what in all_}
    kinds = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__module__ == messages.__name__
    }
    assert said == kinds


@pytest.mark.parametrize(
    ("decode", "sent"),
    [
        (decode_to_deliverer, encode(Progress(COUNTERS, 3))),
        (decode_to_sensor, encode(Began())),
        (decode_to_parent, encode(Stopping(1.0))),
        (decode_to_parent, msgspec.json.encode(alert("203.0.113.7"))),
        (decode_to_deliverer, b'{"type":"Settled","settings":{"ports":[0]}}'),
        (decode_to_deliverer, b'{"stop":5}'),
        (decode_to_source, encode(Asked())),
        (decode_of_source, encode(Taken())),
        (decode_to_sensor, b"{"),
    ],
)
def test_what_is_not_for_this_end_is_refused(decode, sent):
    with pytest.raises(msgspec.DecodeError):
        decode(sent)
