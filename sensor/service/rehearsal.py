"""The pipeline is played through once, so that nothing is compiled or imported later."""

import struct

import numpy as np

from sensor.alerts.flood import emit_flood
from sensor.base.kernel import table
from sensor.base.units import SECOND
from sensor.capture.block import FRAME, NO_VLAN, Block
from sensor.dns.exchangers import get_ready, names_of
from sensor.dns.lookups import read_answers
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.subscribers import classify, host_text
from sensor.hosts.windows import WINDOWS
from sensor.pipeline import Pipeline
from sensor.settings import Limits, Settings
from sensor.smtp import record  # noqa: F401
from sensor.tracking.loop import adopt

__all__ = ["LEAST", "compile_kernels", "one_syn"]

LEAST = Limits(
    max_hosts=16, max_details=16, max_sketches=0, max_connections=64, max_sessions=16,
    max_pieces=16, max_exchangers=16, max_alerts=1, max_leases=16,
)  # fmt: skip
"""The smallest pipeline there is."""


def compile_kernels() -> None:
    """Have all code of the pipeline compiled, or read from the cache, before packets come.

    And all modules imported: who has given up its privileges may not be able to read them.
    """
    get_ready()
    pipeline = Pipeline(Settings(limits=LEAST))
    block = one_syn()
    for _ in pipeline.run([block]):
        pass
    for _ in pipeline.catch_up(int(block.frames["ts"][0]) + 1):
        pass
    pipeline.restore(pipeline.arrays(), pipeline.facts())
    pipeline.fan_out()
    state, zero = pipeline._state, np.uint64(0)
    adopt(state, zero, zero, classify(state.subscribers, zero, zero), 0, 0, 0, 0, False, 0, 0, True)
    host_text(0, 0, 128, 0)
    read_answers(state.lookups)
    names_of(state.lookups.known, *np.zeros((2, 1), np.uint64))
    evidence = Evidence(
        np.zeros((len(Count), len(WINDOWS)), np.int64), np.zeros(len(Fact), np.int64)
    )
    pipeline.model.explain(evidence)
    evidence.facts[[Fact.REPLIES_VISIBLE, Fact.PROVEN_REFUSED, Fact.PROVEN_RUDE]] = 1, 99, 99
    pipeline.model.explain(evidence)
    pipeline.model.proof.missing(pipeline.model.proof.explain(evidence))
    emit_flood(state.flood)


def one_syn() -> Block:
    """A packet on its way through every stage: Ethernet, IPv4, TCP, a SYN to port 25."""
    from sensor.capture.bpf import ETHERNET

    ethernet = bytes(12) + b"\x08\x00"
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, b"\xc0\0\2\1", b"\xc6\x33\x64\1")
    data = ethernet + ip + struct.pack(">HHIIBBHHH", 40_000, 25, 0, 0, 0x50, 2, 0, 0, 0)
    frame = table(1, FRAME)
    frame["ts"] = SECOND * 86_400 * 9
    frame["captured"] = frame["wire"] = len(data)
    frame["link"], frame["vlan"] = ETHERNET, NO_VLAN
    # A copy, for kernels are compiled for arrays that may be written, as those of the ring.
    return Block(np.frombuffer(data, np.uint8).copy(), frame, 1, "")
