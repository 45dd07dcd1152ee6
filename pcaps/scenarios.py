"""The fixtures: small captures of typical senders, made with scapy, and the truth about each.

    python pcaps/scenarios.py [FOLDER]

Everything is seeded: the same scripts give the same bytes. Addresses are those set aside for
documentation and benchmarks (RFC 5737, 3849, 2544), names below ``example`` (RFC 2606).
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRRMX
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapWriter

START = 1_750_000_000.0
SERVER_MAC, CLIENT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"

OUTCOMES = ("answers", "refuses", "silent", "unreachable")


@dataclass
class Scenario:
    """Packets with their times, and what is true of the hosts in them."""

    name: str
    about: str
    truth: dict[str, dict[str, object]]
    config: str = ""
    seed: int = 1
    packets: list[tuple[float, Packet]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.name}/{self.seed}")

    # --- pieces of traffic -----------------------------------------------------------------------

    def _packet(self, t: float, src: str, dst: str, tcp: TCP, payload: bytes = b"") -> None:
        six = ip_address(src).version == 6
        ip = (
            IPv6(src=src, dst=dst) if six else IP(src=src, dst=dst, id=self.random.randrange(65536))
        )
        from_server = tcp.sport in (25, 587)
        macs = {"src": SERVER_MAC, "dst": CLIENT_MAC} if from_server else {
            "src": CLIENT_MAC, "dst": SERVER_MAC
        }  # fmt: skip
        packet = Ether(**macs) / ip / tcp
        self.packets.append((t, packet / Raw(payload) if payload else packet))

    def session(
        self,
        t: float,
        client: str,
        server: str,
        lines: list[tuple[str, bytes]] | None = None,
        outcome: str = "answers",
        sport: int = 0,
        quits: bool = True,
    ) -> float:
        """One connection to port 25; ``lines`` are (``c`` or ``s``, bytes). Returns its end."""
        sport = sport or self.random.randrange(1024, 65536)
        seq = {"c": self.random.randrange(1 << 32), "s": self.random.randrange(1 << 32)}
        round_trip = self.random.uniform(0.02, 0.2)

        def send(side: str, flags: str, payload: bytes = b"") -> None:
            other = "s" if side == "c" else "c"
            ports = {"sport": sport, "dport": 25} if side == "c" else {"sport": 25, "dport": sport}
            tcp = TCP(
                **ports,
                flags=flags,
                seq=seq[side],
                ack=seq[other] if "A" in flags else 0,
                window=64240,
                options=[("MSS", 1460)] if "S" in flags else [],
            )
            ends = (client, server) if side == "c" else (server, client)
            self._packet(t, *ends, tcp, payload)
            seq[side] = (seq[side] + len(payload) + ("S" in flags) + ("F" in flags)) % (1 << 32)

        isn = seq["c"]
        send("c", "S")
        if outcome == "silent":
            for wait in (1.0, 3.0):
                seq["c"] = isn
                t += wait
                send("c", "S")
            return t + 7
        t += round_trip
        if outcome == "refuses":
            send("s", "RA")
            return t
        if outcome == "unreachable":
            quoted = bytes(self.packets[-1][1][IP])[:28]
            router = "198.51.100.254"
            icmp = Ether(src=SERVER_MAC, dst=CLIENT_MAC) / IP(src=router, dst=client, id=7)
            self.packets.append((t, icmp / ICMP(type=3, code=1) / Raw(quoted)))
            return t
        send("s", "SA")
        t += 0.001
        send("c", "A")
        for side, text in lines if lines is not None else dialogue(self.random, quits=quits):
            t += round_trip if side == "s" else 0.002
            send(side, "PA", text)
        t += 0.01
        send("c", "FA")
        t += round_trip
        send("s", "FA")
        t += 0.001
        send("c", "A")
        return t

    def syn(self, t: float, client: str, server: str) -> None:
        """A lone SYN."""
        tcp = TCP(
            sport=self.random.randrange(1024, 65536),
            dport=25,
            flags="S",
            seq=self.random.randrange(1 << 32),
        )
        self._packet(t, client, server, tcp)

    def ask(self, t: float, client: str, name: str, kind: str, *records: Packet) -> float:
        """A question to the resolver, and its answer 20 ms later. Returns when that came."""
        resolver = "192.0.2.53"
        question = {
            "id": self.random.randrange(65536),
            "rd": 1,
            "qd": DNSQR(qname=name, qtype=kind),
        }
        sport = self.random.randrange(1024, 65536)
        for when, ends, ports, dns in (
            (t, (client, resolver), (sport, 53), DNS(**question)),
            (
                t + 0.02,
                (resolver, client),
                (53, sport),
                DNS(**question, qr=1, ra=1, an=list(records)),
            ),
        ):
            macs = {"src": CLIENT_MAC, "dst": SERVER_MAC}
            ip = IP(src=ends[0], dst=ends[1], id=self.random.randrange(65536))
            udp = UDP(sport=ports[0], dport=ports[1])
            self.packets.append((when, Ether(**macs) / ip / udp / dns))
        return t + 0.02

    def look_up(self, t: float, client: str, domain: str, exchange: str, *servers: str) -> float:
        """MX records of ``domain``, then the addresses of its exchanger (RFC 5321, 5.1)."""
        t = self.ask(t, client, domain, "MX", DNSRRMX(rrname=domain, exchange=exchange, ttl=300))
        records = [DNSRR(rrname=exchange, type="A", rdata=server, ttl=300) for server in servers]
        return self.ask(t + 0.001, client, exchange, "A", *records)

    def write(self, folder: Path) -> None:
        """Write the capture, in time order."""
        self.packets.sort(key=lambda entry: entry[0])
        with PcapWriter(str(folder / f"{self.name}.pcap"), nano=False, linktype=1) as out:
            for t, packet in self.packets:
                packet.time = round(t, 6)
                out.write(packet)
        if self.config:
            (folder / f"{self.name}.toml").write_text(self.config)


def dialogue(
    rng: random.Random,
    helo: str = "mail.sender.example",
    verb: str = "EHLO",
    code: int = 250,
    auth: bool = False,
    quits: bool = True,
) -> list[tuple[str, bytes]]:
    """An SMTP session: one message, accepted or refused with ``code`` at RCPT (RFC 5321)."""
    lines = [
        ("s", b"220 mx.receiver.example ESMTP\r\n"),
        ("c", f"{verb} {helo}\r\n".encode()),
        ("s", b"250-mx.receiver.example\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10485760\r\n"),
    ]
    if auth:
        lines += [
            ("c", b"AUTH PLAIN AGZpeHR1cmUAbm90LWEtc2VjcmV0\r\n"),
            ("s", b"235 2.7.0 ok\r\n"),
        ]
    lines += [
        ("c", f"MAIL FROM:<u{rng.randrange(1000)}@sender.example>\r\n".encode()),
        ("s", b"250 2.1.0 ok\r\n"),
        ("c", f"RCPT TO:<u{rng.randrange(1000)}@receiver.example>\r\n".encode()),
    ]
    if code == 250:
        body = b"Subject: fixture\r\n\r\n" + b"x" * rng.randrange(60, 900) + b"\r\n.\r\n"
        lines += [
            ("s", b"250 2.1.5 ok\r\n"),
            ("c", b"DATA\r\n"),
            ("s", b"354 go ahead\r\n"),
            ("c", body),
            ("s", b"250 2.0.0 queued\r\n"),
        ]
    else:
        lines.append(("s", f"{code} 5.1.1 no such user\r\n".encode()))
    if quits:
        lines += [("c", b"QUIT\r\n"), ("s", b"221 2.0.0 bye\r\n")]
    return lines


def servers(rng: random.Random, networks: int = 0) -> Iterator[str]:
    """Mail servers, each in a /24 of its own (of 198.18.0.0/15), or in ``networks`` of them."""
    order = rng.sample(range(512), 512)
    k = 0
    while True:
        net = order[k % (networks or 512)]
        yield f"198.{18 + (net >> 8)}.{net & 255}.{1 + (k // (networks or 512) * 7 + k) % 254}"
        k += 1


BOT = {"truth": "bot", "alert": True, "block": True}
LEGITIMATE = {"truth": "legitimate", "alert": False, "block": False}


def fast_bot(s: Scenario, host: str = "203.0.113.10") -> None:
    """Four new mail servers a second, most alive, half of the recipients unknown, never a QUIT."""
    mx = servers(s.random)
    for k in range(240):
        outcome = s.random.choices(OUTCOMES, (60, 15, 20, 5))[0]
        lines = dialogue(
            s.random, helo="localhost", verb="HELO", code=s.random.choice((250, 550)), quits=False
        )
        s.session(START + k * 0.25, host, next(mx), lines, outcome)


def slow_bot(s: Scenario, host: str = "203.0.113.20") -> None:
    """One new mail server every 45 seconds, two in three dead: below any rate limit."""
    mx = servers(s.random)
    for k in range(70):
        outcome = s.random.choices(OUTCOMES, (33, 27, 35, 5))[0]
        lines = dialogue(s.random, helo="user-pc", verb="HELO", code=550, quits=False)
        s.session(START + k * 45 + s.random.uniform(0, 5), host, next(mx), lines, outcome)


def worm(s: Scenario, host: str = "203.0.113.30") -> None:
    """A mass-mailing worm guesses addresses: nine in ten do not answer."""
    mx = servers(s.random)
    for k in range(300):
        outcome = s.random.choices(OUTCOMES, (8, 22, 60, 10))[0]
        s.session(START + k * 0.4, host, next(mx), None, outcome)


def provider_bot(s: Scenario, host: str = "203.0.113.40") -> None:
    """A bot works through one big provider: four networks, hundreds of addresses, all alive."""
    mx = servers(s.random, networks=4)
    for k in range(700):
        lines = dialogue(s.random, helo="[203.0.113.40]", code=s.random.choice((250, 550)))[:6]
        s.session(START + k * 0.06, host, next(mx), lines)


def new_mail_server(s: Scenario, host: str = "192.0.2.25") -> None:
    """An office's new server: a few mails a minute to new servers, which answer; it says QUIT."""
    mx = servers(s.random)
    known: list[str] = []
    for k in range(80):
        if not known or s.random.random() < 0.3:
            known.append(next(mx))
        outcome = "silent" if s.random.random() < 0.03 else "answers"
        server = s.random.choice(known)
        lines = dialogue(s.random, helo="mail.office.example")
        s.session(START + k * 30 + s.random.uniform(0, 20), host, server, lines, outcome)


