"""The settings of the file with the desk's exemptions laid over."""

import pytest

from sensor.base.database import DatabaseError
from sensor.base.units import DAY, SECOND
from sensor.blocking.desk import Desk
from sensor.service.exemptions import Exemptions
from sensor.settings import Settings, parse_settings
from sensor.state.folder import StateFolder

NOW = 1_700_000_000 * SECOND
FILE = parse_settings('exempt = [{ prefix = "203.0.113.8", reason = "x", until = 2099-01-01 }]')


def hosts(exemptions: Exemptions) -> list[str]:
    return [one.prefix for one in exemptions.effective.exempt]


def test_without_a_desk_the_file_is_in_force(tmp_path):
    exemptions = Exemptions(tmp_path, FILE)
    assert not exemptions.read(NOW)
    assert exemptions.effective == FILE
    assert len(exemptions) == 0


def test_what_the_desk_exempts_comes_after_what_the_file_does_and_ends(tmp_path):
    exemptions = Exemptions(tmp_path, FILE)
    desk = Desk(StateFolder(tmp_path).desk)
    desk.exempt("203.0.113.9", 1, NOW, "mary", "a migration")
    assert exemptions.read(NOW)
    assert hosts(exemptions) == ["203.0.113.8", "203.0.113.9/32"]
    assert not exemptions.read(NOW), "nothing has changed"
    assert len(exemptions) == 1
    assert exemptions.read(NOW + 3 * DAY)
    assert hosts(exemptions) == ["203.0.113.8"]


def test_another_file_leaves_the_desks_in_force(tmp_path):
    exemptions = Exemptions(tmp_path, FILE)
    Desk(StateFolder(tmp_path).desk).exempt("203.0.113.9", 1, NOW, "mary", "a migration")
    exemptions.read(NOW)
    exemptions.settings = Settings()
    assert hosts(exemptions) == ["203.0.113.9/32"]


def test_a_desk_that_cannot_be_read_leaves_what_was_known(tmp_path):
    exemptions = Exemptions(tmp_path, FILE)
    Desk(StateFolder(tmp_path).desk).exempt("203.0.113.9", 1, NOW, "mary", "a migration")
    exemptions.read(NOW)
    exemptions._desk._desk.close()
    with pytest.raises(DatabaseError):
        exemptions.read(NOW + 3 * DAY)
    assert hosts(exemptions) == ["203.0.113.8", "203.0.113.9/32"]
