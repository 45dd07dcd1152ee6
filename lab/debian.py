"""A bare Debian or Ubuntu to install a package in: made once by debootstrap, copied for each use.

What runs in it sees neither this machine's network nor its processes.
"""

import shutil
import subprocess
from pathlib import Path

from lab import ROOT

__all__ = ["Debian"]

_NEEDED = "adduser,python3"
"""What a package asks for that a bare system lacks: a machine with a network would fetch it."""
_UBUNTU = {"noble": "http://archive.ubuntu.com/ubuntu"}
_KEY = "F6ECB3762474EDA9D21B7022871920D1991BC93C"
"""Ubuntu Archive Automatic Signing Key (2018)."""
_ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}


def _bootstrap(suite: str, root: Path) -> None:
    """Make one of what the distribution's mirror has."""
    words = ["debootstrap", "--variant=minbase", f"--include={_NEEDED}", suite, root]
    if suite in _UBUNTU:  # of which Debian's debootstrap may know no more than how it is done
        words += [_UBUNTU[suite], "gutsy"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    if suite in _UBUNTU:
        _of_ubuntu(root)


def _of_ubuntu(root: Path) -> None:
    """Its key is not on every Debian: the list of what was fetched is by it, or AssertionError."""
    (signed,) = (root / "var/lib/apt/lists").glob("*_InRelease")
    keys = root / "usr/share/keyrings/ubuntu-archive-keyring.gpg"
    said = subprocess.run(
        ["gpgv", "--status-fd", "1", "--keyring", keys, signed], capture_output=True, text=True
    ).stdout
    assert f" VALIDSIG {_KEY} " in said, f"{signed}: not signed by Ubuntu: {said}"


class Debian:
    """One copy, in a folder; root is needed."""

    def __init__(self, suite: str, root: Path) -> None:
        bare = ROOT / "build" / "debian" / suite
        if not (bare / "etc" / "debian_version").exists():
            unfinished = bare.with_name(f"{suite}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            _bootstrap(suite, unfinished)
            unfinished.rename(bare)
        # In memory: there are tens of thousands of small files.
        root.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4g,mode=755", "debian", root], check=True
        )
        self.root = root
        subprocess.run(["cp", "-a", f"{bare}/.", root], check=True)
        # A system that is thrown away need not survive a power cut.
        (root / "etc/dpkg/dpkg.cfg.d/hasty").write_text("force-unsafe-io\n")

    def close(self) -> None:
        """Forget it."""
        subprocess.run(["umount", "--lazy", self.root], check=True)

    def start(self, *command: str, **options) -> subprocess.Popen[str]:
        """A program in it, as root."""
        words = [*_ALONE, f"--root={self.root}", "--mount-proc", *command]
        return subprocess.Popen(
            words, env=_ENVIRONMENT, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def run(self, *command: str, expected: int = 0) -> str:
        """What a program says on standard output; AssertionError when it ends otherwise."""
        process = self.start(*command)
        said, complained = process.communicate()
        assert process.returncode == expected, f"{command}: {said}{complained}"
        return said

    def install(self, package: Path, *options: str) -> str:
        """Have apt install a package file."""
        copy = self.root / "tmp" / package.name
        shutil.copy(package, copy)
        words = [*options, "install", "-y", "--no-install-recommends", f"/tmp/{package.name}"]
        said = self.run("apt-get", "-qq", *words)
        copy.unlink()
        return said
