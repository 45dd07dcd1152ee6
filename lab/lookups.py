"""DNS about mail, as packets: what is asked for, and what is answered."""

import dns.message
import dns.rrset
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from lab.conversation import CLIENT, START, block
from lab.outputs import feed
from sensor.pipeline import Pipeline
from sensor.settings import Settings

RESOLVER = "192.0.2.53"
SECOND = 10**9
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # or scapy would ask for them


def message(name="d.example", kind="MX", answers=(), additional=(), ident=7, **more) -> bytes:
    """A query; with ``answers`` (lines of a zone file) the answer to it."""
    query = dns.message.make_query(name, kind, id=ident, use_edns=0)
    if not answers:
        return query.to_wire()
    response = dns.message.make_response(query)
    response.set_rcode(more.get("rcode", 0))
    for section, lines in ((response.answer, answers), (response.additional, additional)):
        for line in lines:
            owner, kind_, *data = line.split()
            section.append(dns.rrset.from_text(owner, 60, "IN", kind_, " ".join(data)))
    return response.to_wire()


class Wire:
    """Packets of port 53, a millisecond apart."""

    def __init__(self, client=CLIENT, resolver=RESOLVER, port=5353):
        self.ends, self.port = (client, resolver), port
        self.now = START
        self.frames: list[tuple[int, bytes]] = []

    def put(self, payload: bytes, answer=False, seconds=0.001, **tcp) -> "Wire":
        src, dst = self.ends[::-1] if answer else self.ends
        ports = {"sport": self.port, "dport": 53}
        if answer:
            ports = {"sport": 53, "dport": self.port}
        ip = IPv6(src=src, dst=dst) if ":" in src else IP(src=src, dst=dst, id=len(self.frames))
        layer = TCP(**ports, flags="PA", **tcp) if tcp else UDP(**ports)
        self.now += int(seconds * SECOND)
        self.frames.append((self.now, bytes(LINK / ip / layer / payload)))
        return self

    def read(self, **settings) -> Pipeline:
        pipeline = Pipeline(Settings(**settings))
        feed(pipeline, block(self.frames))
        return pipeline


MX = message(answers=["d.example. MX 10 MX1.d.example.", "d.example. MX 20 mx2.d.example."])
A = message("mx1.D.example", "A", answers=["mx1.d.example. A 198.51.100.1"], ident=8)
