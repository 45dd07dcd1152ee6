"""The API's operations: what each takes, who may, what it gives, what it does.

``OPERATIONS`` is the whole of it; routes and the OpenAPI document are made from the table. A
handler runs in a thread with a :class:`View` and gives a struct; what it cannot do raises
:class:`ApiError`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from sensor.base.access import Person, Role
from sensor.base.database import DatabaseError
from sensor.console.view import Seen, Status, View
from sensor.console.web import shapes
from sensor.console.web.health import health
from sensor.console.web.packets import DissectionError, dissected
from sensor.console.web.site import ApiError, Site
from sensor.console.web.stream import place_of, place_text
from sensor.hosts.subscribers import where
from sensor.impact.formats.csv import render as as_csv
from sensor.impact.formats.json import render as as_json
from sensor.settings import Settings
from sensor.state.journal import Wanted

__all__ = ["OPERATIONS", "Ask", "Download", "Operation"]


class Ask(NamedTuple):
    """A request, checked."""

    site: Site
    view: View
    person: Person
    path: dict[str, str]
    query: Any
    body: Any


class Download(NamedTuple):
    """A file to keep: its kind, its name, itself."""

    kind: str
    name: str
    content: bytes | Path


class Operation(NamedTuple):
    """One thing the API does."""

    method: str
    path: str
    does: Callable[[Ask], Any]
    role: Role
    summary: str
    gives: Any = None
    query: type[shapes.Query] | None = None
    body: type[shapes.Body] | None = None
    faults: tuple[int, ...] = ()
    """besides 400, 401, 403 and those of bodies"""
    slow: bool = False
    """it may take seconds, and must not keep others waiting"""

    @property
    def shared(self) -> bool:
        """Whether everybody gets the same answer until something changes."""
        return self.method == "GET" and not self.slow and self.does not in (_health, _status)


_LATEST: Final = (1 << 63) - 1

# --- reading --------------------------------------------------------------------------------------


def _listed(one: Seen) -> shapes.Listed:
    return shapes.Listed(*one.head, one.acknowledged, one.exempted, one.block)


def _alerts(ask: Ask) -> shapes.Alerts:
    q: shapes.AlertsQuery = ask.query
    wanted = Wanted(
        text=q.text,
        state=q.state or "",
        severity=q.severity or "",
        recommended=None if q.recommended is UNSET else q.recommended,
        seen_to=None if q.seen_to is UNSET else q.seen_to,
        since=None if q.since is UNSET else q.since,
        until=None if q.until is UNSET else q.until,
    )
    if q.after is not UNSET:
        opened, _, id_ = q.after.partition("-")
        wanted = wanted._replace(below=(min(int(opened), _LATEST), id_))
    found = ask.view.alerts(q.limit, wanted)
    last = found[-1].head if len(found) == q.limit else None
    return shapes.Alerts(
        [_listed(one) for one in found], f"{last.opened}-{last.id}" if last else None
    )


def _one(ask: Ask) -> Seen:
    found = ask.view.alert(ask.path["id"])
    if found is None:
        raise ApiError(404, "there is no such alert")
    return found


def _alert(ask: Ask) -> shapes.Whole:
    listed = _listed(_one(ask))
    messages = ask.view.messages(listed.id)
    course = [
        shapes.Step(a.ts, a.state, a.score, {w: c["networks"] for w, c in a.windows.items()})
        for a in messages
    ]
    return shapes.Whole(listed, messages[-1], course, ask.view.notes(listed.id))


def _messages(ask: Ask) -> shapes.Messages:
    place = place_of(ask.query.after)
    found = list(ask.view.each_after(place, ask.query.limit))
    reached = found[-1][1] if found else place
    return shapes.Messages([alert for alert, _ in found], place_text(reached))


def _host(ask: Ask) -> shapes.HostPage:
    host, limit, view = ask.query.host, ask.query.limit, ask.view
    alerts, candidate = view.of_host(host), view.candidate(host)
    decisions = view.decisions(host, limit)
    if not (alerts or candidate or decisions):
        raise ApiError(404, "nothing is known of this host")
    exempted = next((one for one in view.exempted() if one.host == host), None)
    return shapes.HostPage(
        host=host,
        alerts=[_listed(one) for one in alerts],
        candidate=candidate,
        sessions=view.sessions(host, limit),
        decisions=decisions,
        exempted=exempted,
    )


def _candidates(ask: Ask) -> shapes.Candidates:
    return shapes.Candidates(ask.view.candidates(ask.query.limit))


def _blocks(ask: Ask) -> shapes.InForce:
    found = ask.view.blocks()
    pause = ask.view.pause()
    return shapes.InForce(
        now=ask.view.now,
        stopped=pause is not None,
        pause=pause.reasons if pause else [],
        pause_causes=pause.causes if pause else [],
        total=len(found),
        blocks=found[: ask.query.limit],
    )


def _exemptions(ask: Ask) -> shapes.Exemptions:
    return shapes.Exemptions(ask.view.exempted())


def _networks(ask: Ask) -> shapes.Networks:
    return shapes.Networks(ask.view.ranges(ask.query.limit))


def _vitals(ask: Ask) -> shapes.Course:
    return shapes.Course(ask.view.now, ask.view.rates(ask.query.seconds, ask.query.points))


def _cut(ask: Ask) -> tuple[Path, int]:
    """A capture of the alert's packets, and how many."""
    last = ask.view.messages(_one(ask).head.id)[-1]
    return ask.site.packets_of(ask.view, last, ask.person)


