"""Alerts in words: lines of text for screens and for people who have them read aloud.

In the language of who reads (``en.json``, ``ja.json``), at the time of the place where it is read.
All text is escaped here: names that hosts give themselves are hostile.
"""

import os
import time
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET

from sensor.alerts.abuse import kind_in_words
from sensor.alerts.alert import Alert, EvidenceLine
from sensor.alerts.candidate import Candidate
from sensor.base.sentences import LANGUAGES, add, in_words, render
from sensor.base.terminal import printable
from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Acknowledged
from sensor.console.standing import Block
from sensor.console.status import Status
from sensor.console.view import Seen, View
from sensor.sinks.outbox import Away
from sensor.smtp.record import Session

__all__ = ["Words", "language_of", "zone"]

_SAID: Final = 20
"""Sessions that are told of."""
_PROVIDERS: Final = 10


def _texts(language: str) -> dict[str, str]:
    file = Path(__file__).with_name(f"{language}.toml")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        f"{table}.{name}": text for table, some in tables.items() for name, text in some.items()
    }


add("watch", {language: _texts(language) for language in LANGUAGES})


def language_of(environment: Mapping[str, str]) -> str:
    """What a terminal is set to (POSIX: LC_ALL before LC_MESSAGES before LANG); else English.

    >>> language_of({"LANG": "ja_JP.UTF-8"}), language_of({"LC_ALL": "C", "LANG": "ja_JP.UTF-8"})
    ('ja', 'en')
    """
    names = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    said = next((name for name in names if name), "")[:2]
    return said if said in LANGUAGES else "en"


def zone() -> str:
    """The name of the time zone here (``TZ``), in printable letters."""
    return printable(time.strftime("%Z", time.localtime()))


