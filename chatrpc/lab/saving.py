"""The student's module: ``lab.save(MyClass)`` writes a class into my_chatrpc.py.

lab.save(RpcClient)             # with what it uses; the rest of the file stays as it is
chatrpc judge my_chatrpc.py
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import FunctionType

from .carry import home_of, parts_of
from .cells import stubs
from .module import Module
from .problem import LabProblem
from .source import source_of

WHERE = "CHATRPC_MODULE"
"""The variable that names another file: whoever runs the lessons for us leaves yours alone."""

FILE = "my_chatrpc.py"
HEAD = '''"""My client and my server, as they grow from lesson to lesson.

lab.save(MyClass) in a notebook writes a class here; all else in this file is mine to change.
Which promises they keep, `chatrpc judge my_chatrpc.py` says; and in the chat they serve with
CHATRPC_CLIENT=my_chatrpc:RpcClient python app.py
"""

from __future__ import annotations
'''


class Saved:
    """What was written; its text is the same each time, whatever the file had before."""

    def __init__(self, path: Path, named: list[str], used: list[str], unwritten: list[str]) -> None:
        self.path = path
        self.named = named
        self.used = used
        self.unwritten = unwritten

    def __repr__(self) -> str:
        has = "is" if len(self.named) == 1 else "are"
        used = f", with what it uses: {', '.join(self.used)}" if self.used else ""
        saved = [f"{_listed(self.named)} {has} in {FILE}{used}"] if self.named else []
        return "\n".join([*saved, *self._later()])

    def _later(self) -> list[str]:
        if not self.unwritten:
            return []
        has = "is" if len(self.unwritten) == 1 else "are"
        return [f"{_listed(self.unwritten)} {has} still to be written, and not saved yet"]

    def _repr_html_(self) -> str:
        used = f"<div>with what it uses: {escape(', '.join(self.used))}</div>" if self.used else ""
        has = "is" if len(self.named) == 1 else "are"
        saved = (
            f"<div>✓ <b>{escape(_listed(self.named))}</b> {has} in <code>{FILE}</code></div>{used}"
            if self.named
            else ""
        )
        return saved + "".join(f"<div>○ {escape(later)}</div>" for later in self._later())


def save(*classes: type | FunctionType) -> Saved:
    """Write classes of this notebook into my_chatrpc.py beside it, with all that they use.

    A definition of the same name is replaced, everything else in the file stays; it is written
    whole or not at all. What an exercise has left as a stub (``return ...``) is not saved: it
    would take the place of an earlier lesson's that works.

    Raises:
        LabProblem: there is nothing to save, a class is not this notebook's or uses what no
        file can have, or the file is no Python or cannot be written.
    """
    if not classes:
        raise LabProblem("Say which class: lab.save(MyClass).")
    path = place()
    names: list[str] = []
    unwritten: list[str] = []
    used: dict[str, None] = {}

    def put_all(module: Module) -> None:
        for thing in classes:
            if not isinstance(thing, type | FunctionType):
                raise LabProblem(f"A class is needed here; {thing!r:.60} is none.")
            home = home_of(thing)
            if not home and stubs(source_of(thing)):
                unwritten.append(thing.__name__)
                continue
            names.append(thing.__name__)
            if home == path.stem:
                continue
            if home:
                raise LabProblem(
                    f"{thing.__name__} comes from {home}: only what a notebook defines is saved."
                )
            parts = parts_of(thing)
            module.put(parts)
            used.update(dict.fromkeys(n for n, text in parts.items() if not _imported(text)))

    change(path, put_all)
    return Saved(path, names, [name for name in used if name not in names], unwritten)


def place() -> Path:
    """Return where the student's module lies: beside the notebook."""
    return Path(os.environ.get(WHERE, FILE)).resolve()


def change(path: Path, act: Callable[[Module], object]) -> None:
    """Change a student's module, which is made if it is not there; all of it or nothing.

    Raises:
        LabProblem: what ``act`` raises, or the file cannot be read or written.
    """
    before = read(path)
    module = Module(HEAD if before is None else before, path.stem)
    act(module)
    text = module.text
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise LabProblem(f"{path.name} would be no Python any more ({error.msg}).") from None
    if text != before:
        _replace(path, text)
        importlib.invalidate_caches()


def read(path: Path) -> str | None:
    """Return a file's text, or None if there is none.

    Raises:
        LabProblem: it is no text, or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise LabProblem(f"{path.name} is no text in UTF-8.") from None
    except OSError as error:
        raise LabProblem(f"{path.name} cannot be read: {error.strerror}.") from None


def _replace(path: Path, text: str) -> None:
    """Write beside the file first, so that an interruption leaves the old one whole."""
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".py")
    except OSError as error:
        raise LabProblem(f"{path.name} cannot be written: {error.strerror}.") from None
    try:
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        os.replace(name, path)
    except OSError as error:
        raise LabProblem(f"{path.name} cannot be written: {error.strerror}.") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _imported(text: str) -> bool:
    return text.startswith(("import ", "from "))


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