def _packets(ask: Ask) -> shapes.Packets:
    file, total = _cut(ask)
    try:
        found = dissected(file, ask.query.after, ask.query.limit)
        return shapes.Packets(total, found.packets, found.unreadable)
    except DissectionError as error:
        raise ApiError(503, str(error)) from None


def _evidence(ask: Ask) -> Download:
    file, _ = _cut(ask)
    return Download("application/octet-stream", f"port25-{ask.path['id'][:8]}.pcapng", file)


def _impact(ask: Ask) -> shapes.Impact:
    try:
        report = ask.site.impact(ask.view.state, ask.query.since)
    except DatabaseError as error:
        return shapes.Impact(None, str(error))
    return shapes.Impact(msgspec.json.decode(as_json(report)))


def _impact_csv(ask: Ask) -> Download:
    try:
        report = ask.site.impact(ask.view.state, ask.query.since)
    except DatabaseError as error:
        raise ApiError(404, str(error)) from None
    return Download("text/csv", "port25-impact.csv", as_csv(report).encode())


def _settings(ask: Ask) -> shapes.SettingsPage:
    settings = _flat(ask.site.settings)
    defaults = _flat(Settings())
    found = [shapes.Setting(k, v, defaults.get(k)) for k, v in settings.items()]
    return shapes.SettingsPage(ask.site.config, found)


def _flat(settings: Settings) -> dict[str, Any]:
    """By dotted key; passwords and tokens are nobody's business."""
    rows: dict[str, Any] = {}

    def put(prefix: str, struct: msgspec.Struct) -> None:
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if isinstance(value, msgspec.Struct):
                put(f"{prefix}{name}.", value)
            elif f"{prefix}{name}" in ("web.users", "web.tokens"):
                rows[f"{prefix}{name}"] = [f"{one.name} ({one.role})" for one in value]
            else:
                rows[f"{prefix}{name}"] = msgspec.to_builtins(value)

    put("", settings)
    return rows


def _status(ask: Ask) -> Status:
    return ask.view.status(ask.site.settings.blocking.mode)


def _health(ask: Ask) -> shapes.Health:
    return health(ask.view, ask.site.settings, ask.site.follower)


# --- doing ----------------------------------------------------------------------------------------


def _acknowledge(ask: Ask) -> shapes.Listed:
    id_ = _one(ask).head.id
    ask.view.acknowledge(id_, ask.person.name, ask.body.reason)
    ask.view.refresh()
    return _listed(_one(ask))


def _known(ask: Ask, host: str) -> None:
    """Persons act on hosts they see; a host nobody has seen is a slip of the pen."""
    if not (ask.view.of_host(host) or ask.view.candidate(host) or ask.view.decisions(host, 1)):
        raise ApiError(404, "nothing is known of this host")


