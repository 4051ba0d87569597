"""Checks of lesson 05, What do we know when nobody answers?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import errors
from ..exercises import Broken, Exercise, NotYet, written
from .judged import clears_up, judged, unwritten

FAILURES: dict[str, tuple[type[errors.RpcError], bool, str]] = {
    "A": (
        errors.NoWorker,
        True,
        "Returned means that the request lies in no queue, so nobody can ever run it.",
    ),
    "B": (
        errors.Busy,
        True,
        "The broker refused the request, so it has not kept it, and nobody can run it.",
    ),
    "C": (
        errors.InvalidParams,
        True,
        "The worker looked at the parameters before it began, and did not begin. The same call "
        "will fail again, but it does nothing twice.",
    ),
    "D": (
        errors.RemoteError,
        False,
        "The method itself told of its failure, so it has run, and the cup had been poured by "
        "then: again is a second cup.",
    ),
    "E": (
        errors.CallTimeout,
        False,
        "Somebody listens, but that is all she knows: the cup may have been poured, or may be in "
        "a moment.",
    ),
    "F": (
        errors.CallTimeout,
        True,
        "Nobody knows whether it ran; but time only looks at a clock, so running it twice "
        "changes nothing.",
    ),
    "G": (
        errors.ClientClosed,
        False,
        "Closing the client stops her waiting, not the worker's pouring.",
    ),
    "H": (
        errors.BrokerError,
        True,
        "It never left the client, and what was never sent cannot have run.",
    ),
}
RAN = {letter: kind.ran.value for letter, (kind, _, _) in FAILURES.items()} | {"H": "no"}


def check_client(client: Any) -> None:
    """Want C04, C05 and C06 of the class, and that it answers as before (C01)."""
    if unwritten(client, "call"):
        raise NotYet
    judged("C01 C04 C05 C06", client=client)


def check_failures(failures: Callable[[], Any]) -> None:
    """Want what each failure says of the work, and whether a repetition is without risk."""
    found = written(failures())
    if not isinstance(found, Mapping) or set(found) != set(FAILURES):
        raise Broken("Return a dictionary with an entry for each of the letters A to H.")
    if all(entry == ("?", ...) for entry in found.values()):
        raise NotYet
    for letter, (_, repeat, why) in FAILURES.items():
        ran, again = _entry(letter, found[letter])
        if ran != RAN[letter]:
            raise Broken(f"{letter}: you say that it ran: {ran}. {why}")
        if again is not repeat:
            raise Broken(
                f"{letter}: you say that the same may {'' if again else 'not '}be sent again. {why}"
            )


def _entry(letter: str, entry: Any) -> tuple[str, bool]:
    if entry == ("?", ...):
        raise Broken(f"{letter} is still to be written.")
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise Broken(f'{letter}: a pair is wanted, like ("maybe", False); this is {entry!r}.')
    ran, again = entry
    if isinstance(ran, errors.Ran):
        ran = ran.value
    ran = ran.strip().lower() if isinstance(ran, str) else ran
    if ran not in {"no", "yes", "maybe"}:
        raise Broken(f'{letter}: the first of the pair is "no", "yes" or "maybe", not {ran!r}.')
    if not isinstance(again, bool):
        raise Broken(f"{letter}: the second of the pair is True or False, not {again!r}.")
    return ran, again


def check_server(server: Any) -> None:
    """Want C07 of the class, and that it still answers who waits (C01)."""
    if unwritten(server, "take"):
        raise NotYet
    clears_up(server)
    judged("C01 C07", server=server)


EXERCISES = [
    Exercise(
        "05.1",
        "Write call and settled, so that every call ends and leaves nothing behind.",
        check_client,
        "Every call of yours ends now, by its deadline, and says what it knows. The entry leaves "
        "the table in a finally, which is the one place that all ways out go through: an answer, "
        "a timeout, an error, even Ctrl-C. A late reply finds nobody, and is dropped.",
        (
            "Copy Forgets.call and change it step by step. Which statement of Python runs "
            "however a block is left?",
            "try … except TimeoutError … finally: self.pending.take(id). In settled, take the "
            "call out of the table and give its future an exception: set_exception(…).",
            "settled: if outcome is Outcome.RETURNED, and (reply := self.pending.take(id)) is not "
            "None: reply.set_exception(errors.NoWorker(…)). In except TimeoutError: if look(…)[1] "
            'is 0, the sentence ends with "nobody listens".',
        ),
    ),
    Exercise(
        "05.2",
        'Replace each ("?", ...) with a pair: ran, and whether the same may be sent again.',
        check_failures,
        "Two questions, not one. Ran says what is known of the work; whether you may repeat also "
        "depends on what the work does. A maybe of time is harmless, a maybe of coffee is not. "
        "The kit's errors answer the first; only you can answer the second.",
        (
            "Ask of each: who told Ana about the failure, and what had they seen?",
            "The broker's and the library's refusals come before the method, so: no. What the "
            "method says itself: yes. Silence, and giving up oneself: maybe.",
            "A no may always be repeated. Of the others, only one method changes nothing when it "
            "runs twice.",
        ),
    ),
    Exercise(
        "05.3",
        "Write take, so that a request whose deadline has passed is not begun.",
        check_server,
        "Too late is not begun, and yet acknowledged: it is dealt with, since nobody waits for "
        "it. That is not the whole truth about silence, but half of its maybe is gone: after the "
        "deadline (and half a second, for the clocks) nothing begins any more.",
        (
            "Copy Dutiful.take. One condition is missing.",
            "deadline.passed(now) wants to be told what time it is, on the clock that "
            "self.read uses.",
            "Answer only if not request.deadline.passed(time.monotonic()); acknowledge in either "
            "case.",
        ),
    ),
]
