"""Programs of the kit as processes: started, read while they run, stopped by their id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[1]


class Program:
    """A Python program that runs; leaving the ``with`` block ends it, whatever happened."""

    def __init__(self, *arguments: str, cwd: Path = ROOT, **environment: str) -> None:
        """Start ``python`` with these arguments, and these variables besides the environment's."""
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All that it has written, to both streams."""
        with self._news:
            return "".join(self._lines)

    def wait_for(self, text: str, timeout: float = 60.0) -> str:
        """The first line that holds the text. Raises AssertionError if none comes in time."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for line in self._lines:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise AssertionError(f"no line holds {text!r}:\n{''.join(self._lines)}")
                self._news.wait(left)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit status, once it has ended by itself and all its output is read."""
        status = self.process.wait(timeout)
        self._reader.join(5)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Ask it to end, and return its exit status."""
        self.send(number)
        return self.wait(timeout)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()


CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""With these it asks nobody outside for anything, and needs no screen."""


def consumer(service: str, **environment: str) -> Program:
    """A worker process that serves already."""
    program = Program("worker/consumer.py", CHATRPC_SERVICE=service, **environment)
    try:
        program.wait_for("serves")
    except BaseException:
        program.process.kill()
        program.process.wait()
        raise
    return program


@contextmanager
def serving(service: str, *options: str, **more: str) -> Iterator[str]:
    """``python app.py`` as a process: yields its address on this machine."""
    variables = {"CHATRPC_SERVICE": service, "CHATRPC_TIMEOUT": "6", **more}
    with Program("app.py", "--port", "0", *options, **variables) as program:
        yield re.search(r"http://\S+?/(?=[., ])", program.wait_for("The chat is at"))[0]


@dataclass(frozen=True)
class Standing:
    """A worker and an app that serve a whole module's tests."""

    site: str
    worker: Program
