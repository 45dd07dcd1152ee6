"""Who may not read or write a file is told whose it is, and what to do about it."""

import grp
import os
import pwd
import stat
from pathlib import Path

__all__ = ["denied"]


def denied(path: Path, write: bool = False) -> str | None:
    """Why this process may not read (or write) ``path``; None when it may, or it is not there."""
    try:
        where = next(p for p in (*reversed(path.absolute().parents), path) if _shut(p, path, write))
    except StopIteration:
        return None
    info = where.stat()
    owner, group = _name(pwd.getpwuid, info.st_uid), _name(grp.getgrgid, info.st_gid)
    mode = stat.S_IMODE(info.st_mode)
    wanted = (stat.S_IWGRP if write else stat.S_IRGRP) | (stat.S_IXGRP if where.is_dir() else 0)
    text = f"no permission for {_name(pwd.getpwuid, os.geteuid())} at {where}, which belongs to"
    text += f" {owner}, group {group} ({stat.filemode(mode)[1:]})"
    if mode & wanted == wanted and info.st_gid != 0:
        return f"{text}; join the group {group}, or do it as {owner} (sudo -u {owner})"
    return f"{text}; do it as {owner} (sudo -u {owner})"


def _shut(one: Path, path: Path, write: bool) -> bool:
    try:
        is_dir = stat.S_ISDIR(one.stat().st_mode)
    except OSError:  # not there, or behind one that is shut
        return False
    need = os.X_OK if is_dir else 0
    if one == path:
        need |= os.R_OK | (os.W_OK if write else 0)
    return not os.access(one, need, effective_ids=True)


def _name(look_up: object, number: int) -> str:
    try:
        return str(look_up(number)[0])  # type: ignore[operator]
    except KeyError:
        return str(number)
