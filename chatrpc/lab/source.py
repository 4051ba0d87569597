"""The source of a class, wherever it was written, and the difference between two versions."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from types import FunctionType
from typing import Any

from .problem import LabProblem


def source_of(thing: Any) -> str:
    """Return the source of a class or function, from a file or from a notebook's cell.

    A notebook's class has no file of its own, but its methods know the cell they were
    compiled from, and the cell is in Python's line cache.

    Raises:
        LabProblem: the source is nowhere to be found, as for a class made by ``type()``.
    """
    if not isinstance(thing, type | FunctionType):
        raise LabProblem(f"A class or a function is needed here; {thing!r} is neither.")
    if isinstance(thing, type) and (found := _from_its_cell(thing)) is not None:
        return found
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        raise LabProblem(
            f"The source of {thing.__name__} is not to be found: run its cell again."
        ) from None


def _from_its_cell(cls: type) -> str | None:
    for function in _functions(cls):
        code = function.__code__
        if found := _class_in(code.co_filename, cls.__name__, code.co_firstlineno):
            return found
    if cls.__module__ == "__main__":  # a class without functions: the newest cell that defines it
        for cell in reversed(list(linecache.cache)):
            if "ipy" in cell and (found := _class_in(cell, cls.__name__)):
                return found
    return None


def _class_in(file: str, name: str, line: int | None = None) -> str | None:
    """Return the source of a file's class of that name that holds the line, if one is given."""
    lines = linecache.getlines(file)
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if line is None or start <= line <= (node.end_lineno or 0):
                return textwrap.dedent("".join(lines[start - 1 : node.end_lineno]))
    return None


def _functions(cls: type) -> Iterator[FunctionType]:
    """Return the functions written in the class's body."""
    for value in vars(cls).values():
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(inner, FunctionType) and inner.__qualname__.startswith(cls.__qualname__):
            yield inner


def module_source(module: str) -> str | None:
    """Return a module's source, or None if there is none."""
    try:
        spec = importlib.util.find_spec(module) if module else None
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin).read_text(encoding="utf-8")


class Difference:
    """The step from one version of a source to the next, line by line."""

    def __init__(self, old: str, new: str, old_name: str, new_name: str) -> None:
        self.names = old_name, new_name
        self._old, self._new = old.splitlines(), new.splitlines()

    @property
    def lines(self) -> list[str]:
        """Return the lines, each led by "+ ", "- " or two spaces."""
        return [
            line.rstrip()
            for line in difflib.Differ().compare(self._old, self._new)
            if not line.startswith("?")
        ]

    def __bool__(self) -> bool:
        return self._old != self._new

    def __repr__(self) -> str:
        if not self:
            return f"{self.names[0]} and {self.names[1]} are the same, line by line"
        return "\n".join([f"- {self.names[0]}", f"+ {self.names[1]}", "", *self.lines])

    def _repr_html_(self) -> str:
        head = f"<div><b>{escape(self.names[0])}</b> → <b>{escape(self.names[1])}</b></div>"
        if not self:
            return f"<div>{escape(repr(self))}</div>"
        looks = {
            "+": "background-color:#dafbe1;color:#116329",
            "-": "background-color:#ffebe9;color:#82071e",
        }
        rows = "".join(
            f'<div style="{looks.get(line[:1], "")};white-space:pre">{escape(line) or " "}</div>'
            for line in self.lines
        )
        return (
            '<div style="max-width:900px;overflow-x:auto;padding:8px 12px;border:1px solid #d0d7de;'
            'background-color:#ffffff;color:#1f2328;line-height:1.4">'
            f'{head}<div style="font-family:monospace;font-size:13px">{rows}</div></div>'
        )


def diff(old: Any, new: Any) -> Difference:
    """Return the difference between two versions of a class or function.

    Raises:
        LabProblem: the source of either is not to be found.
    """
    before, now = source_of(old), source_of(new)
    names = (old.__name__, new.__name__)
    if names[0] == names[1]:
        names = (f"{names[0]}, before", f"{names[1]}, now")
    return Difference(before, now, *names)
