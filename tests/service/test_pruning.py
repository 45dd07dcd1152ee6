"""What goes for want of room: first what every sink has, then, counted and told, the oldest."""

import pytest

from lab.alerts import T0, alert
from sensor.base.sentences import Sentence
from sensor.blocking.ledger import Ledger
from sensor.service.pruning import Pruner
from sensor.settings import LiveSettings, Settings, policy_of
from sensor.sinks.sink import Sink
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

COUNT = 3000
LIVE = LiveSettings(journal_megabytes=1)


class Slow(Sink):
    """A sink that is so far."""

    name = "slow"
    title = "the slow one"

    def __init__(self, at: int) -> None:
        self.at = at

    def position(self, source: str) -> int:
        return self.at


@pytest.fixture
def state(tmp_path) -> StateFolder:
    """A journal of more than a megabyte, all of it decided on."""
    made = StateFolder(tmp_path)
    journal = Journal(made.journal)
    journal.write([alert(f"203.0.113.{n % 200}", at=n, opened=n) for n in range(COUNT)])
    assert journal.db.size > 1_500_000
    ledger = Ledger(made.ledger)
    policy = policy_of(Settings())
    while rows := journal.page(ledger.position("journal.sqlite")):
        ledger.take("journal.sqlite", rows, policy)
    journal.close()
    ledger.close()
    return made


def pruned(state: StateFolder, before: int | None, *sinks: Sink) -> tuple[dict, list, Journal]:
    told: list[tuple[str, Sentence]] = []
    pruner = Pruner(Ledger(state.ledger), sinks, lambda *words: told.append(words))
    pruner.prune({"journal.sqlite": state.journal}, LIVE, before)
    return pruner.counters, told, Journal(state.journal)


def test_what_every_sink_has_goes_first_and_is_lost_to_nobody(state):
    counters, told, journal = pruned(state, None, Slow(COUNT), Slow(COUNT - 10))
    left = [number for number, _ in journal.read()]
    assert left[-1] == COUNT and left == list(range(left[0], COUNT + 1)), "the newest stay"
    assert counters == {
        "journal_messages_dropped": COUNT - len(left), "outbox_messages_dropped": 0
    }  # fmt: skip
    assert told == []
    assert journal.db.size <= 1_000_000


def test_what_a_sink_never_had_is_counted_and_told(state):
    counters, told, journal = pruned(state, None, Slow(COUNT), Slow(100))
    left = sum(1 for _ in journal.read())
    assert counters["journal_messages_dropped"] == 100
    assert counters["outbox_messages_dropped"] == COUNT - 100 - left > 0
    assert {kind for kind, _ in told} == {"journal"}
    assert "alerts were dropped that the slow one or the slow one never had" in told[0][1].text


def test_without_sinks_only_the_ledger_counts(state):
    counters, told, _ = pruned(state, None)
    assert counters["journal_messages_dropped"] > 0 and not told


def test_what_is_too_old_goes_by_packet_time(state):
    _, _, journal = pruned(state, T0 + (COUNT - 5) * 10**9, Slow(COUNT))
    assert [number for number, _ in journal.read()] == list(range(COUNT - 4, COUNT + 1))
