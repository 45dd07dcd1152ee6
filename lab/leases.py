"""Leases for whoever needs some: told as a file tells them."""

from collections.abc import Iterable
from pathlib import Path

from sensor.hosts.customer_key import customer_key, pseudonym
from sensor.leases.file import LeaseFile
from sensor.leases.lines import HEADER
from sensor.pipeline import Pipeline

__all__ = ["known_as", "lend", "write"]


def write(path: Path, lines: Iterable[str]) -> Path:
    """A file of leases."""
    path.write_text("\n".join([",".join(HEADER), *lines]) + "\n")
    return path


def lend(pipeline: Pipeline, path: Path, lines: Iterable[str]) -> LeaseFile:
    """Tell a pipeline leases, by a file at ``path``."""
    file = LeaseFile(str(write(path, lines)), pipeline.settings.customers)
    pipeline.lend(file.changes, file.counters)
    return file


def known_as(name: str, secret: bytes = b"") -> str:
    """The pseudonym of a customer."""
    return pseudonym(*customer_key(name, secret))
