"""Does Kafka answer, with these credentials?"""

from collections.abc import Iterator
from typing import Final

from sensor.base.extras import how_to_get
from sensor.doctor.finding import Finding, Patient
from sensor.sinks.kafka.connection import Connection, ConnectionSettingsError, KafkaSettings

__all__ = ["PLACE", "look"]

PLACE: Final = 60


def look(patient: Patient) -> Iterator[Finding]:
    """Where brokers are named: is one there, and are the topics?"""
    settings = patient.settings.kafka
    if not settings.bootstrap:
        yield Finding("Kafka", "fine", "not asked for (kafka.bootstrap)")
        return
    try:
        connection = Connection(settings)
    except ConnectionSettingsError as fault:
        yield Finding("Kafka", "wrong", str(fault), "set it right in the settings")
        return
    try:
        yield _asked(connection, settings)
    except ModuleNotFoundError:
        yield Finding("Kafka", "unknown", "its client is not installed", how_to_get("kafka"))


def _asked(connection: Connection, settings: KafkaSettings) -> Finding:
    from kafka import KafkaConsumer
    from kafka.errors import KafkaError

    brokers = ", ".join(settings.bootstrap)
    try:
        consumer = KafkaConsumer(**connection.arguments)
        try:
            topics = consumer.topics()
        finally:
            consumer.close()
    except (KafkaError, OSError, ValueError, AssertionError) as error:
        return Finding(
            "Kafka", "wrong", f"{brokers}: {type(error).__name__} {error}".strip(),
            "look whether the broker runs, and at kafka.bootstrap, security and sasl;"
            " alerts wait in the journal",
        )  # fmt: skip
    wanted = (settings.alerts_topic, settings.blocklist_topic, settings.health_topic)
    gone = [topic for topic in wanted if topic not in topics]
    if gone and not settings.create_topics:
        return Finding(
            "Kafka",
            "wrong",
            f"there is no topic {', '.join(gone)}",
            "make it, or set create_topics",
        )
    return Finding("Kafka", "fine", f"{brokers} answers")
