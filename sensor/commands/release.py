"""``port25 release``: end a block; of a known customer all of his, wherever he is."""

import argparse
import ipaddress
import time
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    customer_from,
    ledger_from,
    person,
    person_arguments,
    settings_argument,
    settings_from,
    state_argument,
)
from sensor.commands.terminal import Stop, printable

if TYPE_CHECKING:
    from sensor.base.sentences import Sentence
    from sensor.blocking.decision import Decision
    from sensor.blocking.ledger import Ledger

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "end a block; with --exempt, block and alert no more for some days"
PLACE: Final = 70
_MOST_DAYS: Final = 3650


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    person_arguments(parser)
    parser.add_argument(
        "host", nargs="?", metavar="HOST", help="an address of the host, or a customer"
    )
    parser.add_argument("--all", action="store_true", help="every block in force")
    parser.add_argument(
        "--exempt", type=int, metavar="DAYS", help="neither alert nor block for so many days"
    )


def run(options: argparse.Namespace) -> int:
    """End the blocks of one host or customer, or all."""
    from sensor.base.database import DatabaseError

    if options.all == bool(options.host):
        raise Stop(2, "release: name a HOST, or say --all")
    if options.exempt is not None and (options.all or not 1 <= options.exempt <= _MOST_DAYS):
        raise Stop(2, f"release: --exempt takes 1 to {_MOST_DAYS} days, of one HOST")
    try:
        return _release(ledger_from(options), options.by or person(), options)
    except DatabaseError as error:
        raise Stop(1, str(error)) from None


def _release(ledger: "Ledger", by: str, options: argparse.Namespace) -> int:
    from sensor.state.audit import note

    names = _names(ledger, options) if options.host else set()

    def which(one: "Decision") -> bool:
        return options.all or bool(names & {one.host, one.customer})

    act = "release" if options.exempt is None else "exempt"
    said = options.reason if options.host else f"all: {options.reason}"
    said = said if options.exempt is None else f"{options.exempt} days: {said}"
    note(ledger.db.path.parent, by, act, options.host or "", detail=said)
    if options.exempt is not None:
        _exempt(ledger, names, by, options)
    because = options.reason if options.exempt is None else _because(options.reason)
    ended = ledger.release(which, time.time_ns(), because, by)
    for one in ended:
        print(f"released {printable(one.host)}{'' if one.enforced else ' (a dry run)'}")
    if not ended and not options.all and ledger.shared and options.exempt is None:
        try:
            one = ledger.tell(_customer(names) or options.host, time.time_ns(), options.reason, by)
        except ValueError:
            pass
        else:
            print(f"released {printable(one.host)}: not blocked here; other sensors are told")
            return 0
    if not ended and options.exempt is None:
        raise Stop(1, f"no block of {options.host or 'anybody'} is in force")
    return 0


def _names(ledger: "Ledger", options: argparse.Namespace) -> set[str]:
    """Hosts whose blocks are meant, and customers, who are so with all of theirs."""
    host = options.host
    try:
        address = ipaddress.ip_address(host.partition("/")[0])
    except ValueError:
        if host.count(":") == 1:  # an address with ports: as alerts name it
            return {host, _whose(ledger, host, options)} - {""}
        return {customer_from(host, settings_from(options.config))}
    found = {host, _whose(ledger, host, options)}
    is_blocked = False
    for one in (*ledger.in_force(0), *ledger.in_force(0, enforced=False)):
        if address in ipaddress.ip_network(one.source):
            is_blocked = True
            found |= {one.host, one.customer or ""}
    if not is_blocked and found <= {host, ""}:
        found |= {_named(ledger, host, options)}
    return found - {""}


def _named(ledger: "Ledger", host: str, options: argparse.Namespace) -> str:
    """The customer whose name an address is, as a CGN's are named; empty: it says nothing so.

    An address that alerts are about is meant as that.
    """
    from sensor.base.database import DatabaseError
    from sensor.console.view import View

    try:
        view = View(ledger.db.path.parent)
    except DatabaseError:  # no sensor keeps its journal here
        return ""
    customer = customer_from(host, settings_from(options.config))
    is_meant = not view.of_host(host) and bool(view.of_host(customer))
    view.close()
    return customer if is_meant else ""


def _whose(ledger: "Ledger", host: str, options: argparse.Namespace) -> str:
    """The customer who has an address now, as alerts tell; empty: it is nobody's known."""
    from sensor.base.database import DatabaseError
    from sensor.console.sparing import whose
    from sensor.console.view import View

    try:
        view = View(ledger.db.path.parent)
    except DatabaseError:  # no sensor keeps its journal here
        return ""
    found = whose(view, host)
    view.close()
    return found if found != host else ""


def _because(reason: str) -> "Sentence":
    from sensor.base.sentences import sentence

    return sentence("ledger.exempt", reason=reason)


def _customer(names: set[str]) -> str:
    from sensor.hosts.customer_key import parse_pseudonym

    return next((one for one in sorted(names) if parse_pseudonym(one) is not None), "")


def _exempt(ledger: "Ledger", names: set[str], by: str, options: argparse.Namespace) -> None:
    """At the desk, as the page does it. Raises Stop."""
    from sensor.alerts.alert import rfc3339
    from sensor.blocking.desk import Desk
    from sensor.hosts.customer_key import parse_pseudonym
    from sensor.state.folder import StateFolder

    customers = [one for one in sorted(names) if parse_pseudonym(one) is not None]
    if len(customers) > 1:
        raise Stop(2, f"{options.host}: several have it, name one: {', '.join(customers)}")
    whom = customers[0] if customers else options.host
    desk = Desk(StateFolder(ledger.db.path.parent).desk)
    try:
        made = desk.exempt(whom, options.exempt, time.time_ns(), by, options.reason)
    except ValueError as error:
        raise Stop(2, str(error)) from None
    finally:
        desk.close()
    print(f"exempt {printable(whom)} until {rfc3339(made.until)[:19]}Z")
