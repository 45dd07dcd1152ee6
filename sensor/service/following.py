"""A folder built from Kafka's topics alone, for a page or a terminal: a process beside it.

    port25.alerts -----> journal ---> ledger     (as who decides has them; it blocks nobody)
    port25.desk -------> desk, ledger;  back: what persons do at this page
    port25.enforcement, port25.sensor-health ---> enforcement.json, fleet.json, kafka.json

It does what ``port25 decide`` does (:mod:`sensor.service.deciding`), but that it asks nobody if
it may, and tells nobody what it decided: the same alerts and words give the same decisions, so
every page over the same topics shows the same, under the same ids. It ends with whoever started it,
and goes on from what lies in the folder.
"""

import contextlib
import hashlib
import importlib
import os
import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from sensor.alerts.notice import Notice, notice
from sensor.base.terminal import complain
from sensor.cluster.alert_book import AlertBook
from sensor.cluster.brokers import KafkaWatch
from sensor.cluster.fleet import Fleet, FleetFollower, members_of
from sensor.service import privileges
from sensor.service.delivery import Delivery
from sensor.service.supervisor import supervise
from sensor.settings import SINKS, Settings
from sensor.sinks.kafka.connection import Connection, import_kafka
from sensor.sinks.kafka.topics import ensure_topics
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal
from sensor.state.lock import StateInUseError, StateLock

__all__ = ["Following", "as_page"]

_PAUSE: Final = 2.0
"""Seconds after which Kafka, which refused something, is asked again."""
_PATIENCE: Final = 2.0
"""Seconds for what persons did here to be told, at the end."""
_LATER: Final = ("kafka.consumer", "kafka.admin", "kafka.producer", "encodings.idna")


def as_page(settings: Settings, state: Path) -> Settings:
    """The settings under a name of the folder's own, and with nobody else to be told of anything.

    >>> one = as_page(Settings(), Path("/tmp/a")).kafka.sensor
    >>> one.startswith("page-"), one == as_page(Settings(), Path("/tmp/b")).kafka.sensor
    (True, False)
    """
    where = f"{socket.gethostname()}:{state.resolve()}"
    name = f"page-{hashlib.blake2b(where.encode(), digest_size=6).hexdigest()}"
    others = {name: kind() for name, kind in SINKS.items() if name != "kafka"}
    kafka = msgspec.structs.replace(settings.kafka, sensor=name)
    return msgspec.structs.replace(settings, kafka=kafka, **others)


class Following:
    """The process, as the page sees it."""

    def __init__(self, settings: Settings, connection: Connection, state: Path) -> None:
        """Fork. ``connection`` has its secrets. Raises DatabaseError, LookupError, OSError."""
        files, user = StateFolder(state), settings.live.user
        files.path.mkdir(parents=True, exist_ok=True)
        Journal(files.journal).close()  # for who looks at it before anything was heard
        privileges.give_away(files.path, user)
        import_kafka()
        for module in _LATER:
            importlib.import_module(module)
        self._mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._mine.close()

                def settle() -> None:
                    privileges.drop_privileges(user)

                def follow(_: bool) -> None:
                    _follow(settings, connection, files, theirs)

                supervise(theirs, files.follower_lock, settle, follow, "what Kafka's topics say")
            finally:
                os._exit(0)
        theirs.close()
        self._mine.send(b"begin")

    def stop(self) -> None:
        """End it, once what persons did here is told, or that has taken too long."""
        with contextlib.suppress(OSError):
            self._mine.shutdown(socket.SHUT_RDWR)
        self._mine.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _tell(one: Notice) -> None:
    complain(f"{one.kind}: {one.text}")


def _follow(
    settings: Settings, connection: Connection, files: StateFolder, sock: socket.socket
) -> None:
    """In the process; until nobody is at the other end of ``sock``."""
    hung_up = select.poll()
    hung_up.register(sock, select.POLLRDHUP)
    with ExitStack() as at_end:
        try:
            at_end.callback(StateLock(files.path, "a page that follows Kafka").release)
        except StateInUseError as fault:
            complain(f"{fault}; this page shows what that writes")
            return
        decider = settings.cluster.decider
        own = as_page(settings, files.path)
        delivery = Delivery(own, files.path, _tell, from_topic=True, follows=decider)
        at_end.callback(delivery.stop, _PATIENCE)
        watch = KafkaWatch(connection, files)
        watch.start()
        at_end.callback(watch.stop)
        book = AlertBook(files, connection.settings.alerts_topic)
        at_end.callback(book.close)
        fleet = Fleet(decider, members_of(files.path))
        begun = False
        while not hung_up.poll(0):
            try:
                begun = _turns(connection, files, fleet, delivery, watch, book, hung_up, begun)
            except _kafka_error():  # the watch says since when
                delivery.turn()
                hung_up.poll(int(_PAUSE * 1000))


def _kafka_error() -> type[Exception]:
    from kafka.errors import KafkaError

    found: type[Exception] = KafkaError
    return found


def _turns(
    connection: Connection, files: StateFolder, fleet: Fleet, delivery: Delivery,
    watch: KafkaWatch, book: AlertBook, hung_up: select.poll, begun: bool,
) -> bool:  # fmt: skip
    """As long as Kafka is there; whether decisions are made by now. Raises KafkaError."""
    ensure_topics(connection)
    with ExitStack() as at_end:
        follower = book.follow(connection)
        at_end.callback(follower.close)
        heard = FleetFollower(connection, files, fleet)
        at_end.callback(heard.close)
        while not hung_up.poll(0):
            taken = book.take(follower)
            heard.turn()
            watch.heard = max(watch.heard, heard.heard, time.time_ns() if taken else 0)
            for door in (book.door, fleet.door):
                if (said := door.news()) is not None:
                    _tell(notice("reader", said, time.time_ns()))
            if not begun and follower.caught_up:  # what is long over is there when that begins
                begun = True
                delivery.begin()
            delivery.turn()
    return begun
