"""Checks of lesson 00, What are we building?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..exercises import Broken, Exercise, written

HOPS = {
    "A": "the worker puts its answer into your reply queue, with the number of your question",
    "B": "the client finds the waiting call by that number and hands you the answer",
    "C": "the exchange looks at the routing key and puts the message into the worker's queue",
    "D": "the client publishes a message: the question, a number, and where to send the answer",
    "E": "the worker acknowledges: the broker may forget the question",
    "F": "the broker delivers the message to the worker, which runs the method",
}
ORDER = "DCFAEB"
# The worker acknowledges and the client reads at the same time, in two processes.
ALSO = "DCFABE"
_BEFORE = [
    ("D", "C", "The exchange can route only what has been published."),
    ("C", "F", "The worker is handed only what lies in its queue."),
    ("F", "A", "There is no answer before the method has run."),
    ("A", "B", "The client can find no answer that has not been sent."),
    ("A", "E", "A worker that acknowledges first and dies then has lost your question."),
]

PAIRS = 60
SLACK = 3.0


def check_hops(hops: Callable[[], Any]) -> None:
    """Want the six letters, each once, in an order in which no hop precedes its cause."""
    order = written(hops())
    if not isinstance(order, str):
        raise Broken(f'Return the letters as one text, like "ABCDEF"; this is {order!r}.')
    letters = order.upper().replace(" ", "").replace(",", "")
    if sorted(letters) != sorted(HOPS):
        raise Broken(f"Each of the letters A to F is wanted once; this is {order!r}.")
    for first, then, sentence in _BEFORE:
        if letters.index(first) > letters.index(then):
            raise Broken(f"{then} stands before {first}. {sentence}")


def check_cost(cost: Callable[[], Any], *, chat: Any) -> None:
    """Want a factor within three times what this machine measures now, or faster or slower."""
    guess = written(cost())
    if isinstance(guess, bool) or not isinstance(guess, int | float) or not guess > 0:
        raise Broken(f"Return a number, how many local calls fit into one RPC; this is {guess!r}.")
    low, high = measure(chat)
    if guess < low / SLACK:
        raise Broken(f"On this machine one RPC takes more than {_round(guess)} local calls.")
    if guess > high * SLACK:
        raise Broken(f"On this machine one RPC takes fewer than {_round(guess)} local calls.")


def measure(chat: Any) -> tuple[float, float]:
    """Return how many local calls fit into an RPC: in its quick runs and in its slow ones."""

    def echo(text: str) -> str:
        return text

    many = 20_000
    local: list[float] = []
    remote: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(many):
            echo("hola")
        local.append((time.perf_counter() - began) / many)
        for _ in range(PAIRS // 5):
            began = time.perf_counter()
            chat.call("echo", "hola")
            remote.append(time.perf_counter() - began)
    local.sort()
    remote.sort()
    return remote[PAIRS // 10] / local[-1], remote[-PAIRS // 10] / local[0]


def _round(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:g}"


EXERCISES = [
    Exercise(
        "00.1",
        "Replace the three dots with the six letters, in the order in which the hops happen.",
        check_hops,
        "Four of the six hops touch the broker, and in none of them do client and worker meet. "
        "The last two happen in two processes at the same time, so either may stand first: "
        "order between processes exists only where one waits for the other.",
        (
            "Follow the message with your finger on the drawing, and say who holds it.",
            "Each hop needs something that an earlier one made: a message, a place in the queue, "
            "an answer.",
            "It begins with D, C, F: published, routed, delivered. What can come only after the "
            "method has run?",
        ),
    ),
    Exercise(
        "00.2",
        "Guess first and say your guess aloud; then time both kinds of call and return the factor.",
        check_cost,
        "Thousands of local calls fit into one RPC, on one machine, without any network between. "
        "That is the first fallacy of distributed computing: latency is zero. "
        "One call more or less in a loop is nothing; one RPC more in a loop is your waiting time.",
        (
            "Time many calls and divide: one local call is too short for a clock. "
            "time.perf_counter() is the clock to take.",
            "Twenty thousand local calls and fifty RPCs are enough; return RPC time ÷ local time.",
            "A local call takes some 50 nanoseconds, an RPC here about a millisecond or a few: "
            "which power of ten lies between?",
        ),
    ),
]
