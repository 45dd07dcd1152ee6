"""What people type into the search box: words, and keys with a value.

    dst:198.51.100.7  dst:mx.example   went to that address, prefix or mail exchanger
    helo:localhost                     named itself so
    domain:example.com                 sent mail from there, or to there
    by:ann  owner:ann  note:called     who did something, whose it is, what was said
    why:shared                         why a block is recommended, refused, or not recommended
    verdict:bot                        what the desk found it to be
    abuse:worm  abuse:relay            kind of abuse, or how it begins
    ticket:4711                        linked to a ticket with that in its number or address
    customer:c-31415                   pseudonym of the customer, or how it begins
    is:open  is:critical  is:done  is:blocked  is:reopened  is:exempt

Everything else is a word as :class:`sensor.state.journal.Wanted` has it. All must fit. Conditions
are SQL on ``heads`` and on the files attached to a journal; where one is not there, nothing fits.
"""

import ipaddress
import re
from collections.abc import Callable, Set
from typing import Any, Final, NamedTuple, get_args

from sensor.alerts.abuse import KINDS
from sensor.blocking.handling import HANDLED, HandlingState
from sensor.console.standing import STANDING, BlockState
from sensor.state.journal import Condition

__all__ = ["KEYS", "Search", "SearchError", "blocked", "handled", "owned", "parsed"]

_NOTHING: Final[Condition] = ("0", ())
_LAST: Final = "FROM alerts AS a WHERE a.number = heads.number"
_LAST_DECISION: Final = (
    "SELECT cause || ' ' || reason FROM ledger.decisions AS d WHERE d.host = heads.host"
    " AND heads.customer IN ('', d.customer)"
    " AND d.action IN ('block', 'lookup', 'release', 'refuse') ORDER BY d.number DESC LIMIT 1"
)


class SearchError(ValueError):
    """A word that cannot be searched for; the text says why."""


class Around(NamedTuple):
    """What a condition is made for."""

    attached: Set[str]
    now: int
    """packet time, ns: blocks end by it"""
    clock: int
    """wall time, ns: what was put off comes back by it"""


Condition_of = Callable[[str, Around], Condition]


class Search(NamedTuple):
    """A search, taken apart."""

    words: str
    tokens: tuple[tuple[str, str], ...]

    def conditions(self, around: Around) -> tuple[Condition, ...]:
        """Those of the keys."""
        return tuple(KEYS[key](value, around) for key, value in self.tokens)


def parsed(text: str) -> Search:
    """Take a search apart. Raises SearchError for keys there are not.

    >>> parsed("helo:localhost 203.0.113.7")
    Search(words='203.0.113.7', tokens=(('helo', 'localhost'),))
    """
    words, tokens = [], []
    for word in text.split():
        key, colon, value = word.partition(":")
        if colon and key in KEYS:
            if value:
                tokens.append((key, value))
        elif colon and re.fullmatch("[g-zG-Z][a-zA-Z]*|[a-zA-Z]*[g-zG-Z][a-zA-Z]*", key):
            raise SearchError(f"{key}: there is no such key; there are {', '.join(KEYS)}")
        else:
            words.append(word)
    for key, value in tokens:
        if key == "is" and value not in _IS:
            raise SearchError(f"is:{value}: there are {', '.join(_IS)}")
    return Search(" ".join(words), tuple(tokens))


def blocked(state: str, around: Around) -> Condition:
    """What became of the recommendation to block."""
    if "ledger" not in around.attached:
        return "? = CASE recommended WHEN 1 THEN 'undecided' ELSE 'not_recommended' END", (state,)
    return f"{STANDING} = ?", (around.now, state)


def handled(state: str, around: Around) -> Condition:
    """How far the desk is."""
    if "desk" not in around.attached:
        return "? = 'new'", (state,)
    return f"{HANDLED} = ?", (around.clock, state)


def owned(name: str, around: Around) -> Condition:
    """Whose it is."""
    return _desk("SELECT alert FROM desk.handling WHERE owner = ?", around, name)


def _desk(sql: str, around: Around, *values: Any) -> Condition:
    return (f"id IN ({sql})", values) if "desk" in around.attached else _NOTHING


def _by(name: str, around: Around) -> Condition:
    return _desk("SELECT alert FROM desk.acknowledged WHERE by = ?", around, name)


def _note(text: str, around: Around) -> Condition:
    sql = "SELECT alert FROM desk.acknowledged WHERE instr(lower(reason), lower(?))"
    return _desk(sql, around, text)


def _verdict(verdict: str, around: Around) -> Condition:
    return _desk("SELECT alert FROM desk.handling WHERE verdict = ?", around, verdict)


def _ticket(number: str, around: Around) -> Condition:
    """Of the alert, or of its case."""
    linked = "SELECT alert FROM desk.handling WHERE instr(lower(ticket), lower(?))"
    case = "CASE customer WHEN '' THEN host ELSE customer END"
    of_cases = f"SELECT id FROM heads WHERE {case} IN ({linked})"  # noqa: S608
    return _desk(f"{linked} UNION {of_cases}", around, number, number)


