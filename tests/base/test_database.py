"""A SQLite file of several processes, one of which may just be making it."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sensor.base.database import Book, Database, DatabaseError

_MIGRATIONS = ("CREATE TABLE things (name TEXT);", "ALTER TABLE things ADD COLUMN size INTEGER;")


def test_who_reads_a_file_without_tables_is_told_so_when_opening_it(tmp_path):
    path = tmp_path / "things.sqlite"
    sqlite3.connect(path).close()
    with pytest.raises(DatabaseError, match=r"things\.sqlite: nothing is in it yet"):
        Database(path, _MIGRATIONS, read_only=True)
    Database(path, _MIGRATIONS).close()
    assert Database(path, _MIGRATIONS, read_only=True).rows("SELECT size FROM things") == []


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "things.sqlite"
    Database(path, _MIGRATIONS).close()
    for read_only in (False, True):
        with pytest.raises(DatabaseError, match=r"newer version \(2, this program knows 1\)"):
            Database(path, _MIGRATIONS[:1], read_only=read_only)


def test_who_only_reads_a_file_of_an_older_version_is_told_who_mends_it(tmp_path):
    path = tmp_path / "things.sqlite"
    Database(path, _MIGRATIONS[:1]).close()
    with pytest.raises(DatabaseError, match=r"older version \(1, this program knows 2\)"):
        Database(path, _MIGRATIONS, read_only=True)
    Database(path, _MIGRATIONS).close()
    Database(path, _MIGRATIONS, read_only=True).close()


def test_a_transaction_is_written_whole_or_not_at_all(tmp_path):
    database = Database(tmp_path / "things.sqlite", _MIGRATIONS)
    with pytest.raises(DatabaseError, match="no such table"), database.transaction():
        database.run("INSERT INTO things VALUES (?, ?)", "one", 1)
        database.run("INSERT INTO absent VALUES (1)")
    assert database.rows("SELECT name FROM things") == []


class Things(Book):
    migrations = ("CREATE TABLE things (number INTEGER PRIMARY KEY, name TEXT);",)
    rows = "things"


def test_a_book_tells_its_readers_how_far_it_is_and_when_to_look_again(tmp_path):
    book = Things(tmp_path / "things.sqlite")
    reader = Things(tmp_path / "things.sqlite", read_only=True)
    assert reader.last == 0
    before = reader.changes
    assert reader.changes == before, "nobody wrote"
    book.db.run("INSERT INTO things VALUES (7, 'one')")
    assert reader.changes != before
    assert reader.last == 7
    with pytest.raises(DatabaseError, match="readonly"):
        reader.db.run("DELETE FROM things")
    book.close()
    reader.close()


def test_many_who_open_a_new_file_at_once_find_it_made_once(tmp_path):
    """The sources of a sink, each in a thread of its own."""
    path = tmp_path / "new.sqlite"
    made = "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1);"
    start = threading.Barrier(16)

    def use(number: int) -> int:
        start.wait()
        db = Database(path, [made, "INSERT INTO t VALUES (2);"])
        with db.transaction():
            db.run("INSERT INTO t VALUES (?)", 100 + number)
        return int(db.row("SELECT count(*) FROM t WHERE n < 100")[0])

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(use, range(16))) == {2}
    assert Database(path, [made, ""]).row("SELECT count(*) FROM t") == (18,)
