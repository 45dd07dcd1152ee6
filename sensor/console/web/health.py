"""How sensor, disk, Kafka and the page itself are, by the files alone."""

import shutil
from typing import Final

from sensor import __version__
from sensor.blocking.feed_faults import faults
from sensor.console.view import View
from sensor.console.web.shapes import Health, Trouble
from sensor.console.web.stream import Follower
from sensor.evidence.store import stored_files
from sensor.settings import Settings
from sensor.state.folder import StateFolder

__all__ = ["health"]

_WAITING: Final = 1000
"""Messages that may wait for Kafka in a busy minute."""
_LITTLE_ROOM: Final = 0.05


def health(view: View, settings: Settings, follower: Follower) -> Health:
    """As it is now."""
    vitals = view.rates(60, 1)[-1:]
    paths = StateFolder(view.state).journals
    status = view.status(settings.blocking.mode)
    age = status.silent
    disk = shutil.disk_usage(view.state)
    waiting = view.waiting_for_kafka()
    troubles = []
    if not status.running:
        said = "ever" if age is None else f"for {age:,.0f} s"
        troubles.append(Trouble("no_vitals", f"no sensor has written to the journal {said}"))
    if vitals and vitals[0].loss >= settings.live.loss_alarm:
        troubles.append(Trouble("capture_loss", f"{vitals[0].loss:.2%} of what was sent is lost"))
    if status.stopped:
        troubles.append(Trouble("blocking_stopped", "blocking stopped itself: port25 resume"))
    troubles += [Trouble("feed_refused", one.text) for one in faults(view.state)]
    if waiting is not None and waiting > _WAITING:
        troubles.append(Trouble("kafka_waiting", f"{waiting:,} messages wait for Kafka"))
    if disk.free < disk.total * _LITTLE_ROOM:
        troubles.append(Trouble("disk_nearly_full", f"{disk.free:,} bytes are free"))
    return Health(
        troubles=troubles,
        now=view.now,
        vitals=vitals[0] if vitals else None,
        vitals_age=age,
        journal_bytes=sum(path.stat().st_size for path in paths),
        evidence_bytes=sum(
            file.stat().st_size
            for path in paths
            for file in stored_files(StateFolder(path.parent).evidence)
        ),
        disk_free_bytes=disk.free,
        kafka_waiting=waiting,
        blocking_stopped=status.stopped,
        streams=len(follower),
        streams_reset=follower.resets,
        version=__version__,
    )