def _abuse(kind: str, around: Around) -> Condition:
    begins = kind.lower().replace("_", " ")
    if not any(one.startswith(begins) for one in KINDS):
        known = ", ".join(one.replace(" ", "_") for one in KINDS)
        raise SearchError(f"abuse:{kind}: there are {known}")
    return "instr(abuse, ?) = 1", (begins,)


def _customer(name: str, around: Around) -> Condition:
    return "instr(customer, ?) = 1", (name,)


def _why(word: str, around: Around) -> Condition:
    fields = " || ' ' || ".join(
        f"(CAST(a.message AS TEXT) ->> 'block_{x}')" for x in ("code", "reason")
    )
    told = f"instr((SELECT {fields} {_LAST}), ?)"
    if "ledger" not in around.attached:
        return told, (word,)
    return f"({told} OR instr(({_LAST_DECISION}), ?))", (word, word)


def _sessions(condition: str, around: Around, *values: Any) -> Condition:
    """Hosts with a session that fits."""
    if "sessions" not in around.attached:
        return _NOTHING
    read = "SELECT host, dst, CAST(record AS TEXT) AS r FROM sessions.sessions"
    found = f"SELECT host FROM ({read}) WHERE {condition}"  # noqa: S608
    return f"CASE customer WHEN '' THEN host ELSE customer END IN ({found})", values


def _helo(name: str, around: Around) -> Condition:
    return _sessions("instr(lower(r ->> 'helo'), lower(?))", around, name)


def _domain(name: str, around: Around) -> Condition:
    ends = "instr('.' || lower({0}) || '|', '.' || lower(?) || '|')"
    sender = ends.format("r ->> 'mail_from_domain'")
    to = f"EXISTS (SELECT 1 FROM json_each(r, '$.rcpt_domains') WHERE {ends.format('value')})"  # noqa: S608
    return _sessions(f"({sender} OR {to})", around, name, name)


def _dst(where: str, around: Around) -> Condition:
    """By the last contacts an alert names, and by sessions."""
    field, test, value = "name", "instr(lower({0}), lower(?))", where
    try:
        network = ipaddress.ip_network(where, strict=False)
    except ValueError:
        pass
    else:
        field = "address"
        if network.prefixlen == network.max_prefixlen:
            test, value = "{0} = ?", str(network.network_address)
        elif network.version == 4 and network.prefixlen % 8 == 0 and network.prefixlen:
            kept = str(network.network_address).split(".")[: network.prefixlen // 8]
            test, value = "instr({0}, ?) = 1", ".".join(kept) + "."
        else:
            raise SearchError(f"dst:{where}: an address, a /8, /16 or /24, or part of a name")
    met = test.format(f"d.value ->> '{field}'")
    last = f"(SELECT CAST(a.message AS TEXT) {_LAST})"
    told = f"EXISTS (SELECT 1 FROM json_each({last}, '$.destinations') AS d WHERE {met})"  # noqa: S608
    if "sessions" not in around.attached:
        return told, (value,)
    met = test.format("r ->> 'dst_name'" if field == "name" else "dst")
    condition, values = _sessions(met, around, value)
    return f"({told} OR {condition})", (value, *values)


_STATES: Final = ("raised", "escalated", "refreshed", "closed")
_SEVERITIES: Final = ("medium", "high", "critical")
_IS: Final = (
    "open", *_STATES, *_SEVERITIES, *get_args(HandlingState), *get_args(BlockState), "recommended",
    "reopened", "exempt",
)  # fmt: skip


def _is(what: str, around: Around) -> Condition:
    if what == "open":
        return "state <> 'closed'", ()
    if what in _STATES:
        return "state = ?", (what,)
    if what in _SEVERITIES:
        return "severity = ?", (what,)
    if what in get_args(HandlingState):
        return handled(what, around)
    if what in get_args(BlockState):
        return blocked(what, around)
    if what == "recommended":
        return "recommended", ()
    if "desk" not in around.attached:
        return _NOTHING
    if what == "exempt":
        exempted = "SELECT host FROM desk.exempted WHERE until > ?"
        return f"(host IN ({exempted}) OR customer IN ({exempted}))", (around.now, around.now)
    was = "id IN (SELECT alert FROM desk.handling WHERE state IN ('done', 'snoozed'))"
    return f"({was} AND {HANDLED} = 'new')", (around.clock,)


KEYS: Final[dict[str, Condition_of]] = {
    "dst": _dst, "helo": _helo, "domain": _domain, "by": _by, "owner": owned, "note": _note,
    "why": _why, "verdict": _verdict, "ticket": _ticket, "abuse": _abuse,
    "customer": _customer, "is": _is,
}  # fmt: skip
