"""The worker's side of exercise 06.2: it pours with a student's function, and dies on order.

The function gets a plain SQLite connection. SQLite tells of each statement before it is carried
out, so that the process can be killed between any two of them, whatever the function looks like.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from ... import RpcServer
from ...confirms import Outcome
from ..points import point

ANSWER = "CHATRPC_LAB_ANSWER"
"""The variable that names the folder, the module and the function, with line ends between."""

POINTS = (
    "before anything",
    "after the first write",
    "before the commit",
    "after the commit",
    "after the reply",
)
TABLES = """
CREATE TABLE cups (number INTEGER PRIMARY KEY);
CREATE TABLE keys (key TEXT PRIMARY KEY, cup INTEGER);
"""
RACE = "race"
"""A key that two workers pour for at the same moment begins so."""
MEETING = 0.4  # seconds that one waits for the other, which may be kept out by a lock
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Mortal(RpcServer):
    """A server that may die when the broker has its reply, and before it has acknowledged."""

    def settled(self, id: str, outcome: Outcome) -> None:
        """Learn what became of a reply, or die of it."""
        if outcome is Outcome.CONFIRMED:
            point("after the reply")
        super().settled(id, outcome)


def order(key: str) -> Any:
    """Pour with the student's function, and return what it returns."""
    folder, module, name = os.environ[ANSWER].split("\n")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    pour_once = getattr(importlib.import_module(module), name)
    point("before anything")
    with_points = _Watch(key, Path(folder))
    db = sqlite3.connect(Path(folder, "cups.sqlite3"), timeout=3.0)
    try:
        db.set_trace_callback(with_points.statement)
        number = pour_once(db, key)
    finally:
        db.close()  # what was not committed is gone
    point("after the commit")
    with Path(folder, "log").open("a", encoding="utf-8") as log:
        log.write(f"{key}\n")
    return number


class _Watch:
    """Sees each statement before it is carried out."""

    def __init__(self, key: str, folder: Path) -> None:
        self._key, self._folder = key, folder
        self._wrote = False

    def statement(self, text: str) -> None:
        word = text.lstrip().split(None, 1)[0].upper().rstrip(";") if text.strip() else ""
        if self._wrote:
            point("after the first write")
        if word in ("COMMIT", "END"):
            point("before the commit")
        if word in WRITES:
            if not self._wrote and self._key.startswith(RACE):
                self._meet()
            self._wrote = True

    def _meet(self) -> None:
        """Wait until both racers have looked and neither has written."""
        Path(self._folder, f"{self._key}-{os.getpid()}").touch()
        end = time.monotonic() + MEETING
        while len(list(self._folder.glob(f"{self._key}-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.005)
