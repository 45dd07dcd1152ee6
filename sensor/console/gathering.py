"""The packets of an alert from the sensors that saw it: asked of each sensor's own page.

    page over the folder of who decides --- POST /api/v1/evidence ---> page over a sensor's folder

Nothing is followed elsewhere, everything has an end: bytes and seconds of each answer, sensors that
are asked at a time and at all. What a sensor does not give is told, and hinders no other. Who asked
is in the books of both ends. Tokens and certificates are read once, at the start.
"""

import concurrent.futures
import contextlib
import http.client
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from sensor import __version__
from sensor.alerts.alert import Alert
from sensor.base.access import FarSensor, WebSettings
from sensor.evidence.export import EvidenceError, Export, Wanted, wanted
from sensor.evidence.joining import join
from sensor.evidence.store import stored_files
from sensor.notify.trust import secret, trust
from sensor.state.folder import StateFolder

__all__ = ["Asking", "EvidenceSource", "Gathered", "Gatherer"]

_CONNECT: Final = 10.0
"""Seconds without a byte."""
_PATIENCE: Final = 60.0
"""Seconds for one sensor's answer."""
_SENSORS: Final = 64
"""Asked for one alert."""
_AT_ONCE: Final = 8
_ALERTS: Final = 4
"""Gathered for at a time."""
_BEYOND: Final = 32 << 20
"""Bytes that an answer may be longer than what was asked for: it ends with a block of packets."""
_FAULT: Final = 1 << 16
_TEXT: Final = 300
_HERE: Final = "-"
"""The folder itself, where it has no name."""

State = Literal["given", "nothing", "cut", "away", "refused", "unknown"]


class EvidenceSource(msgspec.Struct, frozen=True):
    """What one sensor had of an alert's packets."""

    sensor: str
    state: State
    """given; nothing: it has none of them, or no more; cut: there are more than may be fetched;
    away: it does not answer; refused: it does not give them; unknown: ``web.sensors`` has no such
    """
    packets: int
    why: str = ""
    """what was wrong, in words"""


