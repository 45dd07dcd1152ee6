"""A service's manners: it tells its supervisor how it is, and gives up what it no longer needs."""

import ctypes
import os
import pwd
import signal
import socket

__all__ = [
    "DEFAULT_USER",
    "account",
    "collect_signals",
    "drop_privileges",
    "notify",
    "watchdog_seconds",
]

DEFAULT_USER = "port25"

_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522


def collect_signals() -> set[int]:
    """From now on SIGTERM, SIGINT, SIGHUP and SIGUSR1 only end up in this set."""
    got: set[int] = set()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda number, _: got.add(number))
    return got


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)): ``READY=1``, ``WATCHDOG=1``...; nothing without it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # one that does not listen must not stop the sensor
        try:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(text.encode())
        except OSError:  # nor one that went away
            return


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear ``WATCHDOG=1``: twice in its limit; None: not at all."""
    try:
        limit = int(os.environ["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return limit / 2e6


def account(user: str) -> pwd.struct_passwd:
    """The account of ``user``; of the default one, where nobody made it, that of ``nobody``.

    Raises LookupError.
    """
    for name in (user, "nobody") if user == DEFAULT_USER else (user,):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LookupError(f"there is no user {user!r} to become")


def drop_privileges(user: str) -> None:
    """Become ``user`` where this process is root, and give up every capability for good.

    What is open stays open: the ring needs no right any more. Raises LookupError when there is no
    such user, OSError when the kernel refuses.
    """
    if os.geteuid() == 0:
        entry = account(user)
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low and high halves
    if libc.capset(header, none) or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
