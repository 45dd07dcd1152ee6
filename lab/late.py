"""port25 as it is, with every module it asks for after it gave up its privileges written down.

    python -m lab.late LOG live -i ...

A module that is imported late is one an installation may keep from whom the sensor has become.
"""

import os
import sys
import sysconfig
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from lab import ROOT
from sensor.cli import main
from sensor.service import privileges


def shut(folder: Path) -> list[str]:
    """An interpreter, its modules and this program below a folder that only root may enter."""
    locked = folder / "locked"
    parts = {"python": sys.base_prefix, "site": sysconfig.get_path("purelib"), "tree": str(ROOT)}
    locked.mkdir(mode=0o700)
    for part in parts:
        (locked / part).mkdir()
    mounts = "; ".join(f"mount --bind {where} {locked / part}" for part, where in parts.items())
    python = locked / "python" / "bin" / Path(os.path.realpath(sys.executable)).name
    log = folder / "late"
    script = (
        f"set -e; {mounts}; cd {locked / 'tree'}; export PYTHONPATH={locked / 'site'};"
        f' exec {python} -m lab.late {log} "$@"'
    )
    return ["unshare", "-m", "sh", "-c", script, "sh"]


class Late(MetaPathFinder):
    """Finds nothing; in this process and all it forks."""

    def __init__(self, log: int) -> None:
        self._log = log

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        os.write(self._log, f"{os.getpid()} {name} {where}\n".encode())


def watched(log: str) -> None:
    """From the first time on that privileges are dropped."""
    drop = privileges.drop_privileges
    late = Late(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666))

    def dropped(user: str) -> None:
        drop(user)
        if late not in sys.meta_path:
            sys.meta_path.insert(0, late)

    privileges.drop_privileges = dropped


if __name__ == "__main__":
    watched(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
