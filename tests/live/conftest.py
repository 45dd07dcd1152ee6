"""What the live tests need: root, namespaces, and programs; never skipped in CI."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import cannot
from tests.live import servers
from tests.live.laboratory import Laboratory

NEEDED = ("ip", "tcpdump", "tshark", "swaks", "openssl", "ethtool", "tc")


@pytest.fixture(scope="module", autouse=True)
def _can_run() -> None:
    programs = [*NEEDED, *(program for program, _ in servers.SERVERS.values())]
    gone = [name for name in programs if servers.program(name) is None]
    why = f"not installed (tests/live/install): {', '.join(gone)}" if gone else ""
    if os.geteuid() != 0:
        why = "network namespaces need root"
    if why:
        cannot(why)


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    with Laboratory() as laboratory:
        yield laboratory
