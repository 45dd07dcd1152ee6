"""Each file of the tracking sees only what it may touch."""

import ast

import pytest

from sensor.tracking.state import Followed, Judged, Owners, Tracking
from tests.conftest import ROOT

VIEWS = {
    "attribution": ("owners", Owners),
    "sessions": ("followed", Followed),
    "evaluate": ("judged", Judged),
}


def kernels(name):
    tree = ast.parse((ROOT / "sensor" / "tracking" / f"{name}.py").read_text())
    return [one for one in tree.body if isinstance(one, ast.FunctionDef)]


@pytest.mark.parametrize("name", VIEWS)
def test_a_kernel_is_given_the_view_of_its_file_and_never_the_whole(name):
    parameter, view = VIEWS[name]
    used = set()
    for one in kernels(name):
        assert "t" not in [argument.arg for argument in one.args.args], one.name
        used |= {
            node.attr
            for node in ast.walk(one)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == parameter
        }
        used |= {
            "owners"
            for node in ast.walk(one)
            if isinstance(node, ast.Call) and ast.unparse(node) == f"owners_of({parameter})"
        }
    assert used == set(view._fields), "nothing in a view that nobody uses"


def test_what_is_said_can_change_no_alert_and_no_alert_what_is_read():
    assert not {"alerts", "events", "model", "levels"} & {*Owners._fields, *Followed._fields}
    assert not {"connections", "sessions", "records"} & {*Owners._fields, *Judged._fields}


def test_views_are_parts_of_the_state():
    for _, view in VIEWS.values():
        assert set(view._fields) - {"owners"} <= set(Tracking._fields)
