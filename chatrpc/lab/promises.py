"""The promises C01 to C18, each as a test that any client class and server class can be put to.

They see only the public face, on the real broker. A test returns if the promise was kept and
raises Broken with the sentence that says how it was not. The docstring is the promise.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from ..errors import (
    BrokerRefused,
    CallTimeout,
    ClientClosed,
    InvalidParams,
    MethodNotFound,
    NoWorker,
    Ran,
    RemoteError,
    RpcError,
)
from .firehose import Firehose, connect, exists
from .trial import GRACE, Broken, Caller, Trial, check, short, together, told, within
from .wire import Wire


@dataclass(frozen=True)
class Promise:
    """One promise: its id, the lesson that reaches it, its sentence, a hint, and its test."""

    id: str
    lesson: str
    sentence: str
    hint: str
    seconds: float
    test: Callable[[Trial], None]
    scales: bool = False
    spare: bool = False


PROMISES: dict[str, Promise] = {}


def promise(
    id: str,
    lesson: str,
    *,
    hint: str,
    seconds: float = 8.0,
    scales: bool = False,
    spare: bool = False,
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Register a test.

    Args:
        seconds: how long it may take at scale 0.01.
        scales: whether it takes longer with a larger scale.
        spare: whether it wants a broker that may be killed.
    """

    def register(test: Callable[[Trial], None]) -> Callable[[Trial], None]:
        sentence = " ".join((test.__doc__ or "").split()).rstrip(".")
        PROMISES[id] = Promise(id, lesson, sentence, hint, seconds, test, scales, spare)
        return test

    return register


def echo(value: Any) -> Any:
    """Answer with what came."""
    return value


def _ran(error: RpcError, *expected: Ran) -> None:
    names = " or ".join(r.value for r in expected)
    check(
        error.ran in expected,
        f"{type(error).__name__} says ran {getattr(error.ran, 'value', error.ran)}, not {names}",
    )


def _timed(act: Callable[[], Any]) -> tuple[Any, float]:
    start = time.monotonic()
    return act(), time.monotonic() - start


@promise(
    "C01",
    "04",
    hint="An answer can be empty: ask whether one came, not whether it is true.",
)
def answers(trial: Trial) -> None:
    """A call returns its method's answer; an empty string, None, unicode and 64 KiB are answers."""

    def join(left: str, right: str) -> str:
        return f"{left}-{right}"

    trial.server(echo, join)
    client = trial.client()
    values: list[Any] = ["hola", "", None, 0, False, [], "¿qué tal? 日本 🙂", "x" * 65536]
    for value in [*values, {"cups": [1, None]}]:
        got = client.call("echo", value)
        check(
            got == value and type(got) is type(value),
            f"echo({short(value)}) answered {short(got)}",
        )
    got = client.call("join", "a", "b")
    check(got == "a-b", f"join('a', 'b') answered {short(got)}")
    got = client.call("join", left="a", right="b")
    check(got == "a-b", f"join(left='a', right='b') answered {short(got)}")


@promise(
    "C02",
    "02",
    hint="Whose queue do the replies go to? Give each client one of its own.",
)
def clients_apart(trial: Trial) -> None:
    """Two clients of one service never see each other's replies."""
    trial.server(echo)
    clients = {name: trial.client(timeout=1.0) for name in ("first", "second")}
    for turn in range(5):
        wanted = [f"{name} {turn}" for name in clients]
        try:
            got = together(
                3.0,
                "two clients at once",
                [
                    partial(client.call, "echo", want)
                    for client, want in zip(clients.values(), wanted, strict=True)
                ],
            )
        except CallTimeout:
            raise Broken(
                "with two clients at once, one of them got no answer: "
                "did the other one take it from the queue?"
            ) from None
        check(got == wanted, f"they asked for {wanted} and got {got}")


