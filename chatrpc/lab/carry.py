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

from .cells import definitions, globals_of
from .problem import LabProblem
from .source import source_of

HEAD = "from __future__ import annotations\n"


def carry(cls: type, folder: Path) -> tuple[str, str]:
    """Return the module and the name by which a process with ``folder`` on its path finds it.

    Raises:
        LabProblem: the class cannot leave this process.
    """
    if home := _home(cls):
        return home, cls.__qualname__
    module = f"carried_{secrets.token_hex(4)}"
    (folder / f"{module}.py").write_text(module_of(cls), encoding="utf-8")
    return module, cls.__name__


def module_of(thing: type | FunctionType) -> str:
    """Return the text of a module that holds a class or function and all that it uses.

    Raises:
        LabProblem: it uses something that cannot be written down.
    """
    made = _Module(thing)
    made.add(thing.__name__, thing)
    return HEAD + "".join(f"{part.rstrip()}\n" for part in made.parts)


class _Module:
    """A module in the making: what a name needs stands before it."""

    def __init__(self, thing: type | FunctionType) -> None:
        self.parts: list[str] = []
        self._for = thing.__name__
        self._names: set[str] = set()
        module = sys.modules.get(thing.__module__)
        self._space: dict[str, Any] = vars(module) if module else {}

    def add(self, name: str, value: Any) -> None:
        """Write down a name, once."""
        if name not in self._names:
            self._names.add(name)
            self.parts.append(self._text(name, value))

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, ModuleType):
            return f"import {value.__name__} as {name}"
        if home := _home(value):
            return f"from {home} import {value.__qualname__} as {name}"
        if isinstance(value, type | FunctionType):
            text = self._with_needs(source_of(value))
            return text if name == value.__name__ else f"{text}\n{name} = {value.__name__}"
        if _is_literal(value):
            return f"{name} = {value!r}"
        if (found := _assignment(name)) is not None:
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


def _home(value: Any) -> str:
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
