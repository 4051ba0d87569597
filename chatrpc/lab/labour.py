"""The inside of a worker process: ``python -m chatrpc.lab.labour FOLDER``.

The folder holds a job: which class serves, with which methods, or which function runs by itself.
The process counts its calls, is as slow as it is told to be, and dies where it is told to.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..server import RpcServer
from ..transport.witness import Seen, witness
from .runner import watch
from .tally import Tally

DRAIN = 65.0  # seconds for the work in hand when the process is asked to leave


class Foreman:
    """Counts what the process does, and kills it where it is told to."""

    def __init__(self, tally: Tally, *, alone: bool) -> None:
        self.tally = tally
        self._alone = alone  # a function that serves by itself: only its wire tells what it does
        self._lock = threading.Lock()

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same method, under the foreman's eye."""

        @functools.wraps(function)
        def method(*args: Any, **params: Any) -> Any:
            with self._lock:
                self.tally.busy += 1
            try:
                self.reach("before work")
                if slow := self.tally.slow:
                    time.sleep(slow)
                return function(*args, **params)
            finally:
                self.reach("after work")
                with self._lock:
                    self.tally.busy -= 1
                    self.tally.served += 1

        return method

    def hears(self, seen: Seen) -> None:
        """Learn from the wire what no method tells: that it listens, and when it acknowledges."""
        if seen.kind in ("consuming", "get"):
            self.tally.ready = True
        if self._alone:
            self._follow(seen)
        if seen.out and seen.kind in ("ack", "nack", "reject"):
            self.reach("before ack")

    def _follow(self, seen: Seen) -> None:
        if seen.kind == "deliver" and not seen.out:
            with self._lock:
                self.tally.busy += 1
            self.reach("before work")
            if slow := self.tally.slow:
                time.sleep(slow)
        elif seen.out and seen.kind in ("publish", "ack"):
            with self._lock:
                done, self.tally.busy = self.tally.busy, 0
                self.tally.served += done
            if done:
                self.reach("after work")

    def reach(self, point: str) -> None:
        """Die here, if it was to be here."""
        with self._lock:
            if self.tally.passing(point):
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Do the job until SIGTERM or the kernel's end; return the exit status."""
    folder = Path(sys.argv[1])
    threading.Thread(
        target=_with_the_kernel, args=(folder,), name="kernel-watch", daemon=True
    ).start()
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    sys.path[:0] = [str(folder), *job["path"]]
    try:
        serve = found(job["server"])
        foreman = Foreman(Tally(folder / "tally"), alone=not isinstance(serve, type))
        with witness(foreman.hears):
            if isinstance(serve, type):
                _serve(serve, job, foreman)
            else:
                serve(job["service"])
    except KeyboardInterrupt:
        return 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, its card says it
        sys.stderr.write(f"\n{_sentence(error)}\n")
        return 1
    return 0


def found(place: str) -> Any:
    """Return what a place like ``module:name`` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _serve(cls: type, job: Mapping[str, Any], foreman: Foreman) -> None:
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    named = issubclass(cls, RpcServer)
    options = {"name": f"{job['name']}-{os.getpid()}"} if named else {}
    server = cls(job["service"], **options)
    for name, place in job["methods"].items():
        method = foreman.watched(found(place))
        if name == method.__name__:
            server.method(method)
        else:
            server.method(name)(method)
    server.start()
    foreman.tally.ready = True
    if isinstance(server, RpcServer):
        server.serve_forever(drain=DRAIN)
    else:
        leave.wait()
        server.close()


def _with_the_kernel(folder: Path) -> None:
    watch(lambda: shutil.rmtree(folder, ignore_errors=True))


def _sentence(error: BaseException) -> str:
    advice = getattr(error, "advice", "")
    said = f"{type(error).__name__}: {error}"
    return " ".join(f"{said}. {advice}".split()) if advice else " ".join(said.split())


if __name__ == "__main__":
    sys.exit(main())
