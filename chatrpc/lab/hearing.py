"""The process in which judged classes run: it does one job a line, and answers with a line.

``python -m chatrpc.lab.hearing``; see courtroom.py, which starts and ends it.
"""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import json
import os
import queue
import signal
import threading
import time
from typing import IO, Any

import chatrpc

from ..errors import CallTimeout
from .courtroom import LIFE
from .problem import LabProblem
from .promises import PROMISES
from .trial import FULL, LITTLE, Broken, Hung, NotJudged, Spare, Trial, told, within

BEAT = 0.2
"""Seconds between two signs of life."""

_writing = threading.Lock()


def hear(job: dict[str, Any]) -> dict[str, Any]:
    """Do a job; a ``problem`` is what keeps it from being done at all."""
    try:
        return _classes(job) if job["do"] == "classes" else _try(job)
    except LabProblem as problem:
        return {"problem": str(problem)}


def _classes(job: dict[str, Any]) -> dict[str, Any]:
    """Say which client and server classes a module has: of its own, and imported from chatrpc."""
    module = _load(job["module"])
    found = [
        {
            "name": name,
            "client": is_client(cls),
            "server": is_server(cls),
            "own": cls.__module__ == module.__name__,
        }
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ or cls in (chatrpc.RpcClient, chatrpc.RpcServer)
    ]
    return {"classes": found}


def _try(job: dict[str, Any]) -> dict[str, Any]:
    """Put classes to a promise; it takes bounded time, whatever they do."""
    promise, seconds = PROMISES[job["promise"]], job["seconds"]
    client, server = (_class(*job[kind]) for kind in ("client", "server"))
    trial = Trial(
        client,
        server,
        url=job["url"],
        service=job["service"],
        scale=job["scale"],
        seed=job["seed"],
        spare=Spare(**spare) if isinstance(spare := job["spare"], dict) else spare,
        patience=LITTLE if job["hung"] else FULL,
    )
    start = time.monotonic()
    result, reason, hung = "kept", "", False
    try:
        within(seconds, "the test", lambda: promise.test(trial))
    except Broken as problem:
        result, reason, hung = "broken", str(problem), _hung(problem)
    except (NotJudged, LabProblem) as problem:
        result, reason = "not judged", str(problem)
    except BaseException as problem:  # noqa: BLE001 - whatever a judged class raises is its result
        result, reason, hung = "broken", f"it raised {told(problem)}", _hung(problem)
    took = time.monotonic() - start
    if result == "kept":  # else this process is ended, and whoever ends it clears up
        hung = not trial.clear()
    return {"result": result, "reason": reason, "took": took, "hung": hung}


def _hung(problem: BaseException | None) -> bool:
    """Say whether a test failed because something did not end, or did not come, in time."""
    while problem is not None and not isinstance(problem, Hung | CallTimeout):
        problem = problem.__context__
    return problem is not None


def is_client(cls: object) -> bool:
    """Say whether a class has a client's face."""
    return isinstance(cls, type) and (hasattr(cls, "call") or hasattr(cls, "submit"))


def is_server(cls: object) -> bool:
    """Say whether a class has a server's face."""
    return isinstance(cls, type) and all(hasattr(cls, n) for n in ("method", "start", "close"))


def _class(module: str, name: str) -> type:
    found: Any = _load(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, type)
    return found


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - whatever a student's file raises
        raise LabProblem(f"it cannot be run: {told(error)}") from None


def main() -> None:
    """Do jobs until the pipe ends; a class that reads or prints disturbs neither."""
    commands, results = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands, jobs), name="hearing", daemon=True).start()
    _say(results, "ready")
    threading.Thread(target=_live, args=(results,), name="hearing", daemon=True).start()
    while True:
        job = jobs.get()
        faulthandler.dump_traceback_later(job["over"], exit=True, file=null)
        answer = hear(job)
        faulthandler.cancel_dump_traceback_later()
        _say(results, json.dumps(answer))


def _listen(commands: IO[str], jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in commands:
        jobs.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)  # whoever opened this has gone: so do we, and our workers


def _live(results: IO[str]) -> None:
    """Give signs of life, which stop if a class holds Python's own lock."""
    while True:
        _say(results, LIFE)
        time.sleep(BEAT)


def _say(results: IO[str], line: str) -> None:
    with _writing:
        results.write(f"{line}\n")
        results.flush()


if __name__ == "__main__":
    main()
