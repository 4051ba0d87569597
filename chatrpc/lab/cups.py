"""The cups that were poured, on a ledger of a lesson's own: what a call has really done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import services

ROOT = Path(__file__).resolve().parents[2]


def ledger(path: Path | None = None) -> Any:
    """Return the ledger that ships with the worker; without a path, that of this process.

    ``pour(worker, key=None)`` pours a cup, ``poured()`` counts them.
    """
    if str(ROOT) not in sys.path:  # as worker/consumer.py does: the worker is no installed package
        sys.path.append(str(ROOT))
    from worker.ledger import Ledger

    return Ledger(path)


class Poured:
    """So many cups, to look at."""

    def __init__(self, many: int) -> None:
        self.many = many

    def __str__(self) -> str:
        return f"{self.many} {'☕' * min(self.many, 40)}".strip()

    def __repr__(self) -> str:
        return f"{'☕' * min(self.many, 40)} {self._words}".strip()

    def _repr_html_(self) -> str:
        cups = "☕" * min(self.many, 40)
        return f'<div><span style="font-size:1.7em">{cups}</span> <b>{self._words}</b></div>'

    @property
    def _words(self) -> str:
        return f"{self.many} {'cup' if self.many == 1 else 'cups'}"


class Cups:
    """An empty ledger, and a look at what has been poured into it since."""

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            path = services.folder("cups") / "ledger.sqlite3"
        self.path = path
        self._ledger = ledger(path)

    def pour(self, worker: str = "worker", key: str | None = None) -> int:
        """Pour a cup and return its number; with a key, once, and then the same number."""
        cup, _ = self._ledger.pour(worker, key)
        return int(cup.number)

    @property
    def poured(self) -> int:
        """How many cups were poured."""
        return int(self._ledger.poured())

    def since(self, before: int) -> Poured:
        """Return the cups that were poured since there were so many."""
        return Poured(self.poured - before)

    def __repr__(self) -> str:
        return repr(self.since(0))

    def _repr_html_(self) -> str:
        return self.since(0)._repr_html_()
