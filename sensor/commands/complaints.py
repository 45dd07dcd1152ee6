"""``port25 complaints``: reports of abuse and listings come in, to be shown beside alerts."""

import argparse
import ipaddress
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.commands.options import settings_argument, settings_from, state_argument, state_from
from sensor.commands.terminal import Stop

if TYPE_CHECKING:
    from sensor.complaints.book import Complaints
    from sensor.complaints.intake import Taken
    from sensor.hosts.subscribers import Subscribers
    from sensor.settings import Settings
    from sensor.state.folder import StateFolder

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "take in reports of abuse (ARF) and DNSBL listings, to be shown beside alerts"
PLACE: Final = 146


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    parser.add_argument("--maildir", metavar="DIR", help="mail folder with reports (RFC 5965)")
    parser.add_argument("--listings", metavar="FILE", help="lines of address,list[,since[,words]]")
    parser.add_argument(
        "--every", metavar="SECONDS", type=int, default=0, help="again and again, until stopped"
    )
    parser.add_argument("report", nargs="*", metavar="FILE", help="a report, as a mail")


def run(options: argparse.Namespace) -> int:
    """Take in what there is; 1 where something given by name was refused."""
    from sensor.base.database import DatabaseError
    from sensor.complaints.book import Complaints
    from sensor.settings import subscribers_of
    from sensor.state.folder import StateFolder

    settings = settings_from(options.config)
    maildir = options.maildir or settings.complaints.maildir
    listings = options.listings or settings.complaints.listings
    if not (maildir or listings or settings.complaints.zones or options.report):
        raise Stop(
            2, "nothing to read: name a report, --maildir or --listings, or set [complaints]"
        )
    try:
        state = StateFolder(state_from(options, settings))
        book, who = Complaints(state.complaints), subscribers_of(settings)
        code = _named(book, who, options.report)
        while True:
            _round(book, who, settings, Path(maildir), listings, state)
            if options.every <= 0:
                break
            time.sleep(options.every)
    except KeyboardInterrupt:
        return 130
    except (DatabaseError, OSError) as error:
        raise Stop(1, str(error)) from None
    return code


def _named(book: "Complaints", who: "Subscribers", reports: list[str]) -> int:
    """Reports that were given by name."""
    from sensor.base.terminal import printable
    from sensor.complaints.complaint import ComplaintError
    from sensor.complaints.intake import take

    code = 0
    for name in reports:
        try:
            one = take(book, who, Path(name).read_bytes(), time.time_ns())
            said = f"{one.kind} on {one.host} by {one.reporter}"
        except ComplaintError as error:
            said, code = f"refused: {error}", 1
        print(printable(f"{name}: {said}"))
    return code


def _round(
    book: "Complaints", who: "Subscribers", settings: "Settings", maildir: Path, listings: str,
    state: "StateFolder",
) -> None:  # fmt: skip
    from sensor.base.name_server import NoResolverError, resolver
    from sensor.complaints import intake, lookups
    from sensor.complaints.listings import listed
    from sensor.state.journal import Journal, Wanted

    of = settings.complaints
    if maildir.name:
        _told("reports", intake.maildir(book, who, maildir))
    if listings:
        with Path(listings).open(encoding="utf-8", errors="replace") as lines:
            _told("listings", intake.take_all(book, who, listed(lines, time.time_ns())))
    if of.zones:
        journals = [Journal(path, read_only=True) for path in state.journals]
        heads = [h for j in journals for h in j.heads(of.lookups, Wanted(state="open"))]
        hosts = dict.fromkeys(filter(None, (_address(h.host) for h in heads)))
        try:
            found = lookups.ask(
                resolver(of.resolver, lookups.PATIENCE), of.zones, hosts, of.lookups
            )
            _told("lists by DNS", intake.take_all(book, who, found))
        except NoResolverError as error:
            raise Stop(1, str(error)) from None
        finally:
            for journal in journals:
                journal.close()


def _address(host: str) -> str:
    """The address to ask about; none where a host is a share of one, or many prefixes.

    Of IPv6 a subscriber is a prefix, and lists have whole /64s: any address of one stands for it.
    """
    try:
        network = ipaddress.ip_network(host)
    except ValueError:
        return ""
    alone = 32 if network.version == 4 else 64
    return str(network.network_address) if network.prefixlen >= alone else ""


def _told(what: str, taken: "Taken") -> None:
    if taken.kept or taken.refused:
        print(f"{what}: {taken.kept} kept, {taken.refused} refused", flush=True)