def mailing_list(s: Scenario, host: str = "192.0.2.26") -> None:
    """A list server delivers one posting to its members at 40 mail servers within two minutes."""
    mx = servers(s.random)
    homes = [next(mx) for _ in range(40)]
    for server in homes:
        outcome = "silent" if s.random.random() < 0.04 else "answers"
        t = START + s.random.uniform(0, 120)
        for _ in range(s.random.randrange(1, 4)):
            lines = dialogue(s.random, helo="lists.club.example")
            t = s.session(t, host, server, lines, outcome) + 0.5


def home_user(s: Scenario, host: str = "203.0.113.50") -> None:
    """A mail program submits on port 25 with AUTH, always to the same server."""
    for k in range(12):
        lines = dialogue(s.random, helo="[192.168.1.4]", auth=True)
        s.session(START + k * 300 + s.random.uniform(0, 60), host, "198.51.100.25", lines)


def port_scan(s: Scenario, host: str = "203.0.113.60") -> None:
    """A scan of port 25, address by address: half-open, what answers is reset."""
    for k in range(400):
        server = f"198.51.100.{k % 254 + 1}" if k < 254 else f"198.18.7.{k - 253}"
        t = START + k * 0.05
        sport, seq, isn = 40000 + k, s.random.randrange(1 << 32), s.random.randrange(1 << 32)
        s._packet(t, host, server, TCP(sport=sport, dport=25, flags="S", seq=seq))
        draw = s.random.random()
        if draw < 0.05:
            answer = TCP(sport=25, dport=sport, flags="SA", seq=isn, ack=seq + 1)
            s._packet(t + 0.03, server, host, answer)
            reset = TCP(sport=sport, dport=25, flags="R", seq=seq + 1)
            s._packet(t + 0.031, host, server, reset)
        elif draw < 0.4:
            s._packet(t + 0.03, server, host, TCP(sport=25, dport=sport, flags="RA", ack=seq + 1))


