"""Alerts from a journal on their way to Kafka."""

from pathlib import Path

import msgspec

from sensor.alerts.alert import Alert
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.message import Message, headers
from sensor.sinks.ocsf import SCHEMA as OCSF
from sensor.sinks.ocsf import finding
from sensor.state.journal import Journal

__all__ = ["AlertSource"]


class AlertSource:
    """The alerts of one journal, keyed by subscriber."""

    def __init__(self, path: Path, name: str, settings: KafkaSettings) -> None:
        self.name = name
        self._journal = Journal(path, read_only=True)
        self._topic = settings.alerts_topic
        self._sensor = settings.sensor
        self._ocsf = settings.format == "ocsf"

    def changes(self) -> int:
        """See ``Source``."""
        return self._journal.changes

    def last(self) -> int:
        """See ``Source``."""
        return self._journal.last

    def read(self, after: int, most: int) -> list[Message]:
        """See ``Source``."""
        return [
            self._message(number, alert) for number, alert in self._journal.page(after, 0, most)
        ]

    def resend(self) -> list[Message]:
        """Nothing: an alert is told once."""
        return []

    def _message(self, number: int, alert: Alert) -> Message:
        if alert.sensor is msgspec.UNSET and self._sensor:
            alert = msgspec.structs.replace(alert, sensor=self._sensor)
        told = finding(alert) if self._ocsf else alert
        schema = OCSF if self._ocsf else alert.schema
        more = headers(schema, id=alert.id, revision=str(alert.revision), sensor=self._sensor)
        value = msgspec.json.encode(told)
        return Message(number, self._topic, alert.host.encode(), value, more, alert.ts)
