"""What a worker process is to do, written down so that it can be done in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol

from ..server import RpcServer
from .carry import carry, module_of
from .problem import LabProblem

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("method", "start", "close")


class Job(Protocol):
    """What a worker process does."""

    def check(self) -> None:
        """Raise ``LabProblem`` if it cannot be done."""

    def prepare(self, folder: Path, service: str) -> list[str]:
        """Write down what the process needs, and return what Python is to run."""

    def changed(self) -> str:
        """Return the name of what has changed since, or nothing."""

    def named(self, name: str) -> Job:
        """Return the same job for a worker of another name."""


class Script:
    """A program that stands on its own."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def check(self) -> None:
        """Raise ``LabProblem`` if there is no such file."""
        if not self.program.is_file():
            raise LabProblem(f"There is no worker program {self.program.name!r}: look at the path.")

    def prepare(self, folder: Path, service: str) -> list[str]:
        """Return how it is run."""
        return ["-m", "chatrpc.lab.runner", str(self.program)]

    def changed(self) -> str:
        """Return nothing: a file is nobody's cell."""
        return ""

    def named(self, name: str) -> Job:
        """Return itself: a script has no name."""
        return self


class Carried:
    """A class with its methods, or a function that serves by itself, wherever they were made."""

    def __init__(
        self,
        server: type | FunctionType | None,
        methods: Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]] | None,
        name: str,
    ) -> None:
        self.server = RpcServer if server is None else server
        self._named = methods
        self.name = name
        self._texts: dict[str, tuple[Any, str]] = {}

    def check(self) -> None:
        """Raise ``LabProblem`` if the class cannot serve, or cannot leave this process."""
        if not isinstance(self.server, type | FunctionType):
            raise LabProblem(
                "A worker runs a class, or a function of the service's name; "
                f"{self.server!r} is neither."
            )
        if isinstance(self.server, type):
            lacking = [need for need in NEEDED if not callable(getattr(self.server, need, None))]
            if lacking:
                raise LabProblem(
                    f"{self.server.__name__} lacks {' and '.join(lacking)}: "
                    f"a worker's class needs {', '.join(NEEDED)}."
                )
        for thing in (self.server, *self.methods.values()):
            self._remember(thing)

    @property
    def methods(self) -> dict[str, Callable[..., Any]]:
        """The functions by the names under which they are called."""
        if not isinstance(self.server, type):
            return {}
        if self._named is None:
            return _answers()
        if isinstance(self._named, Mapping):
            return dict(self._named)
        return {function.__name__: function for function in self._named}

    def prepare(self, folder: Path, service: str) -> list[str]:
        """Write the modules and the job."""
        self._texts.clear()
        for thing in (self.server, *self.methods.values()):
            self._remember(thing)
        job = {
            "service": service,
            "name": self.name,
            "path": [str(ROOT), *(path for path in sys.path if path)],
            "server": _carried(self.server, folder),
            "methods": {name: _carried(f, folder) for name, f in self.methods.items()},
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        return ["-m", "chatrpc.lab.labour", str(folder)]

    def changed(self) -> str:
        """Return the name of what was defined anew in the notebook, otherwise than before."""
        for name, (thing, text) in self._texts.items():
            now = vars(sys.modules["__main__"]).get(name)
            if now is not None and now is not thing and text and _text(now) != text:
                return name
        return ""

    def named(self, name: str) -> Job:
        """Return the same for another name."""
        return Carried(self.server, self._named, name)

    def _remember(self, thing: Any) -> None:
        if getattr(thing, "__module__", "") == "__main__":
            self._texts[thing.__name__] = thing, module_of(thing)


def _carried(thing: Any, folder: Path) -> str:
    return ":".join(carry(thing, folder))


def _text(thing: Any) -> str:
    try:
        return module_of(thing)
    except (LabProblem, AttributeError):
        return ""


def find_answers() -> None:
    """Have the worker's own methods on the path: a clone of the kit has them beside the package.

    Raises:
        LabProblem: they are nowhere.
    """
    if importlib.util.find_spec("worker") is None:
        if not (ROOT / "worker" / "answers.py").is_file():
            raise LabProblem(
                "There are no answers to serve: give methods, or use a clone of the kit."
            )
        sys.path.append(str(ROOT))


def _answers() -> dict[str, Callable[..., Any]]:
    find_answers()
    found: dict[str, Callable[..., Any]] = importlib.import_module("worker.answers").METHODS
    return found
