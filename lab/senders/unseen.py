"""Kinds of senders that no parameter ever saw: they were written after the last of them was chosen
and are looked at only to report.

Same words as :mod:`lab.senders.honest` and :mod:`lab.senders.hostile`; ranges are assumed.
"""

from dataclasses import replace
from typing import Final

from lab.senders.honest import shared_host
from lab.senders.host import DAY, HOUR, MINUTE, Host
from lab.senders.smtp import Client, Message
from lab.senders.wire import LINUX, SMALL, WINDOWS
from lab.senders.world import Domain

__all__ = ["UNSEEN_HONEST", "UNSEEN_SPAM"]


def _letter(host: Host, wrong: float, sender: str, size: int = 5000) -> Message:
    to = f"p{int(host.rng.integers(1e7))}@x.example"
    return Message(sender, [(to, bool(host.rng.random() >= wrong))], size)


def _deliver_all(host: Host, begin: float, pace: float, many: int, **about: object) -> None:
    """So many letters from ``begin`` on, one each ``pace`` seconds; ``about`` as below."""
    wrong, webmail = float(about["wrong"]), float(about["webmail"])  # type: ignore[arg-type]
    when = begin
    for _ in range(many):
        domain = host.world.people(host.rng, webmail)
        letter = _letter(host, wrong, str(about["sender"]))
        host.at(when, lambda t, d=domain, m=letter: host.deliver(t, d, m))
        when += float(host.rng.exponential(pace))


def forum(host: Host) -> None:
    """Notices of a forum to members of ten years: a server that gives no proper name and takes no
    mail; a seventh of the mailboxes are gone."""
    rng = host.rng
    host.client = Client(helo="localhost.localdomain", named=bool(rng.random() < 0.5))
    for _ in range(int(rng.integers(20, 90))):
        begin = float(rng.uniform(0, 0.95 * DAY))
        _deliver_all(host, begin, 0.3, int(rng.integers(3, 20)), wrong=0.14, webmail=0.7,
                     sender="noreply@forum.example")  # fmt: skip


def alumni(host: Host) -> None:
    """A school writes to its former pupils once in some years: up to a third have moved."""
    rng = host.rng
    host.client = Client(helo="post.school.example")
    for when in rng.uniform(6 * HOUR, 20 * HOUR, 30):
        host.at(float(when), lambda t: host.receive(t, _letter(host, 0.0, "x@y.example")))
    _deliver_all(host, float(rng.uniform(7, 15)) * HOUR, float(rng.uniform(0.5, 5)),
                 int(rng.integers(300, 1500)), wrong=float(rng.uniform(0.15, 0.33)), webmail=0.75,
                 sender="office@school.example")  # fmt: skip


def copier(host: Host) -> None:
    """Copiers that mail what they scan straight to clients' servers: no TLS, a serial number."""
    rng = host.rng
    host.client = Client(helo=f"RNP{int(rng.integers(1 << 24)):06X}", verb="EHLO", machine=SMALL,
                         tls=False, pipelines=False, named=False,
                         lists=frozenset({"policy"} if rng.random() < 0.5 else ()))  # fmt: skip
    clients = [host.world.people(rng, 0.4) for _ in range(int(rng.integers(8, 40)))]
    for when in rng.uniform(8 * HOUR, 18 * HOUR, int(rng.integers(20, 200))):
        domain = clients[int(rng.integers(len(clients)))]
        letter = _letter(host, 0.02, "scan@firm.example", 40_000)
        host.at(float(when), lambda t, d=domain, m=letter: host.deliver(t, d, m, tries=6))


def stale_book(host: Host) -> None:
    """A club whose address book is full of domains that are no more: a third never answers, and
    each is tried again for a day."""
    rng = host.rng
    host.client = Client(helo="mail.club.example")
    for domain in host.world.domains:
        if rng.random() < 0.33:
            for server in domain.servers:
                server.alive = "silent"
    _deliver_all(host, float(rng.uniform(7, 12)) * HOUR, float(rng.uniform(1, 20)),
                 int(rng.integers(80, 400)), wrong=0.1, webmail=0.2,
                 sender="board@club.example")  # fmt: skip
    for when in rng.uniform(0, DAY, 20):
        host.at(float(when), lambda t: host.receive(t, _letter(host, 0.0, "x@y.example")))


