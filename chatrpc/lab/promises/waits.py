"""How long a call waits, and what it knows then: C04 to C07."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import tracemalloc
from functools import partial

from ...errors import CallTimeout, NoWorker, Ran
from ..trial import GRACE, Broken, Caller, Trial, check, short, together
from .registry import echo, later, promise, ran, timed


@promise(
    "C04",
    "05",
    hints=(
        "The broker knows whether there is such a queue, and who reads it: do you ask?",
        "Publish with mandatory, and ask the queue how many consumers it has.",
        "A returned message (312, no route) ends its call with NoWorker; at the deadline a "
        "passive declare says consumer_count, and 0 belongs into the timeout's words.",
    ),
)
def nobody_there(trial: Trial) -> None:
    """No such queue: NoWorker within 0.1 s, ran no; a queue without workers: the call waits for
    one, and the timeout says that nobody listens."""
    took = []
    for _ in range(3):
        client = trial.client(service=trial.new_service())
        error, seconds = timed(partial(client.fails, NoWorker, "echo", "hola"))
        ran(error, Ran.NO)
        took.append(seconds)
    check(min(took) <= 0.1, f"NoWorker took {min(took):.2f} s, not 0.1 s")
    trial.stop(trial.server(echo))
    client = trial.client()
    error, seconds = timed(lambda: client.fails(CallTimeout, "echo", "hola", timeout=0.4))
    check(seconds >= 0.35, f"it gave up after {seconds:.2f} s of 0.4 s")
    said = f"{error} {getattr(error, 'advice', '')}"
    check("listen" in said.lower(), f"the timeout does not say that nobody listens, but: {error}")
    with later(0.2, lambda: trial.server(echo)):
        got = client.call("echo", "worth waiting", timeout=3.0)
    check(got == "worth waiting", f"a worker came in time, and the answer was {short(got)}")


BYTES = 250
"""What a call without answer may leave in memory, by the imprecision of the measurement."""


@promise(
    "C05",
    "05",
    hints=(
        "What ends the wait if nothing ever comes, and what is still in your table then?",
        "Every wait needs an end, and a table entry leaves in a finally.",
        "Wait with a timeout, raise CallTimeout when it is over, and take the entry out in "
        "`finally:`.",
    ),
    seconds=15.0,
)
def no_answer(trial: Trial) -> None:
    """No answer: CallTimeout at the deadline, ran maybe; nothing stays behind in memory."""

    def silent() -> None:
        time.sleep(0.9)

    server = trial.server(silent)
    client = trial.client()
    error, seconds = timed(lambda: client.fails(CallTimeout, "silent", timeout=0.3))
    ran(error, Ran.MAYBE)
    check(
        0.28 <= seconds <= 0.3 + GRACE, f"the deadline was 0.3 s, the error came at {seconds:.2f} s"
    )
    trial.stop(server)
    threads, each = 10, 6
    unheard = threads * each

    def ask() -> None:
        for _ in range(each):
            with contextlib.suppress(CallTimeout):
                client.call("silent", timeout=0.02)

    def growth() -> int:
        before = tracemalloc.get_traced_memory()[0]
        together(15.0, "calls without answer", [ask] * threads)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        growth()
        growth()  # the first times fill what is filled once
        for _ in range(6):
            # What stays behind grows each time; what a busy machine does late does not.
            if (grown := growth()) < BYTES * unheard:
                break
    finally:
        if not tracing:
            tracemalloc.stop()
    check(
        grown < BYTES * unheard,
        f"{unheard} calls without answer left {grown // unheard} bytes each in memory",
    )


@promise(
    "C06",
    "05",
    hints=(
        "Whose is a reply that comes when its call is over?",
        "A reply whose call has gone is dropped: take the entry out of the table first.",
        "`call = table.pop(id, None)`: if it is None, acknowledge the reply and do nothing "
        "else. Never end a future that is ended.",
    ),
)
def late_reply(trial: Trial) -> None:
    """A late reply never answers another call and never disturbs the client."""

    def late(text: str, seconds: float) -> str:
        time.sleep(seconds)
        return text

    trial.server(echo, late)
    client = trial.client()
    for turn in range(2):
        client.fails(CallTimeout, "late", f"late {turn}", 0.35, timeout=0.15)
        for when, method, more in (("when", "late", (0.35,)), ("after", "echo", ())):
            wanted = f"next {turn}"
            try:
                got = client.call(method, wanted, *more, timeout=1.5)
            except CallTimeout:
                raise Broken(f"{when} a late reply came, another call got no answer") from None
            check(got == wanted, f"the next call asked for '{wanted}' and got {short(got)}")


@promise(
    "C07",
    "05",
    hints=(
        "How does the worker know that nobody waits any more?",
        "Send the deadline along, and look at it before the work begins.",
        "Carry the milliseconds that are left in the message; the worker counts them from its "
        "arrival, and drops the request when they are over.",
    ),
    seconds=10.0,
)
def too_late_to_begin(trial: Trial) -> None:
    """A request whose deadline has passed is not begun."""
    begun: list[str] = []
    held: list[int] = []
    gate = threading.Event()

    def mark(name: str) -> None:
        begun.append(name)

    def hold(place: int) -> int:
        held.append(place)
        gate.wait(4.0)
        return place

    trial.stop(trial.server(mark))
    client = trial.client(timeout=6.0)
    with contextlib.suppress(CallTimeout, NoWorker):  # NoWorker: then nothing was kept
        client.call("mark", "while nobody listened", timeout=0.2)
    trial.server(mark, hold, echo)
    client.greet("echo", "")
    time.sleep(0.1)
    check(not begun, f"a request was begun after its deadline: {begun}")
    # Now one that waits at a server of which every thread is busy.
    try:
        crowd = _fill(client, held)
        with contextlib.suppress(CallTimeout):
            client.call("mark", "behind a crowd", timeout=0.2)
            begun.clear()  # there was room, and it was answered in time
        check(not begun, "a call timed out although its method had begun")
    finally:
        gate.set()
    for thread in crowd:
        thread.join(4.0)
    client.call("echo", "")
    time.sleep(0.1)
    check(not begun, f"a request was begun after its deadline: {begun}")


def _fill(client: Caller, held: list[int]) -> list[threading.Thread]:
    """Send calls that hold a thread each, until one finds none that is free."""
    crowd: list[threading.Thread] = []
    for place in range(64):
        thread = threading.Thread(
            target=partial(client.call, "hold", place), daemon=True, name="judged"
        )
        thread.start()
        crowd.append(thread)
        end = time.monotonic() + 0.2
        while place not in held and time.monotonic() < end:
            time.sleep(0.005)
        if place not in held:
            break
    return crowd
