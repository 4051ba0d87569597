"""Checks of lesson 03, Which question does it answer?"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..exercises import Broken, Exercise, NotYet

TWO = "Two threads called take with one id at the same moment"
MEET = 0.3  # seconds that one thread waits for the other to look into the table, too


def check_table(table: Callable[[], Any]) -> None:
    """Put a table of calls to answers that are right, unknown, late and double."""
    pending = _made(table)
    ana, ben, eva = "Ana's call", "Ben's call", "Eva's call"
    _add(pending, "1", ana)
    _add(pending, "2", ben)
    _expect(pending, "1", ana, "after add('1', …)")
    _expect(pending, "1", None, "a second time (the answer came twice, or late)")
    _expect(pending, "9", None, "with an id that nobody has given")
    _refuses(pending, "2", eva)
    _expect(pending, "2", ben, "after a second add('2', …) was refused: the first caller stays")
    _add(pending, "2", eva)  # the call before is over, so its id is free
    _expect(pending, "2", eva, "after the id was used, taken and used again")
    _ids(pending)
    _add(pending, "7", ana)
    if (other := _told(table().take, "7")) is not None:
        raise Broken(
            f"A second table answered take('7') with {other!r}. A dictionary in the class's body "
            "belongs to all tables together."
        )
    _race(_made(table))


def _made(table: Callable[[], Any]) -> Any:
    made = table()
    missing = [name for name in ("add", "take", "ids") if not hasattr(made, name)]
    if missing:
        raise Broken(f"The table has no method {missing[0]}.")
    return made


def _told(act: Callable[..., Any], *values: Any) -> Any:
    """Return what a method returns, unless it is still the stub's dots or raises.

    Raises:
        NotYet: it returns ``...``.
        Broken: it raises.
    """
    try:
        value = act(*values)
    except Exception as error:
        given = ", ".join(map(repr, values))
        name = getattr(act, "__name__", "it")
        raise Broken(f"{name}({given}) raised {type(error).__name__}: {error}") from error
    if value is ...:
        raise NotYet
    return value


def _add(pending: Any, id: str, call: str) -> None:
    _told(pending.add, id, call)


def _expect(pending: Any, id: str, call: str | None, when: str) -> None:
    try:
        found = _told(pending.take, id)
    except Broken as problem:
        if isinstance(problem.__cause__, KeyError) and call is None:
            raise Broken(
                f"take({id!r}), {when}, raised KeyError. An answer that nobody waits for "
                "is no error: return None."
            ) from None
        raise
    if found != call:
        raise Broken(f"take({id!r}) {when} returned {found!r}, and {call!r} is right.")


def _refuses(pending: Any, id: str, call: str) -> None:
    try:
        pending.add(id, call)
    except ValueError:
        return
    except Exception as error:
        raise Broken(
            f"A second add({id!r}, …) raised {type(error).__name__}; a ValueError is wanted."
        ) from error
    raise Broken(
        f"add({id!r}, …) took an id that is in flight already, so two callers wait under one name."
    )


def _ids(pending: Any) -> None:
    left = _told(pending.ids)
    if list(left or ()):
        raise Broken(f"All calls are over, and ids() still returns {left!r}: nothing may stay.")
    for id in ("3", "12", "5"):
        _add(pending, id, id)
    found = _told(pending.ids)
    if not isinstance(found, list):
        raise Broken(f"ids() returned {type(found).__name__}: a list of its own is wanted.")
    if found != ["3", "12", "5"]:
        raise Broken(f"3, then 12, then 5 were added, and ids() returned {found!r}.")
    found.clear()
    if len(_told(pending.ids)) != 3:
        raise Broken("Whoever changes the list that ids() returned changes the table itself.")
    for id in ("3", "12", "5"):
        _expect(pending, id, id, "with several calls in flight")


class _Slow(str):
    """An id over which two threads meet each time a table looks for it."""

    meeting: threading.Barrier

    def __hash__(self) -> int:
        if threading.current_thread().name == "taker":
            # Broken: the other one has what it wanted, or waits for a lock.
            with contextlib.suppress(threading.BrokenBarrierError):
                self.meeting.wait(MEET)
        return str.__hash__(self)


def _race(pending: Any) -> None:
    """Let two threads take the same call, step by step side by side."""
    id = _Slow("13")
    id.meeting = threading.Barrier(2)
    _add(pending, id, "the call")
    got: list[Any] = []

    def take() -> None:
        try:
            got.append(pending.take(id))
        except Exception as error:  # noqa: BLE001 - whatever an answer raises
            got.append(error)

    threads = [threading.Thread(target=take, name="taker", daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5.0)
    calls = [one for one in got if one == "the call"]
    errors = [one for one in got if isinstance(one, Exception)]
    if len(calls) > 1:
        raise Broken(f"{TWO}, and both got the call.")
    if errors:
        raise Broken(
            f"{TWO}, and one of them got {type(errors[0]).__name__}: "
            "between its look and its act the other was quicker."
        )
    if len(calls) < 1 or len(got) < 2:
        raise Broken(f"{TWO}, and none got the call.")


def check_match(
    match: Callable[[], Any], *, asked: Mapping[str, str], came: Sequence[tuple[str, str]]
) -> None:
    """Want for each id the first answer that bears it, and None where there is none."""
    given = match()
    if not isinstance(given, dict):
        if given is ... or given is None:
            raise NotYet
        raise Broken(f"Return a dictionary from id to answer; this is {type(given).__name__}.")
    if any(value is ... for value in given.values()):
        raise NotYet
    right: dict[str, str | None] = dict.fromkeys(asked)
    for id, answer in came:
        if id in right and right[id] is None:
            right[id] = answer
    if strange := [id for id in given if id not in right]:
        raise Broken(f"Eva has given no id {strange[0]!r}: she cannot know whose answer that is.")
    if missing := [id for id in right if id not in given]:
        raise Broken(f"{missing[0]} is missing: where no answer has come, say None.")
    words = {
        id: value.strip().lower() if isinstance(value, str) else value
        for id, value in given.items()
    }
    if words == right:
        return
    if list(words.values()) == [answer for _, answer in came][: len(right)]:
        raise Broken("These are the answers in the order in which they came. Look at the ids.")
    id = next(id for id in right if words[id] != right[id])
    raise Broken(_why_not(id, words[id], right[id], came))


def _why_not(id: str, given: object, right: str | None, came: Sequence[tuple[str, str]]) -> str:
    said = [answer for name, answer in came if name == id]
    if right is None:
        return f"No message bears the id {id}, so its question has no answer, whatever fits."
    if given is None:
        return f"A message with the id {id} has come."
    if given in said:
        return f"Two messages bear the id {id}: when {given!r} came, the call was over already."
    return f"{given!r} does not stand behind the id {id}, as often as it may stand elsewhere."


EXERCISES = [
    Exercise(
        "03.1",
        "Replace the dots: a table that add writes to and take strikes out from. "
        "It will need an __init__, too.",
        check_table,
        "Each line leaves the table exactly once, whoever comes first: the answer, the deadline, "
        "or close(). Whoever gets the call from take ends it, and the others get None. That is why "
        "a late or double answer needs no special case.",
        (
            "A dictionary that __init__ makes does nearly all of it. What does its method pop do "
            "with a second argument?",
            "Between `if id in self.calls` and the line after it another thread may come. pop(id, "
            "None) looks and acts in one step; setdefault(id, call) does the same for add.",
            "take: return self.calls.pop(id, None). add: if self.calls.setdefault(id, call) is not "
            "call, raise ValueError. ids: return list(self.calls).",
        ),
    ),
    Exercise(
        "03.2",
        "Replace the dots with what Eva may believe, a text or None, for each of her four ids.",
        check_match,
        "Neither the order nor the meaning of an answer says whose it is: three fits cups, spoons "
        "and plates alike. The id alone says it. One that Eva has not given is a stranger's, and "
        "of two with the same id the first one has ended the call.",
        (
            "Cover the words with your finger and look at the ids alone.",
            "Strike each id of Eva's out when its answer comes. What do you do with a message "
            "whose id is not, or no longer, on your list?",
            "x1 is nobody's. c2 comes twice: the first counts. No message bears e9.",
        ),
    ),
]
