"""Subscribers who do nothing wrong, and whom a careless sensor accuses.

Each function is one kind: it plans a day of one host. Ranges are assumed where no source stands;
they are wide on purpose. Hosts of one kind differ by their draw.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from lab.senders.host import DAY, HOUR, MINUTE, Host
from lab.senders.smtp import Client, Message

__all__ = ["HONEST"]

_NAMES: Final = ("mail", "mx", "smtp", "post", "relay")


def _server(rng: np.random.Generator, **habits: object) -> Client:
    """A mail server of the usual makes: Postfix, Exim, Exchange behind Linux."""
    name = f"{_NAMES[int(rng.integers(5))]}.firm{int(rng.integers(10_000))}.example"
    return replace(Client(helo=name, pipelines=bool(rng.random() < 0.8)), **habits)  # type: ignore[arg-type]


def _message(rng: np.random.Generator, wrong: float = 0.03, recipients: int = 1) -> Message:
    to = [
        (f"user{int(rng.integers(1e6))}@receiver.example", bool(rng.random() >= wrong))
        for _ in range(recipients)
    ]
    size = int(np.clip(rng.lognormal(np.log(8000), 1.2), 400, 60_000))
    return Message(f"staff{int(rng.integers(40))}@firm.example", to, size)


def _office_hours(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.sort(np.where(rng.random(n) < 0.15, rng.uniform(0, DAY, n),
                            8 * HOUR + 10 * HOUR * rng.beta(1.5, 1.5, n)))  # fmt: skip


def _inbox(host: Host, n: int, spam: float = 0.3) -> None:
    """Mail that comes in from abroad."""
    for when in host.rng.uniform(0, DAY, n):
        bad = bool(host.rng.random() < spam)
        host.at(float(when), lambda t, bad=bad: host.receive(t, _message(host.rng), bad))


def _correspondence(host: Host, n: int, circle: int, strangers: float, wrong: float) -> None:
    rng, world = host.rng, host.world
    friends = [world.people(rng, 0.3) for _ in range(circle)]
    for when in _office_hours(rng, n):
        domain = (
            world.popular(rng) if rng.random() < strangers else friends[int(rng.integers(circle))]
        )
        message = _message(rng, wrong, 1 + int(rng.geometric(0.7)) - 1)
        host.at(float(when), lambda t, d=domain, m=message: host.deliver(t, d, m))


def office(host: Host) -> None:
    """A small firm's own server: 20 to 800 messages a day to a circle, some to strangers."""
    host.client = _server(host.rng)
    n = int(np.clip(host.rng.lognormal(np.log(90), 1.0), 20, 800))
    _correspondence(host, n, int(host.rng.integers(20, 120)), 0.15, 0.03)
    _inbox(host, 2 * n)


