"""The judge's board: one row a promise, as text, as data for a file, and for a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from . import cell
from .ladder import Ladder
from .promises import Promise


class Result(Enum):
    """What became of a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"
    NOT_REACHED = "not reached"
    WAITS = "waits"
    ON_TRIAL = "on trial"


SIGNS = {
    Result.KEPT: "✓",
    Result.BROKEN: "✗",
    Result.NOT_JUDGED: "-",
    Result.NOT_REACHED: "·",
    Result.WAITS: "…",
    Result.ON_TRIAL: "▶",
}


@dataclass(frozen=True)
class Row:
    """One promise's line on the board: ``reason`` is one sentence, ``seconds`` what it took.

    ``ladder`` is what went over the wire of a promise that was broken, if it could be seen.
    """

    promise: Promise
    result: Result
    reason: str = ""
    seconds: float = 0.0
    ladder: Ladder | None = None


class Report:
    """The board: one row a promise. As text it holds no times, so it can be compared.

    ``own`` says whether client and server are not chatrpc's own, which stand in for one that
    was left out. In a cell it shows itself.
    """

    def __init__(
        self,
        client: str,
        server: str,
        rows: Sequence[Row],
        *,
        own: tuple[bool, bool] = (True, True),
    ) -> None:
        self.client = client
        self.server = server
        self.rows = list(rows)
        self.own = own
        self._shown_in: object = None

    @property
    def broken(self) -> list[str]:
        """The ids of the promises that were not kept."""
        return [row.promise.id for row in self.rows if row.result is Result.BROKEN]

    @property
    def kept(self) -> list[str]:
        """The ids of the promises that were kept."""
        return [row.promise.id for row in self.rows if row.result is Result.KEPT]

    @property
    def ladders(self) -> Mapping[str, Ladder]:
        """What went over the wire while a promise was broken, by its id."""
        return {row.promise.id: row.ladder for row in self.rows if row.ladder is not None}

    @property
    def who(self) -> str:
        """Whose classes these are."""
        names = zip((self.client, self.server), self.own, strict=True)
        client, server = (name if own else f"chatrpc's {name}" for name, own in names)
        return f"{client} and {server}"

    @property
    def verdict(self) -> str:
        """The board in one line."""
        reached = len(self.kept) + len(self.broken)
        return f"{self.who}: {len(self.kept)} of {reached} promises kept"

    @property
    def text(self) -> str:
        """The board for a terminal and for a comparison, with the slightest hints."""
        return self.told()

    def told(self, hints: int = 1) -> str:
        """Return the board as text, with so many hints for each promise that was broken."""
        lines = [self.verdict]
        for row in self.rows:
            named = f"{SIGNS[row.result]} {row.promise.id} {row.result.value:<11}"
            if row.result is Result.NOT_REACHED:
                lines.append(f"{named} lesson {row.promise.lesson}")
                continue
            lines.append(f"{named} {row.promise.sentence}")
            if row.reason:
                lines.append(f"      why:  {row.reason}")
            if row.result is Result.BROKEN:
                lines += [f"      hint: {hint}" for hint in row.promise.hints[:hints]]
        return "\n".join(lines)

    @property
    def marks(self) -> dict[str, Any]:
        """The board as plain data, for a file that a teacher marks from."""
        return {
            "client": self.client,
            "server": self.server,
            "own": {"client": self.own[0], "server": self.own[1]},
            "kept": len(self.kept),
            "of": len(self.rows),
            "promises": [
                {
                    "id": row.promise.id,
                    "lesson": row.promise.lesson,
                    "promise": row.promise.sentence,
                    "result": row.result.value,
                    "reason": row.reason,
                    "seconds": round(row.seconds, 2),
                    "ladder": row.ladder.text.splitlines() if row.ladder else [],
                }
                for row in self.rows
            ],
        }

    @property
    def html(self) -> str:
        """The board for a cell, without what differs from run to run: its ladders."""
        from .boardcard import html

        return html(self, ladders=False)

    def show(self, *, live: bool = False) -> None:
        """Show the board in this cell; if ``live``, with the ladders."""
        from .boardcard import html

        cell.show({"text/html": html(self, ladders=live), "text/plain": self.text})
        self.is_shown()

    def is_shown(self) -> None:
        """Take it as shown in the cell that runs now, whose value need not show it again."""
        self._shown_in = cell.number()

    def __repr__(self) -> str:
        """Return the board as text."""
        return self.text

    def _ipython_display_(self) -> None:
        if self._shown_in is None or self._shown_in != cell.number():
            self.show(live=cell.is_live())
