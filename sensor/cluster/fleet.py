"""All machines that work together, each by its last word on Kafka's health topic.

    port25.sensor-health ---> who decides: fleet.json in its folder ---> the page

A sensor says how much it sees and loses; who correlates, what it knows of each sensor (how far
behind it is, by how much its clock is ahead) and how many messages of each partition it has not
read yet. Who is silent for a week is forgotten; beyond ``_MOST`` names those silent longest.
"""

import collections
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from sensor.alerts.notice import HEALTH, SCHEMA, Health, Notice
from sensor.base.door import Door
from sensor.base.replacing import replace
from sensor.base.units import DAY, MINUTE, SECOND
from sensor.cluster.standing import NAME
from sensor.sinks.kafka.connection import Connection
from sensor.state.folder import StateFolder

__all__ = ["SILENT", "STALE", "Fleet", "FleetFollower", "Member", "members_of", "written_at"]

SILENT: Final = MINUTE
"""Nanoseconds without a word after which something is amiss."""

STALE: Final = 15 * SECOND
"""Nanoseconds after which what is written, each second, is of before."""
_MOST: Final = 2_000
_FORGOTTEN: Final = 7 * DAY
_HELD: Final = MINUTE
"""Nanoseconds for which it counts what a correlator knows of sensors."""
_BEFORE: Final = 10 * 60_000
"""Milliseconds before now at which the topic is read from."""
_LOOK: Final = 10.0
"""Seconds between looks for new partitions, or for the topic."""
_WRITE: Final = 1.0
_LARGEST: Final = 16 << 20
"""Bytes of a file that is read."""
_TEXT: Final = 300
_MOST_PARTS: Final = 100

Role = Literal["sensor", "correlates", "decides"]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of the fleet."""

    name: str
    role: Role
    heard: int
    """when it last said how it is, nanoseconds since 1970"""
    version: str
    settings: str = ""
    """digest of those that all must have alike; empty: it says none"""
    differs: bool = False
    """whether most others have other settings"""
    parts: dict[str, str] = {}
    """a digest of each of them"""
    differing: list[str] = []
    """those in which it differs from most"""
    latency: float | None = None
    """of who correlates: seconds from a packet to the commit of what it led to, at worst"""
    packets: float | None = None
    """packets in its last second"""
    loss: float | None = None
    """share of packets or bytes lost in the last interval"""
    behind: float | None = None
    """seconds of packet time that the newest sensor is ahead of it"""
    ahead: float | None = None
    """seconds that its clock is ahead of another's, at least"""
    left_behind: bool = False
    """the others go on without it"""
    partitions: dict[str, int] = {}
    """of who correlates: messages of each partition that are not read yet"""
    stopped: bool = False
    """its blocking has stopped itself"""
    alone: bool = False
    """it judges its share alone until Kafka has taken all its segments (``cluster.alone``)"""
    notice: str = ""
    """what it last said besides, and when"""
    noticed: int = 0


def _number(counters: dict[str, dict[str, Any]], name: str) -> float | None:
    """Whatever stage it is in; None: not there, or no number."""
    for stage in counters.values():
        value = stage.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def _parts(said: Any) -> dict[str, str]:
    """Digests by setting, as far as they are some."""
    found = msgspec.convert(said, dict[str, str])
    return {name[:_TEXT]: found[name][:_TEXT] for name in list(found)[:_MOST_PARTS]}


def _usual_parts(members: Iterable[Member]) -> dict[str, str]:
    """Of each setting what most have."""
    counts: dict[str, collections.Counter[str]] = {}
    for one in members:
        for name, value in one.parts.items():
            counts.setdefault(name, collections.Counter())[value] += 1
    return {name: found.most_common(1)[0][0] for name, found in counts.items()}


