"""The topics as an AsyncAPI 3.0 document (``docs/asyncapi.json``), of the program's own schemas."""

import copy
from typing import Any, Final

from sensor import __version__
from sensor.alerts import alert, notice
from sensor.blocking import acts, decision, desk_record, enforcement
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.topics import ENFORCEMENT, wanted

__all__ = ["document"]

_HEADERS: Final = {
    "schema": "the schema's name and version, as port25.alert/1",
    "content-type": "application/json",
    "producer": "port25 and its version",
    "sensor": "name of the sensor",
}
_MORE: Final = {
    "alert": {"id": "of the alert", "revision": "of the alert, counted from 1"},
    "decision": {
        "id": "of the decision", "action": "block or lookup",
        "expires": "nanoseconds since 1970", "host": "the subscriber",
    },
}  # fmt: skip
_MESSAGES: Final = {
    "alert": ("An alert: raised, escalated, refreshed or closed", "the subscriber"),
    "decision": (
        "A sensor's decision in force; a tombstone (no value): there is none any more",
        "subscriber@sensor, or customer@subscriber@sensor",
    ),
    "desk": (
        "What a person decided, for all sensors",
        "release/ or exempt/, subscriber@sensor or customer@sensor",
    ),
    "act": ("What a person did about an alert, a case or a host", "customer, subscriber or alert"),
    "enforcement": (
        "What became of a block at a controller; a tombstone (no value): it is over",
        "subscriber@controller",
    ),
    "health": ("Counters, every ten seconds", "the sensor"),
    "notice": ("Something a person should know", "the sensor"),
}


def _schemas() -> dict[str, dict[str, Any]]:
    return {
        "alert": alert.json_schema(),
        "decision": decision.json_schema(),
        "act": acts.json_schema(),
        "desk": desk_record.json_schema(),
        "enforcement": enforcement.json_schema(),
        "health": notice.json_schema(notice.Health),
        "notice": notice.json_schema(notice.Notice),
    }


def _moved(part: Any, name: str) -> Any:
    """A schema below ``components``: what it refers to lies there, too."""
    if isinstance(part, dict):
        return {
            key: value.replace("#/$defs/", f"#/components/schemas/{name}.")
            if key == "$ref"
            else _moved(value, name)
            for key, value in part.items()
        }
    return [_moved(one, name) for one in part] if isinstance(part, list) else part


def _components() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, schema in _schemas().items():
        whole = _moved(copy.deepcopy(schema), name)
        for inner, definition in whole.pop("$defs", {}).items():
            found[f"{name}.{inner}"] = definition
        whole.pop("$schema", None)
        whole.pop("$id", None)  # it would be what references start from
        found[name] = whole
    return found


def _message(name: str) -> dict[str, Any]:
    summary, key = _MESSAGES[name]
    headers = _HEADERS | _MORE.get(name, {})
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                head: {"type": "string", "description": text} for head, text in headers.items()
            },
        },
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
    }


def document() -> dict[str, Any]:
    """AsyncAPI 3.0, with the topics' names as they are where nobody set others."""
    settings = KafkaSettings(acts_topic="port25.acts")
    topics = {
        "alerts": (settings.alerts_topic, ("alert",)),
        "blocklist": (settings.blocklist_topic, ("decision",)),
        "desk": (settings.desk_topic, ("desk", "act")),
        "acts": (settings.acts_topic, ("act",)),
        "enforcement": (settings.enforcement_topic, ("enforcement",)),
        "health": (settings.health_topic, ("health", "notice")),
    }
    kept = wanted(settings) | {settings.enforcement_topic: ENFORCEMENT}
    channels, operations = {}, {}
    for name, (address, messages) in topics.items():
        channels[name] = {
            "address": address,
            "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in messages},
            "bindings": {
                "kafka": {
                    "topic": address,
                    "topicConfiguration": {
                        "cleanup.policy": [kept[address]["cleanup.policy"]],
                        **{
                            key: int(value)
                            for key, value in kept[address].items()
                            if key != "cleanup.policy"
                        },
                    },
                    "bindingVersion": "0.5.0",
                }
            },
        }
        operations[f"send_{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{one}"} for one in messages],
        }
    for name in ("desk", "enforcement"):
        operations[f"receive_{name}"] = operations[f"send_{name}"] | {"action": "receive"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "port25",
            "version": __version__,
            "description": "Topics of Kafka that a sensor writes (enforcement: a controller), and"
            " the two that it also reads (desk, enforcement). Names are settings. Times are"
            " nanoseconds of packet time since 1970.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {name: _message(name) for name in _MESSAGES},
            "schemas": _components(),
        },
    }


if __name__ == "__main__":
    import json

    print(json.dumps(document(), indent=2))
