"""How it goes, in figures for people who watch: a row of the journal every ten seconds."""

import msgspec

__all__ = ["Vitals"]


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in the ``seconds`` up to ``ts``, and what there is."""

    ts: int
    """packet time, nanoseconds since 1970"""
    seconds: float
    packets: int
    dropped: int
    """by the kernel"""
    syns: int
    """new connections to watched ports"""
    answered: int
    loss: float
    """share of packets or bytes lost, the worse of the two"""
    hosts: int
    alerts_open: int
    fan_out: list[int] = []
    """hosts of the last hour by foreign networks contacted in it: 1, 2, up to 4, 8, 16, 32, 64,
    and more
    """
