"""``chatrpc catch-up 06``: what the lessons before it would have left in my_chatrpc.py.

A lesson leaves what it saves with ``lab.save(…)``; its notebook is read for that, and not run,
its exercises as they are solved. Whatever else the course ends in those lessons, is taken from
the package.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import sync
from .carry import SHARED, is_shared
from .cells import Definitions, definitions, gathered, python, same
from .module import Module
from .problem import LabProblem
from .saving import FILE, change, read
from .solutions import solved
from .source import module_source

OURS = ("RpcClient", "RpcServer")
"""The two that the judge and the chat look for; chatrpc's own stand in until a lesson saves one."""


@dataclass
class Account:
    """What became of the file: the names that were written, and those that were left alone."""

    path: Path
    written: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    copy: Path | None = None
    new: bool = False

    def __str__(self) -> str:
        lines = [f"{self.path} already has all that those lessons leave."]
        if self.written:
            lines = [f"{self.path} now has {', '.join(self.written)}."]
        elif self.new:
            lines = [f"{self.path} is made; the lessons before leave no class in it."]
        if self.left:
            lines.append(
                f"Left as they are, since they are your own: {', '.join(self.left)} "
                "(--replace puts the course's in their place, and keeps a copy)."
            )
        if self.copy:
            lines.append(f"What was there before: {self.copy.name}.")
        return "\n".join(lines)


def catch_up(
    lesson: str, path: Path, *, replace: bool = False, folder: Path | None = None
) -> Account:
    """Write into a student's module what the lessons before this one would have left there.

    What the student has changed stays, unless ``replace``; whenever something is replaced, a
    copy of the file is kept beside it.

    Raises:
        LabProblem: the file cannot be read or written, or is no Python.
        Drift: a notebook saves what no cell of it defines.
    """
    account = Account(path)
    before = read(path)
    account.new = before is None
    mine = Module(before or "", path.stem).defined()
    left = list(leavings(lesson, sync.default_folder() if folder is None else folder))
    known: dict[str, list[str]] = {}
    for parts in left:
        for name, text in parts.items():
            known.setdefault(name, []).append(text)

    def keep(name: str, text: str) -> bool:
        own = not replace and not any(same(text, one) for one in known.get(name, ()))
        if own and name not in account.left:
            account.left.append(name)
        return own

    def fill(module: Module) -> None:
        for parts in left:
            account.written += [n for n in module.put(parts, keep) if n not in account.written]
        for name in OURS:
            if name not in module.names():
                module.put({name: f"from chatrpc import {name}"})
        now = module.defined()
        account.written = [n for n in account.written if n in now and not _as_before(n, now, mine)]
        if any(name in mine and not _as_before(name, now, mine) for name in now):
            account.copy = _copied(path)

    change(path, fill)
    return account


def _as_before(name: str, now: Definitions, before: Definitions) -> bool:
    return name in before and same(before[name], now[name])


def _copied(path: Path) -> Path:
    """Keep a copy of a file beside it, under a name that nothing has yet."""
    number = 1
    while (copy := path.with_name(f"{path.stem}.before-{number}.py")).exists():
        number += 1
    try:
        shutil.copy2(path, copy)
    except OSError as error:
        raise LabProblem(f"No copy of {path.name} can be kept: {error.strerror}.") from None
    return copy


def leavings(lesson: str, folder: Path) -> Iterator[Definitions]:
    """Return, save by save, what the lessons before this one leave: definitions in their order."""
    saved: set[str] = set()
    for path in sync.lessons(folder):
        if path.name[:2] < lesson:
            for name, parts in saves(path):
                saved.add(name)
                yield parts
    known = _package(lesson)
    for dotted, number in sync.wanted(sync.TAUGHT).items():
        name = dotted.rpartition(".")[2]
        if number < lesson and name not in saved:
            yield _shared(gathered([name], known))


def saves(path: Path) -> Iterator[tuple[str, Definitions]]:
    """Return what a notebook saves, in its order: each name, and its definition with its needs.

    Raises:
        Drift: it saves what no cell before defines.
    """
    texts: list[str] = []
    for cell in solved(sync.sources(path), path).cells:
        if cell.cell_type != "code":
            continue
        texts.append(python(cell.source))
        names = list(_named(texts[-1]))
        known = definitions(texts) if names else {}
        for name in names:
            if name not in known or known[name].startswith(("import ", "from ")):
                raise sync.Drift(f"{path.name} saves {name}, which no cell of it defines")
            yield name, _shared(gathered([name], known))


def _named(text: str) -> Iterator[str]:
    """Return the names that a cell hands to lab.save."""
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return
    for statement in statements:
        call = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "lab.save":
            yield from (argument.id for argument in call.args if isinstance(argument, ast.Name))


def _shared(parts: Definitions) -> Definitions:
    """Have chatrpc's own in the place of the words that all share."""
    return {
        name: f"from {SHARED[name]} import {name}" if is_shared(name, text) else text
        for name, text in parts.items()
    }


def _package(lesson: str) -> Definitions:
    """Return the definitions of all modules that end before a lesson; others are imported."""
    reached = {
        dotted.rpartition(".")[0]
        for dotted, number in sync.wanted(sync.TAUGHT).items()
        if number < lesson
    }
    found: Definitions = {}
    imports: Definitions = {}
    for module in sorted(reached):
        for name, text in definitions([module_source(module) or ""]).items():
            if text.startswith("from ."):
                where, what = text.removeprefix("from .").split(" import ")
                home = f"chatrpc.{where}".rstrip(".")
                if home not in reached:
                    imports[name] = f"from {home} import {what}"
            elif text.startswith(("import ", "from ")):
                imports[name] = text
            else:
                found[name] = text
    return {**imports, **found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program: 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    number = options.lesson[:2].zfill(2)
    if not number.isdecimal() or int(number) > 99:
        sys.stderr.write(f"{options.lesson!r} is no lesson: say 06.\n")
        return 2
    notebooks = sync.default_folder()
    path = options.to or (notebooks / FILE if notebooks.is_dir() else Path(FILE))
    try:
        account = catch_up(number, path.resolve(), replace=options.replace)
    except (LabProblem, sync.Drift) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    sys.stdout.write(f"{account}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatrpc catch-up",
        description="Write into my_chatrpc.py what the lessons before this one leave there.",
    )
    parser.add_argument("lesson", metavar="LESSON", help="the lesson that you want to begin: 06")
    parser.add_argument("--to", type=Path, metavar="FILE", help="another file")
    parser.add_argument(
        "--replace", action="store_true", help="also what you have changed; a copy is kept"
    )
    return parser