def _exempt(ask: Ask) -> shapes.Exemptions:
    body: shapes.Exempt = ask.body
    _known(ask, body.host)
    if where(body.host)[1] is not None:
        raise ApiError(409, "a port block cannot be exempted, only the whole address")
    made = ask.view.exempt(body.host, body.days, ask.person.name, body.reason)
    return shapes.Exemptions([made])


def _lift(ask: Ask) -> shapes.Exemptions:
    if not ask.view.lift(ask.query.host):
        raise ApiError(404, "this host is not exempt by the desk")
    ask.view.refresh()
    return _exemptions(ask)


def _release(ask: Ask) -> shapes.Released:
    _known(ask, ask.body.host)
    return shapes.Released(ask.view.release(ask.body.host, ask.person.name, ask.body.reason))


OPERATIONS: Final = (
    Operation("GET", "/api/v1/alerts", _alerts, "viewer", "Alerts, those raised last first",
              shapes.Alerts, shapes.AlertsQuery),
    Operation("GET", "/api/v1/alerts/{id}", _alert, "viewer", "One alert, and its course",
              shapes.Whole, faults=(404,)),
    Operation("GET", "/api/v1/messages", _messages, "viewer",
              "All messages of alerts in the order of the journal", shapes.Messages,
              shapes.MessagesQuery),
    Operation("GET", "/api/v1/host", _host, "viewer", "What is known of one host",
              shapes.HostPage, shapes.HostQuery, faults=(404,)),
    Operation("GET", "/api/v1/candidates", _candidates, "viewer",
              "Hosts that came near an alert", shapes.Candidates, shapes.LimitQuery),
    Operation("GET", "/api/v1/blocks", _blocks, "viewer", "Blocks in force", shapes.InForce,
              shapes.LimitQuery),
    Operation("GET", "/api/v1/exemptions", _exemptions, "viewer", "Exemptions made at the desk",
              shapes.Exemptions),
    Operation("GET", "/api/v1/networks", _networks, "viewer", "Networks with open alerts",
              shapes.Networks, shapes.LimitQuery),
    Operation("GET", "/api/v1/vitals", _vitals, "viewer", "How it went", shapes.Course,
              shapes.VitalsQuery),
    Operation("GET", "/api/v1/status", _status, "viewer",
              "Whether a sensor runs, and whether blocks are carried out", Status),
    Operation("GET", "/api/v1/health", _health, "viewer", "How sensor, disk and sinks are",
              shapes.Health),
    Operation("GET", "/api/v1/settings", _settings, "viewer", "The settings", shapes.SettingsPage),
    Operation("GET", "/api/v1/impact", _impact, "analyst",
              "Who would be hit if the port were closed", shapes.Impact, shapes.SinceQuery,
              slow=True),
    Operation("GET", "/api/v1/impact.csv", _impact_csv, "analyst", "The same, a line a subscriber",
              "text/csv", shapes.SinceQuery, faults=(404,), slow=True),
    Operation("GET", "/api/v1/alerts/{id}/packets", _packets, "analyst",
              "An alert's packets as Wireshark shows them; the access is logged", shapes.Packets,
              shapes.PacketsQuery, faults=(404, 503), slow=True),
    Operation("GET", "/api/v1/alerts/{id}/evidence.pcapng", _evidence, "analyst",
              "An alert's packets as a capture; the access is logged", "application/octet-stream",
              faults=(404, 503), slow=True),
    Operation("PUT", "/api/v1/alerts/{id}/acknowledgement", _acknowledge, "analyst",
              "Note what was done about an alert; earlier notes stay", shapes.Listed,
              body=shapes.Why, faults=(404,)),
    Operation("POST", "/api/v1/exemptions", _exempt, "operator",
              "Exempt a host, and end its block", shapes.Exemptions, body=shapes.Exempt,
              faults=(404, 409)),
    Operation("DELETE", "/api/v1/exemptions", _lift, "operator", "End a host's exemption",
              shapes.Exemptions, shapes.HostQuery, faults=(404,)),
    Operation("POST", "/api/v1/releases", _release, "operator", "End the block of a host",
              shapes.Released, body=shapes.HostWhy, faults=(404,)),
)  # fmt: skip
