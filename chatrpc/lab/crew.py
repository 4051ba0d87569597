"""A crew: worker processes on one service, with one ledger, of which one can be made to die.

    with lab.Crew(service, MyServer, coffee, dies="after pouring") as crew:
        client.call("coffee")
        crew.deaths, crew.cups

The server class and the methods may come from a notebook's cells: they are carried into real
processes (carry.py), which end with the kernel, however it ends.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import points
from .carry import carry
from .cups import Cups
from .problem import LabProblem
from .workers import State, Worker

PATIENCE = 5.0  # seconds that one waits for an ordered death

PROGRAM = """\
import os, sys, threading
sys.path[:0] = {path!r}
{imports}
server = Server(os.environ["CHATRPC_SERVICE"])
for method in ({methods}):
    server.method(method)
server.start()
threading.Event().wait()
"""


class Crew:
    """Some worker processes that serve these methods with this class; the first that passes dies.

    ``dies`` is the name of a ``lab.point`` in the code, ``workers`` how many processes there
    are, ``environment`` what else they find in theirs. ``cups`` is what they have poured, on a
    ledger that they share.

    Raises:
        LabProblem: the class or a method cannot be carried, or a process does not come up.
    """

    def __init__(
        self,
        service: str,
        server: type,
        *methods: Callable[..., Any],
        workers: int = 2,
        dies: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.service = service
        self._folder = tempfile.TemporaryDirectory(prefix="chatrpc-crew-")
        folder = Path(self._folder.name)
        self.cups = Cups(folder / "ledger.sqlite3")
        self._order = folder / "order"
        program = folder / "program.py"
        program.write_text(_program(server, methods, folder), encoding="utf-8")
        told = {"CHATRPC_LEDGER": str(self.cups.path), points.ORDER: str(self._order)}
        told |= environment or {}
        self.workers = [
            Worker(service, f"worker {number}", program, environment=told)
            for number in range(1, workers + 1)
        ]
        try:
            for one in self.workers:
                one.start()
        except LabProblem:
            self.close()
            raise
        if dies:
            self.dies(dies)

    def dies(self, point: str) -> None:
        """Order the next worker that passes this point to die there."""
        points.give(self._order, point)

    def spare(self) -> bool:
        """Take the order back; return whether somebody had carried it out before."""
        if self._order.exists():
            self._order.unlink(missing_ok=True)
            return False
        return True

    @property
    def deaths(self) -> int:
        """How many of the processes have died."""
        return sum(one.state is not State.STOPPED and not one.alive for one in self.workers)

    def wait_for_death(self, timeout: float = PATIENCE) -> bool:
        """Wait until the order has been carried out; return whether it was."""
        end = time.monotonic() + timeout
        while self._order.exists() and time.monotonic() < end:
            time.sleep(0.01)
        return not self._order.exists()

    def close(self) -> None:
        """End all processes, and forget the ledger; twice does no harm."""
        for one in self.workers:
            one.kill()
        self._folder.cleanup()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def __repr__(self) -> str:
        many, dead = len(self.workers), self.deaths
        return f"{many - dead} of {many} workers alive · {self.cups!r}"


def _program(server: type, methods: tuple[Callable[..., Any], ...], folder: Path) -> str:
    module, name = carry(server, folder)
    lines = [f"from {module} import {name} as Server"]
    for number, method in enumerate(methods, start=1):
        module, name = carry(method, folder)  # type: ignore[arg-type]
        lines.append(f"from {module} import {name} as method_{number}")
    names = "".join(f"method_{number}, " for number in range(1, len(methods) + 1))
    path = [str(folder)]
    return PROGRAM.format(path=path, imports="\n".join(lines), methods=names)
