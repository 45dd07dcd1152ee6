"""How sensor, disk, sinks and the page itself are, by the files alone."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sensor import __version__
from sensor.base.sentences import Sentence, sentence
from sensor.blocking.feed_faults import faults
from sensor.console.told import told
from sensor.console.view import View
from sensor.console.web.schemas import Health, Trouble, TroubleCode
from sensor.console.web.stream import Follower
from sensor.evidence.store import stored_files
from sensor.settings import SINKS, Settings
from sensor.state.folder import StateFolder

__all__ = ["health"]

_WAITING: Final = 1000
"""Messages that may wait for a sink in a busy minute."""
_NONE: Final[Mapping[str, int]] = MappingProxyType({})
_LITTLE_ROOM: Final = 0.05


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def health(
    view: View, settings: Settings, follower: Follower, refused: Mapping[str, int] = _NONE
) -> Health:
    """As it is now."""
    vitals = view.rates(60, 1)[-1:]
    paths = StateFolder(view.state).journals
    status = view.status(settings.blocking.mode)
    age = status.silent
    disk = shutil.disk_usage(view.state)
    waiting = view.waiting()
    found: list[tuple[TroubleCode, Sentence]] = []
    if not status.running:
        silent = sentence("trouble.silent", seconds=age)
        found.append(("no_vitals", sentence("trouble.never") if age is None else silent))
    if vitals and vitals[0].loss >= settings.live.loss_alarm:
        found.append(("capture_loss", sentence("trouble.loss", share=vitals[0].loss)))
    if status.stopped:
        found.append(("blocking_stopped", sentence("trouble.stopped")))
    found += [("feed_refused", one.said) for one in faults(view.state)]
    for one in view.away():
        left = waiting.get(one.sink, 0)
        name = one.sink.removeprefix("notify/")
        said = sentence("trouble.away", name=name, messages=left, tries=one.tries, error=one.reason)
        found.append(("sink_away", said))
    for sink, messages in waiting.items():
        if messages > _WAITING:
            title = SINKS[sink].title if sink in SINKS else sink
            found.append(("sink_waiting", sentence("trouble.sink", sink=title, messages=messages)))
    if disk.free < disk.total * _LITTLE_ROOM:
        found.append(("disk_nearly_full", sentence("trouble.disk", bytes=disk.free)))
    return Health(
        troubles=[Trouble(code, cause.text, cause) for code, cause in found],
        now=view.now,
        vitals=vitals[0] if vitals else None,
        vitals_age=age,
        journal_bytes=sum(
            _size(path) + _size(path.with_name(f"{path.name}-wal")) for path in paths
        ),
        evidence_bytes=sum(
            file.stat().st_size
            for path in paths
            for file in stored_files(StateFolder(path.parent).evidence)
        ),
        disk_free_bytes=disk.free,
        sinks_waiting=waiting,
        told=told(view),
        blocking_stopped=status.stopped,
        streams=len(follower),
        logins_refused=dict(refused),
        streams_reset=follower.resets,
        version=__version__,
    )
