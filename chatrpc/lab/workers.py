"""Worker processes as cards: start, stop and kill them from a notebook.

They are real processes. They end with the kernel, however it ends, and running a cell again
stops the namesake before it starts the new one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

import ipywidgets as widgets  # type: ignore[import-untyped]

from chatrpc import NoWorker, RpcClient, RpcError

from .problem import LabProblem

READY = 15.0  # seconds within which a worker must listen
LEAVE = 5.0  # seconds that a worker gets to finish the work in hand
POLL = 0.03  # seconds between two looks

_SHIPPED = Path(__file__).resolve().parents[2] / "worker" / "consumer.py"
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


def worker(service: str, *, name: str = "worker", program: str | Path | None = None) -> Worker:
    """Start a worker process on a service, wait until it listens, and return its card.

    `program` is the script to run; without one, the worker that ships. It finds the service in
    the environment variable CHATRPC_SERVICE and the broker in CHATRPC_URL.

    Raises:
        LabProblem: there is no such program, or the worker did not come to listen in time.
    """
    path = Path(program) if program is not None else _SHIPPED
    if not path.is_file():
        raise LabProblem(
            f"There is no worker program {path.name!r}: "
            + ("look at the path." if program else "run this from a clone of the kit.")
        )
    before = _workers.pop((service, name), None)
    if before is not None:
        before.stop()
    card = Worker(service, name, path)
    _workers[service, name] = card
    card.start()
    return card


def stop_all() -> None:
    """Stop all workers of this kernel."""
    for card in list(_workers.values()):
        card.stop()
    _workers.clear()


class Worker:
    """One worker process and its card."""

    def __init__(
        self,
        service: str,
        name: str,
        program: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.service = service
        self.name = name
        self.state = State.STOPPED
        self._program = program
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log: BinaryIO | None = None
        self._lock = threading.RLock()
        self._face = widgets.HTML()
        self._trouble = widgets.HTML()
        self._draw()

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
        while _listening(ask) < goal:
            if not self.alive:
                raise LabProblem(f"The worker died at its start: {self._last_words()}")
            if time.monotonic() > end:
                raise LabProblem(
                    f"The worker runs, but does not listen after {READY:.0f} seconds; "
                    "it was stopped."
                )
            time.sleep(POLL)

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
                self._leave(self._kill)
                self._become(State.KILLED)
            return self

    def _launch(self) -> None:
        self._close_log()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chatrpc.lab.runner", str(self._program)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **self._environment,
                "CHATRPC_SERVICE": self.service,
                "PYTHONUNBUFFERED": "1",
            },
            start_new_session=True,  # the kernel's own interrupt must not reach it
        )
        threading.Thread(
            target=self._watch, args=(self._process,), name=f"watch-{self.name}", daemon=True
        ).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._lock:
            if process is self._process and self.state is State.ALIVE:
                self._become(State.DIED)

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

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()

    # The card.

    def _become(self, state: State) -> None:
        self.state = state
        self._draw()

    def _draw(self) -> None:
        pid = f" · process {self.pid}" if self.pid else ""
        self._face.value = self._html(pid)

    def _html(self, more: str = "") -> str:
        sign = f'<span style="color:{_COLOURS[self.state]}">{_SIGNS[self.state]}</span>'
        return f"<div>{sign} <b>{escape(self.name)}</b> {self.state.value}{escape(more)}</div>"

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
        return f"{self.name}: {self.state.value}"

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
