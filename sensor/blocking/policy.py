"""From an alert to a decision: what is blocked, for how long, and when blocking stops itself.

A block is made only where the alert recommends it, the host itself completed handshakes, and the
bounds do not object. It lasts as long as the rung of a ladder says; who comes back within
``memory`` gets the next rung; an alert that goes on renews its block. A block ends when it expires,
when its alert closes, or by a person, whose word holds for ``hold`` seconds.

Where an alert is about a known customer, so is all of this: he is blocked where he sends from, what
he no longer has is freed first, and at his next address the block goes on as it was, no new one.

Three ceilings guard against what nobody foresaw (a wrong prefix in the settings, a detector gone
wrong, an outbreak): blocks in force, their share of all subscribers, new blocks a minute. The one
that is reached *stops* the policy: nothing new is blocked, and only blocks from well before are
renewed. It goes on by steps (:mod:`sensor.blocking.recovery`), after too large a share only when a
person says ``port25 resume``. So many alerts a minute that somebody must look (forged addresses,
an outbreak) is an alarm by itself.

The policy holds no state: what was decided is the ledger's (:class:`Book`).
"""

from typing import Any, Final, Literal, Protocol, TypeGuard

from msgspec import UNSET

from sensor.alerts.alert import Alert
from sensor.base.sentences import Sentence, readable, sentence
from sensor.base.units import HOUR, MINUTE, SECOND
from sensor.blocking import recovery
from sensor.blocking.bounds import Bounds
from sensor.blocking.decision import Decision, decision
from sensor.blocking.settings import BlockingSettings
from sensor.hosts.subscribers import where

__all__ = ["BlockingSettings", "Book", "Policy", "released"]


_MOVED: Final = sentence("policy.moved")
"""Why a block ends that goes on at the customer's next address."""


class Book(recovery.PauseBook, Protocol):
    """What the policy needs to know of earlier decisions of its mode. Times are ns since 1970."""

    def standing(self, host: str) -> Decision | None:
        """The last block, lookup or release of a host."""

    def of_customer(self, customer: str) -> list[Decision]:
        """The last block, lookup or release of a customer at each address, the newest first."""

    def refused(self, alert: str, reason: Sentence) -> bool:
        """Whether a block for an alert (its id) was refused for this reason before."""

    def in_force(self, ts: int) -> int:
        """Blocks in force."""

    def blocks_since(self, ts: int) -> int:
        """New blocks made after ``ts``."""

    def count_raised(self, ts: int) -> int:
        """Note an alert raised at ``ts``; how many there were in that minute by now."""

    def last_alarm(self) -> int:
        """When the last alarm was; 0: never."""


def released(standing: Decision, ts: int, reason: Sentence | str, by: str = "port25") -> Decision:
    """The end of a block or lookup; a ``reason`` that is no sentence is in a person's words."""
    if isinstance(reason, Sentence):
        because: dict[str, Any] = {"causes": [reason]}
    else:
        because = {"reasons": [reason]}
    return decision(
        "release", ts, enforced=standing.enforced, host=standing.host, source=standing.source,
        ports=standing.ports, since=standing.since, expires=ts, level=standing.level,
        alert=standing.alert, revision=standing.revision, score=standing.score,
        by=by, sensor=standing.sensor, customer=standing.customer, **because,
    )  # fmt: skip


