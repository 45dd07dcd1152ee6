import shutil

import pytest

from sensor.alerts.vitals import Vitals
from sensor.state.journal import Journal
from tests.conftest import PCAPS, port25


@pytest.fixture(scope="session")
def replayed(tmp_path_factory):
    """A state folder after a replay of the demo, with vitals as a live sensor writes them."""
    state = tmp_path_factory.mktemp("console")
    port25("replay", "-q", "--state", str(state), str(PCAPS / "demo.pcap"), check=True)
    journal = Journal(state / "journal.sqlite")
    last = journal.vitals(1)[0].ts
    for k in range(1, 31):
        journal.add_sample(
            Vitals(
                ts=last + k * 10 * 10**9, seconds=10.0, packets=5000 + k, dropped=k % 3,
                syns=30 + 10 * k, answered=30, loss=0.001, hosts=8, alerts_open=5,
            )
        )  # fmt: skip
    journal.close()
    return state


@pytest.fixture
def state(replayed, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(replayed, tmp_path / "state")
    return tmp_path / "state"
