"""What the live tests need: root, namespaces, and programs; never skipped in CI."""

import os
from collections.abc import Iterator

import pytest

from lab import mail_servers
from lab.network import Laboratory
from tests.conftest import cannot

NEEDED = ("ip", "tcpdump", "tshark", "swaks", "openssl", "ethtool", "tc", "nft")


@pytest.fixture(scope="module", autouse=True)
def _can_run() -> None:
    programs = [*NEEDED, *(program for program, _ in mail_servers.SERVERS.values())]
    gone = [name for name in programs if mail_servers.program(name) is None]
    why = f"not installed (lab/install): {', '.join(gone)}" if gone else ""
    if os.geteuid() != 0:
        why = "network namespaces need root"
    if why:
        cannot(why)


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    with Laboratory() as laboratory:
        yield laboratory
