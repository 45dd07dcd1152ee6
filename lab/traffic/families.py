"""Senders of spam, modelled on what is published about eleven families.

Sources, by the short names used below:

* Botlab: John, Moshchuk, Gribble, Krishnamurthy, "Studying Spamming Botnets Using Botlab", NSDI
  2009, table 2: messages a minute of one bot: Grum 344, Pushdo (Cutwail) 289, Rustock 33, Srizbi
  1848, Storm 20.
* Botmaster: Stone-Gross, Holz, Stringhini, Vigna, "The Underground Economy of Spam: A Botmaster's
  Perspective of Coordinating Large-Scale Spam Campaigns", LEET 2011: of Cutwail's messages 30.3 %
  were delivered; of the errors 53.3 % were unknown recipients, 16.9 % block lists, 11.3 % timeouts.
* Spamalytics: Kanich et al., CCS 2008: of Storm's messages 23.8 % were taken by the first server.
* B@bel: Stringhini et al., USENIX Security 2012: dialects; engines that do not say QUIT, send HELO,
  name themselves with what is at hand.
* Ramachandran, Feamster, "Understanding the Network-Level Behavior of Spammers", SIGCOMM 2006:
  four in five spam sources were on some block list when they sent.
* b79: Microsoft on Kelihos, September 2011: 41,000 computers, 3.8 billion messages a day (64 a
  minute each).
* b107: Microsoft on Rustock, March 2011: 7,500 messages in 45 minutes from one computer (167 a
  minute).
* Necurs: Microsoft, March 2020: 3.8 million messages in 58 days from one computer (45 a minute).
* MessageLabs Intelligence, March 2010: up to three in four of Rustock's messages went over TLS.
* Wong, Bielski, McCune, Wang, "A Study of Mass-Mailing Worms", WORM 2004: SoBig and MyDoom send
  straight to servers they look up, far more than any host around them, with many failures; MyDoom
  guesses names of servers.
* Kreibich et al., "Spamcraft", LEET 2009, and "On the Spam Campaign Trail", LEET 2008: lists are
  harvested and old.

Where a source gives no figure for a family, it is assumed to be like Cutwail's, and what is assumed
is marked so. Half of all recipients are at four big providers (``internet.py``; assumed), so a
destination is often one that was seen before.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lab.traffic import internet
from lab.traffic.plan import DAY, HOUR, Plan, chosen, with_lookups
from lab.traffic.scripts import Manners, script

__all__ = ["FAMILIES", "MOST", "Sender", "sending"]

MOST: Final = 400
"""Connections of one sender that are made; what comes after does not change when it was found."""


@dataclass(frozen=True)
class Sender:
    """How one kind of sender works."""

    rate: float
    """messages a minute of one bot"""
    manners: dict[Manners, float]
    """each session has one of these, as often as the shares say"""
    outcomes: dict[str, float]
    """of a connection to a server that is there"""
    dead: float = 0.15
    """share of tail domains whose server does not answer"""
    each: float = 1.0
    """messages a connection"""
    big: float = 0.5
    """share of recipients at big providers"""
    lookups: float = 1.0
    """share of connections before which the bot is seen asking for MX"""
    burst: float = 30 * 60.0
    """seconds it works through a list, before it fetches the next"""
    rest: float = 10 * 60.0
    """seconds until it has it"""
    steady: bool = False
    """whether a timer sets the pace, instead of what comes"""
    only: tuple[int, ...] = ()
    """domains it sends to and no other"""


_BARE: Final = Manners(name="%NUMBER%", verb="HELO", quits=False)
"""Another made-up word each time."""
_PC: Final = Manners(name="user-%SENDER%", verb="HELO", quits=False)
_NAMED: Final = Manners(name="host-%SENDER%.dyn.example", quits=True)
_HASTY: Final = Manners(name="host-%SENDER%.dyn.example", quits=False, resets=True)
_LITERAL: Final = Manners(name="[203.0.113.7]", quits=False)

_CUTWAIL: Final = {
    "taken": 0.34,
    "unknown": 0.41,
    "turned_away": 0.07,
    "blacklisted": 0.07,
    "greylisted": 0.11,
}
"""Botmaster: taken 30 % of all, unknown 53 % and block lists 17 % of the other 70 %; the rest,
with timeouts, is in ``dead``."""

FAMILIES: Final[dict[str, Sender]] = {
    # Botlab: rate. B@bel: HELO with the computer's name, no QUIT.
    "Cutwail": Sender(289, {_PC: 0.8, _NAMED: 0.2}, _CUTWAIL),
    # b107: 167 a minute (Botlab saw 33). MessageLabs: three in four over TLS. Names: assumed.
    "Rustock": Sender(
        167,
        {
            Manners(name="host-%SENDER%.dyn.example", tls=True): 0.5,
            _NAMED: 0.2,
            Manners(name="%NUMBER%.example", quits=True): 0.3,
        },
        _CUTWAIL,
    ),
    # Botlab: rate, the highest seen. Manners: assumed; it worked in the kernel with its own stack.
    "Srizbi": Sender(1848, {_HASTY: 0.7, _PC: 0.3}, _CUTWAIL, burst=600),
    # Botlab: rate.
    "Grum": Sender(344, {_PC: 0.5, _LITERAL: 0.5}, _CUTWAIL),
    # Botlab: rate. Spamalytics: a quarter taken.
    "Storm": Sender(
        20, {_BARE: 0.7, _NAMED: 0.3}, _CUTWAIL | {"taken": 0.24, "unknown": 0.5}, dead=0.2
    ),
    # Its bots relay what a master speaks, so the manners are the master's (assumed: good), 50 a
    # minute (assumed).
    "Lethic": Sender(50, {Manners(name="host-%SENDER%.dyn.example"): 0.7, _HASTY: 0.3}, _CUTWAIL),
    # b79: rate.
    "Kelihos": Sender(64, {_PC: 0.6, _HASTY: 0.4}, _CUTWAIL, each=2),
    # Necurs, Microsoft: rate. Rests for days between campaigns; here, hours.
    "Necurs": Sender(45, {_NAMED: 0.4, _HASTY: 0.6}, _CUTWAIL, each=2, rest=6 * HOUR),
    # Sends through stolen accounts, so the servers are those accounts' own: it logs in, all is
    # taken, and it is its many accounts at many providers that show (all assumed: 12 messages a
    # minute, an account each, some locked).
    "Emotet": Sender(
        12,
        {Manners(name="[192.168.0.7]", quits=True): 0.3, Manners(name="user-%SENDER%"): 0.7},
        {"submitted": 0.7, "blacklisted": 0.3},
        dead=0.1,
        big=0.1,
        lookups=0,
    ),
    # Wong: guesses mx., mail., smtp. and so on before domains, so most are not there; 60 a minute.
    "MyDoom": Sender(
        60,
        {_PC: 1.0},
        {"taken": 0.5, "unknown": 0.4, "greylisted": 0.1},
        dead=0.6,
        big=0.3,
        burst=4 * HOUR,
    ),
    # Wong: many threads at once to whatever addresses the disk held; 100 a minute.
    "SoBig": Sender(
        100,
        {_PC: 0.7, _BARE: 0.3},
        {"taken": 0.6, "unknown": 0.3, "greylisted": 0.1},
        dead=0.25,
        burst=4 * HOUR,
    ),
}


def sending(rng: np.random.Generator, n: int, days: int, how: Sender, most: int = MOST) -> Plan:
    """A plan of ``n`` senders, each begun at a random moment of the first day.

    Connections come at random (exponential gaps) during bursts, or to a timer that is off by a
    twentieth at most. What a computer that is switched off at night would send is sent in the
    morning.
    """
    per_bot = min(most, int(how.rate / how.each * days * 1440) + 1)
    size = n * per_bot
    sender = np.repeat(np.arange(n), per_bot)
    mean = 60 * how.each / how.rate
    gaps = mean * (
        rng.uniform(0.95, 1.05, (n, per_bot)) if how.steady else rng.exponential(1, (n, per_bot))
    )
    gaps[:, 0] = 0
    worked = np.cumsum(gaps, axis=1)
    start = (worked + worked // how.burst * how.rest + rng.uniform(0, DAY, (n, 1))).ravel()
    domain = internet.draw(rng, size, how.big)
    if how.only:
        domain = rng.choice(np.array(how.only), size)
    tail = domain >= internet.BIG
    dead = tail & (rng.random(size) < how.dead)
    kinds = {
        script(manners, outcome): share * often
        for manners, share in how.manners.items()
        for outcome, often in how.outcomes.items()
    }
    first = next(iter(how.manners))
    gone = {script(first, "silent"): 0.7, script(first, "reset"): 0.3}
    plan = Plan(
        sender,
        start,
        internet.addresses_of(rng, domain),
        domain,
        np.where(dead, chosen(rng, size, gone), chosen(rng, size, kinds)),
    )
    kept = start < days * DAY
    plan = Plan(*(column[kept] for column in plan))
    # One mirror in two does not see the questions: the bot asks a resolver elsewhere.
    seen = internet.named(plan.sender, 61, 2) == 0
    return with_lookups(rng, plan, seen & (rng.random(len(plan.start)) < how.lookups))
