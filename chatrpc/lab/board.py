"""The judge's board: one row a promise, as text, for a cell, and as marks for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from typing import Any

from .promises import Promise


class Result(Enum):
    """What became of a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"
    NOT_REACHED = "not reached"


SIGNS = {
    Result.KEPT: "✓",
    Result.BROKEN: "✗",
    Result.NOT_JUDGED: "-",
    Result.NOT_REACHED: "·",
}
COLOURS = {
    Result.KEPT: "#1a7f37",
    Result.BROKEN: "#cf222e",
    Result.NOT_JUDGED: "#6e7781",
    Result.NOT_REACHED: "#6e7781",
}


@dataclass(frozen=True)
class Row:
    """One promise's line on the board; ``reason`` is one sentence, ``seconds`` what it took."""

    promise: Promise
    result: Result
    reason: str = ""
    seconds: float = 0.0


class Report:
    """The board: one row a promise. As text it holds no times, so it can be compared."""

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

    @property
    def broken(self) -> list[str]:
        """The ids of the promises that were not kept."""
        return [row.promise.id for row in self.rows if row.result is Result.BROKEN]

    @property
    def kept(self) -> list[str]:
        """The ids of the promises that were kept."""
        return [row.promise.id for row in self.rows if row.result is Result.KEPT]

    @property
    def verdict(self) -> str:
        """The board in one line."""
        reached = len(self.kept) + len(self.broken)
        client, server = (
            name if own else f"chatrpc's {name}"
            for name, own in zip((self.client, self.server), self.own, strict=True)
        )
        return f"{client} and {server}: {len(self.kept)} of {reached} promises kept"

    @property
    def text(self) -> str:
        """The board for a terminal and for a comparison."""
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
                lines.append(f"      hint: {row.promise.hint}")
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
                }
                for row in self.rows
            ],
        }

    @property
    def html(self) -> str:
        """The board for a cell: sign, word and colour; the hint opens on a click."""
        body = "".join(self._html_row(row) for row in self.rows)
        return (
            '<table style="border-collapse:collapse;text-align:left">'
            f'<caption style="text-align:left;font-weight:600;padding:4px 0">'
            f"{escape(self.verdict)}</caption>{body}</table>"
        )

    def _html_row(self, row: Row) -> str:
        cell = 'style="text-align:left;vertical-align:top;padding:3px 12px 3px 0"'
        more = escape(row.promise.sentence)
        if row.result is Result.NOT_REACHED:
            more = f"lesson {escape(row.promise.lesson)}"
        if row.reason:
            more += f"<br><b>{escape(row.reason)}</b>"
        if row.result is Result.BROKEN:
            more += f"<details><summary>hint</summary>{escape(row.promise.hint)}</details>"
        return (
            f"<tr><th {cell}>{escape(row.promise.id)}</th>"
            f'<td {cell}><span style="color:{COLOURS[row.result]};font-weight:600;'
            f'white-space:nowrap">{SIGNS[row.result]} {row.result.value}</span></td>'
            f"<td {cell}>{more}</td></tr>"
        )

    def __repr__(self) -> str:
        """Return the board as text."""
        return self.text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}
