"""A crew: worker processes on one service, with one ledger, of which one can be made to die.

    with lab.Crew(service, MyServer, coffee, dies="after pouring") as crew:
        client.call("coffee")
        crew.deaths, crew.cups

The points are named in the methods' own code (points.py); whichever process comes there first
dies, so a death needs no luck and no particular worker. The processes end with the kernel.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import points, services
from .cups import Cups
from .jobs import Carried
from .problem import LabProblem
from .workers import State, Worker

PATIENCE = 5.0  # seconds that one waits for an ordered death
_crews: dict[str, Crew] = {}  # by service: a cell that is run again has one crew, not two


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
        if (before := _crews.pop(service, None)) is not None:
            before.close()
        _crews[service] = self
        self.service = service
        self._folder = services.folder("crew")
        self.cups = Cups(self._folder / "ledger.sqlite3")
        self._order = self._folder / "order"
        told = {"CHATRPC_LEDGER": str(self.cups.path), points.ORDER: str(self._order)}
        self.workers: list[Worker] = []
        names = [f"worker {number}" for number in range(1, workers + 1)]
        jobs = {name: Carried(server, methods, name) for name in names}
        for job in jobs.values():
            job.check()
        self.workers = [
            Worker(service, name, job, environment=told | dict(environment or {}))
            for name, job in jobs.items()
        ]
        try:
            with ThreadPoolExecutor(len(names)) as together:
                list(together.map(Worker.start, self.workers))
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
            one.forget()
        shutil.rmtree(self._folder, ignore_errors=True)
        if _crews.get(self.service) is self:
            del _crews[self.service]

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def __repr__(self) -> str:
        many, dead = len(self.workers), self.deaths
        return f"{many - dead} of {many} workers alive · {self.cups!r}"
