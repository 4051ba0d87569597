"""Exercise cards: not yet, passed and why, or what broke and a hint; at last the solution.

    @lab.exercise("00.1")
    def hops():
        return ...

The checks of a lesson are in ``chatrpc/lab/checks/lesson_NN.py``, for everybody to read, and
the solutions, each with its why, in ``notebooks/solutions``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from html import escape
from importlib import import_module
from typing import Any, TypeVar

from .solutions import Solution, solution

PATIENCE = 20.0  # seconds that a check may take, if its exercise says nothing else

Answer = TypeVar("Answer", bound=Callable[..., Any])


class Broken(AssertionError):
    """A check's verdict: one sentence about what the answer does, not about what it should do."""


class NotYet(Exception):
    """The answer has not been written: it is still the stub."""


class Outcome(Enum):
    """What a card says."""

    NOT_YET = "not yet"
    PASSED = "passed"
    BROKE = "it broke"


@dataclass(frozen=True)
class Exercise:
    """One exercise: its check, what to say when it passes, and hints from slight to plain.

    `check` gets the answer and whatever the cell handed over; it returns when all is well,
    raises `NotYet` for the stub and `Broken` for what is wrong. It may take `patience` seconds.
    """

    id: str
    task: str
    check: Callable[..., None]
    why: str
    hints: tuple[str, ...]
    patience: float | None = None


@dataclass(frozen=True)
class Card:
    """The outcome of one try: ``plainer`` are the hints after this one, for who opens them."""

    id: str
    outcome: Outcome
    words: str
    hint: str = ""
    plainer: tuple[str, ...] = ()
    solution: Solution | None = None

    def __repr__(self) -> str:
        lines = [f"{self.id} {self.outcome.value}", *self.words.splitlines()]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        if self.solution and self.outcome is Outcome.BROKE and not self.plainer and not self.hint:
            lines += ["solution:", *self.solution.why.splitlines(), ""]
            lines += self.solution.code.splitlines()
        return "\n   ".join(lines)

    def _repr_html_(self) -> str:
        sign, colour = _LOOKS[self.outcome]
        hint = f"<div><i>Hint:</i> {escape(self.hint)}</div>" if self.hint else ""
        hint += self._folds()
        return (
            '<div style="max-width:680px;margin:4px 0;padding:8px 14px;'
            f"border-left:5px solid {colour};"
            'background-color:#f6f8fa;color:#1f2328;line-height:1.5">'
            f"<div><b>{sign} {escape(self.id)}</b> <b>{self.outcome.value}</b></div>"
            f'<div style="white-space:pre-wrap">{escape(self.words)}</div>{hint}</div>'
        )

    def _folds(self) -> str:
        """What opens on a click: the next plainer hint, in it the next, at last the solution."""
        inner = ""
        if self.solution is not None:
            name = "the solution, and why" if self.outcome is Outcome.BROKE else "our solution"
            why = f'<div style="white-space:pre-wrap">{escape(self.solution.why)}</div>'
            code = (
                '<pre style="margin:6px 0;padding:8px 12px;background-color:#ffffff;color:#1f2328;'
                f'border:1px solid #d0d7de;overflow-x:auto">{escape(self.solution.code)}</pre>'
            )
            inner = _fold(name, why + code, "chatrpc-solution")
        for hint in reversed(self.plainer):
            inner = _fold("a plainer hint", f"{escape(hint)}{inner}", "chatrpc-hint")
        return inner


def _fold(summary: str, inner: str, name: str) -> str:
    return (
        f'<details class="{name}" style="padding-top:3px"><summary style="cursor:pointer;'
        f'color:#57606a">{summary}</summary><div style="padding:3px 0 0 1em">{inner}</div>'
        "</details>"
    )


_LOOKS = {
    Outcome.NOT_YET: ("○", "#6e7781"),
    Outcome.PASSED: ("✓", "#1a7f37"),
    Outcome.BROKE: ("✗", "#cf222e"),
}
_tries: Counter[str] = Counter()


def exercise(id: str, **given: Any) -> Callable[[Answer], Answer]:
    """Check the decorated answer, show its card, and return the answer unchanged.

    `given` is what the check needs from the notebook, like a client. The card is shown
    whatever the answer does: it never raises, and one that hangs is given up after a while.
    """

    def around(answer: Answer) -> Answer:
        _show(judge_answer(id, answer, **given))
        return answer

    return around


def judge_answer(id: str, answer: Callable[..., Any], **given: Any) -> Card:
    """Check an answer and return its card."""
    try:
        found = find(id)
    except Exception as error:  # noqa: BLE001 - a mistake of ours is a card, too
        told = f"{type(error).__name__}: {error}"
        return Card(id, Outcome.BROKE, f"The checks of this lesson cannot be read: {told}")
    if found is None:
        return Card(id, Outcome.BROKE, f"There is no exercise {id}: look at its number.")
    verdict = _within(found.patience or PATIENCE, lambda: found.check(answer, **given))
    if verdict is None:
        _tries.pop(id, None)
        return Card(id, Outcome.PASSED, found.why, solution=solution(id))
    if isinstance(verdict, NotYet):
        return Card(id, Outcome.NOT_YET, found.task)
    _tries[id] += 1
    words = str(verdict) if isinstance(verdict, Broken) else f"{type(verdict).__name__}: {verdict}"
    hints, known = found.hints[_tries[id] - 1 :], solution(id)
    if not hints and known is None:
        hints = (f"The solution, and why, is in the folder solutions, under {id}.",)
    return Card(id, Outcome.BROKE, words, "".join(hints[:1]), hints[1:], known)


def find(id: str) -> Exercise | None:
    """Return the exercise of this id, like "00.1", or None."""
    lesson = id.partition(".")[0]
    if not (lesson.isascii() and lesson.isdigit()):
        return None
    try:
        module = import_module(f"{__package__}.checks.lesson_{lesson}")
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.checks.lesson_{lesson}":
            raise
        return None
    return next((one for one in module.EXERCISES if one.id == id), None)


def written(value: Any) -> Any:
    """Return what an answer returned, unless it is the stub's ``...`` or None.

    Raises:
        NotYet: it is.
    """
    if value is ... or value is None:
        raise NotYet
    return value


def _within(seconds: float, check: Callable[[], None]) -> BaseException | None:
    """Return what the check raised, or None; a check that hangs goes on in a daemon thread."""
    verdict: list[BaseException | None] = []

    def run() -> None:
        try:
            check()
            verdict.append(None)
        except BaseException as error:  # noqa: BLE001 - SystemExit of an answer is a verdict, too
            verdict.append(error)

    thread = threading.Thread(target=run, name="exercise-check", daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    except KeyboardInterrupt:
        return Broken("It was stopped before it had an answer.")
    return verdict[0] if verdict else Broken(f"It was still running after {seconds:.0f} seconds.")


def _show(card: Card) -> None:
    try:
        from IPython.display import display
    except ImportError:
        return
    display(card)  # type: ignore[no-untyped-call]