def status_page(host: Host) -> None:
    """Asks some hundred servers each half hour whether they are there: greeting, QUIT."""
    rng = host.rng
    host.client = Client(helo="probe.status.example", shy=0.0, tls=False)
    watched = [host.world.any(rng) for _ in range(int(rng.integers(30, 75)))]
    for turn in range(48):
        for k, domain in enumerate(watched):
            when = turn * 30 * MINUTE + k * 0.7
            host.at(when, lambda t, d=domain: host.connect(t, d.servers[0], []))


def deferred_letter(host: Host) -> None:
    """A shop's letter from an address without a name: big providers put it off for hours."""
    rng = host.rng
    host.client = Client(helo=f"vps{int(rng.integers(1e5))}.hoster.example", named=False)
    _deliver_all(host, float(rng.uniform(6, 12)) * HOUR, float(rng.uniform(0.5, 3)),
                 int(rng.integers(300, 1200)), wrong=0.05, webmail=0.85,
                 sender="news@shop.example")  # fmt: skip


def smarthost_abroad(host: Host) -> None:
    """A firm that hands all its mail to one server abroad, with a password, on port 25."""
    rng = host.rng
    host.client = Client(helo="exchange.firm.local", auth="good", machine=WINDOWS)
    relay = host.world.any(rng)
    for when in rng.uniform(6 * HOUR, 20 * HOUR, int(rng.integers(300, 2500))):
        letter = _letter(host, 0.03, "staff@firm.example")
        host.at(float(when), lambda t, m=letter: host.deliver(t, relay, m))


def agency(host: Host) -> None:
    """Writes in the name of some dozens of shops, an hour each, as they ordered it."""
    rng = host.rng
    host.client = Client(helo="out1.agency.example")
    for shop in range(int(rng.integers(5, 30))):
        _deliver_all(host, float(rng.uniform(0, 22)) * HOUR, float(rng.uniform(1, 8)),
                     int(rng.integers(30, 130)), wrong=float(rng.uniform(0.0, 0.12)), webmail=0.7,
                     sender=f"bounce@shop{shop}.example")  # fmt: skip


_ENGINE: Final = Client(
    helo="x", machine=WINDOWS, tls=False, pipelines=False, quits=0.0, spam=True, named=False,
    lists=frozenset({"policy"}),
)  # fmt: skip


def _spam(host: Host, wrong: float, recipients: int = 1) -> Message:
    rng = host.rng
    to = [
        (f"v{int(rng.integers(1e7))}@x.example", bool(rng.random() >= wrong))
        for _ in range(recipients)
    ]
    return Message(f"a{int(rng.integers(1e7))}@d{int(rng.integers(1e4))}.example", to, 2500)


def snowshoe(host: Host) -> None:
    """Its own names, a new one each hour, good manners, many sender domains; lists know it late."""
    rng = host.rng
    host.client = Client(spam=True)
    listed_at = float(rng.uniform(2, 20)) * HOUR
    rate = float(rng.uniform(30, 200))
    when = float(rng.uniform(0, 4)) * HOUR
    for _ in range(1500):
        lists = frozenset({"spam"}) if when > listed_at else frozenset()
        name = f"o{int(when // HOUR)}.offers{int(rng.integers(1 << 20) % 7)}.example"
        client = replace(host.client, helo=name, lists=lists)
        domain, letter = host.world.people(rng, 0.6), _spam(host, 0.12)
        host.at(when, lambda t, d=domain, m=letter, c=client: host.blast(t, d, [m], c))
        when += float(rng.exponential(3600 / rate))


def retrying_engine(host: Host) -> None:
    """A bot of today: EHLO, QUIT mostly, and what is put off it tries again after ten minutes."""
    rng = host.rng
    host.client = replace(_ENGINE, helo=f"home-{int(rng.integers(1e6))}", quits=0.7)
    if rng.random() < 0.8:
        host.client = replace(host.client, lists=frozenset({"policy", "spam"}))

    def once(t: float, domain: Domain, letter: Message, left: int = 3) -> None:
        results = host.blast(t, domain, [letter])
        if left and results is not None and results[0] == "later":
            host.at(t + 600, lambda at: once(at, domain, letter, left - 1))

    when = float(rng.uniform(0, 14)) * HOUR
    rate = float(rng.uniform(2, 60))
    for _ in range(700):
        domain, letter = host.world.people(rng), _spam(host, 0.3)
        host.at(when, lambda t, d=domain, m=letter: once(t, d, m))
        when += float(rng.exponential(60 / rate))


