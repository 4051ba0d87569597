"""Workers that die, and requests that come twice: C10, C11."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from ..trial import Trial, check, short, together
from .processes import workers
from .registry import echo, later, promise

WORKER = """
import importlib, os, sys, time
from chatrpc import Request
module, name, service, log = sys.argv[1:]
cls = getattr(importlib.import_module(module), name)
print("here", flush=True)
server = cls(service)
@server.method
def echo(value: str) -> str:
    return value
@server.method
def work(text: str, request: Request) -> list:
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\\n")
    if not request.redelivered:
        time.sleep(20)
    return [text, os.getpid(), request.redelivered]
server.start()
print("ready", flush=True)
time.sleep(60)
"""


@promise(
    "C10",
    "06",
    hints=(
        "When may the broker forget a request?",
        "Acknowledge after the work, never before; the broker then hands it to another.",
        "Consume without no_ack, and ack when the reply is out. The delivery's `redelivered` "
        "goes into the Request that the method may ask for.",
    ),
    seconds=20.0,
)
def worker_killed(trial: Trial) -> None:
    """A worker killed in mid-call: another worker answers; redelivery is visible to the method."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        log = Path(folder, "log")
        log.touch()
        stack.enter_context(workers(trial, WORKER, str(log), count=2))
        client = trial.client(timeout=3.0)
        client.greet("echo", "hola")
        with later(0.0, lambda: _kill_first(log)):
            answer = client.call("work", "hola")
        pids = [int(line) for line in log.read_text().split()]
    check(len(pids) == 2, f"two workers, one killed: the work was begun {len(pids)} times")
    check(answer[:2] == ["hola", pids[1]], f"the second worker's answer was {short(answer)}")
    check(answer[2] is True, "the method could not see that the request was redelivered")


def _kill_first(log: Path) -> None:
    end = time.monotonic() + 5.0
    while not (line := log.read_text()).endswith("\n"):
        if time.monotonic() > end:
            return
        time.sleep(0.01)
    os.kill(int(line.split()[0]), signal.SIGKILL)


@promise(
    "C11",
    "06",
    hints=(
        "How can a server know that it has seen this request before?",
        "Remember each answer under its message's id; a second delivery gets it from there.",
        'Keep id → answer, also id → "still running": the second delivery waits for the first '
        "one's answer. Into the key go message id, reply queue and a digest of the body.",
    ),
)
def delivered_twice(trial: Trial) -> None:
    """The same request delivered twice to one server process runs once and is answered twice, also
    while it is still running."""
    poured: list[int] = []

    def coffee() -> int:
        poured.append(1)
        time.sleep(0.3)
        return len(poured)

    trial.server(coffee, echo)
    client = trial.client(timeout=2.0)
    client.greet("echo", "hola")
    answers_ = together(
        4.0,
        "two calls with one message id",
        [lambda: client.call("coffee", message_id="cup")] * 2,
    )
    check(len(poured) == 1, f"sent twice at once, it ran {len(poured)} times")
    check(answers_ == [1, 1], f"sent twice at once, the answers were {answers_}")
    again = client.call("coffee", message_id="cup")
    check(len(poured) == 1, "sent again after it had been answered, it ran again")
    check(again == 1, f"sent again after it had been answered, the answer was {short(again)}")
    other = client.call("coffee", message_id="another cup")
    check(other == 2, f"another message id is another cup, and its answer was {short(other)}")