class Fleet:
    """What was heard of whom."""

    def __init__(self, decider: str, before: list[Member] | None = None, most: int = _MOST) -> None:
        """``decider``: name of who decides; ``before``: what was known by then."""
        self._decider, self._most = decider, most
        self._members = {one.name: one for one in before or ()}
        self._sensors: dict[str, dict[str, dict[str, float]]] = {}
        """of each correlator, what it knows of sensors"""
        self.door: Final = Door("fleet_unreadable")
        self.counters = {"fleet_heard": 0, "fleet_unreadable": 0, "fleet_forgotten": 0,
            "fleet_not_written": 0,
        }  # fmt: skip

    def take(self, key: bytes, value: bytes, now: int) -> None:
        """One message of the topic, at time ``now`` (ns)."""
        self.counters["fleet_heard"] += 1
        self.door.read(self._take, key, value, now)
        self.counters[self.door.counter] = self.door.refused

    def _take(self, key: bytes, value: bytes, now: int) -> None:
        said = msgspec.json.decode(value)
        if said["schema"] == SCHEMA:
            self._noticed(key.decode()[:_TEXT], msgspec.convert(said, Notice))
        elif said["schema"] == HEALTH:
            self._standing(msgspec.convert(said, Health), now)

    def _noticed(self, name: str, said: Notice) -> None:
        if (one := self._members.get(name)) is not None and said.ts >= one.noticed:
            self._members[name] = msgspec.structs.replace(
                one, notice=said.text[:_TEXT], noticed=said.ts
            )

    def _standing(self, said: Health, now: int) -> None:
        name, counters = said.sensor[:_TEXT], said.counters
        role: Role = "decides" if name == self._decider else "sensor"
        partitions: dict[str, int] = {}
        sensors = None
        if name.startswith(NAME):
            role = "correlates"
            partitions = msgspec.convert(counters.get("partitions", {}), dict[str, int])
            sensors = msgspec.convert(counters.get("sensors", {}), dict[str, dict[str, float]])
        before = self._members.get(name)
        heard = min(said.ts, now)
        if before is not None and before.heard > heard:
            return
        self._members[name] = Member(
            name=name, role=role, heard=heard, version=said.version[:_TEXT],
            settings=str(counters.get("settings", {}).get("settings_digest", ""))[:_TEXT],
            parts=_parts(counters.get("settings", {}).get("settings_digests", {})),
            latency=_number(counters, "commit_latency_seconds"),
            packets=_number(counters, "packets_per_second"),
            loss=_number(counters, "loss_ratio"), partitions=partitions,
            stopped=bool(_number(counters, "blocking_stopped")),
            alone=bool(_number(counters, "judges_alone")),
            notice=before.notice if before else "", noticed=before.noticed if before else 0,
        )  # fmt: skip
        if sensors is not None:
            self._sensors[name] = sensors
        if len(self._members) > self._most:
            silent = min(self._members.values(), key=lambda one: one.heard)
            self._forget(silent.name)

    def _forget(self, name: str) -> None:
        del self._members[name]
        self._sensors.pop(name, None)
        self.counters["fleet_forgotten"] += 1

    def members(self, now: int) -> list[Member]:
        """All, by role and name, with what is known of them at ``now`` (ns)."""
        for name in [one.name for one in self._members.values() if now - one.heard > _FORGOTTEN]:
            self._forget(name)
        digests = collections.Counter(one.settings for one in self._members.values())
        digests.pop("", None)
        usual = digests.most_common(1)[0][0] if digests else ""
        parts = _usual_parts(self._members.values())
        known = [
            sensors
            for name, sensors in self._sensors.items()
            if now - self._members[name].heard < _HELD
        ]
        found = []
        for one in self._members.values():
            several = [sensors[one.name] for sensors in known if one.name in sensors]
            behind = [n for said in several if (n := _number({"": said}, "behind")) is not None]
            ahead = [n for said in several if (n := _number({"": said}, "ahead")) is not None]
            found.append(msgspec.structs.replace(
                one, differs=bool(one.settings) and one.settings != usual,
                differing=sorted(name for name in one.parts if one.parts[name] != parts[name]),
                behind=max(behind, default=None), ahead=max(ahead, default=None),
                left_behind=any(_number({"": said}, "left_behind") for said in several),
            ))  # fmt: skip
        return sorted(found, key=lambda one: (_ORDER[one.role], one.name))


_ORDER: Final = {"sensor": 0, "correlates": 1, "decides": 2}


def members_of(state: Path) -> list[Member]:
    """What is written in a state folder; none where nobody decides in it."""
    path = StateFolder(state).fleet
    try:
        if path.stat().st_size > _LARGEST:
            return []
        return msgspec.json.decode(path.read_bytes(), type=list[Member])
    except (OSError, msgspec.MsgspecError):
        return []


def written_at(state: Path) -> int:
    """When that was written, nanoseconds since 1970; 0: never."""
    try:
        return StateFolder(state).fleet.stat().st_mtime_ns
    except OSError:
        return 0


class FleetFollower:
    """Follows the topic, and writes what it hears. Raises KafkaError from everything."""

    def __init__(self, connection: Connection, files: StateFolder, fleet: Fleet) -> None:
        from kafka import KafkaConsumer

        self._topic = connection.settings.health_topic
        self._path = files.fleet
        self._fleet = fleet
        self.heard = 0
        """when something was last heard, nanoseconds since 1970; 0: nothing was"""
        self._written = 0.0
        self._looked = -_LOOK
        self._consumer = KafkaConsumer(
            **connection.arguments,
            client_id="port25-decide-fleet",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
        )

    def turn(self) -> None:
        """Take what has come."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._look()
        if self._consumer.assignment():
            for records in self._consumer.poll(0).values():
                self.heard = time.time_ns()
                for record in records:
                    self._fleet.take(record.key or b"", record.value or b"", time.time_ns())
        if now - self._written >= _WRITE:
            self._written = now
            self._write()

    def _write(self) -> None:
        try:
            replace(self._path, msgspec.json.encode(self._fleet.members(time.time_ns())))
        except OSError:  # a full disk: decisions go on
            self._fleet.counters["fleet_not_written"] += 1

    def _look(self) -> None:
        from kafka import TopicPartition

        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        known = self._consumer.assignment()
        new = [TopicPartition(self._topic, n) for n in sorted(numbers)]
        new = [part for part in new if part not in known]
        if not new:
            return
        self._consumer.assign([*known, *new])
        since = int(time.time() * 1000) - _BEFORE
        for part, found in self._consumer.offsets_for_times(dict.fromkeys(new, since)).items():
            if found is None:
                self._consumer.seek_to_end(part)
            else:
                self._consumer.seek(part, found.offset)

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()
