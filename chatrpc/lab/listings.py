"""A file of the kit shown in a cell, whole or a part at a time, with its line numbers.

    lab.listing("app.py", until="shared")            from its first line to the def of shared
    lab.listing("app.py", "shared", until="send")    from there to the def of send
    lab.listing("app.py", "send")                    the rest

What is shown is the file as it is now, so it never differs from what runs.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

from .problem import LabProblem

ROOT = Path(__file__).resolve().parents[2]

_CARD = (
    "max-width:900px;overflow-x:auto;padding:10px 14px;border:1px solid #d0d7de;"
    "background-color:#ffffff;color:#1f2328;line-height:1.4"
)


class Listing:
    """Some lines of a file, from line ``first`` on."""

    def __init__(self, name: str, lines: list[str], first: int) -> None:
        self.name, self.lines, self.first = name, lines, first

    def __repr__(self) -> str:
        width = len(str(self.first + len(self.lines) - 1))
        numbered = enumerate(self.lines, start=self.first)
        return "\n".join(f"{number:>{width}}  {line}".rstrip() for number, line in numbered)

    def _repr_html_(self) -> str:
        last = self.first + len(self.lines) - 1
        head = f"<div><b>{escape(self.name)}</b>, lines {self.first} to {last}</div>"
        return f'<div style="{_CARD}">{head}{_coloured(self)}</div>'


def listing(path: str, start: str = "", *, until: str = "") -> Listing:
    """Return a file of the kit, or its part from one function or class up to another.

    Raises:
        LabProblem: there is no such file, function or class.
    """
    file = ROOT / path
    if not file.is_file():
        raise LabProblem(f"There is no {path} beside the notebooks: run this from a clone.")
    lines = file.read_text(encoding="utf-8").splitlines()
    first = _line(path, lines, start) if start else 1
    last = _line(path, lines, until) - 1 if until else len(lines)
    while last > first and not lines[last - 1].strip():
        last -= 1
    return Listing(path, lines[first - 1 : last], first)


def _line(path: str, lines: list[str], name: str) -> int:
    """Return the line on which a top-level function or class begins, with its decorators."""
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return min([node.lineno, *(one.lineno for one in node.decorator_list)])
    raise LabProblem(f"{path} has no function or class {name!r}.")


def _coloured(shown: Listing) -> str:
    """Return the lines as HTML whose colours need no style sheet."""
    try:
        from pygments import highlight  # type: ignore[import-untyped]
        from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
        from pygments.lexers import PythonLexer  # type: ignore[import-untyped]
    except ImportError:
        return f"<pre>{escape(repr(shown))}</pre>"
    look = HtmlFormatter(
        noclasses=True,
        linenos="inline",
        linenostart=shown.first,
        style="default",
        nobackground=True,
    )
    return str(highlight("\n".join(shown.lines), PythonLexer(stripnl=False), look))
