"""What a source of leases tells, judged and counted, on its way to the sensor.

Two judgements need a memory, or a clock, that only who hears the source has:

    late     it begins ``customers.late`` seconds, or more, before something this source told of the
             same prefix: it knows nothing of what came after it
    early    it begins so long ahead of now: it would wait, and waiting takes room

The memory is of the last million prefixes that were told; the one told longest ago goes first.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np

from sensor.base.kernel import table
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.customers.layout import CHANGE, MOST_BITS, UNFIT
from sensor.hosts.customer_key import customer_key
from sensor.leases.file import as_change, kind_of, secret_of
from sensor.leases.lines import LineError, Reader, Told
from sensor.leases.naming import Naming
from sensor.leases.settings import CustomerSettings

__all__ = ["Heard", "Intake"]

_MOST_PREFIXES: Final = 1_000_000


class Heard(NamedTuple):
    """What was told since the last time."""

    rows: bytes
    """of dtype CHANGE, in the order in which they were told"""
    unfit: dict[str, int]
    """what is no lease, by counter (UNFIT)"""
    said: list[Sentence]
    """what a person should know"""


class Intake:
    """That of one source."""

    def __init__(
        self, source: str, settings: CustomerSettings, now: Callable[[], int] = time.time_ns
    ) -> None:
        """``source``: what people call it. Raises LeaseFileError where there is no secret."""
        self.source = source
        self.now = now
        self._settings = settings
        self._secret = secret_of(settings)
        self._rows: list[tuple[int, ...]] = []
        self._unfit = dict.fromkeys(UNFIT, 0)
        self._said: list[Sentence] = []
        self._kinds: set[str] = set()
        self._newest: dict[int, int] = {}
        self._naming: Naming | None = None
        self._has_said_unnamed = False

    def have_names(self, naming: Naming) -> None:
        """Have names kept, which are forgotten otherwise."""
        self._naming = naming

    def new_reader(self) -> Reader:
        """For lines, by the settings."""
        widest = self._settings.widest_ipv4, self._settings.widest_ipv6
        return Reader(self._secret, *widest, self._on_name)

    def key_of(self, name: str) -> tuple[int, int]:
        """The key of a customer."""
        key = customer_key(name, self._secret)
        self._on_name(name, key)
        return key

    def _on_name(self, name: str, key: tuple[int, int]) -> None:
        if self._naming is not None:
            self._naming.hear(name, key)

    @property
    def counters(self) -> dict[str, int]:
        """Of names, where they are kept."""
        naming = self._naming
        return {} if naming is None else {"customer_names_not_kept": naming.not_kept}

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, line: str, reader: Reader, where: Sentence) -> None:
        """A line; ``where`` it stands."""
        try:
            told = list(reader.read(line))
        except LineError as error:
            self.refuse(kind_of(error), where, error.why)
        else:
            self.tell(told, where)

    def tell(self, leases: Iterable[Told], where: Sentence) -> None:
        """Leases; who told them, ``where``."""
        late = self._settings.late
        for told in leases:
            if told.since >= self.now() + late * SECOND:
                self.refuse("early", where, sentence("leases.early", seconds=late))
            elif self._is_late(told, late):
                self.refuse("late", where, sentence("leases.late", seconds=late))
            else:
                self._rows.append(as_change(told, 0))

    def _is_late(self, told: Told, late: int) -> bool:
        prefix = ((told.hi << 64 | told.lo) << 16 | told.port) * (MOST_BITS + 1) + told.bits
        second = told.since // SECOND
        newest = self._newest.pop(prefix, second)
        self._newest[prefix] = max(newest, second)
        if len(self._newest) > _MOST_PREFIXES:
            del self._newest[next(iter(self._newest))]
        return second <= newest - late

    def refuse(self, kind: str, where: Sentence, why: Sentence) -> None:
        """What is no lease, of a kind (of UNFIT, without ``leases_``)."""
        self._unfit[f"leases_{kind}"] += 1
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.say(sentence("leases.first", source=self.source, where=where, why=why))

    def say_unread(self, path: str, error: str) -> None:
        """A file of the source cannot be read."""
        self.say(sentence("leases.unread", file=path, error=error))

    def say(self, said: Sentence) -> None:
        """What a person should know."""
        self._said.append(said)

    def drain(self, most: int) -> Heard:
        """What there is, of leases the first ``most``."""
        self._keep_names()
        now, self._rows = self._rows[:most], self._rows[most:]
        rows = table(len(now), CHANGE)
        rows[:] = np.array(now, CHANGE)
        heard = Heard(rows.tobytes(), self._unfit, self._said)
        self._unfit, self._said = dict.fromkeys(UNFIT, 0), []
        return heard

    def _keep_names(self) -> None:
        """Before the leases are passed on; what the disk refuses is said once."""
        fault = self._naming.keep() if self._naming is not None else ""
        if fault and not self._has_said_unnamed:
            self._has_said_unnamed = True
            self.say(sentence("leases.unnamed", source=self.source, error=fault))
