"""Gauges that look at moments with a name: the same on every run, unlike a plot over time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..errors import NoWorker
from . import services
from .firehose import connect

INK, PAPER, LINE, WAITING, LISTENING = "#1b2733", "#ffffff", "#9fb0c0", "#b45309", "#15803d"
BLOCKS = 12
"""Messages that are drawn one by one; more are a number alone."""
ROW, TOP, SIZE, LETTER = 34, 64, 16, 8.6


@dataclass(frozen=True)
class Look:
    """What one look saw: how many messages wait and how many readers listen; None if no queue."""

    moment: str
    waiting: int | None
    consumers: int | None

    def __repr__(self) -> str:
        if self.waiting is None:
            return f"{self.moment}: there is no such queue"
        return f"{self.moment}: {self.waiting} waiting, {self.consumers} listening"


class Moments:
    """``gauges = lab.Moments(queue)`` looks at a queue whenever ``gauges.look("…")`` is said.

    Shown in a cell it is a picture, printed a table: a row for each moment. ``looks`` are the data.
    """

    def __init__(self, queue: str, *, url: str | None = None) -> None:
        """Name the queue; nothing is looked at yet."""
        self.queue = queue
        self.looks: list[Look] = []
        self._url = url

    def look(self, moment: str) -> Look:
        """Look once, and keep what is seen under the name of this moment.

        Raises:
            LabProblem: no broker answers.
        """
        waiting: int | None = None
        consumers: int | None = None
        transport = connect(self._url)
        with contextlib.suppress(NoWorker):
            waiting, consumers = transport.look(self.queue)
        transport.close()
        self.looks.append(Look(moment, waiting, consumers))
        return self.looks[-1]

    @property
    def _label(self) -> str:
        return services.labels().get(self.queue, self.queue)

    def __repr__(self) -> str:
        return table(self._label, self.looks)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": draw(self._label, self.looks), "text/plain": repr(self)}


def table(name: str, looks: Sequence[Look]) -> str:
    """The looks as lines of text: a square for each message that waits."""
    rows = [(name, "waiting", "listening")]
    rows += [(one.moment, _squares(one.waiting), _number(one.consumers)) for one in looks]
    if not _listened(looks):
        rows = [(moment, waiting, "") for moment, waiting, _ in rows]
    wide = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(
        f"{moment:<{wide[0]}}  {waiting:<{wide[1]}}  {listening}".rstrip()
        for moment, waiting, listening in rows
    )


def draw(name: str, looks: Sequence[Look]) -> str:
    """The looks as a picture, on a card of its own colours."""
    left = 24 + max(150, int(LETTER * max([0, *(len(one.moment) for one in looks)])) + 24)
    drawn = max([min(one.waiting or 0, BLOCKS) for one in looks] + [3])
    right = left + 60 + 26 * drawn + 30
    listened = _listened(looks)
    wide, high = right + (110 if listened else 0), TOP + ROW * len(looks) + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" role="img" aria-label="{escape(table(name, looks))}" '
        f'font-size="{SIZE}" fill="{INK}" '
        f'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif">',
        f'<rect width="{wide}" height="{high}" rx="10" fill="{PAPER}" stroke="{LINE}"/>',
        f'<text x="24" y="34" font-weight="600">▤ {escape(name)}</text>',
        f'<text x="{left}" y="34" font-weight="600" fill="{WAITING}">waiting</text>',
        f'<text x="{right}" y="34" font-weight="600" fill="{LISTENING}">listening</text>'
        if listened
        else "",
        f'<path d="M16 46H{wide - 16}" stroke="{LINE}"/>',
    ]
    for place, one in enumerate(looks):
        y = TOP + ROW * place + 12
        out.append(f'<text x="24" y="{y}">{escape(one.moment)}</text>')
        out += [
            f'<rect x="{left + 60 + 26 * i}" y="{y - 15}" width="20" height="18" rx="3" '
            f'fill="#fef3c7" stroke="{WAITING}" stroke-width="2"/>'
            for i in range(min(one.waiting or 0, BLOCKS))
        ]
        shown = "no queue" if one.waiting is None else str(one.waiting)
        out.append(f'<text x="{left}" y="{y}" fill="{WAITING}" font-weight="600">{shown}</text>')
        if listened:
            out.append(
                f'<text x="{right}" y="{y}" fill="{LISTENING}" font-weight="600">'
                f"{_number(one.consumers)}</text>"
            )
    return "\n".join([*out, "</svg>"])


def _listened(looks: Sequence[Look]) -> bool:
    """Whether somebody listened at one of these moments; else there is nothing to tell of it."""
    return any(one.consumers for one in looks)


def _squares(waiting: int | None) -> str:
    if waiting is None:
        return "no queue"
    return f"{waiting:>2} {'■' * min(waiting, BLOCKS)}".rstrip()


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
