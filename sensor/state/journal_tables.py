"""The tables of the journal, each version made of the one before.

``alerts`` has a row for each message, ``heads`` one for each alert, as its last message has it. An
alert's rows share a ``thread``: made of the number of its first message, so that it grows with
time, and what is written lies beside what was written just before. An id tells nothing of time and
a host little, so that each new one is on a page of its own, which is read, written into the log and
written again. They are in the order of ids and hosts once an alert, in ``heads``, and not with
every message; but of customers, who move, each message's host is. Of alerts that a version before
the seventh began, the thread is the id.
"""

from typing import Final

__all__ = ["TABLES"]

TABLES: Final = (
    """
    CREATE TABLE alerts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        host TEXT NOT NULL,
        state TEXT NOT NULL,
        message BLOB NOT NULL,
        UNIQUE (id, revision)
    );
    CREATE INDEX alerts_by_host ON alerts (host, ts);
    CREATE INDEX alerts_by_ts ON alerts (ts);
    """,
    """
    CREATE TABLE candidates (
        host TEXT PRIMARY KEY,
        ts INTEGER NOT NULL,
        score REAL NOT NULL,
        message BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX candidates_by_ts ON candidates (ts);
    """,
    """
    CREATE TABLE heads (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        host TEXT NOT NULL,
        opened INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        state TEXT NOT NULL,
        severity TEXT NOT NULL,
        score REAL NOT NULL,
        recommended INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO heads
        SELECT id, number, host, CAST(message AS TEXT) ->> 'opened', ts, state,
            CAST(message AS TEXT) ->> 'severity', CAST(message AS TEXT) ->> 'score',
            CAST(message AS TEXT) ->> 'block_recommended'
        FROM alerts WHERE number IN (SELECT max(number) FROM alerts GROUP BY id);
    CREATE INDEX heads_by_opened ON heads (opened, id);
    CREATE INDEX heads_by_number ON heads (number);
    CREATE TABLE vitals (ts INTEGER PRIMARY KEY, message BLOB NOT NULL);
    """,
    """
    DROP INDEX heads_by_opened;
    CREATE INDEX heads_by_opened ON heads (opened, id, host, severity, state, recommended);
    CREATE INDEX candidates_by_score ON candidates (score, host, ts);
    """,  # all that lists are asked for: whole rows are read only of those shown
    """
    ALTER TABLE heads ADD COLUMN customer TEXT NOT NULL DEFAULT '';
    ALTER TABLE alerts ADD COLUMN customer TEXT NOT NULL DEFAULT '';
    CREATE INDEX alerts_by_customer ON alerts (customer, ts) WHERE customer <> '';
    DROP INDEX heads_by_opened;
    CREATE INDEX heads_by_opened
        ON heads (opened, id, host, severity, state, recommended, customer);
    """,
    """
    ALTER TABLE heads ADD COLUMN abuse TEXT NOT NULL DEFAULT 'unknown';
    UPDATE heads SET abuse = coalesce((SELECT CAST(message AS TEXT) ->> 'abuse' FROM alerts
        WHERE alerts.number = heads.number), 'unknown');
    DROP INDEX heads_by_opened;
    CREATE INDEX heads_by_opened
        ON heads (opened, id, host, severity, state, recommended, customer, abuse);
    """,
    """
    ALTER TABLE alerts RENAME COLUMN id TO thread;
    CREATE TABLE renewed_heads (
        thread TEXT NOT NULL UNIQUE,
        id TEXT NOT NULL UNIQUE,
        number INTEGER NOT NULL,
        host TEXT NOT NULL,
        opened INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        state TEXT NOT NULL,
        severity TEXT NOT NULL,
        score REAL NOT NULL,
        recommended INTEGER NOT NULL,
        customer TEXT NOT NULL,
        abuse TEXT NOT NULL
    );
    INSERT INTO renewed_heads
        SELECT id, id, number, host, opened, ts, state, severity, score, recommended, customer,
            abuse
        FROM heads ORDER BY number;
    DROP TABLE heads;
    ALTER TABLE renewed_heads RENAME TO heads;
    DROP INDEX alerts_by_host;
    CREATE INDEX alerts_by_host ON alerts (host, thread) WHERE customer <> '';
    CREATE INDEX heads_by_host ON heads (host);
    CREATE INDEX heads_by_ts ON heads (ts, id);
    CREATE INDEX heads_by_opened
        ON heads (opened, id, host, severity, state, recommended, customer, abuse);
    """,
)
