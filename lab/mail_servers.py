"""Mail servers of other makers, each started in a folder of its own for one test.

All three take mail for ``alice`` and ``bob`` at ``receiver.example``, throw it away, refuse any
other recipient, and offer STARTTLS; Exim also AUTH as ``user`` with ``not-a-secret``.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab import ROOT
from lab.network import Laboratory
from lab.waiting import wait_for

__all__ = ["EVERYWHERE", "SERVERS", "program", "start"]

EVERYWHERE = "0.0.0.0"
"""Every address of the laboratory's internet that answers."""

POSTFIX_QUEUES = (
    "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved"
    " trace"
)

UNPACKED = ROOT / "build" / "mail-servers"
"""Where ``lab/install`` puts what Debian does not install beside another mail server."""

PATH = os.pathsep.join(
    (os.environ["PATH"], "/usr/sbin", "/sbin", f"{UNPACKED}/usr/sbin", f"{UNPACKED}/usr/bin")
)


def program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=PATH)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Key and certificate, made by openssl."""
    key, crt = folder / "mx.key", folder / "mx.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=mx.receiver.example", "-keyout", str(key), "-out", str(crt)],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    return key, crt


def postfix(lab: Laboratory, folder: Path, address: str) -> list[str]:
    """Postfix: the words that start it."""
    key, crt = certificate(folder)
    for name in POSTFIX_QUEUES.split():
        (folder / "queue" / name).mkdir(parents=True)
        shutil.chown(folder / "queue" / name, "root" if name == "pid" else "postfix")
    for name in ("maildrop", "public"):
        shutil.chown(folder / "queue" / name, "postfix", "postdrop")
        (folder / "queue" / name).chmod(0o730)
    (folder / "data").mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "main.cf").write_text(
        f"""compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
inet_interfaces = {"all" if address == EVERYWHERE else address}
inet_protocols = ipv4
myhostname = mx.receiver.example
mydestination = receiver.example
alias_maps =
local_recipient_maps = inline:{{ {{ alice = yes }}, {{ bob = yes }} }}
local_transport = discard:
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_cert_file = {crt}
smtpd_tls_key_file = {key}
smtpd_peername_lookup = no
"""
    )
    services = [
        f"{address}:smtp inet n - n - - smtpd",
        f"{address}:submission inet n - n - - smtpd",
        *(
            f"{name} unix {private} - n {wakeup} {most} {daemon}"
            for name, private, wakeup, most, daemon in (
                ("pickup", "n", "60", "1", "pickup"),
                ("cleanup", "n", "-", "0", "cleanup"),
                ("qmgr", "n", "300", "1", "qmgr"),
                ("tlsmgr", "-", "1000?", "1", "tlsmgr"),
                ("rewrite", "-", "-", "-", "trivial-rewrite"),
                ("bounce", "-", "-", "0", "bounce"),
                ("defer", "-", "-", "0", "bounce"),
                ("trace", "-", "-", "0", "bounce"),
                ("discard", "-", "-", "-", "discard"),
                ("error", "-", "-", "-", "error"),
                ("retry", "-", "-", "-", "error"),
                ("anvil", "-", "-", "1", "anvil"),
                ("scache", "-", "-", "1", "scache"),
            )
        ),
        "postlog unix-dgram n - n - 1 postlogd",
    ]
    (folder / "master.cf").write_text("\n".join(services) + "\n")
    daemons = subprocess.run(
        ["postconf", "-d", "-h", "daemon_directory"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return [f"{daemons}/master", "-d", "-c", str(folder)]


def opensmtpd(lab: Laboratory, folder: Path, address: str) -> list[str]:
    """OpenSMTPD: the words that start it."""
    key, crt = certificate(folder)
    Path("/var/lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)
    (folder / "smtpd.conf").write_text(
        f"""pki ours cert "{crt}"
pki ours key "{key}"
table people {{ "alice@receiver.example", "bob@receiver.example" }}
listen on {address} port 25 tls pki ours hostname mx.receiver.example
action "drop" mda "cat >/dev/null" virtual {{ "@" = "nobody" }}
match from any for rcpt-to <people> action "drop"
"""
    )
    return [str(program("smtpd")), "-d", "-f", str(folder / "smtpd.conf")]


def exim(lab: Laboratory, folder: Path, address: str) -> list[str]:
    """Exim: the words that start it."""
    key, crt = certificate(folder)
    for path in (key, crt, folder):
        shutil.chown(path, "Debian-exim")
    (folder / "spool").mkdir()
    shutil.chown(folder / "spool", "Debian-exim")
    (folder / "exim.conf").write_text(
        f"""primary_hostname = mx.receiver.example
spool_directory = {folder}/spool
log_file_path = {folder}/exim-%s.log
pid_file_path = {folder}/exim.pid
domainlist local = receiver.example
acl_smtp_rcpt = check
tls_certificate = {crt}
tls_privatekey = {key}
tls_advertise_hosts = *
host_lookup =
rfc1413_query_timeout = 0s
pipelining_advertise_hosts = *
chunking_advertise_hosts = *
begin acl
check:
  accept domains = +local
         local_parts = alice : bob
  deny message = no such user
begin routers
drop:
  driver = accept
  domains = +local
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and {{{{eq{{$auth2}}{{user}}}}{{eq{{$auth3}}{{not-a-secret}}}}}}}}
  server_set_id = $auth2
"""
    )
    (folder / "exim.conf").chmod(0o644)
    return [str(program("exim4")), "-C", str(folder / "exim.conf"), "-bdf", "-oX", f"{address}.25"]


SERVERS: dict[str, tuple[str, Callable[[Laboratory, Path, str], list[str]]]] = {
    "postfix": ("postfix", postfix),
    "opensmtpd": ("smtpd", opensmtpd),
    "exim": ("exim4", exim),
}
"""By name: the program that must be there, and how it is started."""


def start(lab: Laboratory, name: str, folder: Path, address: str) -> None:
    """Start a server on port 25 of ``address``, and wait until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if address != EVERYWHERE:
        lab.address(lab.outside, address)
    log = folder / "output.log"
    process = lab.start(lab.outside, *SERVERS[name][1](lab, folder, address), log=log)

    def greets() -> bool:
        assert process.poll() is None, f"{name} ended: {log.read_text()}"
        asked = lab.run(lab.outside, sys.executable, "-c", _GREETED, address, check=False)
        return asked.returncode == 0

    wait_for(greets, 30, f"{name}'s greeting")


_GREETED = """
import socket, sys
s = socket.create_connection((sys.argv[1], 25), 2)
sys.exit(s.recv(3) != b"220")
"""
