"""The API's operations: what each takes, who may, what it gives, what it does.

``OPERATIONS`` is the whole of it; routes and the OpenAPI document are made from the table.
"""

from typing import Any, Final

import msgspec

from sensor.base.database import DatabaseError
from sensor.blocking.enforcement import kept
from sensor.complaints.complaint import Complaint
from sensor.console import sparing
from sensor.console.corroboration import beside, had
from sensor.console.status import Status
from sensor.console.told import Told, told, try_out
from sensor.console.view import Seen
from sensor.console.web import (
    cases,
    complaints,
    customers,
    destinations,
    evidence,
    letters,
    oversight,
    schemas,
)
from sensor.console.web.alert_lists import acts, alerts, alerts_csv, listed, summary
from sensor.console.web.app_state import ApiError
from sensor.console.web.export import export
from sensor.console.web.fleet import FleetPage, fleet
from sensor.console.web.health import health
from sensor.console.web.links import links_for
from sensor.console.web.operation import ApiRequest, Download, Operation
from sensor.console.web.resuming import ResumeOf, Resumption, resume
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import where
from sensor.impact.formats.csv import render as as_csv
from sensor.impact.formats.json import render as as_json
from sensor.notify.letters import Draft
from sensor.settings import Settings

__all__ = ["OPERATIONS"]


# --- reading --------------------------------------------------------------------------------------


def _one(request: ApiRequest) -> Seen:
    found = request.view.alert(request.path["id"])
    if found is None:
        raise ApiError(404, "there is no such alert")
    return found


def _alert(request: ApiRequest) -> schemas.AlertDetail:
    one = listed(_one(request))
    messages = request.view.messages(one.id)
    course = [
        schemas.Step(a.ts, a.state, a.score, {w: c["networks"] for w, c in a.windows.items()})
        for a in messages
    ]
    templates, ticket = request.app.settings.web.links, one.handling.ticket
    links = links_for(templates, one.host, one.ts, one.customer, ticket)
    last = messages[-1]
    days = request.app.settings.complaints.around
    others = beside(request.view, one.host, one.opened, one.ts, had(messages), days)
    return schemas.AlertDetail(one, last, course, request.view.notes(one.id), links, others)


def _messages(request: ApiRequest) -> schemas.Messages:
    seal, reach = request.app.seal, request.person.reach
    try:
        place = seal.place(request.query.after, reach)
    except ValueError as error:
        raise ApiError(400, f"after: {error}") from None
    found, reached = request.view.each_after(place, request.query.limit)
    return schemas.Messages([alert for alert, _ in found], seal.text(reached, reach))


def _host(request: ApiRequest) -> schemas.HostPage:
    host, limit, view = request.query.host, request.query.limit, request.view
    alerts, candidate = view.of_host(host), view.candidate(host)
    decisions = view.decisions(host, limit)
    if not (alerts or candidate or decisions):
        raise ApiError(404, "nothing is known of this host")
    return schemas.HostPage(
        host=host,
        alerts=[listed(one) for one in alerts],
        candidate=candidate,
        sessions=view.sessions(host, limit),
        decisions=decisions,
        exempted=sparing.exempted(view, host),
        links=links_for(request.app.settings.web.links, host, view.newest),
    )


def _candidates(request: ApiRequest) -> schemas.Candidates:
    return schemas.Candidates(request.view.candidates(request.query.limit))


def _blocks(request: ApiRequest) -> schemas.InForce:
    found = request.view.blocks()
    shown = found[: request.query.limit]
    pause = request.view.pause()
    told = kept(request.view.state)
    return schemas.InForce(
        now=request.view.now,
        stopped=pause is not None,
        pause=pause.reasons if pause else [],
        pause_causes=pause.causes if pause else [],
        total=len(found),
        blocks=shown,
        carried_out=[each for one in shown if one.enforced for each in told.get(one.host, ())],
    )


def _exemptions(request: ApiRequest) -> schemas.Exemptions:
    return schemas.Exemptions(request.view.exempted())


