"""Alerts from a journal on their way to Kafka."""

from pathlib import Path

import msgspec

from sensor.alerts.alert import Alert
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.message import Message, headers
from sensor.sinks.ocsf import SCHEMA as OCSF
from sensor.sinks.ocsf import finding
from sensor.state.journal import Journal

__all__ = ["AlertSource", "alert_message"]


class AlertSource:
    """The alerts of one journal, keyed by subscriber; those raised alone stay here."""

    def __init__(self, path: Path, name: str, settings: KafkaSettings, told: bool = False) -> None:
        """``told``: they came from there, and are only counted as done."""
        self.name = name
        self._told = told
        self._journal = Journal(path, read_only=True)
        self._settings = settings

    def changes(self) -> int:
        """See ``Source``."""
        return self._journal.changes

    def last(self) -> int:
        """See ``Source``."""
        return self._journal.last

    def read(self, after: int, most: int) -> list[Message]:
        """See ``Source``."""
        rows = self._journal.page(after, 0, most)
        return [
            Message(number, "")
            if self._told or alert.alone
            else alert_message(number, alert, self._settings)
            for number, alert in rows
        ]

    def resend(self, position: int) -> list[Message]:
        """Nothing: an alert is told once."""
        return []


def alert_message(number: int, alert: Alert, settings: KafkaSettings) -> Message:
    """The message of an alert; where it says no sensor, it is this one's."""
    if alert.sensor is msgspec.UNSET and settings.sensor:
        alert = msgspec.structs.replace(alert, sensor=settings.sensor)
    ocsf = settings.format == "ocsf"
    told = finding(alert) if ocsf else alert
    more = headers(
        OCSF if ocsf else alert.schema,
        id=alert.id,
        revision=str(alert.revision),
        sensor=alert.sensor or settings.sensor,
    )
    value = msgspec.json.encode(told)
    key = (alert.customer or alert.host).encode()
    return Message(number, settings.alerts_topic, key, value, more, alert.ts)
