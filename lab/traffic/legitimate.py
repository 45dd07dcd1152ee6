"""Subscribers who do nothing wrong. Every figure without a source is assumed, on the unkind side.

A class is a function: a random generator, how many senders, how many days; a plan. Webmail homes
and mail programs on 465 and 587 leave nothing on port 25; the latter are made all the same.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from lab.traffic import internet
from lab.traffic.plan import (
    DAY,
    HOUR,
    Plan,
    chosen,
    daytime,
    joined,
    numbered,
    with_lookups,
)
from lab.traffic.scripts import Manners, script

__all__ = ["CLASSES", "SCANNERS"]

_SERVER: Final = Manners()
_SERVER_TLS: Final = Manners(tls=True)
_CARELESS: Final = Manners(name="server")
"""A mail server nobody gave a name: HELO with a bare word."""


def submission(rng: np.random.Generator, n: int, days: int) -> Plan:
    """Mail programs on 465 and 587: one provider, twelve sessions a day."""
    sender = np.repeat(np.arange(n), rng.poisson(12 * days, n))
    size = len(sender)
    by_port = [
        script(Manners(name="[192.168.1.4]", port=port, tls=True), "submitted")
        for port in (465, 587)
    ]
    domain = internet.named(sender, 11, 200)
    return Plan(
        sender,
        daytime(rng, size, days, office=False),
        internet.addresses_of(rng, domain, few=2),
        domain,
        np.array(by_port)[sender % 2],
    )


def mail_program(rng: np.random.Generator, n: int, days: int) -> Plan:
    """Mail programs that still submit on port 25, a household's one to three accounts.

    Half encrypt before they log in. Some give an address literal, some (Outlook does) the bare name
    of the computer. A password expires now and then: one connection in a hundred finds nobody.
    """
    sender = np.repeat(np.arange(n), rng.negative_binomial(1.5, 1.5 / (1.5 + 12), n) * days)
    size = len(sender)
    accounts = 1 + (internet.named(sender, 12, 100) >= 70) + (internet.named(sender, 12, 100) >= 95)
    account = sender * 4 + (rng.random(size) * accounts).astype(np.int64)
    domain = internet.named(account, 13, 3000)
    names = ("[192.168.1.4]", "DESKTOP-%SENDER%")
    kinds = np.array(
        [
            [script(Manners(name=name, tls=tls), "submitted") for tls in (False, True)]
            for name in names
        ]
    )
    which = kinds[internet.named(sender, 14, 2), internet.named(sender, 15, 2)]
    dead = rng.random(size) < 0.01
    return Plan(
        sender,
        daytime(rng, size, days, office=False),
        internet.addresses_of(rng, domain, few=2),
        domain,
        np.where(dead, script(_SERVER, "silent"), which),
    )


def device(rng: np.random.Generator, n: int, days: int) -> Plan:
    """Cameras, printers, disks that mail reports to one server, with a bare name and no QUIT.

    One in ten has a server in its settings that is no more, and tries it every five minutes.
    """
    lost = internet.named(np.arange(n), 16, 10) == 0
    sender, place = numbered(np.where(lost, 288 * days, rng.poisson(6 * days, n)))
    size = len(sender)
    is_lost = lost[sender]
    domain = internet.named(sender, 17, 3000)
    at = place * 300.0 + internet.named(sender, 18, 300)
    spoken = script(Manners(name="nas%SENDER%", quits=False), "submitted")
    return Plan(
        sender,
        np.where(is_lost, at, rng.uniform(0, days * DAY, size)),
        internet.addresses_of(rng, domain, few=1),
        domain,
        np.where(is_lost, script(_SERVER, "silent"), spoken),
    )


def _delivered(
    rng: np.random.Generator,
    plan: Plan,
    dead: float,
    refused: float,
    greylisted: float = 0.1,
    tls: float = 0.9,
    careless: float = 0.1,
) -> Plan:
    """What a mail server meets when it delivers: each domain always the same, but for mailboxes.

    The dead are tried again every half hour for half a day, the greylisting after a quarter of one
    (RFC 5321, 4.5.4.1). A share of the servers is ``careless``; of the domains, ``tls`` offer it.
    """
    n = len(plan.start)
    tail = plan.domain >= internet.BIG
    is_dead = tail & (internet.named(plan.domain, 21, 10_000) < dead * 10_000)
    is_grey = tail & ~is_dead & (internet.named(plan.domain, 22, 10_000) < greylisted * 10_000)
    offers = internet.named(plan.domain, 23, 10_000) < tls * 10_000
    # On the big providers' lists of mailboxes errors are as many as elsewhere.
    wrong = rng.random(n) < refused
    bare = internet.named(plan.sender, 24, 10_000) < careless * 10_000
    scripts = np.array(
        [
            [script(manners, outcome) for outcome in ("taken", "unknown", "greylisted")]
            for manners in (_SERVER, _SERVER_TLS, _CARELESS)
        ]
    )
    manners = np.where(bare, 2, offers.astype(np.int64))
    how = np.where(is_grey, 2, wrong.astype(np.int64))
    no_answer = np.where(
        internet.named(plan.domain, 25, 3) > 0, script(_SERVER, "silent"), script(_SERVER, "reset")
    )
    found = plan._replace(script=np.where(is_dead, no_answer, scripts[manners, how]))
    again = [found]
    if is_grey.any():
        later = Plan(*(column[is_grey] for column in found))
        again.append(
            later._replace(
                start=later.start + rng.uniform(600, 1200, len(later.start)),
                script=scripts[manners[is_grey], 0],
            )
        )
    if is_dead.any():
        gone = Plan(*(column[is_dead] for column in found))
        again += [gone._replace(start=gone.start + 1800.0 * k) for k in range(1, 24)]
    return joined(*again)


def _asking(rng: np.random.Generator, plan: Plan, share: float = 0.7) -> Plan:
    """With the questions for MX of those servers whose questions pass the mirror.

    A third of them is answered by the server's own cache.
    """
    shows = internet.named(plan.sender, 26, 100) < share * 100
    return with_lookups(rng, plan, shows & (rng.random(len(plan.start)) < 0.67))


def _correspondents(
    rng: np.random.Generator, sender: np.ndarray, circle: int, strangers: float
) -> np.ndarray:
    """Domains a server writes to: half big providers, else its circle, now and then a stranger."""
    size = len(sender)
    mine = internet.BIG + internet.named(sender * 1000 + rng.integers(0, circle, size), 27, 60_000)
    domain = np.where(rng.random(size) < 0.5, rng.integers(0, internet.BIG, size), mine)
    return np.where(rng.random(size) < strangers, internet.draw(rng, size), domain)


def office(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A small office's or a household's own mail server.

    40 messages a day in the middle, 3,000 at most (log-normal, sigma 1.2), in office hours, to 60
    domains and one stranger in ten. One server in a hundred and fifty days was off the net and
    sends what has queued up, 20 to 200 messages, within two minutes. Dead 2 %, refused 4 % of
    recipients.
    """
    messages = np.clip(rng.lognormal(np.log(40), 1.2, (n, days)), 3, 3000).astype(np.int64)
    sender = np.repeat(np.arange(n), messages.sum(axis=1))
    start = daytime(rng, len(sender), days, office=True)
    back = rng.integers(0, n, rng.poisson(n * days / 150))
    queue = rng.integers(20, 200, len(back))
    moment = np.repeat(rng.uniform(0, days * DAY - HOUR, len(back)), queue)
    sender = np.concatenate([sender, np.repeat(back, queue)])
    start = np.concatenate([start, moment + rng.exponential(40, len(moment))])
    domain = _correspondents(rng, sender, 60, 0.1)
    plan = Plan(sender, start, internet.addresses_of(rng, domain), domain, domain)
    return _asking(rng, _delivered(rng, plan, dead=0.02, refused=0.04))


