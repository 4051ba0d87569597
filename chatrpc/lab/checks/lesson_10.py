"""Checks of lesson 10, Is mine as good as theirs?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..board import Report, Result, Row
from ..contract import judge
from ..exercises import Broken, Exercise, NotYet, written
from ..hearing import is_client, is_server
from ..promises import PROMISES

# 10.1


def check_board(handed_in: Callable[[], Any], *, board: Report) -> None:
    """Want a whole board, of classes of one's own, with every promise kept."""
    report = written(handed_in())
    if not isinstance(report, Report):
        raise Broken(f"Return the board that lab.judge has made; this is {report!r:.60}.")
    ids = [row.promise.id for row in report.rows]
    if missing := [id for id in PROMISES if id not in ids]:
        raise Broken(f"This board has no {', '.join(missing)}: judge without only= and upto=.")
    if not all(report.own):
        side = "client" if not report.own[0] else "server"
        raise Broken(f"The {side} on this board is chatrpc's: hand in one of classes of your own.")
    for row in report.rows:
        if row.result is not Result.KEPT:
            why = f" ({row.reason})" if row.reason else ""
            raise Broken(f"{row.promise.id} is {row.result.value}{why}. {row.promise.hints[0]}")


# 10.2

SLOW = "C13"  # kills a broker, and waits for it


def check_mutant(mutant: type) -> None:
    """Want that what it names falls, and nothing else."""
    if not isinstance(mutant, type):
        raise Broken("Leave the first line of the answer as it was: a class is wanted here.")
    breaks = written(getattr(mutant, "breaks", None))
    if breaks not in PROMISES:
        raise Broken(f"breaks is the id of a promise, from C01 to C18; this is {breaks!r}.")
    if not is_client(mutant) and not is_server(mutant):
        raise Broken("A mutant is a client (call or submit) or a server (method, start, close).")
    if not {name for name in vars(mutant) if not name.startswith("__")} - {"breaks"}:
        raise NotYet
    own = _judged(mutant, breaks)[0]
    if own.result is not Result.BROKEN:
        raise Broken(
            f"It says that it breaks {breaks}, and {breaks} is {own.result.value}: either it is "
            "right all the same, or the test does not see it."
        )
    others = [id for id in PROMISES if id not in (breaks, SLOW)]
    fell = [row for row in _judged(mutant, *others) if row.result is Result.BROKEN]
    if fell:
        also = ", ".join(row.promise.id for row in fell)
        raise Broken(
            f"{breaks} falls, and so does {also} ({fell[0].reason}): make the fault smaller."
        )


def _judged(mutant: type, *ids: str) -> list[Row]:
    server = mutant if is_server(mutant) else None
    return judge(None if server else mutant, server, only=ids, show=False, trace=False).rows


# 10.3

FAULTS = {"A": 4, "B": 6, "C": 2, "D": 1, "E": 3}
_SEEN = {
    "A": "a message with an id that she has never sent",
    "B": "her request, and nothing else",
    "C": "her request twice, under one id, and two answers",
    "D": "her request, and the same given back",
    "E": "her request once, and two equal answers",
}


def check_faults(faults: Callable[[], Any]) -> None:
    """Want the number of what was done, by letter."""
    named = written(faults())
    if not isinstance(named, dict) or set(named) != set(FAULTS):
        raise Broken(f"Return a dictionary with the letters A to E; this is {named!r:.80}.")
    if all(value is ... for value in named.values()):
        raise NotYet
    for letter, right in FAULTS.items():
        number = named[letter]
        if number is ...:
            raise Broken(f"{letter} has no number yet: it shows {_SEEN[letter]}.")
        if isinstance(number, bool) or number not in range(1, 7):
            raise Broken(f"{letter} is a number from 1 to 6; this is {number!r}.")
        if number != right:
            raise Broken(f"{letter} shows {_SEEN[letter]}. {_WHY_NOT[number]}")


_WHY_NOT = {
    1: "With no queue there is nobody to keep it: the broker would give it back.",
    2: "With the confirm lost she does not know whether it arrived, and would send it again.",
    3: "Copies of replies come to whoever has asked once, and carry her id.",
    4: "A stranger's message would carry an id that is not hers.",
    5: "Two ids would be two questions on her side, #1 and #2.",
    6: "Here something did come, and it tells her more than silence would.",
}

EXERCISES = [
    Exercise(
        "10.1",
        "Return the board from Mend, when all eighteen promises are kept by classes of your own.",
        check_board,
        "Eighteen kinds of wrong are shut out, and each was somebody's right once. What you have "
        "signed for is not that there are no faults, but which ones there are not.",
        (
            "The board is the value of lab.judge: it is called board.",
            "A board of fewer promises, or with chatrpc's classes, proves less than is asked for.",
            "return board",
        ),
    ),
    Exercise(
        "10.2",
        "Write a mutant that breaks exactly one promise, and name it in breaks.",
        check_mutant,
        "So there is a fault that only one of the eighteen tests can see: without that test, "
        "nobody would. Now you know what it is worth, and that the others are no substitute.",
        (
            "Take the class that ships, and change as little as possible: one method, one line.",
            "A client's call(self, method, /, *args, timeout=None, **params) can be wrapped: "
            "super().call(…), and then something is done to the answer, or to one kind of error. "
            "Which promise speaks of that?",
            "C01 says that an empty answer is an answer: return super().call(…) or None.",
        ),
        patience=90.0,
    ),
    Exercise(
        "10.3",
        "Replace each ... with the number of what was done to Ana.",
        check_faults,
        "From one side you see what you sent and what came. An id tells whose it is; a second "
        "answer tells that something was sent twice, by you or by another; silence tells nothing. "
        "To know that you cannot know is an answer, too.",
        (
            "Count what she sent and what she received, and look at the numbers before the arrows.",
            "Who has sent twice in C, and who in E? Whose id is the ? in A?",
            "Only one of the five is silent, and only one was given back.",
        ),
    ),
]
