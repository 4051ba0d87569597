"""Worker processes of a judged server class, which a test may kill."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from ..trial import Trial, check, within

BEGINNING = 10.0  # seconds for Python to start and to read the class, on a busy machine


@contextlib.contextmanager
def workers(trial: Trial, program: str, *arguments: str, count: int = 1) -> Iterator[None]:
    """Run ``count`` processes of a program; they are killed when the block ends.

    It says "here" when it has begun, and "ready" when it serves. It is told the server class's
    module and name, the service, and the arguments.
    """
    cls = trial.server_class
    command = [sys.executable, "-c", program, cls.__module__, cls.__qualname__, trial.service]
    env = {**os.environ, "CHATRPC_URL": trial.url, "PYTHONPATH": os.pathsep.join(sys.path)}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(_process([*command, *arguments], env)) for _ in range(count)
        ]
        for word, seconds in (("here", BEGINNING), ("ready", trial.patience.opening)):
            for process in processes:
                assert process.stdout is not None
                said = within(seconds, "a worker's start", process.stdout.readline)
                check(said == f"{word}\n", "a worker process ended as soon as it was started")
        yield


@contextlib.contextmanager
def _process(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()
