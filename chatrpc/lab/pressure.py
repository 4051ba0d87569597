"""Questions at a steady pace, whatever comes back: what a service does under load.

    lab.load(client, "job", rate=12, seconds=4)

The pace is kept by the clock, not by the answers: people who are made to wait ask no less.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from html import escape
from typing import Any

from ..errors import Busy, CallTimeout, RpcError

MOST, FEW, GOOD = 0.5, 0.2, 0.8
"""The shares from which on, or up to which, a judged load speaks of most, hardly any, enough."""

AT_ONCE = 0.25  # seconds within which the middle one of the refusals must have come

GUARD = 3.0  # seconds after the last question in which the last future must have ended


class Fate(Enum):
    """What became of a question: its sign and its colour."""

    IN_TIME = ("✓", "#1a7f37")
    TOO_LATE = ("✗", "#cf222e")
    BUSY = ("○", "#9a6700")
    FAILED = ("?", "#6e7781")


@dataclass(frozen=True)
class Question:
    """One question: what became of it, and after how many seconds."""

    fate: Fate
    seconds: float


class Load:
    """What became of each question. Printed it is judged in words that are equal on each run."""

    def __init__(self, questions: list[Question], rate: float) -> None:
        self.questions, self.rate = questions, rate

    def share(self, of: list[Question] | None = None) -> float:
        """Return how many of all questions, or of these, were answered in time, from 0 to 1."""
        asked = self.questions if of is None else of
        return sum(q.fate is Fate.IN_TIME for q in asked) / max(1, len(asked))

    @property
    def accepted(self) -> list[Question]:
        """The questions that were not refused."""
        return [q for q in self.questions if q.fate is not Fate.BUSY]

    @property
    def refused(self) -> list[Question]:
        """The questions that ended with Busy."""
        return [q for q in self.questions if q.fate is Fate.BUSY]

    def __repr__(self) -> str:
        quarter = len(self.questions) // 4
        first, last = self.questions[:quarter], self.questions[-quarter:]
        lines = [
            f"asked                         {len(self.questions)} times",
            f"refused                       {self._refusals()}",
            f"in time, of the first quarter {_word(self.share(_accepted(first)))}",
            f"in time, of the last quarter  {_word(self.share(_accepted(last)))}",
        ]
        if self.refused:
            enough = (
                f"{round(GOOD * 100)} % and more" if self.share(self.accepted) >= GOOD else "fewer"
            )
            lines.append(f"in time, of all accepted      {enough}")
        return "\n".join(lines)

    def _refusals(self) -> str:
        if not self.refused:
            return "none"
        middle = sorted(q.seconds for q in self.refused)[len(self.refused) // 2]
        return "some, at once" if middle < AT_ONCE else "some, and late"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        import ipywidgets  # type: ignore[import-untyped]

        bundle = dict(ipywidgets.HTML(self._strip())._repr_mimebundle_())
        bundle["text/html"] = f"<pre>{escape(repr(self))}</pre>"
        bundle["text/plain"] = repr(self)
        return bundle

    def _strip(self) -> str:
        """Every question as a sign, in the order in which they were asked."""
        signs = "".join(
            f'<span style="color:{q.fate.value[1]};font-weight:700" '
            f'title="{q.fate.name.lower().replace("_", " ")}, {q.seconds:.2f} s">'
            f"{q.fate.value[0]}</span> "
            for q in self.questions
        )
        counts = ", ".join(
            f"{fate.value[0]} {fate.name.lower().replace('_', ' ')}: {many}"
            for fate in Fate
            if (many := sum(q.fate is fate for q in self.questions))
        )
        return (
            '<div style="max-width:680px;padding:8px 14px;border:1px solid #d0d7de;'
            'background-color:#ffffff;color:#1f2328;font-size:17px;line-height:1.6">'
            f"<div>{signs}</div><div><b>{counts}</b></div></div>"
        )


def load(client: Any, method: str, *args: Any, rate: float, seconds: float, burst: int = 0) -> Load:
    """Ask ``rate`` times a second for some seconds, and return what became of each question.

    ``burst`` questions are asked at once before that.
    """
    many = burst + round(rate * seconds)
    ended: list[Question | None] = [None] * many
    left = threading.Semaphore(0)

    def end(place: int, asked: float, error: BaseException | None) -> None:
        ended[place] = Question(_fate(error), time.monotonic() - asked)
        left.release()

    def ask(place: int) -> None:
        asked = time.monotonic()
        try:
            future: Future[Any] = client.submit(method, *args)
        except RpcError as error:
            end(place, asked, error)
            return
        future.add_done_callback(lambda done: end(place, asked, done.exception()))

    began = time.monotonic()
    for place in range(many):
        due = began + max(0, place - burst) / rate
        time.sleep(max(0.0, due - time.monotonic()))
        ask(place)
    last = time.monotonic() + GUARD
    for _ in range(many):
        left.acquire(timeout=max(0.0, last - time.monotonic()))
    return Load([one or Question(Fate.FAILED, GUARD) for one in ended], rate)


def _fate(error: BaseException | None) -> Fate:
    if error is None:
        return Fate.IN_TIME
    if isinstance(error, Busy):
        return Fate.BUSY
    return Fate.TOO_LATE if isinstance(error, CallTimeout) else Fate.FAILED


def _accepted(questions: list[Question]) -> list[Question]:
    return [q for q in questions if q.fate is not Fate.BUSY]


def _word(share: float) -> str:
    if share >= MOST:
        return "most"
    return "hardly any" if share <= FEW else "some"
