"""How sensor and blocking are, in figures: what every page and terminal has in sight."""

from typing import Literal

import msgspec

from sensor.alerts.vitals import Vitals

__all__ = ["Mode", "Range", "Status", "together"]

Mode = Literal["off", "dry-run", "enforce"]


class Status(msgspec.Struct, frozen=True):
    """Whether a sensor runs, and whether what it decides is carried out."""

    running: bool
    """whether a sensor has written to the journal within the last half minute"""
    silent: float | None
    """seconds since one did, by the clock on the wall; null: never"""
    now: int
    """packet time of the newest thing known, ns"""
    mode: Mode
    """of the newest decision, else as this page was started with it"""
    blocked: int
    """blocks in force"""
    would_block: int
    """blocks that a dry run would have in force"""
    stopped: bool
    """blocking has stopped itself and does not yet go on as before"""
    fault: str = ""
    """why the state folder cannot be read; the rest is then not known"""
    step: int = 0
    """the step by which it goes on since"""


class Range(msgspec.Struct, frozen=True):
    """A /24, or a /48 of IPv6 (a delegated prefix that is shorter stands for itself)."""

    prefix: str
    hosts: int
    """with an open alert"""
    recommended: int
    """of them, those with a block recommended"""


def together(workers: list[list[Vitals]]) -> Vitals:
    """What several workers' vitals of one span come to."""
    every = [one for mine in workers for one in mine]
    last = [mine[-1] for mine in workers if mine]
    steps = [one.fan_out for one in last if one.fan_out]
    return Vitals(
        ts=max(one.ts for one in every),
        seconds=max(sum(one.seconds for one in mine) for mine in workers),
        packets=sum(one.packets for one in every),
        dropped=sum(one.dropped for one in every),
        syns=sum(one.syns for one in every),
        answered=sum(one.answered for one in every),
        loss=max(one.loss for one in every),
        hosts=sum(one.hosts for one in last),
        alerts_open=sum(one.alerts_open for one in last),
        fan_out=[sum(counts) for counts in zip(*steps, strict=True)],
    )