def spoofed(s: Scenario, victim: str = "203.0.113.70") -> None:
    """Somebody sends SYNs under the address of an innocent, who resets the answers they get."""
    mx = servers(s.random)
    for k in range(300):
        server = next(mx)
        t = START + k * 0.1
        sport, seq, isn = 1024 + k, s.random.randrange(1 << 32), s.random.randrange(1 << 32)
        s._packet(t, victim, server, TCP(sport=sport, dport=25, flags="S", seq=seq))
        if s.random.random() < 0.8:
            answer = TCP(sport=25, dport=sport, flags="SA", seq=isn, ack=seq + 1)
            s._packet(t + 0.05, server, victim, answer)
            s._packet(t + 0.052, victim, server, TCP(sport=sport, dport=25, flags="R", seq=seq + 1))
    home_user(s, victim)


def one_direction(s: Scenario, host: str = "203.0.113.80") -> None:
    """The fast bot beside a home user, on a mirror that shows only what subscribers send."""
    fast_bot(s, host)
    home_user(s, "203.0.113.81")
    s.packets = [(t, p) for t, p in s.packets if TCP in p and p[TCP].dport == 25]


def ipv6_privacy(s: Scenario) -> None:
    """A bot takes a new address of its /64 for each connection (RFC 8981); its neighbour mails."""
    mx = servers(s.random)
    for k in range(240):
        net = next(mx).split(".")
        server = f"2001:db8:{0x1000 + int(net[1]) * 256 + int(net[2]):x}::25"
        host = f"2001:db8:0:77:{s.random.getrandbits(16):x}:{s.random.getrandbits(16):x}::1"
        outcome = s.random.choices(OUTCOMES[:3], (60, 15, 25))[0]
        s.session(START + k * 0.3, host, server, dialogue(s.random, code=550)[:7], outcome)
    for k in range(10):
        s.session(START + k * 60, "2001:db8:0:78::5", "2001:db8:ffff::25")


