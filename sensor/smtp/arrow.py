"""Session records as columns of Apache Arrow, and files of them: for notebooks and databases.

Each field of :class:`sensor.smtp.record.Session` is a column of the same name; times are
timestamps of nanoseconds in UTC. Needs pyarrow (``pip install 'port25[parquet]'``).
"""

import types
from collections.abc import Sequence
from typing import Annotated, Any, BinaryIO, Final, Literal, Union, get_args, get_origin

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from sensor.smtp.record import SCHEMA, Session

__all__ = ["FORMATS", "SESSIONS", "Writer"]

_GROUP: Final = 50_000
"""Rows of a batch: columns of some megabytes."""
_PLAIN: Final = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_TIMES: Final = frozenset({"ts", "end"})


def _arrow(kind: Any) -> pa.DataType:
    """The type of a column whose values are of a type of Python's."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _arrow(inner[0])
    if origin in (Union, types.UnionType):
        return _arrow(next(one for one in inner if one is not type(None)))
    if origin is list:
        return pa.list_(_arrow(inner[0]))
    if origin is dict:
        return pa.map_(_arrow(inner[0]), _arrow(inner[1]))
    if origin is Literal:
        return pa.dictionary(pa.int8(), pa.string())
    return _PLAIN.get(kind, pa.string())


def _field(one: msgspec.structs.FieldInfo, kind: Any) -> pa.Field:
    nullable = get_origin(kind) in (Union, types.UnionType)
    column = pa.timestamp("ns", "UTC") if one.name in _TIMES else _arrow(kind)
    return pa.field(one.name, column, nullable)


SESSIONS: Final = pa.schema(
    [
        _field(one, Session.__annotations__[one.encode_name])
        for one in msgspec.structs.fields(Session)
    ],
    {"schema": SCHEMA},
)
"""The columns, in the order of the record's fields."""


def _batch(records: Sequence[Session]) -> pa.RecordBatch:
    columns = zip(*map(msgspec.structs.astuple, records), strict=True)
    arrays = []
    for column, field in zip(columns, SESSIONS, strict=True):
        values = [list(one.items()) for one in column] if pa.types.is_map(field.type) else column
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SESSIONS)


def _parquet(sink: BinaryIO) -> pq.ParquetWriter:
    return pq.ParquetWriter(sink, SESSIONS, compression="zstd")


def _stream(sink: BinaryIO) -> pa.RecordBatchStreamWriter:
    return pa.ipc.new_stream(sink, SESSIONS)


FORMATS: Final = {"parquet": _parquet, "arrow": _stream}
"""What a file can be: Parquet, or a stream of Arrow's IPC format."""


class Writer:
    """Writes records to an open file; it is whole once :meth:`close` was called."""

    def __init__(self, sink: BinaryIO, form: str) -> None:
        """``form``: one of FORMATS."""
        self._writer = FORMATS[form](sink)
        self._waiting: list[Session] = []

    def write(self, records: Sequence[Session]) -> None:
        """Take records; they are written a group at a time."""
        self._waiting += records
        if len(self._waiting) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(_batch(self._waiting))
            self._waiting = []

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        self._flush()
        self._writer.close()
