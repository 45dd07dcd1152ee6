"""A file of leases, read whole before a replay: leases are part of its input, as packets are.

The lines may stand in any order; they take effect in the order of their ``from``. Only what is told
of *one* prefix must come in the order of time: a line that begins ``late`` seconds before one above
it that names the same prefix is a straggler, which knows nothing of what came after it. (Of what a
sensor kept, its source has judged that.)
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor.base import addresses
from sensor.base.kernel import table
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.customers.layout import ADDRESS_BITS, CHANGE, MOST_BITS, REASONS, UNFIT
from sensor.hosts.customer_key import customer_key, parse_pseudonym, pseudonym
from sensor.leases.lines import HEADER, LONGEST_LINE, LineError, Reader, Told
from sensor.leases.settings import CustomerSettings

__all__ = ["LeaseFile", "LeaseFileError", "as_change", "kind_of", "secret_of"]

_LEAST_SECRET: Final = 16
_AT_ONCE: Final = 1 << 16
_PORT_BITS: Final = MOST_BITS - ADDRESS_BITS


class LeaseFileError(Exception):
    """A file of leases, or of the secret, cannot be used; the text says why."""


def secret_of(settings: CustomerSettings) -> bytes:
    """What pseudonyms are made from. Raises LeaseFileError."""
    if not settings.key_file:
        return b""
    try:
        secret = Path(settings.key_file).read_bytes().strip()
    except OSError as error:
        raise LeaseFileError(f"{settings.key_file}: {error.strerror or error}") from None
    if len(secret) < _LEAST_SECRET:
        raise LeaseFileError(f"{settings.key_file}: {_LEAST_SECRET} bytes at least are a secret")
    return secret[:64]


def as_change(told: Told, line: int) -> tuple[int, ...]:
    """A row of dtype CHANGE."""
    since, until, hi, lo, port, bits, who, at = told
    return max(since, at), since, until, hi, lo, *who, line, port, bits


def kind_of(error: LineError) -> str:
    """Which of UNFIT a line is that cannot be taken, without ``leases_``."""
    code = error.why.code.removeprefix("leases.")
    return code if code in ("backwards", "too_wide") else "ill_formed"


class LeaseFile:
    """What a file tells, and what of it is not taken."""

    def __init__(self, path: str, settings: CustomerSettings) -> None:
        """Read it. Raises LeaseFileError."""
        self._path = path
        self._secret = secret_of(settings)
        self._unfit: dict[str, tuple[int, int, Sentence]] = {}
        reader = Reader(self._secret, settings.widest_ipv4, settings.widest_ipv6)
        try:
            rows = self._read(reader)
        except OSError as error:
            raise LeaseFileError(f"{path}: {error.strerror or error}") from None
        late = _late(rows, settings.late * SECOND) & (not reader.reads_kept)
        for line in np.unique(rows["line"][late]).tolist():
            self._note("late", line, sentence("leases.late", seconds=settings.late))
        rows = rows[~late]
        self.is_kept = reader.reads_kept
        """whether a sensor kept it, which was told all there was"""
        self.changes: NDArray[np.void] = table(len(rows), CHANGE)
        """dtype CHANGE, in the order in which they take effect"""
        self.changes[:] = rows[np.argsort(rows["ts"], kind="stable")]

    def _read(self, reader: Reader) -> NDArray[np.void]:
        chunks, rows = [], []
        for number, line in self._lines(reader):
            try:
                rows += [as_change(told, number) for told in reader.read(line)]
            except LineError as error:
                self._note(kind_of(error), number, error.why)
            if len(rows) >= _AT_ONCE:
                chunks.append(np.array(rows, CHANGE))
                rows = []
        chunks.append(np.array(rows, CHANGE))
        return np.concatenate(chunks)

    def _lines(self, reader: Reader) -> Iterator[tuple[int, str]]:
        """Lines with their numbers, without the header. Raises LeaseFileError, OSError."""
        with Path(self._path).open("rb") as file:
            number = 0
            while raw := file.readline(LONGEST_LINE * 4):
                number += 1
                if not raw.endswith(b"\n"):
                    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace")
                if number == 1 and not line.lstrip().startswith("{"):
                    if not reader.begin(line):
                        expected = ",".join(HEADER)
                        raise LeaseFileError(f"{self._path}: line 1: expected {expected}")
                elif line.strip():
                    yield number, line

    def _note(self, kind: str, line: int, why: Sentence) -> None:
        first, count, reason = self._unfit.get(kind, (line, 0, why))
        self._unfit[kind] = first, count + 1, reason

    @property
    def counters(self) -> dict[str, int]:
        """Lines that were not taken, by reason."""
        return {name: self._unfit.get(name.removeprefix("leases_"), (0, 0))[1] for name in UNFIT}

    def whose(self, text: str) -> str:
        """The customer a person means, by name, by pseudonym or by an address of his.

        An address nobody had is his whose name it is, as a CGN's customers are named by theirs
        inside; else it stays what it is. ValueError names those who had it by turns.
        """
        if parse_pseudonym(text) is not None:
            return text
        base, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
        try:
            number = addresses.as_int(ipaddress.ip_address(base.partition("/")[0]))
        except ValueError:
            return pseudonym(*customer_key(text, self._secret))
        first = port.partition("-")[0] or "0"
        if not (first.isdecimal() and int(first) < 1 << _PORT_BITS):
            raise ValueError(f"{first} is no port")
        found: dict[str, None] = {}
        at = number << _PORT_BITS | int(first)
        for bits in np.unique(self.changes["bits"]).tolist():
            if port or bits <= ADDRESS_BITS:
                cut = at >> (MOST_BITS - bits) << (MOST_BITS - bits)
                hi, lo = cut >> _PORT_BITS + 64, cut >> _PORT_BITS & (1 << 64) - 1
                rows = self.changes[self.changes["bits"] == bits]
                same = (rows["hi"] == hi) & (rows["lo"] == lo) & (rows["port"] == cut & 0xFFFF)
                for row in rows[same][["who_hi", "who_lo"]].tolist():
                    found[pseudonym(*row)] = None
        if len(found) > 1:
            raise ValueError(f"several had it by turns, name one: {', '.join(found)}")
        return next(iter(found), "") or self._named(text)

    def _named(self, text: str) -> str:
        """The customer whose name a text is, where he has a lease; else the text."""
        hi, lo = key = customer_key(text, self._secret)
        is_known = ((self.changes["who_hi"] == hi) & (self.changes["who_lo"] == lo)).any()
        return pseudonym(*key) if is_known else text

    def faults(self, refused: dict[int, int], counts: dict[str, int]) -> Iterator[Sentence]:
        """What was not taken, a sentence a reason.

        ``refused``: the first line the table refused, by its number in REASONS; ``counts``: how
        many it refused, by counter.
        """
        found = dict(self._unfit)
        for reason, line in refused.items():
            name = REASONS[reason]
            found[name] = line, counts[f"leases_{name}"], Sentence(f"leases.{name}")
        for line, count, why in found.values():
            yield sentence("leases.refused", file=self._path, leases=count, line=line, why=why)


def _late(rows: NDArray[np.void], late: int) -> NDArray[np.bool_]:
    """Which rows begin so long before one above them of the same prefix."""
    order = np.lexsort(tuple(rows[name] for name in ("bits", "port", "lo", "hi")))
    ordered = rows[order]
    newest = ordered["since"].copy()
    begins = np.ones(len(rows), np.bool_)
    for name in ("hi", "lo", "port", "bits"):
        if name == "hi":
            begins[1:] = ordered["hi"][1:] != ordered["hi"][:-1]
        else:
            begins[1:] |= ordered[name][1:] != ordered[name][:-1]
    # The newest so far in each group: seconds of the group's number above those of time.
    group = np.cumsum(begins).astype(np.int64) << 33
    seconds = np.maximum.accumulate(group + newest // SECOND) - group
    found = np.zeros(len(rows), np.bool_)
    found[order] = ordered["since"] // SECOND <= seconds - late // SECOND
    return found
