"""What was said in a chat, and what became of it; as text and as a still picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from enum import Enum
from html import escape
from typing import Any

from chatrpc.errors import Ran, RpcError

from . import services

GUARD = 60.0  # seconds that a wait lasts where the client does not end its own calls

_RAN = {
    Ran.NO: "It did not run.",
    Ran.YES: "It ran, and failed.",
    Ran.MAYBE: "Nobody knows whether it ran.",
}


class State(Enum):
    """What became of a message so far."""

    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"


class Turn:
    """One message and its answer, its error, or the wait for either."""

    def __init__(self, who: str, message: str) -> None:
        self.who = who
        self.message = message
        self.sent_at = time.strftime("%H:%M")
        self.state = State.WAITING
        self.answer: Any = None
        self.error: Exception | None = None
        self.worker = ""
        self.milliseconds = 0.0
        self._began = time.perf_counter()
        self._settled = threading.Event()

    def wait(self, timeout: float = GUARD) -> Turn:
        """Wait at most `timeout` seconds until the turn is settled, and return it in any case."""
        self._settled.wait(timeout)
        return self

    def settle(self, future: Future[Any]) -> None:
        """Take over what a finished future holds."""
        self.milliseconds = (time.perf_counter() - self._began) * 1000
        self.worker = str(getattr(future, "worker", None) or "")
        try:
            self.answer = future.result(timeout=0)
            self.state = State.ANSWERED
        except Exception as error:  # noqa: BLE001 - whatever a student's client raises is shown
            self.error = error
            self.state = State.FAILED
        self._settled.set()

    def __repr__(self) -> str:
        return text([self])

    def _repr_html_(self) -> str:
        return still([self])


def explain(error: Exception) -> tuple[str, str]:
    """Return an error's sentence, and what to know and do about it."""
    if isinstance(error, RpcError):
        return services.plain(str(error)), f"{_RAN[error.ran]} {error.advice}".strip()
    return (
        f"{type(error).__name__}: {error}",
        "This is none of chatrpc's errors: look into the client.",
    )


def spoken(answer: Any) -> str:
    """Return an answer as a bubble shows it: a text as it is, all else as Python writes it."""
    return answer if isinstance(answer, str) and answer else repr(answer)


def text(turns: Iterable[Turn]) -> str:
    """Draw turns as plain text, the same on every run: no times, no process ids."""
    lines: list[tuple[str, str]] = []
    for turn in turns:
        lines.append((turn.who, turn.message))
        if turn.error is not None:
            sentence, advice = explain(turn.error)
            lines.append(("✗", f"{sentence}\n{advice}"))
        elif turn.state is State.ANSWERED:
            lines.append(("worker", spoken(turn.answer)))
        else:
            lines.append(("…", "waiting for an answer"))
    if not lines:
        return "(nothing has been said yet)"
    width = max(len(who) for who, _ in lines)
    return "\n".join(
        f"{who:>{width}}  " + said.replace("\n", "\n" + " " * (width + 2)) for who, said in lines
    )


# The still form lives in pages that take away style sheets and scripts, so each bubble carries
# its own look, on a card of its own colours, legible on a white and on a black page.
_CARD = (
    "max-width:640px;padding:10px 14px;border:1px solid #d0d7de;border-radius:12px;"
    "background-color:#f6f8fa;color:#1f2328;font-size:14px;line-height:1.45"
)
_BUBBLE = (
    "display:inline-block;max-width:80%;margin:3px 0;padding:6px 12px;border-radius:14px;"
    "text-align:left;white-space:pre-wrap"
)
_MINE = _BUBBLE + ";background-color:#0969da;color:#ffffff"
_THEIRS = _BUBBLE + ";background-color:#ffffff;color:#1f2328;border:1px solid #d0d7de"
_WAITING = _BUBBLE + ";background-color:#ffffff;color:#59636e;border:1px dashed #8c959f"
_FAILED = _BUBBLE + ";background-color:#ffebe9;color:#82071e;border:1px solid #cf222e"
_WHO = "font-size:12px;color:#59636e"


def still(turns: Iterable[Turn]) -> str:
    """Draw turns as HTML that needs neither kernel, script nor style sheet; all is escaped."""
    rows: list[str] = []

    def row(side: str, look: str, who: str, said: str) -> None:
        rows.append(
            f'<div style="text-align:{side}"><div style="{_WHO}">{escape(who)}</div>'
            f'<div style="{look}">{said}</div></div>'
        )

    for turn in turns:
        row("right", _MINE, turn.who, escape(turn.message))
        if turn.error is not None:
            sentence, advice = explain(turn.error)
            row("left", _FAILED, "no answer", f"<b>{escape(sentence)}</b>\n{escape(advice)}")
        elif turn.state is State.ANSWERED:
            row("left", _THEIRS, "worker", escape(spoken(turn.answer)))
        else:
            row("left", _WAITING, "worker", "… waiting for an answer")
    said = "".join(rows) or f'<div style="{_WHO}">nothing has been said yet</div>'
    return f'<div style="{_CARD}">{said}</div>'
