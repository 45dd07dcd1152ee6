"""A flow record, as far as connections to mail ports are concerned."""

from typing import NamedTuple

__all__ = ["Export", "ExportError", "Flow"]


class ExportError(ValueError):
    """A message that is not as it should be; the text says at which byte."""


class Flow(NamedTuple):
    """One direction of a TCP connection, or some packets of it."""

    source: bytes
    """4 or 16 bytes"""
    destination: bytes
    source_port: int
    port: int
    """of the destination"""
    flags: int
    """of all its packets together; -1: not told"""
    packets: int
    size: int
    """bytes of them all"""
    rate: int
    """one packet in so many was looked at; 0: not told here"""


class Export(NamedTuple):
    """What one message says."""

    flows: list[Flow]
    """of TCP"""
    others: int
    """records of other protocols, or without addresses and ports"""
    lost: int
    """records or messages missing before it, as far as its number tells"""
    rate: int = 0
    """one packet in so many is looked at, if it says so; 0: it does not"""
    unknown: int = 0
    """sets of records whose template is not known"""