@promise(
    "C03",
    "03",
    hint="Replies come in any order: keep a table from correlation id to waiting caller.",
    seconds=15.0,
)
def replies_find_their_callers(trial: Trial) -> None:
    """Replies out of order reach their own callers, and of many threads' calls none is crossed."""
    count = 3
    turns = [threading.Event() for _ in range(count)]
    here: list[int] = []

    def last_first(place: int) -> str:
        here.append(place)
        if len(here) == count:
            turns[-1].set()
        turns[place].wait(0.4)
        time.sleep(0.02)  # the reply of the one before me is on its way
        if place:
            turns[place - 1].set()
        return f"answer {place}"

    trial.server(echo, last_first)
    client = trial.client(timeout=5.0)

    def ask(place: int) -> Any:
        end = time.monotonic() + 0.3 * place
        while len(here) < place and time.monotonic() < end:  # asked in order, answered last first
            time.sleep(0.002)
        return client.call("last_first", place)

    calls = [partial(ask, place) for place in range(count)]
    got = together(6.0, "three calls, answered last first,", calls)
    wanted = [f"answer {place}" for place in range(count)]
    check(got == wanted, f"answered last first, the callers got {got}")
    threads, each = 50, max(1, round(1000 * trial.scale))
    crossed: list[str] = []

    def many(name: int) -> None:
        for turn in range(each):
            answer = client.call("echo", f"{name}.{turn}")
            if answer != f"{name}.{turn}":
                crossed.append(f"caller {name} asked for '{name}.{turn}' and got {short(answer)}")
                return

    patience = 10.0 + threads * each / 200
    together(patience, f"{threads} threads", [partial(many, n) for n in range(threads)])
    check(not crossed, crossed[0] if crossed else "")


@promise(
    "C04",
    "05",
    hint="Publish with mandatory, and ask the queue how many consumers it has.",
)
def nobody_there(trial: Trial) -> None:
    """No such queue: NoWorker within 0.1 s, ran no; a queue without workers: the call waits for
    one, and the timeout says that nobody listens."""
    took = []
    for _ in range(3):
        client = trial.client(service=trial.new_service())
        error, seconds = _timed(partial(client.fails, NoWorker, "echo", "hola"))
        _ran(error, Ran.NO)
        took.append(seconds)
    check(min(took) <= 0.1, f"NoWorker took {min(took):.2f} s, not 0.1 s")
    trial.stop(trial.server(echo))
    client = trial.client()
    error, seconds = _timed(lambda: client.fails(CallTimeout, "echo", "hola", timeout=0.4))
    check(seconds >= 0.35, f"it gave up after {seconds:.2f} s of 0.4 s")
    said = f"{error} {getattr(error, 'advice', '')}"
    check("listen" in said.lower(), f"the timeout does not say that nobody listens, but: {error}")
    with _later(0.2, lambda: trial.server(echo)):
        got = client.call("echo", "worth waiting", timeout=3.0)
    check(got == "worth waiting", f"a worker came in time, and the answer was {short(got)}")


@promise(
    "C05",
    "05",
    hint="Every wait needs an end, and a table entry leaves in a finally.",
    seconds=15.0,
)
def no_answer(trial: Trial) -> None:
    """No answer: CallTimeout at the deadline, ran maybe; nothing stays behind in memory."""

    def silent() -> None:
        time.sleep(0.9)

    server = trial.server(silent)
    client = trial.client()
    error, seconds = _timed(lambda: client.fails(CallTimeout, "silent", timeout=0.3))
    _ran(error, Ran.MAYBE)
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
        grown = min(growth() for _ in range(3))
    finally:
        if not tracing:
            tracemalloc.stop()
    check(
        grown < 250 * unheard,
        f"{unheard} calls without answer left {grown // unheard} bytes each in memory",
    )


