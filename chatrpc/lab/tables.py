"""A small table of results, for the eye and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_SIZE = "font-size:var(--jp-content-font-size1,14px)"


class Table:
    """Rows under their headings; as text in columns, in a cell as a table."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.head = head
        self.rows = rows

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        wide = [max(len(line[place]) for line in lines) for place in range(len(self.head))]
        return "\n".join(
            "  ".join(f"{text:<{width}}" for text, width in zip(line, wide, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        cell = 'style="text-align:left;padding:4px 18px 4px 0"'
        head = "".join(f"<th {cell}>{escape(text)}</th>" for text in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td {cell}>{escape(text)}</td>" for text in row) + "</tr>"
            for row in self.rows
        )
        return f'<table style="border-collapse:collapse;{_SIZE}"><tr>{head}</tr>{body}</table>'


def table(head: str, rows: Iterable[Sequence[object]]) -> Table:
    """Return a table: the head's columns are parted by "|", each row has a value for each."""
    columns = [part.strip() for part in head.split("|")]
    shown = [[str(value) for value in row] for row in rows]
    if any(len(row) != len(columns) for row in shown):
        raise ValueError(f"each row has {len(columns)} values, as the head has")
    return Table(columns, shown)
