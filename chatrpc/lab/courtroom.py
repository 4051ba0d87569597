"""A process in which judged classes run, and which can be ended whatever they do.

    with Courtroom(url, path=[…]) as room:
        room.ask({"do": "try", …}, seconds=10)

It is the leader of a group of its own, so that what a class has started ends with it; and
it ends by itself when its standard input does, so with whoever opened it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from .problem import LabProblem

START = 30.0  # seconds that its start may take on a busy machine
SILENCE = 4.0  # seconds without a sign of life after which it is ended
SHORT = 1.0  # such seconds for a class that has hung before
LIFE = "."  # the line that is a sign of life
LONGER = 5.0  # seconds after its time a job ends the process by itself, if nobody is left to do it


class Ended(Exception):
    """The process is gone; ``str`` says why, as the end of a sentence about the class."""


class StoodStill(Ended):
    """It was ended, since it gave no answer or no sign of life."""


class Courtroom:
    """One process after another: a new one is started when the last was ended.

    Args:
        url: the broker that classes find in CHATRPC_URL.
        path: where they find modules, before Python's own places.
        folder: for what they, and the promises, keep for a while; None: this process' own. A
            process that is ended tidies up nothing.
    """

    def __init__(self, url: str, *, path: Sequence[str], folder: str | None = None) -> None:
        self.url, self.path, self.folder = url, path, folder or tempfile.gettempdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CHATRPC_")}
        self._env = kept | {
            "CHATRPC_URL": url,
            "PYTHONPATH": os.pathsep.join(path),
            "TMPDIR": self.folder,
        }
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._next: subprocess.Popen[str] | None = None

    def ask(self, job: Mapping[str, Any], seconds: float, *, hung: bool = False) -> dict[str, Any]:
        """Have a job done, and return what came of it.

        A class that has ``hung`` before may stand still for less long, and meanwhile the process
        is started that will take the place of this one.

        Raises:
            StoodStill: there was no answer within ``seconds``, or no sign of life for a while.
            Ended: the class ended the process.
        """
        if self._process is None:
            self._start()
        self._send(json.dumps({**job, "over": seconds + LONGER}))
        if hung and self._next is None:
            self._next = self._spawned()
        try:
            answer: dict[str, Any] = json.loads(self._answer(seconds, SHORT if hung else SILENCE))
        except ValueError:
            self.close()
            raise Ended("it disturbed the process that it ran in") from None
        return answer

    def close(self) -> None:
        """End the process, and all that was started from it."""
        process, self._process = self._process, None
        _end(process)

    def __enter__(self) -> Courtroom:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()
        _end(self._next)

    def _spawned(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "chatrpc.lab.hearing"],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def _start(self) -> None:
        process, self._next = self._next or self._spawned(), None
        self._process = process
        self._answers = queue.SimpleQueue()
        threading.Thread(
            target=_read, args=(process.stdout, self._answers), name="courtroom", daemon=True
        ).start()
        try:
            self._answer(START, START)
        except Ended as end:
            raise LabProblem(
                f"No process for the judged classes could be started: {end}."
            ) from None

    def _send(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # if it is gone, its answer says so
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _answer(self, seconds: float, silence: float) -> str:
        end, line = time.monotonic() + seconds, LIFE
        while line.strip() == LIFE:
            left = max(0.0, end - time.monotonic())
            try:
                line = self._answers.get(timeout=min(left, silence))
            except queue.Empty:
                self.close()
                raise StoodStill(
                    f"it stood still for {min(seconds, silence):.0f} s and could not be "
                    "interrupted, so its process was ended"
                ) from None
        if not line:
            assert self._process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)
            code = self._process.returncode
            self.close()
            raise Ended(f"it ended the process that it ran in (exit code {code})")
        return line


def _end(process: subprocess.Popen[str] | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _read(pipe: IO[str], answers: queue.SimpleQueue[str]) -> None:
    """Hand over each line, and an empty one at the end."""
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            answers.put(line)
    answers.put("")
