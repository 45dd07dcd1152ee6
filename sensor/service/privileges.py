"""What a sensor gives up once it no longer needs it: root, and every capability.

Whoever gives them up may not be able to import any more. So what other rooms import where it is
first used, for a start not to wait for it, is imported here.
"""

import base64  # noqa: F401
import ctypes
import difflib  # noqa: F401
import hashlib  # noqa: F401
import os
import pwd
import socket  # noqa: F401
import tomllib  # noqa: F401
from pathlib import Path

__all__ = ["DEFAULT_USER", "account", "drop_privileges", "give_away"]

DEFAULT_USER = "port25"

_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522


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
    if os.geteuid() == 0 and (entry := account(user)).pw_uid != 0:  # else there is nobody to become
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


def give_away(folder: Path, user: str) -> None:
    """Root makes a folder and all in it another's. Raises LookupError, OSError."""
    if os.geteuid() == 0:
        entry = account(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid)
