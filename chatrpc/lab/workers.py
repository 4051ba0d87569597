"""Worker processes as cards: start, stop and kill them from a notebook.

They are real processes. They end with the kernel, however it ends, and running a cell again
stops the namesake before it starts the new one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from html import escape
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO

import ipywidgets as widgets  # type: ignore[import-untyped]

from chatrpc import NoWorker, RpcClient, RpcError

from . import services
from .jobs import Carried, Job, Script
from .problem import LabProblem
from .tally import POINTS, Tally

# Python 3.11 cannot parse in several threads at once: ``ast`` counts its depth for all together.
_parsing = threading.Lock()

READY = 15.0  # seconds within which a worker must listen
LEAVE = 5.0  # seconds that a worker gets to finish the work in hand
POLL = 0.03  # seconds between two looks
GLANCE = 0.3  # seconds between two looks at what a card shows

_workers: dict[tuple[str, str], Worker] = {}


class State(Enum):
    """What a worker does, as its card shows it."""

    STARTING = "starting"
    ALIVE = "alive"
    STOPPED = "stopped"
    KILLED = "killed"
    DIED = "died"


_COLOURS = {
    State.STARTING: "#9a6700",
    State.ALIVE: "#1a7f37",
    State.STOPPED: "#6e7781",
    State.KILLED: "#cf222e",
    State.DIED: "#cf222e",
}
_SIGNS = {
    State.STARTING: "◌",
    State.ALIVE: "●",
    State.STOPPED: "■",
    State.KILLED: "✗",
    State.DIED: "✗",
}


def worker(
    service: str,
    server: type | FunctionType | None = None,
    *,
    methods: Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]] | None = None,
    name: str = "worker",
    dies: str = "",
    nth: int = 1,
    slow: float = 0.0,
    program: str | Path | None = None,
) -> Worker:
    """Start a worker process on a service, wait until it listens, and return its card.

    Args:
        service: its name; another worker of the same name on it is stopped first.
        server: the class that serves, chatrpc's own without one; or a function of the service's
            name that serves by itself, until the process is ended.
        methods: functions of the notebook, or of anywhere; the worker's own answers without any.
        name: of the worker, for its card and for the replies.
        dies: where it kills itself: "before work", "after work" (and before the reply), or
            "before ack" (and after the reply); ``nth``: at which time that it gets there.
        slow: seconds that each call takes longer.
        program: a script to run in the place of all this; it finds the service in the environment
            variable CHATRPC_SERVICE and the broker in CHATRPC_URL.

    Raises:
        LabProblem: there is no such program, the class cannot serve or cannot leave the notebook,
            or the worker did not come to listen in time.
    """
    if program is not None:
        job: Job = Script(Path(program))
    else:
        job = Carried(server, methods, name)
    job.check()
    if dies not in POINTS:
        there = ", ".join(map(repr, POINTS[1:]))
        raise LabProblem(f"A worker can die at these points: {there}; {dies!r} is none.")
    before = _workers.pop((service, name), None)
    if before is not None:
        before.stop()
        before.forget()
    card = Worker(service, name, job)
    _workers[service, name] = card
    if dies:
        card.die(dies, nth)
    card.slow(slow)
    card.start()
    return card


def stop_all() -> None:
    """Stop all workers of this kernel."""
    for card in list(_workers.values()):
        card.stop()
        card.forget()
    _workers.clear()


class Worker:
    """One worker process and its card."""

    def __init__(
        self,
        service: str,
        name: str,
        job: Job,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.service = service
        self.name = name
        self.state = State.STOPPED
        self._job = job
        self._more = dict(environment or {})
        self._folder: Path | None = None
        self._tally: Tally | None = None
        self._armed = ("", 1)
        self._slower = 0.0
        self._point = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log: BinaryIO | None = None
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._face = widgets.HTML()
        self._trouble = widgets.HTML()
        self._draw()

    @property
    def busy(self) -> int:
        """How many calls it is at now."""
        return self._tally.busy if self._tally is not None and self.alive else 0

    @property
    def served(self) -> int:
        """How many calls it has done since it was started."""
        return self._tally.served if self._tally is not None else 0

    @property
    def outdated(self) -> str:
        """The name of what has changed in the notebook since it was started, or nothing."""
        return self._job.changed() if self.alive else ""

    def slow(self, seconds: float) -> Worker:
        """Have each call take so many seconds longer, from now on; 0 ends it.

        Raises:
            LabProblem: it is a script, or the time is none.
        """
        if not 0 <= seconds <= 600:
            raise LabProblem("A worker can be 0 to 600 seconds slower.")
        if seconds:
            self._must_be_carried()
        self._slower = seconds
        if self._tally is not None:
            self._tally.slow = seconds
        return self

    def die(self, point: str, nth: int = 1) -> Worker:
        """Have it kill itself when it comes to a point for the ``nth`` time from now; "": not.

        The points are "before work", "after work" and "before ack", as for lab.worker. Once
        started again, it lives.

        Raises:
            LabProblem: it is a script, or there is no such point.
        """
        if point not in POINTS or nth < 1:
            there = ", ".join(map(repr, POINTS[1:]))
            raise LabProblem(f"A worker can die at {there}, the first time or a later one.")
        if point:
            self._must_be_carried()
        self._armed = point, nth
        if self._tally is not None and self.alive:
            self._arm()
        return self

    def _arm(self) -> None:
        assert self._tally is not None
        self._point = self._armed[0]
        self._tally.arm(*self._armed)
        self._armed = "", 1

    def _must_be_carried(self) -> None:
        if isinstance(self._job, Script):
            raise LabProblem("A script of its own knows no points and no delay.")

    def another(self) -> Worker:
        """Start one more worker that does the same, under a name of its own; return its card."""
        number = 2
        while (self.service, f"{self.name} {number}") in _workers:
            number += 1
        made = Worker(
            self.service, f"{self.name} {number}", self._job.named(f"{self.name} {number}")
        )
        _workers[self.service, made.name] = made
        return made.start()

    def wait(self, timeout: float = 30.0) -> Worker:
        """Wait until the process has ended, by whoever's hand, at most ``timeout`` seconds.

        Raises:
            LabProblem: it still runs.
        """
        if self._process is not None and not self._over.wait(timeout):
            raise LabProblem(f"{self.name} still runs after {timeout:g} s.")
        return self

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def log(self) -> str:
        """What the process has written since it was started, at most the last 20,000 bytes."""
        if self._log is None:
            return ""
        end = os.fstat(self._log.fileno()).st_size
        start = max(0, end - 20_000)
        return os.pread(self._log.fileno(), end - start, start).decode(errors="replace")

    def start(self) -> Worker:
        """Start the process unless it runs, and wait until it listens.

        Raises:
            LabProblem: it died, or does not listen within 15 seconds and is stopped, or no
            broker answers.
        """
        with self._lock:
            if self.alive:
                return self
            self._become(State.STARTING)
            try:
                with RpcClient(self.service) as ask:
                    self._come_up(ask)
            except (RpcError, LabProblem) as problem:
                self._end(self._kill)
                self._become(State.DIED)
                advice = getattr(problem, "advice", "")
                raise LabProblem(f"{problem}. {advice}" if advice else str(problem)) from None
            self._become(State.ALIVE)
            return self

    def _come_up(self, ask: RpcClient) -> None:
        goal = _listening(ask) + 1
        self._launch()
        end = time.monotonic() + READY
        while not self._ready(ask, goal):
            if not self.alive:
                raise LabProblem(f"The worker died at its start: {self._last_words()}")
            if time.monotonic() > end:
                raise LabProblem(
                    f"The worker runs, but does not listen after {READY:.0f} seconds; "
                    "it was stopped."
                )
            time.sleep(POLL)

    def _ready(self, ask: RpcClient, goal: int) -> bool:
        if self._tally is None:
            return _listening(ask) >= goal
        return self._tally.ready

    def stop(self) -> Worker:
        """End the process as Ctrl-C does: it finishes the work in hand, and leaves."""
        with self._lock:
            if self.alive:
                self._leave(self._terminate)
                self._become(State.STOPPED)
            return self

    def kill(self) -> Worker:
        """End the process in the middle of whatever it does, as kill -9 and power cuts do."""
        with self._lock:
            if self.alive:
                self._point = ""
                self._leave(self._kill)
                self._become(State.KILLED)
            return self

    def forget(self) -> None:
        """Leave nothing of it on the disk; it must have ended."""
        with self._lock:
            self._clear()
            self._folder = None

    def _launch(self) -> None:
        self._clear()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._folder = services.folder("worker")
        with _parsing:
            command = self._job.prepare(self._folder, self.service)
        self._tally = None
        if isinstance(self._job, Carried):
            self._tally = Tally(self._folder / "tally")
            self._tally.slow = self._slower
            self._arm()
        self._over.clear()
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._environment()},
            start_new_session=True,  # the kernel's own interrupt must not reach it
        )
        threading.Thread(
            target=self._watch,
            args=(self._process, self._folder),
            name=f"watch-{self.name}",
            daemon=True,
        ).start()

    def _environment(self) -> dict[str, str]:
        own = {"CHATRPC_SERVICE": self.service, "PYTHONUNBUFFERED": "1"}
        if (path := services.ledger(self.service)) is not None:
            own["CHATRPC_LEDGER"] = str(path)
        return own | self._more

    def _watch(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        while True:
            try:
                process.wait(GLANCE)
                break
            except subprocess.TimeoutExpired:
                if process is self._process and self.state is State.ALIVE:
                    self._draw()
        # Now, and not with the kernel: that may be killed. What the tally said stays in memory.
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            if process is self._process and self.state is State.ALIVE:
                shot = process.returncode == -signal.SIGKILL and self._point
                self._become(State.KILLED if shot else State.DIED)
            if process is self._process:
                self._over.set()

    def _leave(self, how: Callable[[], None]) -> None:
        """End the process and wait until the broker, too, knows that it is gone."""
        with contextlib.ExitStack() as stack:
            try:
                ask = stack.enter_context(RpcClient(self.service))
                goal = max(0, _listening(ask) - 1)
            except Exception:  # noqa: BLE001 - without a broker, the process is all there is to end
                self._end(how)
                return
            self._end(how)
            end = time.monotonic() + LEAVE
            with contextlib.suppress(Exception):
                while _listening(ask) > goal and time.monotonic() < end:
                    time.sleep(POLL)

    def _end(self, how: Callable[[], None]) -> None:
        process = self._process
        if process is None:
            return
        how()
        try:
            process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(LEAVE)
        if process.stdin is not None:
            process.stdin.close()

    def _terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing."

    def _clear(self) -> None:
        if self._log is not None:
            self._log.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # The card.

    def _become(self, state: State) -> None:
        self.state = state
        self._draw()

    def _draw(self) -> None:
        more = ""
        if self.alive:
            more = f" · process {self.pid}"
            if self._tally is not None:
                more += f" · {f'at {self.busy}' if self.busy else 'idle'} · served {self.served}"
        self._face.value = self._html(more)

    def _html(self, more: str = "") -> str:
        sign = f'<span style="color:{_COLOURS[self.state]}">{_SIGNS[self.state]}</span>'
        said = f"{escape(self._told())}{escape(more)}"
        old = f"<div>{escape(self._old())}</div>" if self._old() else ""
        return f"<div>{sign} <b>{escape(self.name)}</b> {said}</div>{old}"

    def _old(self) -> str:
        what = self.outdated
        if not what:
            return ""
        return f"⚠ {what} has changed; this worker still runs the old one: run its cell again."

    def _button(self, word: str, tip: str, act: Callable[[], Any]) -> widgets.Button:
        button = widgets.Button(description=word, tooltip=tip, layout={"width": "auto"})
        button.add_class(f"chatrpc-worker-{word}")

        def clicked(_: Any) -> None:
            self._trouble.value = ""
            try:
                act()
            except Exception as problem:  # noqa: BLE001 - a handler's exception shows nowhere else
                self._trouble.value = f"<div>{escape(str(problem))}</div>"

        button.on_click(clicked)
        return button

    def __repr__(self) -> str:
        old = self._old()
        return f"{self.name}: {self._told()}" + (f"\n{old}" if old else "")

    def _told(self) -> str:
        where = f" {self._point}" if self.state is State.KILLED and self._point else ""
        return f"{self.state.value}{where}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        buttons = [
            self._button("start", "Start the process", self.start),
            self._button("stop", "Let it finish its work and leave", self.stop),
            self._button("kill", "End it in the middle of its work", self.kill),
        ]
        card = widgets.VBox(
            [widgets.HBox([self._face, *buttons], layout={"align_items": "center"}), self._trouble]
        )
        card.add_class("chatrpc-worker")
        bundle = dict(card._repr_mimebundle_())
        bundle["text/html"] = self._html()
        bundle["text/plain"] = repr(self)
        return bundle


def _listening(ask: RpcClient) -> int:
    try:
        return ask.consumers()
    except NoWorker:
        return 0


@atexit.register
def _at_exit() -> None:
    with contextlib.suppress(Exception):
        stop_all()
