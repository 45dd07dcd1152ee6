"""Cursors of who is bound to prefixes tell nothing of others, and are good for them alone."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.base.access import EVERYTHING, Reach
from sensor.console.web.places import Seal, place_text, seal_of
from sensor.service.deliverer import forget_destinations
from sensor.settings import parse_settings
from sensor.sinks.outbox import Outbox
from sensor.state.folder import StateFolder
from tests.console.web.test_reach import NORTH, SOUTH, ask, filled, of_two_sides

BOUND, OTHER = Reach((NORTH,)), Reach((SOUTH,))


@given(st.dictionaries(st.sampled_from(["journal", "worker-1-of-2"]), st.integers(0, 10**18 - 1)))
def test_what_is_sealed_is_opened_by_the_same_reach_alone(place):
    seal = Seal(b"k" * 32)
    text = seal.text(place, BOUND)
    assert seal.place(text, BOUND) == place and seal.text(place, BOUND) == text
    assert seal.place(place_text(place), EVERYTHING) == place
    if place:
        for other, by in ((seal, OTHER), (Seal(b"x" * 32), BOUND)):
            with pytest.raises(ValueError, match="somebody with other prefixes"):
                other.place(text, by)
        with pytest.raises(ValueError, match="somebody"):
            seal.place(place_text(place), BOUND)


def test_the_secret_outlives_a_restart_and_is_for_its_owner(tmp_path):
    first = seal_of(tmp_path / "cursors.key").text({"journal": 7}, BOUND)
    assert seal_of(tmp_path / "cursors.key").text({"journal": 7}, BOUND) == first
    assert (tmp_path / "cursors.key").stat().st_mode & 0o777 == 0o600
    assert seal_of(tmp_path / "no" / "folder").text({"journal": 7}, BOUND) != first


def test_row_numbers_are_not_told_to_who_is_bound(tmp_path):
    with of_two_sides(filled(tmp_path / "state")) as server:
        first = ask(server, "north", "/api/v1/messages").json()
        assert len(first["messages"]) == 1 and len(first["next"]) > 30
        again = ask(server, "north", f"/api/v1/messages?after={first['next']}").json()
        assert again == {"messages": [], "next": first["next"]}
        for probe in ("journal:0", "journal:2", f"journal:{'9' * 39}"):
            assert ask(server, "north", f"/api/v1/messages?after={probe}").status_code == 400
        assert ask(server, "south", f"/api/v1/messages?after={first['next']}").status_code == 400


def test_destinations_that_were_taken_out_of_the_settings_are_forgotten_all_of_them(tmp_path):
    files = StateFolder(tmp_path)
    with contextlib.closing(Outbox(files.outbox)) as outbox:
        for sink in ("notify/a", "notify/b", "kafka"):
            outbox.done(sink, "journal.sqlite", 7, {})
        one = '[[notify.syslog]]\nname = "a"\nserver = "a:514"\ntransport = "udp"\n'
        forget_destinations(parse_settings(one), files)
        assert outbox.sinks() == ["kafka", "notify/a"]
        forget_destinations(parse_settings(""), files)
        assert outbox.sinks() == ["kafka"]
