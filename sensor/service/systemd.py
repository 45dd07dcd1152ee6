"""What systemd is told of a process, and asks of it."""

import os
import socket

__all__ = ["Watchdog", "notify", "watchdog_seconds"]


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


class Watchdog:
    """Tells systemd that the process still works, as often as systemd wants to hear it."""

    def __init__(self, now: float) -> None:
        self._pause = watchdog_seconds()
        self._due_at = now

    def feed(self, now: float) -> None:
        """The process works at time ``now`` (seconds, monotonic)."""
        if self._pause is not None and now >= self._due_at:
            notify("WATCHDOG=1")
            self._due_at = now + self._pause


def watchdog_seconds() -> float | None:
    """Half the time after which systemd would kill a silent process; None: it never would."""
    try:
        limit = int(os.environ["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return limit / 2e6
