"""The source of a class, wherever it was written, and the difference between two versions."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import itertools
import linecache
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from types import FunctionType
from typing import Any

from .cells import is_exercise
from .problem import LabProblem


def source_of(thing: Any) -> str:
    """Return the source of a class or function, from a file or from a notebook's cell.

    A notebook's class has no file of its own, but its methods know the cell they were
    compiled from, and the cell is in Python's line cache. An exercise's decorator is left out:
    the answer is wanted elsewhere, its check is not.

    Raises:
        LabProblem: the source is nowhere to be found, as for a class made by ``type()``.
    """
    if not isinstance(thing, type | FunctionType):
        raise LabProblem(f"A class or a function is needed here; {thing!r} is neither.")
    if isinstance(thing, type) and (found := _from_its_cell(thing)) is not None:
        return _without_exercise(found)
    try:
        return _without_exercise(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError):
        raise LabProblem(
            f"The source of {thing.__name__} is not to be found: run its cell again."
        ) from None


def _without_exercise(source: str) -> str:
    try:
        statement = ast.parse(source).body[0]
    except (SyntaxError, IndexError):  # a lambda's line, say
        return source
    lines = source.splitlines(keepends=True)
    for decorator in reversed(getattr(statement, "decorator_list", [])):
        if is_exercise(decorator):
            del lines[decorator.lineno - 1 : decorator.end_lineno]
    return "".join(lines)


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


NEAR = 3
"""Unchanged lines that are shown before and after a change; the rest of them is folded."""

_LOOKS = {
    "+": ("#dafbe1", "#116329", "#7ee2a0"),
    "-": ("#ffebe9", "#82071e", "#ffb3ad"),
}


@dataclass(frozen=True)
class _Line:
    """One line of a difference: "+", "-" or a space, and the places of letters that differ."""

    sign: str
    text: str
    marks: frozenset[int] = frozenset()

    def __str__(self) -> str:
        return f"{self.sign} {self.text}".rstrip()

    @property
    def html(self) -> str:
        """The line, escaped; its sign says what its colour says."""
        if self.sign not in _LOOKS:
            return f'<div style="white-space:pre">{escape(str(self)) or " "}</div>'
        paper, ink, mark = _LOOKS[self.sign]
        letters = "".join(
            f'<span style="background-color:{mark};text-decoration:underline">{escape(text)}</span>'
            if marked
            else escape(text)
            for marked, text in self._runs()
        )
        return (
            f'<div style="white-space:pre;background-color:{paper};color:{ink}">'
            f"{self.sign} {letters}</div>"
        )

    def _runs(self) -> Iterator[tuple[bool, str]]:
        for marked, run in itertools.groupby(
            enumerate(self.text), lambda letter: letter[0] in self.marks
        ):
            yield marked, "".join(letter for _, letter in run)


class Difference:
    """The step from one version of a source to the next, line by line."""

    def __init__(self, old: str, new: str, old_name: str, new_name: str) -> None:
        self.names = old_name, new_name
        self._old, self._new = old.splitlines(), new.splitlines()

    @property
    def lines(self) -> list[str]:
        """Return the lines, each led by "+ ", "- " or two spaces."""
        return [str(line) for line in self._lines()]

    def _lines(self) -> list[_Line]:
        found: list[_Line] = []
        for told in difflib.Differ().compare(self._old, self._new):
            sign, text = told[0], told[2:].rstrip("\n")
            if sign == "?":  # it points at letters of the line before
                marks = frozenset(at for at, letter in enumerate(text) if letter != " ")
                found[-1] = replace(found[-1], marks=marks)
            else:
                found.append(_Line(sign, text))
        return found

    def _parts(self) -> Iterator[tuple[bool, list[_Line]]]:
        """Return the lines in runs, each with whether it is far from every change."""
        lines = self._lines()
        changed = [at for at, line in enumerate(lines) if line.sign != " "]
        near = {at + by for at in changed for by in range(-NEAR, NEAR + 1)}
        for far, run in itertools.groupby(enumerate(lines), lambda item: item[0] not in near):
            some = [line for _, line in run]
            yield far and len(some) > 1, some

    def __bool__(self) -> bool:
        return self._old != self._new

    def __repr__(self) -> str:
        if not self:
            return f"{self.names[0]} and {self.names[1]} are the same, line by line"
        told = [f"- {self.names[0]}", f"+ {self.names[1]}", ""]
        for far, lines in self._parts():
            told += [_same_lines(lines)] if far else map(str, lines)
        return "\n".join(told)

    def _repr_html_(self) -> str:
        head = f"<div><b>{escape(self.names[0])}</b> → <b>{escape(self.names[1])}</b></div>"
        if not self:
            return f"<div>{escape(repr(self))}</div>"
        rows = ""
        for far, lines in self._parts():
            inner = "".join(line.html for line in lines)
            rows += (
                '<details><summary style="cursor:pointer;color:#57606a">'
                f"{_same_lines(lines)}</summary>{inner}</details>"
                if far
                else inner
            )
        return (
            '<div class="chatrpc-diff" style="max-width:900px;overflow-x:auto;padding:8px 12px;'
            "border:1px solid #d0d7de;border-radius:8px;"
            'background-color:#ffffff;color:#1f2328;line-height:1.4">'
            f'{head}<div style="font-family:monospace;font-size:.93em;min-width:max-content">'
            f"{rows}</div></div>"
        )


def _same_lines(lines: Sequence[_Line]) -> str:
    return f"… {len(lines)} lines are the same"


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
