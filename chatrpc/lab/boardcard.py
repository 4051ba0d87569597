"""The judge's board in a cell: signs, words and colours; hints and ladders open on a click."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from . import cell
from .board import SIGNS, Report, Result, Row
from .promises import Promise

# Of the page's own theme where there is one, else of a light one.
INK = "var(--jp-ui-font-color1,#1f2328)"
PALE = "var(--jp-ui-font-color2,#57606a)"
PAPER = "var(--jp-layout-color1,#ffffff)"
LINE = "var(--jp-border-color2,#d0d7de)"
FILLS = {
    Result.KEPT: "#1a7f37",
    Result.BROKEN: "#cf222e",
    Result.ON_TRIAL: "#0969da",
}
HINTS = ("a hint", "a plainer hint", "the plainest hint")


def html(report: Report, *, ladders: bool) -> str:
    """Return the board: a card of its own with a row for each promise."""
    rows = "".join(_row(row, ladders=ladders) for row in report.rows)
    on_trial = [row.promise.id for row in report.rows if row.result is Result.ON_TRIAL]
    told = f"{report.who}: {on_trial[0]} is on trial" if on_trial else report.verdict
    return (
        f'<div class="chatrpc-board" style="max-width:60em;margin:4px 0;padding:10px 16px;'
        f"border:1px solid {LINE};border-radius:12px;background:{PAPER};color:{INK};"
        f'line-height:1.45;text-align:left;overflow-x:auto">'
        f'<div class="chatrpc-board-verdict" role="status" style="font-weight:600;'
        f'padding:0 0 8px">{escape(told)}</div>{_tally(report)}'
        f'<table style="border-collapse:collapse;table-layout:auto;width:100%;margin:0;'
        f'font-size:inherit;color:inherit"><tbody>{rows}</tbody></table></div>'
    )


def _tally(report: Report) -> str:
    """A bar with one field a promise: the whole board from the last row of seats."""
    fields = "".join(
        f'<span title="{row.promise.id} {row.result.value}" style="flex:1 1 1.6em;height:1.5em;'
        f"line-height:1.5em;text-align:center;border-radius:3px;{_colours(row.result)}"
        f'">{SIGNS[row.result]}</span>'
        for row in report.rows
    )
    return (
        f'<div aria-hidden="true" style="display:flex;gap:3px;padding:0 0 8px;max-width:42em">'
        f"{fields}</div>"
    )


def _row(row: Row, *, ladders: bool) -> str:
    reached = row.result is not Result.NOT_REACHED
    words = row.promise.sentence if reached else f"lesson {row.promise.lesson}"
    more = f'<div style="{"" if reached else f"color:{PALE}"}">{escape(words)}</div>'
    if row.reason:
        more += f'<div style="font-weight:600;padding-top:2px">{escape(row.reason)}</div>'
    if row.result is Result.BROKEN:
        more += _hints(row.promise.hints)
    if ladders and row.ladder is not None:
        more += _fold("what went over the wire", _ladder(row), "chatrpc-board-ladder")
    cells = f"text-align:left;vertical-align:top;padding:5px 12px 5px 0;border-top:1px solid {LINE}"
    return (
        f'<tr class="chatrpc-board-row" data-promise="{row.promise.id}" '
        f'style="background:transparent"><td style="{cells}">'
        f'<span style="display:inline-block;white-space:nowrap;padding:0 8px;border-radius:9px;'
        f'{_colours(row.result)}">{SIGNS[row.result]} {row.result.value}</span></td>'
        f'<th scope="row" style="{cells};font-weight:600">{row.promise.id}</th>'
        f'<td style="{cells};width:100%;white-space:normal">{more}</td></tr>'
    )


def _colours(result: Result) -> str:
    if fill := FILLS.get(result):
        return f"background:{fill};color:#ffffff"
    return f"color:{PALE};box-shadow:inset 0 0 0 1px {LINE}"


def _hints(hints: Sequence[str]) -> str:
    """The slightest hint, in it the next plainer one, and so on."""
    inner = ""
    for name, hint in reversed(list(zip(HINTS, hints, strict=False))):
        inner = _fold(name, f"{escape(hint)}{inner}", "chatrpc-board-hint")
    return inner


def _fold(summary: str, inner: str, name: str) -> str:
    return (
        f'<details class="{name}" style="padding-top:2px"><summary style="cursor:pointer;'
        f'color:{PALE}">{summary}</summary><div style="padding:2px 0 2px 1em">{inner}</div>'
        f"</details>"
    )


def _ladder(row: Row) -> str:
    assert row.ladder is not None
    return f'<div style="overflow-x:auto;max-width:100%">{row.ladder.svg}</div>'


class LiveBoard:
    """A board that is shown before the first verdict, and again with each.

    Where no page shows the cell as it runs, nothing is shown before the end.
    """

    def __init__(self, names: tuple[str, str], own: tuple[bool, bool]) -> None:
        self._names, self._own = names, own
        self._rows: dict[str, Row] = {}
        self._handle: Any = None

    def begin(self, promises: Sequence[Promise], reached: Sequence[Promise]) -> None:
        """Show what will be judged."""
        for promise in promises:
            result = Result.WAITS if promise in reached else Result.NOT_REACHED
            self._rows[promise.id] = Row(promise, result)
        self._handle = cell.show(self._data()) if cell.is_live() else None

    def tell(self, row: Row) -> None:
        """Show what has become of a promise, or that it is on trial."""
        self._rows[row.promise.id] = row
        if self._handle is not None:
            self._handle.update(self._data(), raw=True)

    def end(self, report: Report) -> None:
        """Show the whole board, if it is not shown already."""
        if self._handle is None:
            report.show()
        else:
            data = {"text/html": html(report, ladders=True), "text/plain": report.text}
            self._handle.update(data, raw=True)
            report.is_shown()

    def _data(self) -> dict[str, str]:
        report = Report(*self._names, list(self._rows.values()), own=self._own)
        return {"text/html": html(report, ladders=True), "text/plain": report.text}
