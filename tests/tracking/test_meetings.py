"""Subscribers of one make that meet at unusual servers within minutes, and those who do not."""

import random

import pytest

from lab.conversation import Conversation, block
from lab.outputs import evidence_of, feed, finish
from sensor.alerts.alert import Alert
from sensor.pipeline import Pipeline
from sensor.settings import Settings

LINUX = bytes.fromhex("020405b40402080a000000010000000001030307")
WINDOWS = bytes.fromhex("020405b40103030801010402")
Frames = list[tuple[int, bytes]]


def visit(host: int, server: int, at: float, name: str, options=LINUX) -> Frames:
    ends = f"203.0.113.{host}", f"198.{18 + server // 250}.{server % 250}.25"
    talk = Conversation(sport=3000 + int(at) % 60_000, ends=ends)
    talk.now += int(at * 1e9)
    talk.send("c", flags=2, options=options)
    talk.send("s", flags=18)
    talk.send("c", flags=16)
    text = rf"""
    S: 220 mx.example ESMTP\r\n
    C: EHLO {name}\r\n
    S: 250 mx.example\r\n
    C: MAIL FROM:<a@firm.example>\r\n
    S: 250 ok\r\n
    C: RCPT TO:<b@receiver.example>\r\n
    S: 250 ok\r\n
    C: DATA\r\n
    S: 354 go\r\n
    C: Subject: x\r\n\r\nhello\r\n.\r\n
    S: 250 queued\r\n
    C: QUIT\r\n
    S: 221 bye\r\n
    """
    return talk.say(text).close().frames


def run(visits: list[Frames], step: int = 0) -> tuple[Pipeline, list[Alert]]:
    frames = sorted((one for frames in visits for one in frames), key=lambda one: one[0])
    pipeline = Pipeline(Settings(subscriber_prefixes=("203.0.113.0/24",)))
    step = step or len(frames)
    alerts = []
    for at in range(0, len(frames), step):
        alerts += feed(pipeline, block(frames[at : at + step]))
    return pipeline, alerts + finish(pipeline)


def found(pipeline: Pipeline, host: int):
    findings = pipeline.model.explain(evidence_of(pipeline, f"203.0.113.{host}"))
    return next(f for f in findings if f.detector == "campaign")


def campaign(bots: int, names=lambda n: f"smtp{n}.bulk{n * 7}.example", targets=20, spread=300.0):
    """Bots that work through one list, a target every minute or two, each in its own order."""
    visits = []
    for n in range(bots):
        rng = random.Random(n)
        for k in range(targets):
            at = 60.0 * k + rng.uniform(0, spread)
            visits.append(visit(10 + n, k, at, names(n), LINUX))
    return visits


def test_members_of_a_campaign_meet():
    pipeline, _ = run(campaign(6))
    for n in range(6):
        met = found(pipeline, 10 + n)
        assert met.code == "campaign.met"
        assert met.centibans == 200, "at most"
        assert met.figures["peers"] >= 2
    assert len({found(pipeline, 10 + n).figures["campaign"] for n in range(6)}) == 1
    assert pipeline.counters()["hosts"]["meetings"] > 50


def test_two_servers_of_one_customer_are_no_campaign():
    pipeline, _ = run(campaign(2))
    assert found(pipeline, 10).figures["peers"] == 1
    assert found(pipeline, 10).centibans == 0


@pytest.mark.parametrize(
    "names",
    [lambda n: f"smtp{n}.bulk.example" if n % 2 else f"[10.0.0.{n}]", lambda n: "a." * n + "b"],
    ids=["two programs", "many programs"],
)
def test_who_speaks_otherwise_is_another_make(names):
    pipeline, _ = run(campaign(4, names))
    assert all(found(pipeline, 10 + n).centibans == 0 for n in range(4))


def rounds(hosts, servers, start, name, apart=1.0, each=0.0) -> list[Frames]:
    """Each of ``hosts`` visits each of ``servers``, a minute after the other."""
    return [
        visit(host, server, start + 60.0 * k + apart * n, name)
        for n, host in enumerate(hosts)
        for k, server in enumerate(range(int(each * n), int(each * n) + servers))
    ]


def test_neither_do_those_who_go_elsewhere_or_at_other_times():
    elsewhere = rounds(range(10, 14), 20, 0, "mail.a.example", each=100)
    later = rounds(range(10, 14), 20, 0, "mail.a.example", apart=4000.0)
    for visits in (elsewhere, later):
        assert run(visits)[0].counters()["hosts"]["meetings"] == 0


def test_where_mail_goes_all_day_is_no_place_to_meet():
    all_day = [v for h in range(5) for v in rounds([200 + h], 20, 3600.0 * h, "mail.a.example")]
    late = rounds(range(10, 14), 20, 5 * 3600, "mail.b.example")
    pipeline, _ = run(all_day + late)
    assert all(found(pipeline, 10 + n).centibans == 0 for n in range(4))


def test_it_is_the_same_however_the_capture_is_cut():
    whole, cut = run(campaign(5))[0], run(campaign(5), step=11)[0]
    assert [found(whole, 10 + n) for n in range(5)] == [found(cut, 10 + n) for n in range(5)]
    assert whole.counters()["hosts"] == cut.counters()["hosts"]


def test_who_was_never_heard_of_is_of_one_make_with_who_was():
    """The shape of its SYN is known from the first, whenever more is kept of the host."""
    before = [visit(10, 100 + k, 60.0 * k, "mail.a.example") for k in range(10)]
    both = [
        visit(10 + n, k, 3600 + 20.0 * k + n, "mail.a.example") for n in (0, 1) for k in range(20)
    ]
    pipeline, _ = run(before + both)
    new = found(pipeline, 11).figures
    assert new["visits"] > 15
    assert new["alone"] == 0


def test_a_campaign_alone_is_neither_an_alert_nor_a_block():
    _, alerts = run(campaign(6, targets=40))
    assert not any(alert.block_recommended for alert in alerts)
