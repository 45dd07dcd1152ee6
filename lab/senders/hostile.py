"""Senders of abuse by kind, each figure with where it was seen.

``SPAM`` must be found; ``OTHER`` is abuse that is no spam and should be called what it is. Where a
figure has no source it is a range and assumed.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from lab.senders.host import DAY, HOUR, MINUTE, Host
from lab.senders.smtp import Client, Message
from lab.senders.wire import LINUX, MACHINES, RAW, SMALL, WINDOWS, WINDOWS_OLD
from lab.senders.world import Domain

__all__ = ["OTHER", "SPAM"]

_BOT: Final = Client(
    helo="x", verb="HELO", machine=WINDOWS, tls=False, pipelines=False, quits=0.0, spam=True,
    named=False, lists=frozenset({"policy"}),
)  # fmt: skip


def _listed(host: Host, probability: float = 0.8) -> None:
    """Four in five sources of spam are on some list by then (Ramachandran, Feamster 2006)."""
    if host.rng.random() < probability:
        host.client = replace(host.client, lists=host.client.lists | {"spam"})


def _spam(rng: np.random.Generator, wrong: float, recipients: int = 1) -> Message:
    to = [
        (f"v{int(rng.integers(1e7))}@x.example", bool(rng.random() >= wrong))
        for _ in range(recipients)
    ]
    return Message(f"s{int(rng.integers(1e7))}@forged{int(rng.integers(3000))}.example", to,
                   int(rng.integers(400, 6000)))  # fmt: skip


def _pace(
    host: Host, rate: float, wrong: float, *, burst: float = DAY, rest: float = 0.0,
    recipients: tuple[int, int] = (1, 1), each: int = 1, webmail: float = 0.5,
    targets: list[Domain] | None = None, most: int = 800, asks: bool = True,
) -> None:  # fmt: skip
    """Connections at ``rate`` a minute, in bursts with rests, to a list bought for this host."""
    rng, world = host.rng, host.world
    when = float(rng.uniform(0, 0.6 * DAY))
    began = when
    for _ in range(most):
        domain = targets[int(rng.integers(len(targets)))] if targets else world.people(rng, webmail)
        messages = [
            _spam(rng, wrong, int(rng.integers(recipients[0], recipients[1] + 1)))
            for _ in range(each)
        ]

        def once(t: float, d: Domain = domain, m: list[Message] = messages) -> None:
            if asks and host.asks:
                host.ask(t - 0.05, d.name)
            host.blast(t, d, m)

        host.at(when, once)
        when += float(rng.exponential(60 / rate))
        if when - began > burst:
            when += rest * float(rng.uniform(0.7, 1.3))
            began = when
        if when > DAY:
            break


def _pc(rng: np.random.Generator) -> str:
    return f"user-{int(rng.integers(1e6)):06x}"


def cutwail(host: Host) -> None:
    """289 messages a minute (Botlab, 2009); HELO with the computer's name, no QUIT (B@bel, 2012);
    of the failures 53 % unknown mailboxes (Stone-Gross et al. 2011)."""
    host.client = replace(_BOT, helo=_pc(host.rng), machine=WINDOWS_OLD)
    _listed(host)
    _pace(host, float(host.rng.uniform(100, 300)), 0.5, burst=30 * MINUTE, rest=10 * MINUTE)


def send_safe(host: Host) -> None:
    """148 a minute to 350 addresses; HELO with a stolen domain's name, a space after MAIL FROM:, no
    QUIT; on a filtered path nearly all unanswered (a capture of 2017, Hancitor)."""
    rng = host.rng
    host.client = replace(
        _BOT, helo=f"firm{int(rng.integers(1e4))}.example", verb="EHLO", space=True
    )
    _listed(host)
    filtered = bool(rng.random() < 0.5)
    if filtered:
        for domain in host.world.domains + host.world.consumer:
            for server in domain.servers:
                if rng.random() < 0.95:
                    server.alive = "silent"
    _pace(host, float(rng.uniform(80, 160)), 0.4, webmail=0.3)


def phorpiex(host: Host) -> None:
    """Up to 30,000 an hour, simple SMTP, lists of 20,000 (Check Point, 2019)."""
    host.client = replace(_BOT, helo=f"[{host.text()}]", quits=float(host.rng.choice([0.0, 1.0])))
    _listed(host)
    _pace(host, float(host.rng.uniform(60, 500)), float(host.rng.uniform(0.1, 0.4)), webmail=0.7)


def waledac(host: Host) -> None:
    """5,610 to 7,148 an hour, not around the clock (2009)."""
    host.client = replace(_BOT, helo=_pc(host.rng), quits=0.5)
    _listed(host)
    _pace(host, float(host.rng.uniform(93, 120)), 0.4, burst=HOUR, rest=2 * HOUR)


def lethic(host: Host) -> None:
    """A relay of a master's words: 4 to 7 a minute, many recipients an envelope, good manners
    (2 billion a day by 210,000 to 310,000 hosts, April 2010)."""
    host.client = replace(_BOT, helo=f"host-{int(host.rng.integers(1e6))}.dyn.example", verb="EHLO",
                          machine=LINUX, quits=1.0)  # fmt: skip
    _listed(host)
    _pace(host, float(host.rng.uniform(3, 8)), 0.4, recipients=(3, 20))


def necurs(host: Host) -> None:
    """45 messages a minute within bursts at 10.7 recipients each, long rests (Microsoft, 2020)."""
    host.client = replace(_BOT, helo=f"host{int(host.rng.integers(1e5))}.dyn.example", verb="EHLO",
                          quits=0.4, ending="reset")  # fmt: skip
    _listed(host)
    _pace(host, float(host.rng.uniform(20, 60)), 0.35, recipients=(5, 16), each=2,
          burst=20 * MINUTE, rest=6 * HOUR)  # fmt: skip


def emotet(host: Host) -> None:
    """Stolen accounts tried port by port: 18 connections a minute, of them 5 to port 25; of those
    69 % say nothing, 10 % leave after EHLO, 20 % are refused at log-in (a capture of 2022)."""
    rng = host.rng
    name = _pc(rng)
    tries = Client(helo=f"[{name}]", machine=WINDOWS, tls=False, pipelines=False, quits=0.1,
                   wordless=0.69, shy=0.3, auth="bad", named=False)  # fmt: skip
    works = replace(tries, wordless=0.0, shy=0.0, auth="good", spam=True)
    when = float(rng.uniform(0, 20)) * HOUR
    for _ in range(int(rng.integers(300, 700))):
        domain = host.world.any(rng)
        port = int(rng.choice([25, 465, 587], p=[0.28, 0.3, 0.42]))
        client = replace(works if rng.random() < 0.03 else tries, port=port)
        if port != 25:
            dead = rng.random() < (0.38 if port == 465 else 0.54)
            client = replace(client, tls=not dead)
        host.at(when, lambda t, d=domain, c=client: host.blast(t, d, [_spam(rng, 0.1)], c))
        when += float(rng.exponential(3.3))


def webmail_only(host: Host) -> None:
    """Only to two or three big providers, whose addresses are few networks; 10 to 120 an hour."""
    rng = host.rng
    host.client = replace(
        _BOT, helo=f"host-{int(rng.integers(1e6))}.dyn.example", verb="EHLO",
        quits=float(rng.choice([0.0, 0.5, 1.0])), tls=bool(rng.random() < 0.5),
    )  # fmt: skip
    _listed(host)
    few = [host.world.consumer[int(k)] for k in rng.permutation(6)[: int(rng.integers(2, 4))]]
    _pace(host, float(rng.uniform(0.2, 2)), float(rng.uniform(0.2, 0.6)), targets=few)


def polite(host: Host) -> None:
    """A good engine with a clean list: TLS, QUIT, a name; 1 to 10 a minute; filters refuse some."""
    rng = host.rng
    host.client = Client(helo=f"mail{int(rng.integers(100))}.host{int(rng.integers(1e4))}.example",
                         spam=True, named=False, lists=frozenset({"policy"}))  # fmt: skip
    _listed(host, 0.5)
    _pace(host, float(rng.uniform(1, 10)), float(rng.uniform(0.01, 0.08)), webmail=0.6)


def slow(host: Host) -> None:
    """An old engine that waits 1 to 20 minutes between messages."""
    host.client = replace(_BOT, helo=_pc(host.rng))
    _listed(host)
    _pace(host, 60 / float(host.rng.uniform(60, 1200)), 0.45, webmail=0.4)


def proxy(host: Host) -> None:
    """A doorbell or TV stick as residential proxy: a good server's words, few a day, big providers
    (Spamhaus, 2021, 2022, 2025)."""
    rng = host.rng
    host.client = Client(helo=f"smtp{int(rng.integers(50))}.bulk{int(rng.integers(300))}.example",
                         machine=SMALL if rng.random() < 0.5 else LINUX, spam=True, named=False,
                         tls=bool(rng.random() < 0.7), lists=frozenset({"policy"}))  # fmt: skip
    _listed(host, 0.6)
    _pace(host, float(rng.uniform(40, 400)) / 1440, float(rng.uniform(0.02, 0.15)), webmail=0.8,
          asks=False)  # fmt: skip


def guessing_worm(host: Host) -> None:
    """Guesses mx., mail., smtp. of what stands in the address book; most are not there; asks A
    records, not MX (MyDoom, Mytob; Wong et al. 2004, Musashi et al.)."""
    rng = host.rng
    host.client = replace(_BOT, helo=_pc(rng), machine=WINDOWS_OLD)
    when = float(rng.uniform(0, 20)) * HOUR
    rate = float(rng.uniform(20, 100))
    for _ in range(int(rng.integers(150, 600))):
        domain = host.world.any(rng)
        if rng.random() < 0.6:
            gone = [replace(s, alive="silent", address=s.address ^ 0x55) for s in domain.servers]
            domain = Domain(domain.name, gone)
        guess = str(rng.choice(["mail", "smtp", "mx", "gate", "relay"]))
        host.at(when - 0.1, lambda t, n=f"{guess}.{domain.name}": host.ask(t, n, 1))
        host.at(when, lambda t, d=domain: host.blast(t, d, [_spam(rng, 0.4)]))
        when += float(rng.exponential(60 / rate))


def cracked_account(host: Host) -> None:
    """A customer's good server, and from some hour on one stolen account that floods through it
    (14 of 79 sources in six months of a campus; Lin et al. 2012)."""
    from lab.senders.honest import office

    rng = host.rng
    office(host)
    spammy = replace(host.client, spam=True)
    when = float(rng.uniform(10, 18)) * HOUR
    rate = float(rng.uniform(5, 60))
    for _ in range(int(rng.integers(300, 1200))):
        domain = host.world.people(rng, 0.6)
        message = replace(_spam(rng, 0.3), sender="staff7@firm.example")
        host.at(when, lambda t, d=domain, m=message: host.deliver(t, d, m, spammy, 5))
        when += float(rng.exponential(60 / rate))
        if when > DAY:
            break


def behind_one_address(host: Host) -> None:
    """Two or three bots and the honest of an undeclared shared address together."""
    from lab.senders.honest import behind_one_address as honest

    honest(host)
    rng = host.rng
    for _ in range(int(rng.integers(2, 4))):
        machine = MACHINES[int(rng.integers(len(MACHINES)))]
        bot = replace(_BOT, helo=_pc(rng), machine=machine)
        when = float(rng.uniform(0, 12)) * HOUR
        rate = float(rng.uniform(2, 60))
        for _ in range(200):
            domain = host.world.people(rng)
            host.at(when, lambda t, d=domain, c=bot: host.blast(t, d, [_spam(rng, 0.4)], c))
            when += float(rng.exponential(60 / rate))


def prefix_hopper(host: Host, every: float = 600.0) -> None:
    """Another address of its /64 for each connection, and another /64 of a delegated /56 each
    ``every`` seconds."""
    rng = host.rng
    host.client = replace(_BOT, helo=_pc(rng), verb="EHLO")
    plain, base = host.connect, host.address

    def connect(when, server, messages, client=None):  # type: ignore[no-untyped-def]
        subnet = int(when // every) & 255
        host.address = base[:7] + bytes([subnet]) + rng.bytes(8)
        return plain(when, server, messages, client)

    host.connect = connect  # type: ignore[method-assign]
    _pace(host, float(rng.uniform(3, 60)), 0.45, most=500, asks=False)


def census(host: Host) -> None:
    """A researcher's or a stranger's scan of port 25: SYN, greeting, away."""
    rng = host.rng
    host.client = Client(machine=RAW, wordless=1.0, ending="reset")
    when = float(rng.uniform(0, 20)) * HOUR
    for _ in range(1500):
        domain = host.world.any(rng)
        server = domain.servers[0]
        if rng.random() < 0.7:
            server = replace(server, alive="silent", address=int(rng.integers(50 << 24, 60 << 24)))
        host.at(when, lambda t, s=server: host.connect(t, s, []))
        when += float(rng.exponential(0.3))


def password_guesser(host: Host) -> None:
    """Tries passwords at servers' port 25: EHLO, AUTH refused, again."""
    rng = host.rng
    host.client = Client(
        helo="User", machine=SMALL, auth="bad", tls=False, quits=0.3, pipelines=False
    )
    targets = [host.world.any(rng) for _ in range(int(rng.integers(5, 200)))]
    when = float(rng.uniform(0, 12)) * HOUR
    for _ in range(1000):
        domain = targets[int(rng.integers(len(targets)))]
        host.at(when, lambda t, d=domain: host.blast(t, d, []))
        when += float(rng.exponential(5.0))


