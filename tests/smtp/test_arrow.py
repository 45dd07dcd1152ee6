"""Session records as columns: the same values, whatever reads them."""

import json

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensor.smtp import arrow
from sensor.smtp.record import SCHEMA, Session
from tests.conftest import PCAPS, port25

CAPTURE = PCAPS / "slow_bot.pcap"


@pytest.fixture(scope="module")
def lines() -> list[dict]:
    said = port25("sessions", str(CAPTURE), check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def rows(path, form) -> list[dict]:
    """As the lines have them: times as numbers, reply codes as an object."""
    table = pq.read_table(path) if form == "parquet" else pa.ipc.open_stream(path).read_all()
    assert table.schema.metadata[b"schema"] == SCHEMA.encode()
    assert table.column_names == list(Session.__struct_fields__)
    for at, name in enumerate(("ts", "end")):
        table = table.set_column(at, name, table[name].cast(pa.int64()))
    return [row | {"reply_codes": dict(row["reply_codes"])} for row in table.to_pylist()]


@pytest.mark.parametrize("form", arrow.FORMATS)
def test_columns_hold_what_the_lines_say(tmp_path, lines, form):
    path = tmp_path / f"sessions.{form}"
    run = port25("sessions", "--format", form, "-o", str(path), str(CAPTURE))
    assert run.returncode == 0, run.stderr
    assert rows(path, form) == lines


@pytest.mark.parametrize("form", arrow.FORMATS)
def test_groups_of_rows_make_one_table(tmp_path, lines, monkeypatch, form):
    monkeypatch.setattr(arrow, "_GROUP", 7)
    records = msgspec.convert(lines, list[Session])
    path = tmp_path / "file"
    with path.open("wb") as file:
        writer = arrow.Writer(file, form)
        for at in range(0, len(records), 5):
            writer.write(records[at : at + 5])
        writer.close()
    assert rows(path, form) == lines


def test_nothing_to_tell_is_a_table_of_no_rows(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        arrow.Writer(file, "parquet").close()
    assert rows(tmp_path / "file", "parquet") == []


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    run = port25("sessions", "-o", str(tmp_path / "none" / "file"), str(CAPTURE))
    assert run.returncode == 1
    assert b"No such file or directory" in run.stderr and b"Traceback" not in run.stderr
