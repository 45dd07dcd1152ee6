"""What is said, to whom, and what is not said twice."""

import msgspec

from lab.alerts import alert
from sensor.base.sentences import sentence
from sensor.service.announcer import Announcer
from sensor.service.signals import print_counters


class Delivery:
    """The other process, as far as it is spoken to."""

    def __init__(self) -> None:
        self.notices, self.turns = [], 0
        self.notice = self.notices.append

    def turn(self, counters) -> None:
        self.turns += 1
        assert counters() == {"told": {}}


def test_alerts_are_told_and_counted():
    said: list = []
    announcer = Announcer(said.append, lambda _: None, None)
    one = alert()
    announcer.tell(one)
    assert said == [one]
    assert announcer.counters == {"raised": 1, "escalated": 0, "refreshed": 0, "closed": 0}


def test_notices_go_to_both():
    said: list = []
    delivery = Delivery()
    announcer = Announcer(said.append, lambda _: None, delivery)
    announcer.notify("limits", "too small")
    assert said == delivery.notices
    assert [(one.kind, one.text) for one in said] == [("limits", "too small")]


def test_what_was_said_last_on_a_topic_is_not_said_again():
    said: list = []
    announcer = Announcer(said.append, lambda _: None, None)
    down, broken, up = (
        sentence(f"interface.{code}", interface="eth0") for code in ("down", "no_carrier", "well")
    )
    for now in (None, down, down, broken, None, None):
        announcer.notify_change("interface", "eth0", now, up)
    announcer.notify_change("interface", "eth1", down)
    announcer.notify_change("interface", "eth1", None)
    assert [one.code.partition(".")[2] for one in said] == ["down", "no_carrier", "well", "down"]


def test_how_it_goes_is_told_to_both():
    reported: list = []
    delivery = Delivery()
    announcer = Announcer(lambda _: None, reported.append, delivery)
    announcer.report(lambda: {"told": {}})
    assert reported == [{"told": {}}]
    assert delivery.turns == 1


def test_counters_are_one_line_of_json(capfdbinary):
    print_counters({"hosts": {"hosts": 3}})
    written = capfdbinary.readouterr().err
    assert written.count(b"\n") == 1
    assert msgspec.json.decode(written) == {"hosts": {"hosts": 3}}