@promise(
    "C06",
    "05",
    hint="A reply whose call has gone is dropped: take the entry out of the table first.",
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
    hint="Send the deadline along, and look at it before the work begins.",
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
    client.call("echo", "")
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


@promise(
    "C08",
    "04",
    hint="Catch what the method raises, send its type and text as data, and go on.",
)
def method_raises(trial: Trial) -> None:
    """A method that raises: RemoteError with type and message, ran yes, no traceback; the server
    lives on."""

    def fail() -> None:
        raise ValueError("no coffee left")

    trial.server(echo, fail)
    client = trial.client()
    for _ in range(2):
        error = client.fails(RemoteError, "fail")
        _ran(error, Ran.YES)
        check(error.type == "ValueError", f"its type is {short(error.type)}, not 'ValueError'")
        check(error.message == "no coffee left", f"its message is {short(error.message)}")
        carried = f"{error} {vars(error)}"
        check("Traceback" not in carried and "line " not in carried, "it carries a traceback")
        got = client.call("echo", "alive")
        check(got == "alive", f"after it, echo('alive') answered {short(got)}")


@promise(
    "C09",
    "04",
    hint="Look the name up in a table of methods, and bind the parameters before the call.",
)
def wrong_calls(trial: Trial) -> None:
    """Unknown method, bad parameters: the JSON-RPC error, ran no."""
    runs: list[str] = []

    def one(text: str) -> str:
        runs.append(text)
        return text

    trial.server(one)
    client = trial.client()
    for name in ("nothing_of_the_kind", "__init__", "start"):
        error = client.fails(MethodNotFound, name)
        _ran(error, Ran.NO)
        check(error.code == -32601, f"the code is {error.code}, not -32601")
    wrong: list[Callable[[], Any]] = [
        partial(client.fails, InvalidParams, "one"),
        partial(client.fails, InvalidParams, "one", "a", "b"),
        partial(client.fails, InvalidParams, "one", wrong="a"),
    ]
    for attempt in wrong:
        error = attempt()
        _ran(error, Ran.NO)
        check(error.code == -32602, f"the code is {error.code}, not -32602")
    check(not runs, "the method ran")
    got = client.call("one", "a")
    check(got == "a", f"after it, one('a') answered {short(got)}")


WORKER = """
import importlib, os, sys, time
from chatrpc import Request
module, name, service, log = sys.argv[1:]
server = getattr(importlib.import_module(module), name)(service)
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
    hint="Acknowledge after the work, never before; the broker then hands it to another.",
    seconds=20.0,
)
def worker_killed(trial: Trial) -> None:
    """A worker killed in mid-call: another worker answers; redelivery is visible to the method."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        log = Path(folder, "log")
        log.touch()
        for _ in range(2):
            stack.enter_context(_worker(trial, str(log)))
        client = trial.client(timeout=3.0)
        with _later(0.0, lambda: _kill_first(log)):
            answer = client.call("work", "hola")
        pids = [int(line) for line in log.read_text().split()]
    check(len(pids) == 2, f"two workers, one killed: the work was begun {len(pids)} times")
    check(answer[:2] == ["hola", pids[1]], f"the second worker's answer was {short(answer)}")
    check(answer[2] is True, "the method could not see that the request was redelivered")


@contextlib.contextmanager
def _worker(trial: Trial, log: str) -> Iterator[None]:
    cls = trial.server_class
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, cls.__module__, cls.__qualname__, trial.service, log],
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
    hint="Remember each answer under its message's id; a second delivery gets it from there.",
)
def delivered_twice(trial: Trial) -> None:
    """The same request delivered twice to one server process runs once and is answered twice, also
    while it is still running."""
    poured: list[int] = []

    def coffee() -> int:
        poured.append(1)
        time.sleep(0.3)
        return len(poured)

    trial.server(coffee)
    client = trial.client()
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


@promise(
    "C12",
    "09",
    hint="Dial again by yourself, and send again what the broker has not confirmed.",
    seconds=20.0,
)
def connection_lost(trial: Trial) -> None:
    """The connection cut, reset or stalled, on either side, for less than the deadline: the call
    still gets its answer, and only its own."""

    def slow(text: str) -> str:
        time.sleep(0.3)
        return text

    def cut(wire: Wire) -> None:
        wire.refuse()
        wire.cut()

    faults = {"cut": cut, "reset": Wire.reset, "stalled": Wire.stall}

    def one(side: str, fault: str) -> None:
        service = trial.new_service()
        with Wire(trial.url) as wire:
            url = {side: wire.url}
            trial.server(slow, service=service, url=url.get("server"))
            client = trial.client(service=service, url=url.get("client"), timeout=5.0)
            client.call("slow", "before")

            def disturb() -> None:
                faults[fault](wire)
                time.sleep(0.5)
                wire.mend()

            with _later(0.1, disturb):
                wanted = f"{side} {fault}"
                try:
                    got = client.call("slow", wanted)
                except RpcError as error:
                    raise Broken(
                        f"the {side}'s connection was {fault} for 0.5 s, and the call raised "
                        f"{told(error)}"
                    ) from None
            check(got == wanted, f"it asked for '{wanted}' and got {short(got)}")

    together(
        12.0,
        "a call over a broken wire",
        [partial(one, side, fault) for side in ("client", "server") for fault in faults],
    )


