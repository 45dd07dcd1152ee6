"""The page on architecture names the rooms there are, in the order the contracts hold."""

import re
import tomllib

from lab.way import BOXES, picture
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def contract() -> list[set[str]]:
    """Rooms, layer by layer, the last first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (order,) = (
        one["layers"]
        for one in settings["tool"]["importlinter"]["contracts"]
        if one["type"] == "layers" and "sensor.base" in one["layers"]
    )
    names = [re.split(r" [|:] ", layer.replace("sensor.", "")) for layer in order]
    return [{name for name in layer if name != "cli"} for layer in names]


def test_every_room_stands_in_the_table_in_the_order_of_the_contract():
    table = PAGE.split("## The rooms")[1].split("Beside them")[0]
    rooms = [
        name.rstrip("/")
        for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([\w/]+)`", line)
        if name != "cli"
    ]
    folders = {path.parent.name for path in (ROOT / "sensor").glob("*/__init__.py")}
    assert sorted(rooms) == sorted(folders | {"detectors", "pipeline", "settings"})
    layers = contract()
    at = [next(n for n, layer in enumerate(layers) if room in layer) for room in rooms]
    assert at == sorted(at)


def test_files_it_names_exist():
    for name in re.findall(r"`((?:sensor|detectors|lab|alerts)/[\w/]+(?:\.py)?)/?`", PAGE):
        assert (ROOT / name).exists() or (ROOT / "sensor" / name).exists(), name


def test_the_picture_is_the_one_the_program_makes():
    assert (ROOT / "docs" / "architecture.svg").read_text() == picture() + "\n"
    assert {box.room for box in BOXES.values() if box.room} <= set(re.findall(r"`(\w+)/`", PAGE))
