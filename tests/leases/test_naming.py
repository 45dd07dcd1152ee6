"""Names behind pseudonyms: kept only where the settings say so, bounded, and nowhere else."""

import sqlite3
import time

import pytest

from lab.leases import known_as
from lab.waiting import wait_for
from sensor.settings import SettingsError, parse_settings
from sensor.state.customer_names import CustomerNames, name_of
from sensor.state.folder import StateFolder
from tests.service.test_leases import HEAD, append, running

__all__ = ["running"]

ALICE, BOB = known_as("alice@isp.example"), known_as("bob, of the corner")
LINES = '{0},,203.0.113.7,,alice@isp.example\n{0},,203.0.113.8,,"bob, of the corner"\n'


def told(tmp_path):
    append(tmp_path, HEAD + LINES.format(time.time_ns() - 10**9))


def test_what_a_source_hears_is_kept_and_is_in_no_other_file(tmp_path, running):
    told(tmp_path)
    one = running(names="operator")
    one.hear("leases_heard", 2)
    assert name_of(one.files, ALICE) == "alice@isp.example"
    assert name_of(one.files, BOB) == "bob, of the corner"
    assert name_of(one.files, known_as("nobody")) is None
    assert one.files.names.stat().st_mode & 0o777 == 0o600
    assert one.counters["customer_names_not_kept"] == 0
    for file in one.files.path.iterdir():
        if not file.name.startswith("names.sqlite"):
            assert b"alice@" not in file.read_bytes(), file


def test_without_the_setting_none_is_kept_and_those_of_before_go(tmp_path, running):
    told(tmp_path)
    one = running(names="operator")
    one.hear("leases_heard", 2)
    one.sources.stop()
    one.sources = None
    append(tmp_path, f"{time.time_ns()},,203.0.113.9,,carol@isp.example\n")
    again = running()
    again.hear("leases_heard", 3)
    assert name_of(again.files, ALICE) is None and not again.files.names_files
    for file in again.files.path.iterdir():
        assert b"carol@" not in file.read_bytes(), file


def test_by_rule_as_well(tmp_path, running):
    rule = {"inside": "100.64.0.0/30", "outside": "203.0.113.1", "ports": 16_000}
    cgn = parse_settings(
        "[customers]\ncgn = [{" + ", ".join(f"{k} = {v!r}" for k, v in rule.items()) + "}]"
    ).customers.cgn
    one = running(file="", cgn=cgn, names="analyst")
    inside = "100.64.0.1"

    def is_kept():
        one.sources.turn()
        return name_of(one.files, known_as(inside)) == inside

    wait_for(is_kept, 20, "its name")


def test_what_the_disk_refuses_is_counted_and_said_and_leases_go_on(tmp_path, running):
    told(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "names.sqlite").write_bytes(b"no database at all" * 100)
    one = running(names="operator")
    one.hear("leases_heard", 2)
    one.hear("customer_names_not_kept", 2)
    assert any("names of customers cannot be kept" in text for text in one.said)


def test_at_headers_there_are_no_names():
    with pytest.raises(SettingsError, match=r"customers\.names: none are kept where privacy"):
        parse_settings('privacy = "headers"\n[customers]\nnames = "operator"\n')
    assert parse_settings('[customers]\nnames = "analyst"\n').customers.names == "analyst"
    with pytest.raises(SettingsError, match=r"customers\.names"):
        parse_settings('[customers]\nnames = "viewer"\n')


def test_those_heard_longest_ago_go_first(tmp_path):
    state = StateFolder(tmp_path)
    names = CustomerNames(state.names, most=3)
    for at in range(6):
        names.keep({f"c-{at}": f"n{at}", "c-0": "n0"}, at)
    with sqlite3.connect(state.names) as db:
        assert sorted(db.execute("SELECT pseudonym FROM names")) == [("c-0",), ("c-4",), ("c-5",)]
    names.close()
