"""A real server of lists that are asked by DNS."""

import os
import socket
import subprocess

import dns.exception
import pytest

from lab.waiting import wait_for
from sensor.base.name_server import resolver
from sensor.complaints.lookups import ask
from tests.conftest import needs

ZONE = "$SOA 3600 ns.example hostmaster.example 1 3600 600 86400 3600\n$NS 3600 ns.example\n"


@pytest.fixture
def zone_server(folder):
    """rbldnsd with a list as lists are, one that has everybody, and none besides."""
    needs("rbldnsd")
    (folder / "bl").write_text(
        f"{ZONE}:127.0.0.2:a bot\n127.0.0.2\n203.0.113.7\n203.0.113.9 :192.0.2.1:no list says so\n"
    )
    (folder / "six").write_text(f"{ZONE}:127.0.0.2:a bot\n::ffff:7f00:2\n2001:db8:5::/64\n")
    (folder / "all").write_text(f"{ZONE}:127.0.0.2:everybody\n0.0.0.0/0\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    zones = [
        f"bl.example:ip4set:{folder}/bl", f"all.example:ip4set:{folder}/all",
        f"both.example:ip4set:{folder}/bl", f"both.example:ip6trie:{folder}/six",
    ]  # fmt: skip
    command = ["rbldnsd", "-n", *user, "-b", f"127.0.0.1/{port}", *zones]
    with subprocess.Popen(command) as server:
        try:

            def answers():
                assert server.poll() is None, "rbldnsd ended"
                try:
                    return list(ask(resolver(f"127.0.0.1:{port}", 3), ["bl.example"], [], 1)) == []
                except dns.exception.DNSException:
                    return False

            wait_for(answers, 10, "rbldnsd")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
