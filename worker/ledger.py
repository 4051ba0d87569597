"""The coffees poured: the one effect of a call that cannot be taken back.

Pouring twice is two cups. With a key the cup is poured once, however often and by however many
processes it is asked for: the key and the cup are written in the same transaction, which is the
only place where "once" can be promised.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chatrpc.machine.folder import state_folder

PATIENCE = 10.0  # seconds that one process waits for another to finish its transaction

TABLE = """
CREATE TABLE IF NOT EXISTS cups (
    number INTEGER PRIMARY KEY,
    time   TEXT NOT NULL,
    worker TEXT NOT NULL,
    key    TEXT UNIQUE
)"""


@dataclass(frozen=True)
class Cup:
    """One cup: its number from 1, when (UTC, ISO 8601), who poured it, its key if it has one."""

    number: int
    time: str
    worker: str
    key: str | None


def default_path() -> Path:
    """Where the cups are kept: CHATRPC_LEDGER, else a file in the kit's state folder."""
    if chosen := os.environ.get("CHATRPC_LEDGER"):
        return Path(chosen)
    return state_folder() / "ledger.sqlite3"


class Ledger:
    """The cups poured, in an SQLite file that several threads and processes may write at once.

    Raises ``sqlite3.OperationalError`` when the file cannot be opened, or when another process
    holds it for longer than ``PATIENCE`` seconds.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else default_path()

    def pour(self, worker: str, key: str | None = None) -> tuple[Cup, bool]:
        """Pour a cup and return it with True; with False if this key's cup was there already."""
        with self._open() as db:
            # IMMEDIATE: of two with the same key, the second waits here, and then finds the cup.
            db.execute("BEGIN IMMEDIATE")
            with db:
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                added = db.execute(
                    "INSERT INTO cups (time, worker, key) VALUES (?, ?, ?)"
                    " ON CONFLICT (key) DO NOTHING RETURNING number",
                    (now, worker, key),
                ).fetchone()
                if added:
                    return Cup(added[0], now, worker, key), True
                row = db.execute(
                    "SELECT number, time, worker, key FROM cups WHERE key = ?", (key,)
                ).fetchone()
                return Cup(*row), False

    def poured(self) -> int:
        """How many cups were poured."""
        with self._open() as db:
            return int(db.execute("SELECT count(*) FROM cups").fetchone()[0])

    def cups(self, last: int = 100) -> list[Cup]:
        """The last cups, oldest first."""
        with self._open() as db:
            rows = db.execute(
                "SELECT number, time, worker, key FROM cups ORDER BY number DESC LIMIT ?", (last,)
            ).fetchall()
        return [Cup(*row) for row in reversed(rows)]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                self._prepare(db)
            yield db

    def _prepare(self, db: sqlite3.Connection) -> None:
        # SQLite does not wait for others when it changes the journal's mode, so we do.
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        db.execute(TABLE)
        db.execute("PRAGMA user_version = 1")
