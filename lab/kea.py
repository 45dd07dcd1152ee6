"""Kea as a provider's DHCP server, by the lines docs/customers.md shows, and ISC's dhclient."""

import json
from pathlib import Path

from lab.network import Laboratory
from lab.radius import UNPACKED, environment, program, shown
from lab.waiting import wait_for

__all__ = ["KeaServers"]

SIX = "2001:db8:1::1/64"


def _has_address(lab: Laboratory, where: str, device: str) -> None:
    """Wait until its own address of IPv6 is known to be nobody else's: before, none is used."""
    usable = "ip", "-6", "address", "show", "dev", device, "scope", "link", "-tentative"
    wait_for(lambda: lab.run(where, *usable).stdout, 10, f"an address of {device}")


class KeaServers:
    """On the router's side of the subscribers' cable; lease files and logs in ``folder``."""

    def __init__(self, lab: Laboratory, folder: Path, cleanup: int = 0) -> None:
        """``cleanup``: seconds between those of the lease files, 0: none."""
        self._lab, self._folder = lab, folder
        self.files = [folder / "kea-leases4.csv", folder / "kea-leases6.csv"]
        lab.run(lab.router, "ip", "address", "add", SIX, "dev", "acc0", "nodad")
        here = {"interface": "acc0"}
        four = here | {"subnet": "203.0.113.0/24", "pools": [{"pool": "203.0.113.200/29"}]}
        six = here | {
            "subnet": "2001:db8:1::/64",
            "preferred-lifetime": 500,
            "pools": [{"pool": "2001:db8:1::100/120"}],
            "pd-pools": [{"prefix": "2001:db8:8000::", "prefix-len": 40, "delegated-len": 56}],
        }
        sections = (
            ("4", {"interfaces": ["acc0"], "dhcp-socket-type": "raw"}, {"subnet4": [four]}),
            ("6", {"interfaces": ["acc0"]}, {"subnet6": [six], "data-directory": str(folder)}),
        )
        words = ["env", environment()]
        words += [f"{name}={folder}" for name in ("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR")]
        cleaner = folder / "lfc"  # Kea starts it without an environment
        cleaner.write_text(f'#!/bin/sh\nexec {" ".join(words)} {program("kea-lfc")} "$@"\n')
        cleaner.chmod(0o755)
        words.append(f"KEA_LFC_EXECUTABLE={cleaner}")
        for family, interfaces, more in sections:
            name = f"kea-dhcp{family}"
            page = json.loads(f"{{{shown('/etc/kea/kea-dhcp6.conf')}}}")
            database = page.pop("lease-database") | {"lfc-interval": cleanup}
            settings = page | {
                "interfaces-config": interfaces,
                "lease-database": database | {"name": str(folder / f"kea-leases{family}.csv")},
                "valid-lifetime": 600,
                "loggers": [
                    {"name": name, "severity": "INFO", "output_options": [{"output": "stdout"}]}
                ],
            }
            config = folder / f"{name}.conf"
            config.write_text(json.dumps({f"Dhcp{family}": settings | more}))
            log = folder / f"{name}.log"
            _has_address(lab, lab.router, "acc0")
            lab.start(lab.router, *words, str(program(name)), "-c", str(config), log=log)
            wait_for(lambda log=log: "_STARTED" in log.read_text(), 10, str(log))

    def _client(self, family: str) -> list[str]:
        kind = ["-6", "-N", "-P"] if family == "6" else []
        files = ["-lf", str(self._folder / f"client{family}")]
        files += ["-pf", str(self._folder / f"pid{family}")]
        return [str(UNPACKED / "sbin" / "dhclient"), "-sf", "/bin/true", *files, *kind, "up0"]

    def ask(self, family: str) -> None:
        """A customer asks for an address, or an address and a prefix of his own, and keeps them."""
        _has_address(self._lab, self._lab.inside, "up0")
        program, *words = self._client(family)
        log = self._folder / f"client{family}.log"
        self._lab.start(self._lab.inside, program, "-d", "-v", *words, log=log)

    def release(self, family: str) -> None:
        """He gives back what he has."""
        program, *words = self._client(family)
        self._lab.run(self._lab.inside, program, "-r", *words, timeout=300)
