"""A broker for those that need one."""

import pytest

from tests.kafka.conftest import broker

__all__ = ["broker"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/cluster/" in str(item.path) and "broker" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")
