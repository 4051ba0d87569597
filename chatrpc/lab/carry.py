"""A class carried into another process: by its module's name, or as a module made of it.

A notebook's class lives in no file. So a module is made of its source and of every name that
the source uses: imports are written again, constants written out, and other classes,
functions and assignments of the notebook taken along.
"""

from __future__ import annotations

import ast
import importlib.util
import linecache
import secrets
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import chatrpc

from .cells import Definitions, definitions, globals_of, same
from .problem import LabProblem
from .source import module_source, source_of

# One class of each is enough, and two would be one too many: these pass between what a student
# writes and what is chatrpc's own, which asks which class they are.
SHARED = {
    name: cls.__module__
    for name in chatrpc.__all__
    if (cls := getattr(chatrpc, name)).__module__ in ("chatrpc.errors", "chatrpc.messages")
} | {
    "Binding": "chatrpc.topology",
    "Exchange": "chatrpc.topology",
    "Outcome": "chatrpc.confirms",
    "Queue": "chatrpc.topology",
}
HEAD = "from __future__ import annotations\n"


def carry(cls: type, folder: Path) -> tuple[str, str]:
    """Return the module and the name by which a process with ``folder`` on its path finds it.

    Raises:
        LabProblem: the class cannot leave this process.
    """
    if home := home_of(cls):
        return home, cls.__qualname__
    module = f"carried_{secrets.token_hex(4)}"
    (folder / f"{module}.py").write_text(module_of(cls), encoding="utf-8")
    return module, cls.__name__


def module_of(thing: type | FunctionType) -> str:
    """Return the text of a module that holds a class or function and all that it uses.

    Raises:
        LabProblem: it uses something that cannot be written down.
    """
    return HEAD + "".join(f"{part}\n" for part in parts_of(thing).values())


def parts_of(thing: type | FunctionType) -> Definitions:
    """Return the definition of a class or function and of all that it uses, by name, in order.

    Raises:
        LabProblem: it uses something that cannot be written down.
    """
    made = _Module(thing)
    made.add(thing.__name__, thing)
    return made.parts


class _Module:
    """A module in the making: what a name needs stands before it."""

    def __init__(self, thing: type | FunctionType) -> None:
        self.parts: Definitions = {}
        self._for = thing.__name__
        self._names: set[str] = set()
        module = sys.modules.get(thing.__module__)
        self._space: dict[str, Any] = vars(module) if module else {}

    def add(self, name: str, value: Any) -> None:
        """Write down a name, once."""
        if name not in self._names:
            self._names.add(name)
            self.parts[name] = self._text(name, value).rstrip()

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, ModuleType):
            return f"import {_called(value.__name__, name)}"
        if home := home_of(value):
            return f"from {home} import {_called(value.__qualname__, name)}"
        if (found := _assignment(name) or "").startswith(("import ", "from ")):
            return found  # types.TracebackType, say, does not know where it is at home
        if isinstance(value, type | FunctionType):
            source = source_of(value)
            if is_shared(value.__name__, source):
                return f"from {SHARED[value.__name__]} import {_called(value.__name__, name)}"
            text = self._with_needs(source)
            return text if name == value.__name__ else f"{text}\n{name} = {value.__name__}"
        if _is_literal(value):
            return f"{name} = {value!r}"
        if found:
            return self._with_needs(found)
        raise LabProblem(
            f"{self._for} uses {name}, which no other process can have: "
            "define it in the notebook, in a line of its own, or inside the class."
        )

    def _with_needs(self, source: str) -> str:
        for name in globals_of(source):
            if name in self._space:
                self.add(name, self._space[name])
        return source


def _called(what: str, name: str) -> str:
    return what if what == name else f"{what} as {name}"


def is_shared(name: str, source: str) -> bool:
    """Whether this is one of the words that all parties share, line by line as chatrpc has it.

    Then chatrpc's own is taken: another CallTimeout is caught by nobody who waits for that one,
    and a method that asks for a Request would not be given it.
    """
    if name not in SHARED:
        return False
    return same(source, definitions([module_source(SHARED[name]) or ""])[name])


def home_of(value: Any) -> str:
    """Return the module from which another process can import this, or nothing."""
    name, path = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    module = sys.modules.get(name or "")
    if not path or name == "__main__" or module is None:
        return ""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is not value:
        return ""
    try:
        spec = importlib.util.find_spec(str(name))
    except (ImportError, ValueError):
        return ""
    return str(name) if spec and "." not in path else ""


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _assignment(name: str) -> str | None:
    """Return the newest statement of a cell that gives the name its value."""
    cells = [name for name in linecache.cache if "ipy" in name]
    return definitions("".join(linecache.getlines(cell)) for cell in cells).get(name)
