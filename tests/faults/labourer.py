"""A worker process of the fault suite: it writes down what it begins, and what it ends.

``python labourer.py SERVICE LOG THREADS [BROKEN]``. Each line of the log is
``begin|end monotonic-time wall-time process text``, written in one piece, so that a kill -9
leaves whole lines. BROKEN names one of the contract's deliberately wrong servers.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from pathlib import Path

from judge import Begun

from chatrpc import RpcServer

MUTANTS = Path(__file__).parents[1] / "contract"


def main(service: str, log: str, threads: str, broken: str = "") -> None:
    """Serve until told to go."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    kind: type[RpcServer] = RpcServer
    if broken:
        sys.path.insert(0, str(MUTANTS))
        kind = getattr(importlib.import_module("mutants"), broken)
    server = kind(service, threads=int(threads))
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(what: str, text: str) -> None:
        line = f"{what} {time.monotonic():.4f} {time.time():.4f} {os.getpid()} {text}\n"
        os.write(file, line.encode())

    @server.method
    def work(text: str, seconds: float, size: int, load: str) -> list[str]:
        note("begin", text)
        time.sleep(seconds)
        note("end", text)
        return [text, "x" * size]

    server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever(drain=5.0)


def begun(log: Path) -> list[Begun]:
    """What the workers who share a log began, in order."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else ():
        what, at, _, worker, text = line.split(" ", 4)
        if what == "begin":
            found.append(Begun(text, float(at), int(worker)))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
