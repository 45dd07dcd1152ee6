"""A small process between the sensor and the deliverer, that starts the deliverer again if it dies.

It waits until the sensor says that it began, becomes whom the sensor becomes, and ends with either:
with the sensor, whatever becomes of that, and with a deliverer that has done its work.
"""

import fcntl
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from sensor.base.database import DatabaseError

__all__ = ["locked", "supervise"]

_AGAIN: Final = 1.0
"""Seconds after which a deliverer that died is started again."""
_LOOK: Final = 100
"""Milliseconds between looks at a lock that another holds."""


def supervise(
    sock: socket.socket,
    lock_path: Path,
    settle: Callable[[], None],
    deliver: Callable[[bool], None],
    name: str = "delivery",
) -> None:
    """Fork ``deliver`` until it ends well or the sensor at the other end of ``sock`` is gone.

    ``settle`` gives up privileges once the sensor began. ``deliver`` is told whether one before it
    died. Two deliverers never work on one folder: ``lock_path`` is held meanwhile. (A source of
    leases is looked after in the same way; ``name``: what people call it.)
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if not sock.recv(1 << 10, socket.MSG_PEEK):  # that it began, or the end
        return
    settle()
    lock = lock_path.open("wb")
    hung_up = select.poll()
    hung_up.register(sock, select.POLLRDHUP)
    while not locked(lock):  # by the deliverer of a sensor that was killed, about to end
        if hung_up.poll(_LOOK):
            return
    again = False
    while True:
        pid = os.fork()
        if pid == 0:
            _deliver(deliver, again, name)
        _, status = os.waitpid(pid, 0)
        if status == 0 or hung_up.poll(0):  # whoever starts next goes on from the disk
            return
        again = True
        time.sleep(_AGAIN)


def _deliver(deliver: Callable[[bool], None], again: bool, name: str) -> None:
    """In the child; does not return."""
    code = 1
    try:
        deliver(again)
        code = 0
    except (OSError, DatabaseError) as error:
        sys.stderr.write(f"port25: {name}: {error}\n")
    except Exception:  # a bug: whoever starts it again must not hide it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def locked(file: IO[bytes]) -> bool:
    """Lock a file, as long as this process and its children live; False: another holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
