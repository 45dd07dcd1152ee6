"""An alert's packets: of this folder, of other sensors, and for the pages of others."""

import time
from pathlib import Path
from typing import Annotated

import msgspec

from sensor.base.terminal import printable
from sensor.console.web import schemas
from sensor.console.web.app_state import ApiError
from sensor.console.web.operation import ApiRequest, Download
from sensor.console.web.packets import DissectionError, dissected
from sensor.customers.words import Address
from sensor.evidence.export import EvidenceError, Wanted
from sensor.hosts.subscribers import where
from sensor.state.folder import StateFolder

__all__ = ["EvidenceOf", "capture", "given", "packets"]


class EvidenceOf(schemas.Body, frozen=True):
    """Which packets another page asks for, and for whom."""

    alert: schemas.AlertId
    host: schemas.Host
    """as alerts name it"""
    first: schemas.Time
    last: schemas.Time
    """packet time of the oldest and the newest"""
    by: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """who asks, there"""
    addresses: Annotated[tuple[Address, ...], msgspec.Meta(max_length=1000)] = ()
    """of a known customer: whatever he had, while it was his"""
    comment: Annotated[str, msgspec.Meta(max_length=20_000)] = ""
    most: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] = 64_000_000
    """bytes, after which no more packets are given"""


def _cut(request: ApiRequest) -> tuple[Path, schemas.Packets]:
    """A capture of the alert's packets, and of how many, from where."""
    messages = request.view.messages(request.path["id"])
    if not messages:
        raise ApiError(404, "there is no such alert")
    last = messages[-1]
    request.view.note(request.person.name, "packets", [(last.host, last.id)])
    file, found = request.app.packets_of(request.view, last, request.person)
    return file, schemas.Packets(found.packets, [], 0, found.sources)


def packets(request: ApiRequest) -> schemas.Packets:
    """Some of them, as Wireshark shows them."""
    file, whole = _cut(request)
    try:
        found = dissected(file, request.query.after, request.query.limit)
    except DissectionError as error:
        raise ApiError(503, str(error)) from None
    return msgspec.structs.replace(whole, packets=found.packets, unreadable=found.unreadable)


def capture(request: ApiRequest) -> Download:
    """All of them, as a file."""
    file, _ = _cut(request)
    return Download("application/octet-stream", f"port25-{request.path['id'][:8]}.pcapng", file)


def _is_host(name: str) -> bool:
    try:
        where(name)
    except ValueError:
        return False
    return True


def given(request: ApiRequest) -> Download:
    """What lies in this folder, for a page elsewhere: as far as whose token it is may see it."""
    body: EvidenceOf = request.body
    named = [body.host, *(one.address for one in body.addresses)]
    if not all(_is_host(one) and request.person.reach.covers(one) for one in named):
        raise ApiError(404, "nothing is known of this host")
    by = f"{printable(body.by)} by {request.person.name}"
    request.view.note(request.person.name, "packets", [(body.host, body.alert)], f"for {by}")
    holding = StateFolder(request.view.state).with_packets
    if not holding:
        raise ApiError(404, "no packets are kept here")
    file = request.app.new_file()
    what = Wanted(body.alert, body.host, body.first, body.last, list(body.addresses), body.comment)
    try:
        request.app.export.cut(holding, what, file, by, body.most)
    except (EvidenceError, OSError, ValueError, OverflowError) as error:
        raise ApiError(503, str(error)) from None
    request.app.keep((body.alert, time.monotonic_ns(), by), file)
    return Download("application/octet-stream", f"port25-{body.alert[:8]}.pcapng", file)