def cgn(s: Scenario, address: str = "100.64.1.1") -> None:
    """Customers share a CGN address, 1024 ports each; the one with ports 8192-9215 is a bot."""
    mx = servers(s.random)
    for k in range(240):
        outcome = s.random.choices(OUTCOMES[:3], (60, 15, 25))[0]
        lines = dialogue(s.random, helo="localhost", code=550, quits=False)
        s.session(START + k * 0.25, address, next(mx), lines, outcome, 8192 + k % 1024)
    for k in range(30):
        port = 1024 * s.random.randrange(10, 60) + k
        s.session(START + k * 9, address, "198.51.100.25", sport=port)


def mx_lookups(s: Scenario, bot: str = "203.0.113.90", office: str = "192.0.2.27") -> None:
    """A bot and an office's mail server, both seen asking DNS for MX records.

    Every fourth recipient is at one big provider, whose exchanger has five addresses.
    """
    mx = servers(s.random)
    big = [f"198.51.100.{k}" for k in range(1, 6)]

    def deliver(t: float, host: str, k: int, lines: list[tuple[str, bytes]]) -> None:
        if k % 4 == 0:
            t = s.look_up(t, host, "bigmail.example", "mx-in.l.bigmail.example", *big)
            server = s.random.choice(big)
        else:
            server = next(mx)
            t = s.look_up(t, host, f"d{k}.example", f"mx{k % 3}.d{k}.example", server)
        s.session(t + 0.002, host, server, lines)

    for k in range(60):
        lines = dialogue(s.random, helo="localhost", verb="HELO", code=s.random.choice((250, 550)))
        deliver(START + k * 1.5, bot, k, lines)
    for k in range(40):
        deliver(
            START + k * 90 + s.random.uniform(0, 60),
            office,
            k,
            dialogue(s.random, "m.office.example"),
        )


SCENARIOS: tuple[tuple[Callable[[Scenario], None], dict[str, dict[str, object]], str], ...] = (
    (fast_bot, {"203.0.113.10": BOT}, ""),
    (slow_bot, {"203.0.113.20": BOT}, ""),
    (worm, {"203.0.113.30": BOT}, ""),
    (provider_bot, {"203.0.113.40": BOT}, ""),
    (new_mail_server, {"192.0.2.25": LEGITIMATE}, ""),
    (mailing_list, {"192.0.2.26": LEGITIMATE}, ""),
    (home_user, {"203.0.113.50": LEGITIMATE}, ""),
    (port_scan, {"203.0.113.60": {"truth": "scanner", "alert": True, "block": False}}, ""),
    (spoofed, {"203.0.113.70": {"truth": "innocent", "alert": True, "block": False}}, ""),
    (
        one_direction,
        {
            "203.0.113.80": {"truth": "bot", "alert": True, "block": False},
            "203.0.113.81": LEGITIMATE,
        },
        "",
    ),
    (
        ipv6_privacy,
        {"2001:db8:0:77::/64": BOT, "2001:db8:0:78::/64": LEGITIMATE},
        'subscriber_prefixes = [{ prefix = "2001:db8::/48", delegated = 64 }]\n',
    ),
    (
        cgn,
        {"100.64.1.1:8192-9215": BOT},
        'subscriber_prefixes = [\n  { prefix = "100.64.0.0/10", cgn = true,'
        " ports_per_subscriber = 1024 },\n]\n",
    ),
    (mx_lookups, {"203.0.113.90": BOT, "192.0.2.27": LEGITIMATE}, ""),
)

DEMO = (fast_bot, slow_bot, worm, provider_bot, new_mail_server, mailing_list, home_user, spoofed)


def main() -> None:
    """Make every fixture, the demo that mixes them, and ``truth.json``."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    truth: dict[str, object] = {}
    demo_truth: dict[str, dict[str, object]] = {}
    demo = Scenario("demo", "Bots and legitimate senders side by side.", demo_truth)
    for make, hosts, config in SCENARIOS:
        scenario = Scenario(make.__name__, (make.__doc__ or "").strip(), hosts, config)
        make(scenario)
        scenario.write(folder)
        truth[scenario.name] = {"about": scenario.about, "hosts": hosts}
        if make in DEMO:
            demo.packets += scenario.packets
            demo_truth |= hosts
    demo.write(folder)
    truth["demo"] = {"about": demo.about, "hosts": demo_truth}
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")


if __name__ == "__main__":
    main()
