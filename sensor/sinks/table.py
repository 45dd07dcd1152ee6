"""Alerts as a table on a terminal: the newest state of each, printed at the end."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sensor.alerts.alert import Alert, rfc3339

__all__ = ["Table"]

_STYLES = {"medium": "yellow", "high": "red", "critical": "bold red"}


class Table:
    """Keeps the last message of each alert; :meth:`close` prints them."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}

    def write(self, alert: Alert) -> None:
        """Take one message."""
        self._alerts[alert.id] = alert

    def flush(self) -> None:
        """Nothing is shown before the end."""

    def close(self) -> None:
        """Print the table, in the order the alerts were raised."""
        table = RichTable(box=None, pad_edge=False, header_style="bold")
        for title in ("raised (UTC)", "host", "state", "severity"):
            table.add_column(title, no_wrap=True)
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("block?", no_wrap=True)
        table.add_column("why")
        for alert in self._alerts.values():
            why = "; ".join(
                f"{line.reason} ({line.decibans:+.1f})"
                for line in alert.evidence[1:]  # the prior is the same for all
                if line.decibans
            )
            if not alert.block_recommended:
                why += f". No block: {alert.block_reason}"
            table.add_row(
                Text(rfc3339(alert.opened)[:19].replace("T", " ")),
                Text(alert.host),
                Text(alert.state),
                Text(alert.severity, _STYLES[alert.severity]),
                Text(f"{alert.score:+.1f}"),
                Text("yes" if alert.block_recommended else "no"),
                Text(why),
            )
        console = Console()
        if self._alerts:
            console.print(table)
        else:
            console.print("no alerts")