@promise(
    "C16",
    "09",
    hint="Let the first connection fail at once; dial again only one that once stood.",
)
def refused(trial: Trial) -> None:
    """Wrong password or virtual host at the first connection: one clear error at once, no secret
    in it."""
    parts = urlsplit(trial.url)
    place = parts.netloc.rpartition("@")[2]
    secret = "s3cret-that-nobody-may-see"
    wrong_password = urlunsplit(parts._replace(netloc=f"{quote('guest')}:{secret}@{place}"))
    wrong_vhost = urlunsplit(parts._replace(path="/no-such-vhost"))
    openers: dict[str, Callable[[str], Any]] = {
        "client": lambda url: trial.client(url=url),
        "server": lambda url: trial.server(echo, url=url),
    }
    for url, what in ((wrong_password, "password"), (wrong_vhost, "virtual host")):
        for who, opens in openers.items():
            start = time.monotonic()
            try:
                opens(url)
            except BrokerRefused as error:
                said = f"{error} {error!r} {vars(error)}"
                check(secret not in said, f"the {who}'s error shows the password")
                check("\n" not in str(error), f"the {who}'s error is not one sentence")
            except Broken:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a judged class raises
                raise Broken(
                    f"a wrong {what}: the {who} should raise BrokerRefused and raised {told(error)}"
                ) from None
            else:
                raise Broken(f"a wrong {what}: the {who} says nothing")
            seconds = time.monotonic() - start
            check(seconds < 2.0, f"a wrong {what}: the {who} said so only after {seconds:.1f} s")


@promise(
    "C18",
    "07",
    hint="close() tells every waiting caller, ends the threads, and deletes the reply queue.",
)
def closes(trial: Trial) -> None:
    """close() returns within 2 s; pending calls end at once; no thread, socket or reply queue is
    left."""

    def hold() -> None:
        time.sleep(0.8)

    trial.server(hold, echo)
    first = trial.client()  # what a first use starts for good is not its concern
    first.call("echo", "")
    first.close()
    time.sleep(0.3)
    before = _footprint()
    with Firehose(only=trial.service, url=trial.url) as firehose:
        client = trial.client()
        client.call("echo", "")
        firehose.settle()
        replies = {hop.reply_to for hop in firehose.hops if hop.reply_to}
    outcome: list[BaseException | str] = []

    def wait() -> None:
        try:
            client.call("hold")
            outcome.append("an answer")
        except BaseException as error:  # noqa: BLE001 - whatever a judged class raises
            outcome.append(error)

    waiting = threading.Thread(target=wait, daemon=True, name="judged")
    waiting.start()
    time.sleep(0.2)
    _, seconds = _timed(client.close)
    check(seconds <= 2.0, f"close() took {seconds:.1f} s")
    waiting.join(0.3)
    check(outcome, "a call that was waiting still waits after close()")
    check(
        isinstance(outcome[0], ClientClosed),
        f"a call that was waiting ended with {short(outcome[0])}, not with ClientClosed",
    )
    end = time.monotonic() + 1.0
    while any(n > b for n, b in zip(_footprint(), before, strict=True)) and time.monotonic() < end:
        time.sleep(0.02)
    threads, sockets = (now - then for now, then in zip(_footprint(), before, strict=True))
    check(threads <= 0, f"close() leaves {threads} thread(s) behind")
    check(sockets <= 0, f"close() leaves {sockets} socket(s) behind")
    transport = connect(trial.url)
    try:
        left = [q for q in replies if not q.startswith("amq.") and exists(transport, q)]
    finally:
        transport.close()
    check(not left, "close() leaves its reply queue on the broker")


def _footprint() -> tuple[int, int]:
    """How many threads and sockets this process has; sockets where the system tells."""
    threads = sum(t.name != "judged" for t in threading.enumerate())
    sockets = 0
    with contextlib.suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                sockets += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    return threads, sockets


@contextlib.contextmanager
def _later(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Do it that much later, while the block runs; its error is the block's."""
    errors: list[BaseException] = []

    def run() -> None:
        time.sleep(seconds)
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="judged")
    thread.start()
    try:
        yield
    finally:
        thread.join(5.0)
    if errors:
        raise errors[0]