def relay_tester(host: Host) -> None:
    """Looks for open relays: one foreign recipient at each server, refused (5.7.1)."""
    rng = host.rng
    host.client = Client(
        helo=f"[{host.text()}]", machine=SMALL, tls=False, pipelines=False, quits=0.5
    )
    when = float(rng.uniform(0, 20)) * HOUR
    for _ in range(int(rng.integers(200, 1000))):
        domain = host.world.any(rng)
        message = Message("test@relaytest.example", [("probe@elsewhere.example", False)])
        host.at(when, lambda t, d=domain, m=message: host.blast(t, d, [m]))
        when += float(rng.exponential(2.0))


SPAM: Final = {
    "Cutwail": cutwail,
    "Send-Safe": send_safe,
    "Phorpiex": phorpiex,
    "Waledac": waledac,
    "Lethic": lethic,
    "Necurs": necurs,
    "Emotet": emotet,
    "webmail only": webmail_only,
    "polite, clean list": polite,
    "slow": slow,
    "residential proxy": proxy,
    "guessing worm": guessing_worm,
    "cracked account": cracked_account,
    "bots behind a shared address": behind_one_address,
    "prefix hopper": prefix_hopper,
}
OTHER: Final = {
    "census": census,
    "password guesser": password_guesser,
    "relay tester": relay_tester,
}