def mailer_script(host: Host) -> None:
    """A shared web host, and from some hour on a stolen site whose script mails by itself."""
    shared_host(host)
    rng = host.rng
    script = replace(_ENGINE, helo="localhost", machine=LINUX, quits=1.0, lists=frozenset())
    when = float(rng.uniform(4, 16)) * HOUR
    rate = float(rng.uniform(10, 120))
    for _ in range(1200):
        domain, letter = host.world.people(rng, 0.6), _spam(host, 0.3)
        host.at(when, lambda t, d=domain, m=letter: host.blast(t, d, [m], script))
        when += float(rng.exponential(60 / rate))


def short_burst(host: Host) -> None:
    """Five minutes of extortion letters, twenty recipients each, to webmail; then silence."""
    rng = host.rng
    host.client = replace(_ENGINE, helo=f"WIN-{int(rng.integers(1e6)):X}")
    if rng.random() < 0.6:
        host.client = replace(host.client, lists=frozenset({"policy", "spam"}))
    when = float(rng.uniform(0, 22)) * HOUR
    for _ in range(int(rng.integers(60, 250))):
        domain, letter = host.world.people(rng, 0.8), _spam(host, 0.25, 20)
        host.at(when, lambda t, d=domain, m=letter: host.blast(t, d, [m]))
        when += float(rng.exponential(1.5))


def harvester(host: Host) -> None:
    """Guesses mailboxes, thirty a connection, of some dozen domains: nearly all are refused."""
    rng = host.rng
    host.client = replace(_ENGINE, helo=f"mx{int(rng.integers(100))}.example", quits=0.5)
    targets = [host.world.any(rng) for _ in range(int(rng.integers(10, 50)))]
    when = float(rng.uniform(0, 18)) * HOUR
    for _ in range(int(rng.integers(150, 600))):
        domain, letter = targets[int(rng.integers(len(targets)))], _spam(host, 0.93, 30)
        asked = replace(letter, data=False)
        host.at(when, lambda t, d=domain, m=asked: host.blast(t, d, [m]))
        when += float(rng.exponential(6.0))


def shut_in(host: Host) -> None:
    """A bot behind a closed port 25: hardly a SYN in a hundred is answered."""
    rng = host.rng
    host.client = replace(_ENGINE, helo=f"pc{int(rng.integers(1e5))}")
    for domain in host.world.domains + host.world.consumer:
        for server in domain.servers:
            server.alive = "up" if rng.random() < 0.01 else "silent"
    when = float(rng.uniform(0, 18)) * HOUR
    rate = float(rng.uniform(10, 100))
    for _ in range(600):
        domain, letter = host.world.people(rng, 0.4), _spam(host, 0.4)
        host.at(when, lambda t, d=domain, m=letter: host.blast(t, d, [m]))
        when += float(rng.exponential(60 / rate))


def rented_proxy(host: Host) -> None:
    """A set-top box rented to several senders at once, each with names and an engine of its own."""
    rng = host.rng
    for tenant in range(int(rng.integers(2, 6))):
        client = Client(
            helo=f"m{tenant}.bulk{int(rng.integers(1e4))}.example", machine=LINUX, spam=True,
            verb=str(rng.choice(["EHLO", "HELO"])), tls=bool(rng.random() < 0.5),
            quits=float(rng.choice([0.0, 1.0])), pipelines=bool(rng.random() < 0.5), named=False,
            lists=frozenset({"policy"}),
        )  # fmt: skip
        when = float(rng.uniform(0, 18)) * HOUR
        rate = float(rng.uniform(5, 120))
        for _ in range(400):
            domain, letter = host.world.people(rng, 0.7), _spam(host, 0.15)
            host.at(when, lambda t, d=domain, m=letter, c=client: host.blast(t, d, [m], c))
            when += float(rng.exponential(3600 / rate))


UNSEEN_HONEST: Final = {
    "forum": forum,
    "alumni letter": alumni,
    "copier": copier,
    "stale address book": stale_book,
    "status page": status_page,
    "deferred letter": deferred_letter,
    "smarthost abroad": smarthost_abroad,
    "agency": agency,
}
UNSEEN_SPAM: Final = {
    "snowshoe": snowshoe,
    "retrying engine": retrying_engine,
    "mailer script": mailer_script,
    "short burst": short_burst,
    "harvester": harvester,
    "closed port": shut_in,
    "rented proxy": rented_proxy,
}