def _networks(request: ApiRequest) -> schemas.Networks:
    return schemas.Networks(request.view.ranges(request.query.limit))


def _vitals(request: ApiRequest) -> schemas.Course:
    return schemas.Course(
        request.view.now, request.view.rates(request.query.seconds, request.query.points)
    )


def _impact(request: ApiRequest) -> schemas.Impact:
    try:
        report = request.app.impact(request.view.state, request.query.since, request.person.reach)
    except DatabaseError as error:
        return schemas.Impact(None, str(error))
    return schemas.Impact(msgspec.json.decode(as_json(report)))


def _impact_csv(request: ApiRequest) -> Download:
    try:
        report = request.app.impact(request.view.state, request.query.since, request.person.reach)
    except DatabaseError as error:
        raise ApiError(404, str(error)) from None
    request.view.note(request.person.name, "export", detail="impact.csv")
    return Download("text/csv", "port25-impact.csv", as_csv(report).encode())


def _settings(request: ApiRequest) -> schemas.SettingsPage:
    settings = _flat(request.app.settings)
    defaults = _flat(Settings())
    texts = request.app.meanings
    found = [schemas.Setting(k, v, defaults.get(k), texts.get(k, "")) for k, v in settings.items()]
    return schemas.SettingsPage(request.app.config, found)


def _flat(settings: Settings) -> dict[str, Any]:
    """By dotted key; passwords and tokens are nobody's business."""
    rows: dict[str, Any] = {}

    def put(prefix: str, struct: msgspec.Struct) -> None:
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if isinstance(value, msgspec.Struct):
                put(f"{prefix}{name}.", value)
            elif f"{prefix}{name}" in ("web.users", "web.tokens"):
                rows[f"{prefix}{name}"] = [
                    " ".join((f"{one.name} ({one.role})", *one.prefixes)) for one in value
                ]
            elif prefix == "notify.":
                rows[f"{prefix}{name}"] = [one.shown for one in value]
            else:
                rows[f"{prefix}{name}"] = msgspec.to_builtins(value)

    put("", settings)
    return rows


def _status(request: ApiRequest) -> Status:
    return request.view.status(request.app.settings.blocking.mode)


def _health(request: ApiRequest) -> schemas.Health:
    return health(
        request.view, request.app.settings, request.app.follower, request.app.oidc.refused
    )


# --- doing ----------------------------------------------------------------------------------------


def _acknowledge(request: ApiRequest) -> schemas.Listed:
    id_ = _one(request).head.id
    request.view.acknowledge(id_, request.person.name, request.body.reason)
    request.view.refresh()
    return listed(_one(request))


def _known(request: ApiRequest, host: str) -> None:
    """Persons act on hosts they see; a host nobody has seen is a slip of the pen."""
    if not (
        request.view.of_host(host)
        or request.view.candidate(host)
        or request.view.decisions(host, 1)
    ):
        raise ApiError(404, "nothing is known of this host")


def _exempt(request: ApiRequest) -> schemas.Exemptions:
    body: schemas.Exempt = request.body
    _known(request, body.host)
    whom = sparing.whose(request.view, body.host)
    if parse_pseudonym(whom) is None and where(whom)[1] is not None:
        raise ApiError(409, "a port block cannot be exempted, only the whole address")
    made = sparing.exempt(request.view, whom, body.days, request.person.name, body.reason)
    return schemas.Exemptions([made])


def _lift(request: ApiRequest) -> schemas.Exemptions:
    if not sparing.lift(request.view, request.query.host, request.person.name):
        raise ApiError(404, "this host is not exempt by the desk")
    request.view.refresh()
    return _exemptions(request)


def _release(request: ApiRequest) -> schemas.Released:
    _known(request, request.body.host)
    return schemas.Released(
        sparing.release(request.view, request.body.host, request.person.name, request.body.reason)
    )


def _trial(request: ApiRequest) -> Told:
    name = request.body.name
    request.view.note(request.person.name, "trial", detail=name)
    if not try_out(request.view, name, request.person.name):
        raise ApiError(404, "no such destination is told of alerts")
    return next(one for one in told(request.view) if one.name == name)