def _padded(text: str, cells: int) -> str:
    """Text of so many cells of a terminal; East Asian letters take two.

    >>> _padded("score", 7) + "|", _padded("スコア", 7) + "|"
    ('score  |', 'スコア |')
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return text + " " * (cells - len(text) - wide)


class Words:
    """What there is to see, in one language."""

    def __init__(self, language: str = "") -> None:
        """``language``: of ``LANGUAGES``; empty: the terminal's."""
        self.language = language or language_of(os.environ)

    def say(self, code: str, **figures: Any) -> str:
        """A sentence of the catalogue; figures that are None are left out."""
        return render(f"watch.{code}", figures, self.language)

    def clock(self, ts: int) -> str:
        """Local time, to the second, in a column whose head has the zone."""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts // SECOND))

    def at(self, ts: int) -> str:
        """The same, with its zone."""
        return f"{self.clock(ts)} {zone()}"

    def span(self, seconds: float) -> str:
        """A time as people say it.

        >>> en = Words("en")
        >>> en.span(7), en.span(372), en.span(90_000)
        ('7 s', '6 min', '25 h')
        """
        if seconds < 60:
            return self.say("span.s", n=seconds)
        if seconds < 5400:
            return self.say("span.min", n=seconds / 60)
        return self.say("span.h", n=seconds / 3600)

    # --- the sensor -------------------------------------------------------------------------------

    def status(self, now: Status) -> list[str]:
        """What a person must know before all else: no sensor runs, nothing is blocked."""
        words = []
        if not now.running and now.silent is None:
            words.append(self.say("status.never"))
        elif not now.running:
            minute = time.strftime("%Y-%m-%d %H:%M", time.localtime(now.now // SECOND))
            since = self.span(now.silent or 0.0)
            words.append(self.say("status.silent", span=since, now=f"{minute} {zone()}"))
        if now.stopped:
            words.append(self.say("status.stopped", step=now.step or None))
        if now.blocked:
            words.append(self.say("status.blocked", blocks=now.blocked))
        if now.mode != "enforce" and not now.blocked:
            words.append(self.say(f"status.{now.mode}"))
        if now.would_block:
            words.append(self.say("status.would", blocks=now.would_block))
        return words

    def away(self, sinks: list[Away]) -> list[str]:
        """Who is told nothing of alerts now."""
        return [
            self.say(
                "status.untold", name=one.sink.removeprefix("notify/"),
                since=f"{self.clock(one.since)[11:16]} {zone()}",
            )
            for one in sinks
        ]  # fmt: skip

    # --- lists ------------------------------------------------------------------------------------

    def reason(self, line: EvidenceLine) -> str:
        """What a line of a sum says."""
        return in_words(line.code, line.figures, line.reason, self.language)

    def standing(self, one: Block) -> str:
        """What became of an alert's recommendation, in two words."""
        return self.say(f"standing.{one.state}")

    def became(self, one: Block) -> str | None:
        """The same, of those that the policy has decided on."""
        undecided = one.state in ("undecided", "not_recommended")
        return None if undecided else self.standing(one)

    def until(self, one: Block) -> str | None:
        """When a block that stands, or would, ends."""
        return self.at(one.until) if "block" in one.state else None

    def why(self, decision: Decision) -> str:
        """The first reason of a decision."""
        text = "; ".join(decision.reasons[:1])
        for cause in decision.causes[:1]:
            return in_words(cause.code, cause.figures, text, self.language)
        return text

    def seen(self, one: Seen) -> str:
        """One alert of a list."""
        h, became, noted, exempted = (
            one.head,
            self.became(one.block),
            one.acknowledged,
            one.exempted,
        )
        standing = self.say("list.recommended") if h.block_recommended else None
        if became is not None:
            standing = self.say("list.became", standing=became) if standing else became
        words = self.say(
            "list.alert", host=h.host, severity=self.say(f"severity.{h.severity}"), score=h.score,
            state=self.say(f"state.{h.state}"), raised=self.at(h.opened),
            kind=None if h.abuse == "unknown" else self.say(f"kind.{h.abuse}"),
            customer=h.customer or None, standing=standing,
            until=self.until(one.block) if became else None,
            by=noted.by if noted else None, note=noted.reason if noted else None,
            exempt=self.at(exempted.until) if exempted else None,
            why=exempted.reason if exempted else None,
        )  # fmt: skip
        return printable(f"{h.id[:8]}: {words}")

    def candidate(self, one: Candidate) -> str:
        """One host without an alert."""
        most = max(one.evidence[1:], key=lambda line: line.decibans, default=None)
        more = {} if most is None else {
            "detector": most.detector, "decibans": most.decibans, "reason": self.reason(most),
        }  # fmt: skip
        return printable(
            self.say("list.host", host=one.host, score=one.score, at=self.at(one.ts), **more)
        )

    def block(self, one: Decision) -> str:
        """One block in force."""
        code = "list.block" if one.enforced else "list.dry-run"
        until = self.at(one.expires)
        return printable(self.say(code, host=one.host, until=until, reason=self.why(one)))

    # --- one alert --------------------------------------------------------------------------------

    def whole(self, view: View, id_: str) -> Iterator[str]:
        """All there is to say of an alert of a state folder."""
        messages = view.messages(id_)
        said = view.sessions(messages[-1].host, _SAID)
        return self.detail(messages, view.alert(id_), said, view.notes(id_))

    def detail(
        self, messages: list[Alert], one: Seen | None, said: list[Session],
        notes: list[Acknowledged],
    ) -> Iterator[str]:  # fmt: skip
        """All there is to say: its sum, course, windows, destinations, what was said."""
        last = messages[-1]
        yield printable(
            self.say(
                "alert.head", host=last.host, state=self.say(f"state.{last.state}"),
                severity=self.say(f"severity.{last.severity}"), at=self.at(last.ts),
            )
        )  # fmt: skip
        sensor = None if last.sensor is UNSET else last.sensor
        yield printable(self.say("alert.id", id=last.id, revision=last.revision, sensor=sensor))
        if last.customer:
            had = ", ".join(one.address for one in last.addresses or []) or last.host
            yield printable(self.say("alert.customer", customer=last.customer, addresses=had))
        for note in notes:
            noted = self.say("alert.note", at=self.at(note.ts), by=note.by, reason=note.reason)
            yield printable(noted)
        if one is not None and one.exempted is not None:
            until, by = self.at(one.exempted.until), one.exempted.by
            yield printable(
                self.say("alert.exempt", until=until, by=by, reason=one.exempted.reason)
            )
        yield ""
        yield from self._sum(last)
        yield ""
        yield printable(render(kind_in_words(last.abuse).code, {}, self.language))
        yield from self._blocking(last, one)
        yield self.say(
            "alert.proven", connections=last.connections, proven=last.proven,
            disowned=last.disowned,
        )  # fmt: skip
        yield ""
        yield from self._course(messages)
        yield ""
        yield from self._destinations(last)
        yield self.say("alert.said")
        for session in said:
            yield printable(f"  {self.clock(session.ts)}  {self._session(session)}")
        if not said:
            yield "  " + self.say("alert.not-said")

    def _sum(self, last: Alert) -> Iterator[str]:
        for line in last.evidence:
            yield printable(f"  {line.detector:<14}{line.decibans:+8.1f}  {self.reason(line)}")
        levels = self.say("alert.levels", raise_at=last.raise_at, clear_at=last.clear_at)
        yield f"  {_padded(self.say('alert.score'), 14)}{last.score:+8.1f}  {levels}"

    def _blocking(self, last: Alert, one: Seen | None) -> Iterator[str]:
        code = "alert.recommended" if last.block_recommended else "alert.not-recommended"
        why = in_words(last.block_code, last.block_figures, last.block_reason, self.language)
        yield printable(self.say(code, reason=why))
        became = None if one is None else self.became(one.block)
        if one is None or became is None:
            return
        cause, why = one.block.cause, one.block.reason
        if cause is not None:
            why = in_words(cause.code, cause.figures, why, self.language)
        yield printable(
            self.say("alert.now", standing=became, until=self.until(one.block), why=why or None)
        )

    def _course(self, messages: list[Alert]) -> Iterator[str]:
        yield f"{self.say('alert.course')} ({zone()})"
        for alert in messages:
            networks = self.say("alert.step", networks=alert.windows["1 day"]["networks"])
            state = _padded(self.say(f"state.{alert.state}"), 9)
            yield f"  {self.clock(alert.ts)}  {state} {alert.score:+6.1f}  {networks}"
        yield ""
        windows = messages[-1].windows
        yield _padded(self.say("alert.counts"), 16) + "".join(f"{window:>9}" for window in windows)
        for what in next(iter(windows.values())):
            counts = [window[what] for window in windows.values()]
            if any(counts):
                yield f"  {what:<14}" + "".join(f"{count:>9,}" for count in counts)

    def _destinations(self, last: Alert) -> Iterator[str]:
        yield self.say("alert.providers")
        providers: Counter[str] = Counter()
        for exchanger in last.exchangers:
            providers[exchanger.provider or exchanger.name] += exchanger.addresses
        for provider, addresses in providers.most_common(_PROVIDERS):
            named = self.say("alert.provider", provider=provider, addresses=addresses)
            yield printable(f"  {named}")
        if not providers:
            yield "  " + self.say("alert.no-provider")
        yield self.say("alert.destinations")
        for one in last.destinations:
            name = one.name or self.say("alert.no-name")
            yield printable(f"  {one.address}  {name}  {self.clock(one.last_seen * SECOND)}")

    def _session(self, one: Session) -> str:
        words = [one.dst_name or one.dst]
        if one.helo is not None:
            words.append(f"{'EHLO' if one.ehlo else 'HELO'} {one.helo}")
        if one.tls:
            words.append("TLS")
        if one.mail_from_domain is not None:
            domain = one.mail_from_domain or self.say("alert.nobody")
            words.append(self.say("alert.sender", domain=domain))
        if one.rcpt_attempted:
            refused = one.rcpt_rejected + one.rcpt_deferred
            words.append(self.say("alert.taken", taken=one.rcpt_accepted, refused=refused))
        if one.last_reply is not None:
            words.append(one.last_reply)
        words += one.anomalies
        return f"{', '.join(words)}; {one.ended}"