class Policy:
    """The rules, by the settings."""

    def __init__(self, settings: BlockingSettings, bounds: Bounds) -> None:
        self._settings = settings
        self._bounds = bounds
        self.enforced = settings.mode == "enforce"
        subscribers = settings.subscribers or bounds.subscribers
        by_share = max(1, int(settings.max_share * subscribers))
        self.most = min(settings.max_blocks, by_share) if subscribers else settings.max_blocks
        self._limit = (
            sentence(
                "policy.by_share", blocks=by_share, share=settings.max_share,
                subscribers=subscribers,
            )
            if subscribers and by_share < settings.max_blocks
            else sentence("policy.by_number", blocks=settings.max_blocks)
        )  # fmt: skip
        self._by_share = subscribers > 0 and by_share < settings.max_blocks

    def go_on(self, ts: int, book: Book) -> list[Decision]:
        """The steps that are due at ``ts`` (ns) after blocking has stopped; first of all."""
        if self._settings.mode == "off":
            return []
        quiet, rate = self._settings.quiet, self._settings.max_per_minute
        return recovery.due(book, ts, quiet, rate, self.most, self.enforced)

    def on_alert(self, alert: Alert, book: Book) -> list[Decision]:
        """What a message of an alert leads to; often nothing, of one raised alone never."""
        if self._settings.mode == "off" or alert.alone:
            return []
        made = self._flood(alert, book) if alert.state == "raised" else []
        standing = book.standing(alert.host)
        his = book.of_customer(alert.customer) if alert.customer else []
        if alert.customer:
            made += _freed(alert, standing, his)
            if standing is None or not _stands_for(standing, alert):
                held = (one for one in his if self._is_held(one, alert.ts))
                standing = next(held, his[0] if his else None)
        if alert.state == "closed":
            lent = alert.block_code == "block.lent"
            if self._settings.release_on_clear or lent:
                made += _ended(alert, standing, his, made, sentence("policy.closed"))
        elif alert.severity == "medium" and _rests_on(standing, alert):
            made += _ended(alert, standing, his, made, _advice(alert))
        elif alert.block_recommended and (
            alert.handshake_proven or self._settings.source_validation
        ):
            made += self._block(alert, standing, book)
        elif alert.shared_address and alert.severity != "medium":
            if standing is None or not standing.in_force(alert.ts):
                why = [_advice(alert), *_largest(alert)]
                made.append(self._new("lookup", alert, 0, alert.ts, why, self._end(alert, 0)))
        return made

    def _flood(self, alert: Alert, book: Book) -> list[Decision]:
        limit = self._settings.flood
        if book.count_raised(alert.ts) != limit or alert.ts - book.last_alarm() < HOUR:
            return []
        why = sentence("policy.flood", alerts=limit)
        return [decision("alarm", alert.ts, [why], enforced=self.enforced)]

    def _block(self, alert: Alert, standing: Decision | None, book: Book) -> list[Decision]:
        ts = alert.ts
        renewed = standing is not None and standing.action == "block" and standing.in_force(ts)
        level, since = 0, ts
        if standing is not None and _goes_on(standing, alert):
            renewed, level, since = True, standing.level, standing.since
        elif standing is not None and renewed:
            level, since = standing.level, standing.since
            ttl = self._end(alert, level) - ts
            if ts + ttl < standing.expires + min(MINUTE, ttl // 2):
                return []  # so little more is not worth a line
        elif standing is not None and standing.action == "release":
            if self._is_held(standing, ts):
                why = sentence("policy.released", by=standing.by, reason=standing.reasons[0])
                return self._refuse(alert, standing.level, why, book)
            if ts - standing.ts < self._settings.memory * SECOND:
                level = standing.level + 1
        causes = [_advice(alert), *_largest(alert)]
        new = self._new("block", alert, level, since, causes, self._end(alert, level))
        if objection := self._bounds.objection(new):
            return self._refuse(alert, level, objection, book)
        pause = book.pause()
        if renewed:
            go_on = pause is None or recovery.renewed(new, pause)
            return [new] if go_on else []
        if pause is not None:
            since = book.blocks_since(pause.last.ts)
            away = recovery.turned_away(pause, alert, standing, since)
            if away is not None:
                again = recovery.stopped_again(
                    book, pause, ts, self._settings.quiet, self._settings.max_per_minute
                )
                return [*self._refuse(alert, level, away, book), *again]
        if ceiling := self._ceiling(ts, book):
            return [self._stop(ts, *ceiling), *self._refuse(alert, level, recovery.STOPPED, book)]
        return [new]

    def _is_held(self, standing: Decision, ts: int) -> bool:
        """Whether a person's word holds at ``ts``."""
        held_until = standing.held_until or standing.ts + self._settings.hold * SECOND
        by_person = standing.action == "release" and standing.by != "port25"
        return by_person and ts < held_until

    def _stop(self, ts: int, ceiling: Sentence, then: Sentence) -> Decision:
        return decision("stop", ts, [ceiling, then], enforced=self.enforced)

    def _end(self, alert: Alert, level: int) -> int:
        ladder = self._settings.ttl
        return alert.ts + ladder[min(level, len(ladder) - 1)] * SECOND

    def _ceiling(self, ts: int, book: Book) -> tuple[Sentence, Sentence] | None:
        """The ceiling that is reached, and what lets blocking go on."""
        by_steps = recovery.BY_STEPS if self._settings.quiet else recovery.BY_PERSON
        if book.in_force(ts) >= self.most:
            then = recovery.BY_PERSON if self._by_share else by_steps
            return sentence("policy.full", blocks=self.most, limit=self._limit), then
        rate = self._settings.max_per_minute
        if book.blocks_since(ts - MINUTE) >= rate:
            return sentence("policy.too_fast", blocks=rate), by_steps
        return None

    def _refuse(self, alert: Alert, level: int, reason: Sentence, book: Book) -> list[Decision]:
        """Written down once for each alert and reason."""
        if book.refused(alert.id, reason):
            return []
        return [self._new("refuse", alert, level, alert.ts, [reason], 0)]

    def _new(
        self, action: Literal["block", "lookup", "refuse"], alert: Alert, level: int, since: int,
        causes: list[Sentence], expires: int,
    ) -> Decision:  # fmt: skip
        source, ports = where(alert.host)
        return decision(
            action, alert.ts, causes, enforced=self.enforced, host=alert.host, source=str(source),
            ports=ports, since=since, expires=expires, level=level, alert=alert.id,
            revision=alert.revision, score=alert.score,
            sensor="" if alert.sensor is UNSET else alert.sensor, customer=alert.customer,
        )  # fmt: skip


def _freed(alert: Alert, here: Decision | None, his: list[Decision]) -> list[Decision]:
    """What ends before a message about a customer is judged.

    ``here``: how the address it names stands; ``his``: how he stands, by address.
    """
    has = {one.address for one in alert.addresses or () if one.until is None}
    made = []
    if here is not None and here.in_force(alert.ts) and here.customer != alert.customer:
        made.append(released(here, alert.ts, sentence("policy.others")))
    gone = [one for one in his if one.in_force(alert.ts) and one.host not in has]
    return made + [released(one, alert.ts, _MOVED) for one in gone]


def _ended(
    alert: Alert, standing: Decision | None, his: list[Decision], freed: list[Decision],
    why: Sentence,
) -> list[Decision]:  # fmt: skip
    """The end of all that rests on an alert and was not ended before: a customer's may be many."""
    gone = {one.host for one in freed}
    found = {one.host: one for one in (*his, standing) if _rests_on(one, alert)}
    return [released(one, alert.ts, why) for host, one in found.items() if host not in gone]


def _stands_for(standing: Decision, alert: Alert) -> bool:
    """Whether the last word on an address says how its customer stands: of one who has been
    elsewhere since, that is the newest of his.
    """
    return standing.customer == alert.customer and standing.in_force(alert.ts)


def _goes_on(standing: Decision, alert: Alert) -> bool:
    """Whether a customer's block goes on, at another address than it was."""
    if not alert.customer or standing.alert != alert.id:
        return False
    if standing.in_force(alert.ts):
        return standing.host != alert.host and standing.action == "block"
    return standing.action == "release" and standing.causes == [_MOVED]


def _rests_on(standing: Decision | None, alert: Alert) -> TypeGuard[Decision]:
    """Whether a block or lookup of this very alert is in force."""
    return standing is not None and standing.alert == alert.id and standing.in_force(alert.ts)


def _largest(alert: Alert) -> list[Sentence]:
    """The lines of the score that speak against the host, heaviest first."""
    lines = sorted(alert.against, key=lambda line: -line.decibans)
    return [
        sentence(
            "policy.line", detector=e.detector, decibans=e.decibans,
            finding=readable(e.code, e.figures) or e.reason,
        )
        for e in lines
    ]  # fmt: skip


def _advice(alert: Alert) -> Sentence:
    """Why the alert recommends a block, or none."""
    advice = readable(alert.block_code, alert.block_figures)
    return advice or sentence("policy.advice", advice=alert.block_reason)