OPERATIONS: Final = (
    Operation("GET", "/api/v1/alerts", alerts, "viewer", "Alerts, those raised last first",
              schemas.Alerts, schemas.AlertsQuery, faults=(409,)),
    Operation("GET", "/api/v1/alerts.csv", alerts_csv, "viewer",
              "The same, a line an alert; texts are safe to open in a spreadsheet", "text/csv",
              schemas.AlertsFilter, slow=True),
    Operation("GET", "/api/v1/export", export, "viewer",
              "A list as a file: CSV, JSON or Parquet; in the book of who did what",
              "text/csv, application/json, application/vnd.apache.parquet",
              schemas.ExportQuery, slow=True),
    Operation("GET", "/api/v1/summary", summary, "viewer",
              "Alerts over time, by severity, and the hosts with the highest scores",
              schemas.Summary, schemas.SummaryQuery),
    Operation("GET", "/api/v1/alerts/{id}", _alert, "viewer", "One alert, and its course",
              schemas.AlertDetail, faults=(404,)),
    Operation("GET", "/api/v1/messages", _messages, "viewer",
              "All messages of alerts in the order of the journal", schemas.Messages,
              schemas.MessagesQuery),
    Operation("GET", "/api/v1/host", _host, "viewer", "What is known of one host",
              schemas.HostPage, schemas.HostQuery, faults=(404,)),
    Operation("GET", "/api/v1/candidates", _candidates, "viewer",
              "Hosts that came near an alert", schemas.Candidates, schemas.LimitQuery),
    Operation("GET", "/api/v1/blocks", _blocks, "viewer", "Blocks in force", schemas.InForce,
              schemas.LimitQuery, fleeting=True),
    Operation("GET", "/api/v1/exemptions", _exemptions, "viewer", "Exemptions made at the desk",
              schemas.Exemptions),
    Operation("GET", "/api/v1/networks", _networks, "viewer", "Networks with open alerts",
              schemas.Networks, schemas.LimitQuery),
    Operation("GET", "/api/v1/vitals", _vitals, "viewer", "How it went", schemas.Course,
              schemas.VitalsQuery),
    Operation("GET", "/api/v1/status", _status, "viewer",
              "Whether a sensor runs, and whether blocks are carried out", Status, fleeting=True),
    Operation("GET", "/api/v1/health", _health, "viewer", "How sensor, disk and sinks are",
              schemas.Health, fleeting=True, whole=True),
    Operation("GET", "/api/v1/fleet", fleet, "viewer",
              "All machines that work together, by their last word", FleetPage, fleeting=True,
              whole=True),
    Operation("GET", "/api/v1/settings", _settings, "viewer", "The settings", schemas.SettingsPage,
              whole=True),
    Operation("GET", "/api/v1/impact", _impact, "analyst",
              "Who would be hit if the port were closed", schemas.Impact, schemas.SinceQuery,
              slow=True),
    Operation("GET", "/api/v1/impact.csv", _impact_csv, "analyst", "The same, a line a subscriber",
              "text/csv", schemas.SinceQuery, faults=(404,), slow=True),
    Operation("GET", "/api/v1/alerts/{id}/packets", evidence.packets, "analyst",
              "An alert's packets as Wireshark shows them; the access is logged", schemas.Packets,
              schemas.PacketsQuery, faults=(404, 503), slow=True),
    Operation("GET", "/api/v1/alerts/{id}/evidence.pcapng", evidence.capture, "analyst",
              "An alert's packets as a capture; the access is logged", "application/octet-stream",
              faults=(404, 503), slow=True),
    Operation("POST", "/api/v1/evidence", evidence.given, "analyst",
              "Packets of a host for another sensor's page; the access is logged",
              "application/octet-stream", body=evidence.EvidenceOf, faults=(404, 503), slow=True),
    Operation("POST", "/api/v1/acts", acts, "analyst",
              "Take, assign, note, put off, be done with, reopen, or link to a ticket",
              schemas.Acted, body=schemas.Acts, faults=(404,)),
    Operation("GET", "/api/v1/case", cases.page, "analyst",
              "All that is known of a customer or host, and all that was done", cases.CasePage,
              cases.CaseQuery, faults=(404,)),
    Operation("POST", "/api/v1/case/acts", cases.act, "analyst",
              "Note something about a case, or link it to a ticket", cases.CasePage,
              body=cases.CaseAct, faults=(404, 409)),
    Operation("POST", "/api/v1/customer/name", customers.name, "analyst",
              "The name behind a customer's pseudonym; each look is logged", customers.CustomerName,
              body=customers.CustomerOf, faults=(404, 409)),
    Operation("POST", "/api/v1/customer/find", customers.find, "analyst",
              "The customer of a name, by his pseudonym; each look is logged",
              customers.CustomerName, body=customers.CustomerCalled, faults=(404, 409)),
    Operation("GET", "/api/v1/alerts/{id}/draft", letters.draft, "analyst",
              "A letter about an alert, of a template: to the customer, or XARF", Draft,
              letters.LetterQuery, faults=(404,)),
    Operation("GET", "/api/v1/alerts/{id}/letters", letters.kept, "analyst",
              "Letters that were sent about an alert, as they were sent", letters.Letters,
              faults=(404,)),
    Operation("POST", "/api/v1/alerts/{id}/letters", letters.send, "analyst",
              "Send a letter by mail, and keep it", letters.Letters, body=letters.LetterText,
              faults=(404, 409), slow=True),
    Operation("GET", "/api/v1/alerts/{id}/destinations", destinations.page, "viewer",
              "Whose the addresses are that an alert's host went to, and their names",
              destinations.Destinations, faults=(404,), slow=True),
    Operation("GET", "/api/v1/complaints", complaints.page, "analyst",
              "Reports of abuse and listings that came last, and what was refused",
              complaints.ComplaintPage, schemas.LimitQuery, fleeting=True),
    Operation("POST", "/api/v1/complaints", complaints.report, "analyst",
              "Take in a report of abuse, a mail by RFC 5965", Complaint, raw="message/rfc822",
              faults=(409, 422), whole=True),
    Operation("PUT", "/api/v1/alerts/{id}/acknowledgement", _acknowledge, "analyst",
              "Be done with an alert; earlier notes stay", schemas.Listed,
              body=schemas.Reason, faults=(404,)),
    Operation("POST", "/api/v1/exemptions", _exempt, "operator",
              "Exempt a host, and end its block", schemas.Exemptions, body=schemas.Exempt,
              faults=(404, 409)),
    Operation("DELETE", "/api/v1/exemptions", _lift, "operator", "End a host's exemption",
              schemas.Exemptions, schemas.HostQuery, faults=(404,)),
    Operation("POST", "/api/v1/releases", _release, "operator", "End the block of a host",
              schemas.Released, body=schemas.HostReason, faults=(404,)),
    Operation("POST", "/api/v1/resumes", resume, "operator",
              "Let blocking go on after it stopped itself, here or where somebody else decides",
              Resumption, body=ResumeOf, faults=(409,), whole=True),
    Operation("POST", "/api/v1/trials", _trial, "operator",
              "Have the sensor tell a destination of an alert that is none", Told,
              body=schemas.TrialOf, faults=(404,), whole=True),
    Operation("GET", "/api/v1/audit", oversight.audit, "operator",
              "Who looked at packets, and who did what, the newest first", oversight.AuditPage,
              oversight.AuditQuery, fleeting=True),
    Operation("GET", "/api/v1/tokens", oversight.tokens, "operator", "Tokens made on the page",
              oversight.Tokens, fleeting=True),
    Operation("POST", "/api/v1/tokens", oversight.issue, "operator",
              "Make a token for a program; people may, programs may not", oversight.NewToken,
              body=oversight.TokenOf, faults=(409,)),
    Operation("DELETE", "/api/v1/tokens", oversight.revoke, "operator", "End a token at once",
              oversight.Tokens, oversight.NameQuery, faults=(404,)),
)  # fmt: skip