def new_server(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A mail server's first days: all its destinations are new to it, and many greylist it.

    20 to 200 messages a day, six in ten to strangers; 8 % of recipients refused: addresses copied
    from old books.
    """
    sender = np.repeat(np.arange(n), rng.integers(20, 200, (n, days)).sum(axis=1))
    start = daytime(rng, len(sender), days, office=True)
    domain = _correspondents(rng, sender, 100, 0.6)
    plan = Plan(sender, start, internet.addresses_of(rng, domain), domain, domain)
    return _asking(rng, _delivered(rng, plan, dead=0.03, refused=0.08, greylisted=0.25))


def mailing_list(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A list server: one to five postings a day to 30 to 500 members, as fast as it can.

    20 deliveries at a time and up to 100 (Postfix: default_process_limit), two seconds each.
    Dead 3 %, refused 4 %.
    """
    postings = rng.integers(1, 6, n) * days
    sender = np.repeat(np.arange(n), postings)
    members = 30 + internet.named(sender, 31, 470)
    at_once = np.where(internet.named(sender, 32, 10) == 0, 100, 20)
    begin = daytime(rng, len(sender), days, office=False)
    posting, place = numbered(members)
    member = sender[posting] * 1000 + place
    domain = np.where(
        internet.named(member, 33, 2) == 0,
        internet.named(member, 34, internet.BIG),
        internet.BIG + internet.named(member, 35, 20_000),
    )
    lanes = at_once[posting]
    start = begin[posting] + place // lanes * 2.0 + rng.exponential(0.5, len(posting))
    plan = Plan(sender[posting], start, internet.addresses_of(rng, domain), domain, domain)
    return _asking(rng, _delivered(rng, plan, dead=0.03, refused=0.04, careless=0.02))


def bulk_sender(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A newsletter people asked for: 1,000 to 10,000 recipients a day, one or two a second.

    Dead 2 %, refused 5 % of recipients; always the same readers.
    """
    readers = rng.integers(1000, 10_000, (n, days))
    begin = 9 * HOUR + rng.uniform(0, 4, (n, days)) * HOUR + np.arange(days) * DAY
    pace = rng.uniform(1, 2, n)
    letter, place = numbered(readers.ravel())
    sender = letter // days
    start = begin.ravel()[letter] + place / pace[sender]
    reader = sender * 20_000 + place
    domain = np.where(
        internet.named(reader, 36, 20) < 11,
        internet.named(reader, 37, internet.BIG),
        internet.BIG + internet.named(reader, 38, 40_000),
    )
    plan = Plan(sender, start, internet.addresses_of(rng, domain), domain, domain)
    return _asking(rng, _delivered(rng, plan, dead=0.02, refused=0.05, careless=0))


def backup_mx(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A second mail exchanger for 2 to 8 domains: when their servers are down, it tries and tries.

    What comes in by the day and by the night it passes on; each primary is down four hours a day.
    """
    domains = 2 + internet.named(np.arange(n), 41, 7)
    sender, place = numbered(domains * 96 * days)
    which = place % domains[sender]
    start = (place // domains[sender]) * 900.0 + internet.named(sender, 42, 900) + which * 0.2
    primary = sender * 10 + which
    domain = internet.BIG + internet.named(primary, 43, 60_000)
    down = (start / HOUR - internet.named(primary, 44, 24)) % 24 < 4
    return Plan(
        sender,
        start,
        internet.addresses_of(rng, domain, few=1),
        domain,
        np.where(down, script(_SERVER, "silent"), script(_SERVER, "taken")),
    )


def probe(rng: np.random.Generator, n: int, days: int) -> Plan:
    """Monitoring: 5 to 30 servers, each greeted every five minutes for ever; one in ten is down."""
    servers = 5 + internet.named(np.arange(n), 51, 26)
    sender, place = numbered(servers * 288 * days)
    which = place % servers[sender]
    start = place // servers[sender] * 300.0 + internet.named(sender, 52, 300) + which * 0.3
    target = sender * 40 + which
    domain = internet.BIG + internet.named(target, 53, 60_000)
    down = internet.named(target, 54, 10) == 0
    return Plan(
        sender,
        start,
        internet.addresses_of(rng, domain, few=1),
        domain,
        np.where(
            down,
            script(_SERVER, "silent"),
            script(Manners(name="monitor%SENDER%.example"), "probe"),
        ),
    )


def shared_address(rng: np.random.Generator, n: int, days: int) -> Plan:
    """20 to 60 households with mail programs on port 25 behind one address nobody named as such."""
    homes = rng.integers(20, 60, n)
    plan = mail_program(rng, int(homes.sum()), days)
    return plan._replace(sender=np.repeat(np.arange(n), homes)[plan.sender])


CLASSES: Final[dict[str, tuple[Callable[[np.random.Generator, int, int], Plan] | None, float]]] = {
    "webmail only": (None, 890_000),
    "mail program, 465 or 587": (submission, 79_350),
    "mail program, port 25": (mail_program, 20_000),
    "device that mails": (device, 5_000),
    "own mail server": (office, 5_000),
    "new mail server": (new_server, 100),
    "mailing list": (mailing_list, 150),
    "bulk sender": (bulk_sender, 50),
    "backup MX": (backup_mx, 50),
    "monitoring probe": (probe, 100),
    "homes behind one address": (shared_address, 200),
}
"""Each class with its number among a million subscribers (assumed)."""


def researcher(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A survey of mail servers: two new ones a second, greeted politely, for an hour; nobody mails.

    In the tail a third is not there any more.
    """
    sender = np.repeat(np.arange(n), 2000)
    size = len(sender)
    domain = internet.new_domains(rng, size)
    start = rng.uniform(0, days * DAY - HOUR, n)[sender] + np.tile(np.arange(2000) * 0.5, n)
    outcome = {
        script(Manners(name="survey.example"), "probe"): 65,
        script(_SERVER, "silent"): 25,
        script(_SERVER, "reset"): 10,
    }
    return Plan(
        sender, start, internet.addresses_of(rng, domain), domain, chosen(rng, size, outcome)
    )


def scanner(rng: np.random.Generator, n: int, days: int) -> Plan:
    """A scan of port 25, ten addresses a second: one in twenty has a mail server, which is left."""
    sender = np.repeat(np.arange(n), 3000)
    size = len(sender)
    server = rng.integers(0, internet.NETWORKS << 8, size)
    start = rng.uniform(0, days * DAY - HOUR, n)[sender] + np.tile(np.arange(3000) * 0.1, n)
    outcome = {
        script(_SERVER, "silent"): 70,
        script(_SERVER, "reset"): 25,
        script(Manners(quits=False, resets=True), "probe"): 5,
    }
    return Plan(sender, start, server, server, chosen(rng, size, outcome))


SCANNERS: Final[dict[str, Callable[[np.random.Generator, int, int], Plan]]] = {
    "researcher": researcher,
    "scanner": scanner,
}
"""Not mail at all. An alert is right, so these count neither as found nor as false."""
