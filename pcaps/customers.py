"""Fixtures of customers who change or share addresses: a capture, and the leases that go with it.

    python pcaps/customers.py [FOLDER]

As ``scenarios.py``; the leases are a ``.csv`` beside the capture, for ``replay --leases``.
"""

import datetime
import sys
from pathlib import Path

from scenarios import OUTCOMES, START, Scenario, dialogue, home_user, servers

HEADER = "from,until,prefix,ports,customer"
STAY = 600
"""Seconds until the provider ends a connection."""
HOMES, BOTS, PORTS = 200, 10, 256


def time(seconds: float) -> str:
    """So long after the start, RFC 3339."""
    moment = datetime.datetime.fromtimestamp(START + seconds, datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def bot_session(s: Scenario, t: float, host: str, server: str, sport: int = 0) -> None:
    """One of a bot's: half of the servers answer, and refuse."""
    outcome = s.random.choices(OUTCOMES[:3], (50, 20, 30))[0]
    said = dialogue(s.random, helo="localhost", verb="HELO", code=550, quits=False)
    domain = f"d{s.random.randrange(1000)}.example>".encode()
    lines = [(side, text.replace(b"receiver.example>", domain)) for side, text in said]
    s.session(t, host, server, lines, outcome, sport)


def reconnects(s: Scenario) -> list[str]:
    """A bot has a new address every ten minutes, and a home user his old one."""
    mx = servers(s.random)
    leases = []
    for k in range(7):
        address, begin = f"203.0.113.{100 + k}", k * STAY
        leases.append(f"{time(begin)},{time(begin + STAY)},{address},,bot@isp.example")
        for n in range(30):
            bot_session(s, START + begin + n * 19 + s.random.uniform(1, 5), address, next(mx))
        if k < 6:
            until = "" if k % 2 else time(8 * STAY)
            leases.append(f"{time(begin + STAY)},{until},{address},,home{k}@isp.example")
            later = Scenario(f"{s.name}/{k}", "", {})
            home_user(later, address)
            first = START + begin + STAY
            s.packets += [(t + begin + STAY, p) for t, p in later.packets if t < first - begin]
    return leases


def shared_address(s: Scenario, address: str = "198.51.100.200") -> list[str]:
    """Ten bots and two hundred homes behind one address, 256 ports each."""
    blocks = list(range(1024, 1024 + (HOMES + BOTS) * PORTS, PORTS))
    s.random.shuffle(blocks)
    leases = []
    for k, port in enumerate(blocks):
        name = f"bot{k}" if k < BOTS else f"home{k - BOTS}"
        leases.append(f"{time(-3600)},,{address},{port}-{port + PORTS - 1},{name}@isp.example")
        if k < BOTS:
            mx = servers(s.random)
            for n in range(60):
                at = START + n * 2 + s.random.uniform(0, 2)
                bot_session(s, at, address, next(mx), port + n)
        else:
            at = START + s.random.uniform(0, 120)
            server = f"192.0.2.{s.random.randrange(1, 200)}"
            lines = dialogue(s.random, helo="[192.168.1.4]", auth=True)
            s.session(at, address, server, lines, sport=port + s.random.randrange(PORTS))
    return leases


def main() -> None:
    """Make both captures, their leases and settings."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    config = 'subscriber_prefixes = [\n  { prefix = "198.51.100.200/32", cgn = true },\n]\n'
    for make, settings in ((reconnects, ""), (shared_address, config)):
        scenario = Scenario(make.__name__, (make.__doc__ or "").strip(), {}, settings)
        leases = make(scenario)
        scenario.write(folder)
        (folder / f"{scenario.name}.csv").write_text("\n".join([HEADER, *leases]) + "\n")


if __name__ == "__main__":
    main()
