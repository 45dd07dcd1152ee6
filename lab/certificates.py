"""A provider's own authority, and certificates of servers that it signs (openssl)."""

import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["Authority", "Served"]

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_SERVER = """basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class Served(NamedTuple):
    """What a server has."""

    certificate: Path
    key: Path


class Authority:
    """Signs what servers of the provider show."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.pem"
        """what who is to trust it is given"""
        _openssl(
            "req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "basicConstraints = critical, CA:TRUE",
            "-addext", "keyUsage = critical, keyCertSign",
            "-keyout", str(self._key), "-out", str(self.certificate),
        )  # fmt: skip

    def serve(self, name: str, names: str = "IP:127.0.0.1, DNS:localhost", days: int = 2) -> Served:
        """A key and a certificate; ``names`` as openssl takes them, ``days`` it is good for."""
        made = Served(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, more = self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        more.write_text(_SERVER.format(names=names))
        subject = ("-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(request))
        _openssl("req", *_KEY, *subject)
        _openssl(
            "x509", "-req", "-in", str(request), "-days", str(days), "-extfile", str(more),
            "-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial",
            "-out", str(made.certificate),
        )  # fmt: skip
        return made


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