def new_server(host: Host) -> None:
    """Its first day: all destinations are new to it, old address books, bare of reputation."""
    host.client = _server(host.rng, named=bool(host.rng.random() < 0.8))
    n = int(host.rng.integers(40, 400))
    _correspondence(
        host, n, int(host.rng.integers(60, 200)), 0.6, float(host.rng.uniform(0.03, 0.12))
    )
    _inbox(host, n // 4)


def greylisted(host: Host) -> None:
    """A server that pipelines, most of whose partners greylist: 450 to RCPT and 554 to DATA."""
    host.client = _server(host.rng, pipelines=True)
    rng = host.rng
    for domain in host.world.domains:
        for server in domain.servers:
            server.greylists = server.greylists or bool(rng.random() < 0.5)
    _correspondence(host, int(rng.integers(100, 500)), 150, 0.5, 0.04)
    _inbox(host, 60)


def listed_home_server(host: Host) -> None:
    """A server in a range that its own provider has on the policy list (Spamhaus PBL)."""
    host.client = _server(
        host.rng, lists=frozenset({"policy"}), named=bool(host.rng.random() < 0.5)
    )
    if host.rng.random() < 0.4:
        host.client = replace(host.client, helo="homeserver")
    n = int(host.rng.integers(15, 200))
    _correspondence(host, n, int(host.rng.integers(10, 80)), 0.3, 0.03)
    _inbox(host, n)


def callouts(host: Host) -> None:
    """A server that verifies the sender of each message it gets: RCPT, then QUIT.

    Postfix ``reject_unverified_sender``, Exim ``verify = sender/callout``: MAIL FROM:<>, no DATA.
    Half of the senders of spam are forged, so half of what it asks is no mailbox.
    """
    host.client = _server(host.rng)
    rng = host.rng
    for when in rng.uniform(0, DAY, int(rng.integers(80, 600))):
        domain = host.world.any(rng) if rng.random() < 0.6 else host.world.people(rng)
        exists = bool(rng.random() < rng.uniform(0.3, 0.7))
        ask = Message("", [(f"someone{int(rng.integers(1e6))}@x.example", exists)], data=False)
        host.at(float(when) - 1.0, lambda t: host.receive(t, _message(rng), True))
        host.at(float(when), lambda t, d=domain, m=ask: host.deliver(t, d, m))
    _correspondence(host, int(rng.integers(10, 80)), 30, 0.1, 0.03)


def tester(host: Host) -> None:
    """A service that tests others' servers for TLS and DANE: EHLO, STARTTLS, QUIT; many of them."""
    host.client = _server(host.rng)
    rng = host.rng
    every = float(rng.uniform(2, 60))
    when = float(rng.uniform(0, HOUR))
    while when < DAY and host.sent < 4000:
        domain = host.world.any(rng)
        host.at(when, lambda t, d=domain: host.connect(t, d.servers[0], []))
        when += every * float(rng.uniform(0.5, 1.5))
        if (DAY - when) / every < 1 or when > every * 1500:
            break


def deliverability(host: Host) -> None:
    """A tool that checks mailing lists before they are written to: RCPT for each, never DATA.

    Honest where it checks one's own list; its answers are half unknown mailboxes.
    """
    host.client = _server(host.rng)
    rng = host.rng
    start = float(rng.uniform(6, 16)) * HOUR
    for _ in range(int(rng.integers(200, 900))):
        domain = host.world.people(rng)
        to = [
            (f"c{int(rng.integers(1e6))}@x.example", bool(rng.random() < 0.6))
            for _ in range(int(rng.integers(1, 4)))
        ]
        message = Message("check@firm.example", to, data=False)
        host.at(start, lambda t, d=domain, m=message: host.deliver(t, d, m))
        start += float(rng.exponential(8.0))


def monitoring(host: Host) -> None:
    """Watches some dozens of servers each minute or five: greeting, EHLO, QUIT."""
    host.client = _server(host.rng, tls=bool(host.rng.random() < 0.5))
    rng = host.rng
    watched = [host.world.any(rng) for _ in range(int(rng.integers(10, 60)))]
    every = float(rng.choice([60.0, 300.0]))
    phase = rng.uniform(0, every, len(watched))
    rounds = min(int(DAY / every), 3500 // len(watched))
    for k in range(rounds):
        for domain, p in zip(watched, phase, strict=True):
            host.at(k * every + float(p), lambda t, d=domain: host.connect(t, d.servers[0], []))


def broken_route(host: Host) -> None:
    """A good server whose upstream is down for an hour or three: all it tries goes unanswered."""
    rng = host.rng
    host.client = _server(rng)
    _correspondence(host, int(rng.integers(80, 500)), 80, 0.3, 0.03)
    _inbox(host, 80)
    begin = float(rng.uniform(8, 14)) * HOUR
    end = begin + float(rng.uniform(0.5, 3)) * HOUR
    plain = host.connect

    def connect(when, server, messages, client=None):  # type: ignore[no-untyped-def]
        dead = begin <= when < end
        return plain(when, replace(server, alive="silent") if dead else server, messages, client)

    host.connect = connect  # type: ignore[method-assign]


def forwarder(host: Host) -> None:
    """Mailboxes forwarded elsewhere: what comes in goes out within seconds, spam and all."""
    rng = host.rng
    host.client = _server(rng)
    targets = [host.world.people(rng, 0.8) for _ in range(int(rng.integers(10, 60)))]
    share = float(rng.uniform(0.2, 0.6))
    for when in rng.uniform(0, DAY, int(rng.integers(150, 900))):
        spam = bool(rng.random() < share)
        domain = targets[int(rng.integers(len(targets)))]
        message = _message(rng, 0.01)
        client = replace(host.client, spam=spam)
        host.at(float(when), lambda t, s=spam: host.receive(t, _message(rng), s))
        host.at(float(when) + float(rng.uniform(0.5, 5)),
                lambda t, d=domain, m=message, c=client: host.deliver(t, d, m, c))  # fmt: skip


def mailing_list(host: Host) -> None:
    """A club's lists: one message in, hundreds of copies out at once, many recipients each."""
    rng = host.rng
    host.client = _server(rng)
    members = [host.world.people(rng, 0.4) for _ in range(int(rng.integers(60, 500)))]
    gone = rng.random(len(members)) < rng.uniform(0.01, 0.08)
    for when in _office_hours(rng, int(rng.integers(2, 8))):
        host.at(float(when) - 3, lambda t: host.receive(t, _message(rng)))
        for k, domain in enumerate(members):
            to = [(f"m{k}@x.example", not gone[k])]
            message = Message("list-bounces@club.example", to, 6000)
            host.at(float(when) + 0.05 * k, lambda t, d=domain, m=message: host.deliver(t, d, m))


def secondary_mx(host: Host) -> None:
    """Takes mail for others while their server is away, and passes it on, spam too."""
    rng = host.rng
    host.client = _server(rng)
    targets = [host.world.any(rng) for _ in range(int(rng.integers(3, 40)))]
    for when in rng.uniform(0, DAY, int(rng.integers(100, 700))):
        spam = bool(rng.random() < 0.7)
        client = replace(host.client, spam=spam)
        wrong = 0.4 if spam else 0.02
        message = _message(rng, wrong)
        domain = targets[int(rng.integers(len(targets)))]
        host.at(float(when), lambda t, s=spam: host.receive(t, _message(rng), s))
        host.at(float(when) + float(rng.uniform(0.5, 60)),
                lambda t, d=domain, m=message, c=client: host.deliver(t, d, m, c))  # fmt: skip


def newsletter(host: Host) -> None:
    """A shop's letter to 500 to 3,000 customers in an hour or two; a few per cent have moved."""
    rng = host.rng
    host.client = _server(rng)
    _inbox(host, 60)
    when = float(rng.uniform(7, 17)) * HOUR
    pace = float(rng.uniform(0.5, 4))
    wrong = float(rng.uniform(0.01, 0.1))
    for k in range(int(rng.integers(500, 3000))):
        domain = host.world.people(rng, 0.6)
        message = replace(_message(rng, wrong), sender=f"bounce+{k}@shop.example")
        host.at(when, lambda t, d=domain, m=message: host.deliver(t, d, m))
        when += float(rng.exponential(pace))


def migration(host: Host) -> None:
    """A new machine that sends the old one's queue at once: hundreds of destinations in minutes."""
    rng = host.rng
    host.client = _server(rng)
    when = float(rng.uniform(0, 20)) * HOUR
    for _ in range(int(rng.integers(150, 900))):
        domain, message = host.world.people(rng, 0.3), _message(rng, 0.06)
        host.at(when, lambda t, d=domain, m=message: host.deliver(t, d, m))
        when += float(rng.exponential(0.4))
    _correspondence(host, 60, 60, 0.3, 0.03)
    _inbox(host, 100)


def university(host: Host) -> None:
    """A faculty's server: thousands of messages a day, to everywhere, forwards among them."""
    rng = host.rng
    host.client = _server(rng)
    _correspondence(host, int(rng.integers(1200, 2600)), 600, 0.5, 0.05)
    _inbox(host, 500)


def shared_host(host: Host) -> None:
    """A virtual server with some dozens of small web sites: forms, shops, each with a sender."""
    rng = host.rng
    host.client = _server(rng)
    for when in rng.uniform(0, DAY, int(rng.integers(100, 1200))):
        domain, message = host.world.people(rng, 0.7), _message(rng, 0.1)
        message.sender = f"wordpress@site{int(rng.integers(40))}.example"
        host.at(float(when), lambda t, d=domain, m=message: host.deliver(t, d, m))
    _inbox(host, 40)


def mail_program(host: Host) -> None:
    """A home whose program submits on port 25 to its one to three providers."""
    rng = host.rng
    bare = bool(rng.random() < 0.5)
    host.client = Client(helo="DESKTOP-7F3A" if bare else "[192.168.1.7]", auth="good",
                         tls=bool(rng.random() < 0.6), pipelines=False, named=False)  # fmt: skip
    accounts = [host.world.people(rng) for _ in range(int(rng.integers(1, 4)))]
    for when in rng.uniform(7 * HOUR, 23 * HOUR, int(rng.integers(3, 40))):
        domain = accounts[int(rng.integers(len(accounts)))]
        host.at(float(when), lambda t, d=domain: host.deliver(t, d, _message(rng, 0.0)))


def device(host: Host) -> None:
    """A disk or camera that reports by mail straight to its owner's webmail.

    One provider's servers, each in turn, refuse it by the policy list, again and again; it gives a
    bare name, and says no QUIT.
    """
    rng = host.rng
    host.client = Client(helo=str(rng.choice(["nas", "localhost", "ipcam", "synology"])),
                         verb=str(rng.choice(["HELO", "EHLO"])), tls=False, pipelines=False,
                         quits=float(rng.choice([0.0, 1.0])), named=False,
                         lists=frozenset({"policy"} if rng.random() < 0.8 else ()))  # fmt: skip
    home = host.world.consumer[int(rng.integers(len(host.world.consumer)))]
    every = float(rng.uniform(1, 30)) * MINUTE
    when = float(rng.uniform(0, HOUR))
    while when < DAY:
        host.at(when, lambda t: host.blast(t, home, [_message(rng, 0.0)]))
        when += every * float(rng.uniform(0.8, 1.2))


def behind_one_address(host: Host) -> None:
    """An office block or a hostel behind one address nobody declared: programs and two servers."""
    rng = host.rng
    clients = [
        Client(helo=f"PC-{int(rng.integers(1e4)):04d}", auth="good", named=False, pipelines=False,
               tls=bool(rng.random() < 0.7))
        for _ in range(int(rng.integers(8, 60)))
    ]  # fmt: skip
    homes = [host.world.people(rng) for _ in clients]
    for when in rng.uniform(7 * HOUR, 23 * HOUR, int(rng.integers(60, 500))):
        k = int(rng.integers(len(clients)))
        host.at(
            float(when), lambda t, k=k: host.deliver(t, homes[k], _message(rng, 0.0), clients[k])
        )
    for _ in range(2):
        server = _server(rng)
        for when in _office_hours(rng, 60):
            domain = host.world.people(rng)
            host.at(float(when), lambda t, d=domain, c=server: host.deliver(t, d, _message(rng), c))


def bounces(host: Host) -> None:
    """A server that takes all and bounces what it cannot deliver, to forged senders."""
    rng = host.rng
    host.client = _server(rng)
    for when in rng.uniform(0, DAY, int(rng.integers(60, 500))):
        domain = host.world.any(rng) if rng.random() < 0.6 else host.world.people(rng)
        message = Message(
            "", [(f"f{int(rng.integers(1e6))}@x.example", bool(rng.random() < 0.5))], 3000
        )
        host.at(float(when) - 4.0, lambda t: host.receive(t, _message(rng), True))
        host.at(float(when), lambda t, d=domain, m=message: host.deliver(t, d, m))
    _correspondence(host, int(rng.integers(20, 100)), 30, 0.1, 0.03)


def answering_machine(host: Host) -> None:
    """Tickets and out-of-office: each mail that comes is answered at once, to whoever wrote."""
    rng = host.rng
    host.client = _server(rng)
    for when in _office_hours(rng, int(rng.integers(60, 500))):
        domain = host.world.people(rng, 0.5)
        host.at(float(when), lambda t: host.receive(t, _message(rng), bool(rng.random() < 0.2)))
        host.at(float(when) + 1.0, lambda t, d=domain: host.deliver(t, d, _message(rng, 0.08)))


HONEST: Final = {
    "office": office,
    "new server": new_server,
    "greylisted pipeliner": greylisted,
    "home server on a policy list": listed_home_server,
    "sender verification": callouts,
    "TLS tester": tester,
    "deliverability tester": deliverability,
    "monitoring": monitoring,
    "broken route": broken_route,
    "forwarder": forwarder,
    "mailing list": mailing_list,
    "secondary MX": secondary_mx,
    "newsletter": newsletter,
    "migration": migration,
    "university": university,
    "shared web host": shared_host,
    "mail program on port 25": mail_program,
    "device": device,
    "undeclared shared address": behind_one_address,
    "backscatter": bounces,
    "answering machine": answering_machine,
}
