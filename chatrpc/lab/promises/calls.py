"""What a call brings back: C01, C02, C03, C08, C09."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import CallTimeout, InvalidParams, MethodNotFound, Ran, RemoteError
from ..trial import Broken, Caller, Trial, check, short, together
from .registry import echo, promise, ran


@promise(
    "C01",
    "04",
    hints=(
        "Which answers does your client take for no answer?",
        "An answer can be empty: ask whether one came, not whether it is true.",
        "Write `if answer is not None` nowhere: let a reply's arrival end the wait, and "
        "return its result as it is.",
    ),
)
def answers(trial: Trial) -> None:
    """A call returns its method's answer; an empty string, None, unicode and 64 KiB are answers."""

    def join(left: str, right: str) -> str:
        return f"{left}-{right}"

    trial.server(echo, join)
    client = trial.client()
    odd = "".join(trial.chance.choices('aZ09 ñ日🙂"\\\n\t\u2028{}', k=40))
    values: list[Any] = [odd, "hola", "", None, 0, False, [], "¿qué tal? 日本 🙂", "x" * 65536]
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
    hints=(
        "Two clients ask at once: into which queue does each answer go, and who reads it?",
        "Whose queue do the replies go to? Give each client one of its own.",
        "Declare a queue under a name that no other client has, and put that name into reply_to.",
    ),
)
def clients_apart(trial: Trial) -> None:
    """Two clients of one service never see each other's replies."""
    trial.server(echo)
    clients = {name: trial.client(timeout=1.0) for name in ("first", "second")}
    for name, client in clients.items():  # twice each, or a fair turn looks like one's own queue
        for turn in range(2):
            _alone(client, f"{name} alone {turn}")
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
            raise Broken(STOLEN) from None
        check(got == wanted, f"they asked for {wanted} and got {got}")


STOLEN = (
    "with two clients at once, one of them got no answer: did the other one take it from the queue?"
)


def _alone(client: Caller, wanted: str) -> None:
    try:
        got = client.call("echo", wanted)
    except CallTimeout:
        raise Broken(STOLEN) from None
    check(got == wanted, f"one asked for {wanted!r} and got {got!r}")


@promise(
    "C03",
    "03",
    hints=(
        "If the second answer comes first, who gets it?",
        "Replies come in any order: keep a table from correlation id to waiting caller.",
        "Give each call a new id, put its caller into the table before you publish, and hand "
        "each reply to the entry of its correlation id, whichever thread reads it.",
    ),
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
    client.greet("echo", "hola")

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
    "C08",
    "04",
    hints=(
        "Where does the exception go that a method raises?",
        "Catch what the method raises, send its type and text as data, and go on.",
        "try: the method; except: reply with an error object that holds the type's name and "
        "str(error), acknowledge, serve the next. The client raises RemoteError from it.",
    ),
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
        ran(error, Ran.YES)
        check(error.type == "ValueError", f"its type is {short(error.type)}, not 'ValueError'")
        check(error.message == "no coffee left", f"its message is {short(error.message)}")
        carried = f"{error} {vars(error)}"
        check("Traceback" not in carried and "line " not in carried, "it carries a traceback")
        got = client.call("echo", "alive")
        check(got == "alive", f"after it, echo('alive') answered {short(got)}")


@promise(
    "C09",
    "04",
    hints=(
        "What does your server do with a name that it does not know?",
        "Look the name up in a table of methods, and bind the parameters before the call.",
        "Unknown: reply with code -32601. `inspect.signature(function).bind(...)` raises "
        "TypeError for wrong parameters: reply with -32602, before anything has run.",
    ),
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
        ran(error, Ran.NO)
        check(error.code == -32601, f"the code is {error.code}, not -32601")
    wrong: list[Callable[[], Any]] = [
        partial(client.fails, InvalidParams, "one"),
        partial(client.fails, InvalidParams, "one", "a", "b"),
        partial(client.fails, InvalidParams, "one", wrong="a"),
    ]
    for attempt in wrong:
        error = attempt()
        ran(error, Ran.NO)
        check(error.code == -32602, f"the code is {error.code}, not -32602")
    check(not runs, "the method ran")
    got = client.call("one", "a")
    check(got == "a", f"after it, one('a') answered {short(got)}")
