"""A broker for the tests of one process; ``PORT25_KAFKA_BOOTSTRAP`` names one that runs already."""

import os
from collections.abc import Iterator

import pytest

from lab.broker import Broker
from tests.conftest import needs


@pytest.fixture(scope="session")
def broker(tmp_path_factory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("kafka") / "data")
    if given := os.environ.get("PORT25_KAFKA_BOOTSTRAP"):
        made.bootstrap = given
        yield made
        return
    needs("java", "mvn")
    yield made.start()
    made.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/kafka/" in str(item.path):
            item.add_marker("kafka")