class Asking(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sensor's page is asked."""

    by: str
    """who asks, there"""
    most: int
    """bytes"""


class Gathered(NamedTuple):
    """A capture, and where it is from."""

    packets: int
    sources: list[EvidenceSource]

    @property
    def whole(self) -> bool:
        """Whether nothing would come of asking again."""
        return all(one.state in ("given", "nothing", "unknown") for one in self.sources)


class _Way(NamedTuple):
    sensor: FarSensor
    token: str
    context: ssl.SSLContext | None


class Gatherer:
    """Knows the sensors of ``web.sensors``."""

    def __init__(self, settings: WebSettings, here: str) -> None:
        """``here``: name of the sensor whose folder this is. Raises OSError and ValueError."""
        self._here = here
        self._most = settings.evidence_megabytes * 1_000_000
        self._ways: dict[str, _Way] = {}
        self._busy = threading.BoundedSemaphore(_ALERTS)
        for one in settings.sensors:
            if one.name in self._ways:
                raise ValueError(f"web.sensors: {one.name} is there twice")
            parts = urlsplit(one.url)
            near = parts.hostname in ("127.0.0.1", "::1", "localhost")
            if parts.scheme != "https" and not near:
                raise ValueError(f"web.sensors: {one.url}: only https, but on this machine")
            context = trust(one.ca_file) if parts.scheme == "https" else None
            self._ways[one.name] = _Way(one, secret(one.token_file).decode("ascii"), context)

    def asks(self, alert: Alert, folder: Path) -> bool:
        """Whether the packets of an alert are to be had elsewhere. ``folder``: that tells of it."""
        names = self._names(alert)
        return bool(names & self._ways.keys()) or bool(
            names - {self._here} and not stored_files(StateFolder(folder).evidence)
        )

    @staticmethod
    def _names(alert: Alert) -> set[str]:
        return {name for name in (alert.sensor or "").split(",") if name}

    def gather(self, alert: Alert, folder: Path, export: Export, output: Path, by: str) -> Gathered:
        """Write what all sensors of an alert give, and what lies in ``folder``, as one capture.

        Raises EvidenceError where nobody gave anything and somebody should have.
        """
        if not self._busy.acquire(timeout=_CONNECT):
            raise EvidenceError("evidence of other alerts is being fetched; ask again")
        try:
            with tempfile.TemporaryDirectory(dir=output.parent) as made:
                return self._gather(alert, folder, export, output, by, Path(made))
        finally:
            self._busy.release()

    def _gather(
        self, alert: Alert, folder: Path, export: Export, output: Path, by: str, made: Path
    ) -> Gathered:
        what = wanted(alert)
        found: dict[str, EvidenceSource] = {}
        names = sorted(self._names(alert))
        if stored_files(StateFolder(folder).evidence):
            own = self._here or _HERE
            count, _ = export.cut([folder], what, made / own, by, self._most)
            found[own] = EvidenceSource(own, "given" if count else "nothing", count)
        far = [name for name in names if name in self._ways and name not in found]
        for name in names:
            if name not in self._ways and name not in found:
                found[name] = EvidenceSource(name, "unknown", 0)
        for name in far[_SENSORS:]:
            why = f"no more than {_SENSORS} sensors are asked for an alert"
            found[name] = EvidenceSource(name, "refused", 0, why)
        asking = msgspec.json.encode(Asking(
            **msgspec.structs.asdict(what), by=by[:100], most=self._most
        ))  # fmt: skip
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as threads:
            asked = {n: threads.submit(self._fetch, self._ways[n], asking, made / n)
                     for n in far[:_SENSORS]}  # fmt: skip
            found |= {name: one.result() for name, one in asked.items()}
        parts = [(name, made / name) for name in sorted(found) if (made / name).exists()]
        said = "; ".join(f"{one.sensor}: {one.state}" for one in found.values())
        joined = join(parts, output, f"{what.comment} From {said}")
        for (name, _), part in zip(parts, joined, strict=True):
            one = found[name]
            if part.fault:
                why = f"what it sent: {part.fault}"
                found[name] = EvidenceSource(name, "refused", part.packets, why)
            else:
                state = one.state if part.packets or one.state == "cut" else "nothing"
                found[name] = EvidenceSource(name, state, part.packets)
        sources = [found[name] for name in sorted(found)]
        total = sum(one.packets for one in sources)
        bad = [one for one in sources if one.state in ("away", "refused", "unknown")]
        if not total and bad:
            raise EvidenceError("; ".join(
                f"{one.sensor}: {one.why or 'web.sensors does not name it'}" for one in bad
            ))  # fmt: skip
        return Gathered(total, sources)

    def _fetch(self, way: _Way, asking: bytes, into: Path) -> EvidenceSource:
        """One sensor's answer, in a thread of its own."""
        name = way.sensor.name
        try:
            with contextlib.closing(_connection(way)) as connection:
                base = urlsplit(way.sensor.url).path.rstrip("/")
                head = {
                    "Authorization": f"Bearer {way.token}",
                    "Content-Type": "application/json",
                    "User-Agent": f"port25/{__version__}",
                }
                until = time.monotonic() + _PATIENCE
                connection.request("POST", f"{base}/api/v1/evidence", asking, head)
                answer = connection.getresponse()
                if answer.status != 200:
                    return EvidenceSource(name, "refused", 0, _refusal(answer))
                size = self._save(answer, into, until)
        except ssl.SSLError as error:
            into.unlink(missing_ok=True)
            return EvidenceSource(name, "away", 0, _distrust(error)[:_TEXT])
        except TimeoutError:
            into.unlink(missing_ok=True)
            return EvidenceSource(name, "away", 0, "it does not answer in time")
        except (OSError, http.client.HTTPException) as error:
            into.unlink(missing_ok=True)
            return EvidenceSource(name, "away", 0, f"it is away: {error}"[:_TEXT])
        if size > self._most + _BEYOND:
            into.unlink(missing_ok=True)
            return EvidenceSource(name, "refused", 0, "it sent more than it was asked for")
        return EvidenceSource(name, "cut" if size > self._most else "given", 0)

    def _save(self, answer: http.client.HTTPResponse, into: Path, until: float) -> int:
        size = 0
        with into.open("wb") as out:
            while size <= self._most + _BEYOND and (more := answer.read1(1 << 16)):
                size += len(more)
                out.write(more)
                if time.monotonic() > until:
                    raise TimeoutError
        if answer.length:
            raise OSError("the answer broke off")
        return size


def _connection(way: _Way) -> http.client.HTTPConnection:
    parts = urlsplit(way.sensor.url)
    host = parts.hostname or ""
    if way.context is None:
        return http.client.HTTPConnection(host, parts.port or 80, timeout=_CONNECT)
    return http.client.HTTPSConnection(
        host, parts.port or 443, timeout=_CONNECT, context=way.context
    )


def _distrust(error: ssl.SSLError) -> str:
    """Why nothing is said to a server over TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"its certificate is not trusted: {why} (web.sensors.ca_file)"
    return f"it speaks no TLS: {error.reason or error}"


def _refusal(answer: http.client.HTTPResponse) -> str:
    """Why, as the other page says."""
    if 300 <= answer.status < 400:
        return f"it answered {answer.status}, and nobody is followed elsewhere"
    detail: Any = ""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = msgspec.json.decode(answer.read(_FAULT))
        detail = said.get("detail", "") if isinstance(said, dict) else ""
    return f"it answered {answer.status} {detail}".rstrip()[:_TEXT]
