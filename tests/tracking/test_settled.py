"""A settled host is not weighed again, and nothing is told otherwise than if it were.

While any host is watched, all are weighed whenever their evidence changes; here that is one which
never sends anything.
"""

import datetime
import random

import pytest

from lab.conversation import SYN, Conversation
from lab.conversation import block as block_of
from lab.generate import generate, write
from lab.senders.judge import KINDS, PREFIXES, made
from sensor.base.units import SECOND
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import AlertSettings, Exemption, Limits, Settings
from tests.conftest import PCAPS

ABSENT = "10.255.255.254"
UNTIL = datetime.date(2100, 1, 1)


def told(settings, blocks, watch=None):
    """All that is told, what was counted, and whether any host was settled."""
    pipeline = Pipeline(settings, watch=watch, candidates=True)
    # Those with few destinations are weighed as well: the short cut for them is another.
    model = pipeline._state.model._replace(quiet_networks=-1, quiet_addresses=-1)
    pipeline._state = pipeline._state._replace(model=model)
    said, settled = [], False
    for block in blocks:
        said += pipeline.feed(block)
        settled |= bool(pipeline._state.hosts.details["settled"].any())
    said += pipeline.finish()
    parts = [[*one.alerts, *one.candidates, *one.notices] for one in said]
    return [repr(part) for one in parts for part in one], repr(pipeline.counters()), settled


def same(settings, blocks):
    """Both ways come to the same; how much was told, and whether any host was settled."""
    blocks = list(blocks)
    outputs, counted, settled = told(settings, blocks)
    always = told(settings, blocks, ABSENT)
    assert outputs == always[0]
    assert counted == always[1]
    return len(outputs), settled


@pytest.mark.parametrize("path", sorted(PCAPS.glob("*.pcap")), ids=lambda path: path.stem)
def test_captures_say_the_same(path):
    outputs, settled = same(Settings(), Captures([str(path)]))
    if path.stem == "demo":
        assert outputs and settled


@pytest.mark.parametrize("seed", [5, 20, 25, 40])
def test_more_contacts_let_an_estimate_rise(seed):
    """Of 70 networks an estimate may be too high, and is cut down to the contacts there were."""
    rng = random.Random(seed)
    places = [(rng.randrange(1, 100), rng.randrange(256), rng.randrange(256)) for _ in range(75)]
    new = [f"{a}.{b}.{c}.1" for a, b, c in dict.fromkeys(places)][:70]
    frames = []
    for number, server in enumerate([*new, *new[1:6]]):
        talk = Conversation(sport=5000 + number, ends=("203.0.113.7", server))
        talk.now += number * SECOND // 1000 + (number >= 69) * SECOND
        talk.send("c", flags=SYN)
        frames += talk.frames
    outputs, settled = same(Settings(subscriber_prefixes=("203.0.113.0/24",)), [block_of(frames)])
    assert outputs and settled


def test_where_no_replies_are_shown_all_is_told_when_a_host_does_something():
    """Time raises the score of one that is regular: by itself it is told no sooner if watched."""
    frames = []
    for number in range(60):  # three at the end of each hour, given up on in the next
        talk = Conversation(sport=5000 + number, ends=("203.0.113.7", f"198.18.{number}.1"))
        hour = talk.now // (3600 * SECOND) + number // 3
        talk.now = hour * 3600 * SECOND + (3590 + number % 3) * SECOND
        talk.send("c", flags=SYN)
        frames += talk.frames
    settings = Settings(subscriber_prefixes=("203.0.113.0/24",))
    outputs, counted, _ = told(settings, [block_of(frames)])
    assert outputs
    assert "'unanswered': 57" in counted
    for watched in (ABSENT, "203.0.113.7"):
        assert told(settings, [block_of(frames)], watched)[0] == outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(replies="visible", privacy="headers"),
        Settings(alerts=AlertSettings(escalate_step=0.001), replies="visible"),
        Settings(limits=Limits(max_alerts=8, max_unproven_alerts=4)),
        Settings(limits=Limits(max_alerts=64, max_details=24, max_sketches=4)),
        Settings(exempt=(Exemption("10.0.0.0/27", "tests", UNTIL),), limits=Limits(max_alerts=6)),
    ],
    ids=["usual", "visible", "no step", "few alerts", "few details", "exempt"],
)
@pytest.mark.parametrize("syns", [True, False], ids=["syns", "sessions"])
def test_random_streams_say_the_same(settings, syns, tmp_path):
    paths, settled = [], False
    for seed, (hosts, bots) in enumerate([(5, 0.4), (40, 0.5), (300, 0.05)]):
        paths.append(str(tmp_path / f"{seed}.pcap"))
        records, _ = generate(2_000, 1.0, hosts, bots, seed, only_syns=syns)
        write(tmp_path / f"{seed}.pcap", records)
        settled |= same(settings, Captures([paths[-1]]))[1]
    outputs, _ = same(settings, Captures(paths))  # of all at once
    if syns:
        assert outputs
        assert settled == (settings.alerts.escalate_step >= 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_senders_say_the_same(kind):
    settings = Settings(subscriber_prefixes=PREFIXES)
    same(settings, made(kind, 2, 19)[0].blocks())
