"""All machines that work together, a line each: what who decides has heard of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sensor.base.terminal import printable
from sensor.base.units import SECOND
from sensor.cluster.brokers import Brokers, brokers_of
from sensor.cluster.fleet import SILENT, STALE, members_of, written_at
from sensor.console.terminal.words import Words

__all__ = ["Machine", "fleet_lines", "machines"]


class Machine(NamedTuple):
    """One of them, in words."""

    name: str
    """with what it does"""
    heard: int
    """when it last said how it is, nanoseconds since 1970; 0: it is none, but all are stale"""
    said: str
    """what is amiss, and how it is"""


def machines(words: Words, state: Path, now: int) -> Iterator[Machine]:
    """By role and name; ``now``: nanoseconds since 1970."""
    members, age = members_of(state), now - written_at(state)
    if members and age > STALE:
        yield Machine(words.say("fleet.stale", seconds=age / SECOND), 0, "")
    if (kafka := brokers_of(state)) is not None:
        yield _kafka(words, kafka, now)
    for one in members:
        said = []
        if now - one.heard > SILENT:
            said.append(words.say("fleet.silent", seconds=(now - one.heard) / SECOND))
        if one.left_behind:
            said.append(words.say("fleet.left-behind"))
        if one.alone:
            said.append(words.say("fleet.alone"))
        if one.differs:
            which = printable(", ".join(one.differing))
            said.append(words.say("fleet.differs", which=which or None))
        if one.stopped:
            said.append(words.say("fleet.stopped", name=printable(one.name)))
        if one.packets is not None:
            said.append(words.say("fleet.packets", packets=one.packets))
        if one.loss is not None:
            said.append(words.say("fleet.loss", loss=one.loss * 100))
        if one.behind is not None:
            said.append(words.say("fleet.behind", seconds=one.behind))
        if one.partitions:
            unread = sum(one.partitions.values())
            said.append(words.say("fleet.unread", partitions=len(one.partitions), unread=unread))
        if one.latency is not None:
            said.append(words.say("fleet.latency", seconds=one.latency))
        name = words.say(f"fleet.{one.role}", name=printable(one.name))
        yield Machine(name, one.heard, "; ".join(said))


def _kafka(words: Words, kafka: Brokers, now: int) -> Machine:
    reached = sum(one.reachable for one in kafka.brokers)
    said = [words.say("fleet.brokers", reached=reached, brokers=len(kafka.brokers))]
    if not kafka.answers:
        since = words.say("fleet.kafka-away", seconds=(now - kafka.since) / SECOND)
        said = [since, *said, printable(kafka.fault)]
    return Machine("Kafka", kafka.heard, "; ".join(filter(None, said)))


def fleet_lines(words: Words, state: Path, now: int) -> Iterator[str]:
    """A line each."""
    for one in machines(words, state, now):
        yield "; ".join(filter(None, (one.name, one.said)))
    yield words.say("fleet.no-more")
