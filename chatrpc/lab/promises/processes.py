"""Worker processes of a judged server class, which a test may kill."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from ..trial import Trial, check, within


@contextlib.contextmanager
def worker(trial: Trial, program: str, *arguments: str) -> Iterator[None]:
    """Run a program that says "ready" when it serves; it is killed when the block ends.

    It is told the server class's module and name, the service, and the arguments.
    """
    cls = trial.server_class
    command = [sys.executable, "-c", program, cls.__module__, cls.__qualname__, trial.service]
    process = subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "CHATRPC_URL": trial.url, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        ready = within(10.0, "a worker's start", process.stdout.readline)
        check(ready == b"ready\n", "a worker process ended as soon as it was started")
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
