"""``port25 decide``: one policy for the alerts of all sensors, one ledger, ceilings over all.

    port25.alerts ---> journal ---> ledger (decisions) ---> port25.blocklist
    port25.desk   ------------------^

The journal is built from the topic; all behind it is what every sensor has (``service.delivery``),
but that it tells no alerts which came from there. An alert is known by id and revision: however
often the topic is read, each decides once, and the same alerts give the same decisions, with the
same ids. So another machine can go on with nothing but the topics.
"""

import importlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import msgspec

from sensor.alerts.notice import Notice, notice
from sensor.cluster.alert_book import AlertBook
from sensor.cluster.brokers import KafkaWatch
from sensor.cluster.election import Election
from sensor.cluster.fleet import Fleet, FleetFollower, members_of
from sensor.cluster.topics import ensure_decide_topic
from sensor.service import privileges
from sensor.service.delivery import Delivery
from sensor.service.messages import Counters
from sensor.service.metrics import Collector, serve
from sensor.service.signals import ENDING, collect_signals
from sensor.service.systemd import notify
from sensor.service.versions import refuse_newer
from sensor.settings import Settings, state_folder
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.topics import ensure_topics
from sensor.state.folder import StateFolder
from sensor.state.lock import StateLock

__all__ = ["as_decider", "decide"]

_PATIENCE: Final = 10.0
"""Seconds that Kafka is waited for at the end."""
_REELECTION: Final = 30.0
"""Seconds after an outage of Kafka in which who decided must be elected again."""
_LARGEST_PAUSE: Final = 15.0
_LATER: Final = ("kafka.consumer", "kafka.admin", "kafka.coordinator.consumer", "encodings.idna")
"""Modules that are first needed once privileges are gone."""


class _Lost(Exception):  # noqa: N818 - no error
    """Another decides now."""


def as_decider(settings: Settings) -> Settings:
    """The settings under the name that all who may decide have in common."""
    kafka = msgspec.structs.replace(settings.kafka, sensor=settings.cluster.decider)
    return msgspec.structs.replace(settings, kafka=kafka)


class _Decider:
    """One process; it stands by until it is elected, and ends when another is."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        delivery: Delivery,
        tell: Callable[[Notice], None],
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._delivery = delivery
        self._tell = tell
        self._say = say
        self._got = collect_signals()
        self._files = StateFolder(state_folder(settings))
        self._book = AlertBook(self._files, connection.settings.alerts_topic)
        self._fleet = Fleet(settings.cluster.decider, members_of(self._files.path))
        self._counts = {"alerts_taken": 0, "alerts_unreadable": 0}
        self._begun = False
        self._kafka = KafkaWatch(connection, self._files)

    @property
    def ended(self) -> bool:
        """Whether a signal asked for the end."""
        return bool(self._got & ENDING)

    def counters(self) -> Counters:
        return {"cluster": dict(self._counts), **self._delivery.counters}

    def run(self) -> bool:
        """Until a signal; False: another decides now."""
        from kafka.errors import KafkaError

        self._kafka.start()
        pause = 0.25
        while not self.ended:
            began = time.monotonic()
            try:
                self._decide()
            except _Lost:
                return False
            except KafkaError as error:
                self._say(f"Kafka: {type(error).__name__}: {error}; begins anew")
            if self.ended:
                break
            self._delivery.turn()
            pause = 0.25 if time.monotonic() - began > 60 else min(_LARGEST_PAUSE, 2 * pause)
            time.sleep(pause)
        return True

    def _decide(self) -> None:
        """As long as Kafka is there. Raises KafkaError and _Lost."""
        ensure_topics(self._connection)
        ensure_decide_topic(self._connection, self._settings)
        with ExitStack() as at_end:
            election = Election(self._connection, self._settings.cluster.decide_topic)
            at_end.callback(election.close)
            if not self._begun:
                self._say("stands by")
            since = time.monotonic()
            while not election.is_won and not self.ended:
                election.turn(200)
                if self._begun and time.monotonic() - since > _REELECTION:
                    raise _Lost
            follower = self._book.follow(self._connection)
            at_end.callback(follower.close)
            fleet = FleetFollower(self._connection, self._files, self._fleet)
            at_end.callback(fleet.close)
            while not self.ended:
                self._counts["alerts_taken"] += self._book.take(follower)
                self._counts["alerts_unreadable"] = self._book.door.refused
                fleet.turn()
                self._kafka.heard = max(self._kafka.heard, fleet.heard)
                self._counts |= self._fleet.counters
                self._tell_refused()
                election.turn(0)
                if election.is_lost:
                    raise _Lost
                if self._begun:
                    self._delivery.turn(self.counters)
                elif follower.caught_up:  # what is long over is in the journal when that begins
                    self._begun = True
                    self._say(f"decides; {self._counts['alerts_taken']:,} alerts were new")
                    self._delivery.begin()

    def _tell_refused(self) -> None:
        """What somebody sent that could not be read, the first of each topic."""
        for door in (self._book.door, self._fleet.door):
            if (said := door.news()) is not None:
                one = notice("reader", said, time.time_ns())
                self._tell(one)
                self._delivery.notice(one)


def decide(
    settings: Settings,
    connection: Connection,
    tell: Callable[[Notice], None],
    say: Callable[[str], None],
    metrics: str = "",
) -> bool:
    """Until SIGTERM or SIGINT, or until another decides: False. ``settings``: of `as_decider`.

    ``say``: for whoever started it. ``metrics``: where Prometheus may ask. Raises
    StateInUseError, DatabaseError, SinkSettingsError, LookupError, MetricsError, OSError.
    """
    files = StateFolder(state_folder(settings))
    with ExitStack() as at_end:
        at_end.callback(StateLock(files.path, "port25 decide").release)
        refuse_newer(files)
        for module in _LATER:
            importlib.import_module(module)
        # Forked while this process is small and may read its secrets; it waits for `begin`.
        delivery = Delivery(settings, files.path, tell, from_topic=True)
        at_end.callback(delivery.stop, _PATIENCE)
        privileges.give_away(files.path, settings.live.user)
        privileges.drop_privileges(settings.live.user)
        decider = _Decider(settings, connection, delivery, tell, say)
        if metrics:
            at_end.callback(serve(metrics, Collector(decider.counters)))
        notify("READY=1")
        return decider.run()
