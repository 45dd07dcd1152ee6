"""Alerts and notices as they come, above a line of how it goes; JSON lines where nobody looks."""

import sys
from typing import Any

import msgspec

from sensor.alerts.alert import Alert
from sensor.alerts.notice import Notice
from sensor.base.terminal import printable

__all__ = ["Screen"]


class Screen:
    """Lines above a status line, on a terminal; JSON lines elsewhere."""

    def __init__(self, lines: bool, status: bool, began: str = "") -> None:
        """``lines``: JSON to standard output; ``status``: a line of how it goes, to the other.

        ``began`` is said there when there is something to report for the first time.
        """
        self._began = began
        self._json = lines
        self._encoder = msgspec.json.Encoder()
        self._status = ""
        self._shown = status

    def tell(self, what: Alert | Notice) -> None:
        """Print one."""
        self._clear()
        if self._json:
            sys.stdout.buffer.write(self._encoder.encode(what) + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(what, Notice):
            print(f"{what.time[:19]}  {what.kind}: {printable(what.text)}", flush=True)
        else:
            why = "; ".join(line.reason for line in what.against)
            block = "block" if what.block_recommended else "watch"
            print(
                f"{what.time[:19]}  {what.state:<9} {what.severity:<8} {block}  {what.host}"
                f"  {what.score:+.1f}  {printable(why)}",
                flush=True,
            )
        self._draw()

    def report(self, counters: dict[str, dict[str, Any]]) -> None:
        """Renew the line of how it goes, by all counters."""
        if self._began:
            print(f"port25: {printable(self._began)}", file=sys.stderr, flush=True)
            self._began = ""
        if self._shown:
            self._clear()
            capture = counters["capture"]
            if "hosts" in counters:
                found = (
                    f"  {counters['hosts']['hosts']:,} hosts"
                    f"  {counters['alerts']['alerts_open']:,} alerts open"
                )
            else:  # it forwards
                found = (
                    f"  {counters['cluster']['segments_forwarded']:,} segments forwarded"
                    f"  {counters['cluster']['spool_batches']:,} batches on disk"
                )
            self._status = (
                f"{capture['packets_per_second']:>9,.0f} packets/s{found}"
                f"  {capture['packets_dropped']:,} dropped  loss {capture['loss_ratio']:.2%}"
            )
            self._draw()

    def _clear(self) -> None:
        if self._status:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if self._status:
            print(self._status, end="", file=sys.stderr, flush=True)
