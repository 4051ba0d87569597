"""The judgement of one trial, computed from what callers and workers wrote down, and nothing else.

All times are in seconds of ``time.monotonic``, which all processes of one machine share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

GRACE = 0.5
"""Seconds that a call may last beyond its deadline, and that clocks may differ."""

LEAST = 500
"""Executions that a trial must prove: with fewer it has shown nothing."""


@dataclass(slots=True)
class Called:
    """One call, as its caller saw it; ``over`` is None while it lasts.

    ``answer`` is the text that came back; ``error`` the kind of what was raised instead, and
    ``ran`` what that said of the method.
    """

    text: str
    sent: float
    deadline: float
    over: float | None = None
    answer: str | None = None
    error: str = ""
    ran: str = ""
    why: str = ""

    @property
    def right(self) -> bool:
        """Whether it brought its own answer."""
        return self.answer == self.text

    def open_in(self, since: float, until: float) -> bool:
        """Whether it was under way at any moment between two."""
        return self.sent <= until and (self.over is None or self.over > since)


@dataclass(frozen=True, slots=True)
class Begun:
    """One execution, as its worker saw it begin."""

    text: str
    at: float
    worker: int


@dataclass(frozen=True, slots=True)
class Outage:
    """From when to when something was broken, and when links were lost.

    Each of ``losses`` is a moment, as (then, then), or the time within which it must have been.
    ``recovery`` is within how many seconds after the end calls must be answered again.
    ``spilled`` tells that what waited in the request queue was destroyed with it. The broker had
    promised to keep it, so its callers do not send it again.
    """

    begin: float
    end: float
    losses: tuple[tuple[float, float], ...]
    recovery: float = 1.0
    spilled: bool = False


@dataclass(frozen=True, slots=True)
class Hands:
    """What may run twice at each loss: requests in the workers' hands, unconfirmed calls.

    ``prefetched`` counts the requests that the workers on the faulty link may hold.
    ``unconfirmed`` tells whether a call's request can be lost from sight, too.
    """

    prefetched: int = 0
    unconfirmed: bool = False

    def allowed(self, calls: Iterable[Called], losses: Iterable[tuple[float, float]]) -> int:
        """Return how many executions may be copies."""
        calls = list(calls)
        doubtful = [sum(call.open_in(*loss) for call in calls) for loss in losses]
        return sum(self.prefetched + (count if self.unconfirmed else 0) for count in doubtful)


@dataclass(slots=True)
class Verdict:
    """What a trial came to: the numbers, and a sentence for each thing that must not be."""

    calls: int = 0
    answered: int = 0
    executions: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    spilled: int = 0
    wrong: int = 0
    hung: int = 0
    late: int = 0
    ghost: int = 0
    lied: int = 0
    duplicates: int = 0
    allowed: int = 0
    recovered: float | None = None
    complaints: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is to be complained of."""
        return not self.complaints


def judge(
    calls: Iterable[Called],
    begun: Iterable[Begun],
    outage: Outage,
    hands: Hands,
    *,
    now: float,
    least: int = LEAST,
) -> Verdict:
    """Return the verdict; ``hands`` is empty where no copy may run. ``now`` ends the trial."""
    calls, begun = list(calls), list(begun)
    verdict = Verdict(calls=len(calls), executions=len(begun))
    runs = Counter(run.text for run in begun)
    _judge_outcomes(verdict, calls, runs, outage)
    _judge_ends(verdict, calls, runs, now)
    _judge_runs(verdict, calls, begun, runs)
    verdict.allowed = hands.allowed(calls, outage.losses)
    verdict.recovered = _recovery(calls, begun, outage.end)
    verdict.complaints = [*_complaints(verdict, calls, len(runs), least, outage.recovery)]
    return verdict


def _judge_outcomes(
    verdict: Verdict, calls: list[Called], runs: Counter[str], outage: Outage
) -> None:
    for call in calls:
        if call.right and runs[call.text]:
            verdict.answered += 1
        elif call.answer is not None:  # another's answer, or one that nobody worked for
            verdict.wrong += 1
        elif outage.spilled and call.sent <= outage.end and not runs[call.text]:
            verdict.spilled += 1
        else:
            verdict.lost += 1
            kind = call.error or "no outcome"
            verdict.failed[kind] = verdict.failed.get(kind, 0) + 1


def _judge_ends(verdict: Verdict, calls: list[Called], runs: Counter[str], now: float) -> None:
    for call in calls:
        if call.over is None:
            verdict.hung += now > call.deadline + GRACE
        elif call.over > call.deadline + GRACE:
            verdict.late += 1
        verdict.lied += call.ran == "no" and runs[call.text] > 0


def _judge_runs(
    verdict: Verdict, calls: list[Called], begun: list[Begun], runs: Counter[str]
) -> None:
    deadlines = {call.text: call.deadline for call in calls}
    for run in begun:
        # What nobody asked for has no deadline, and is a ghost as well.
        verdict.ghost += run.at > deadlines.get(run.text, 0.0) + GRACE
    verdict.duplicates = len(begun) - len(runs)


def _recovery(calls: list[Called], begun: list[Begun], end: float) -> float | None:
    """Return the seconds from the fault's end to the first answer of what began after it.

    An answer to earlier work may merely have been on its way.
    """
    first = {run.text: run.at for run in reversed(begun)}
    answers = [
        call.over
        for call in calls
        if call.right and call.over is not None and first.get(call.text, 0.0) >= end
    ]
    return min(answers) - end if answers else None


def _complaints(
    verdict: Verdict, calls: list[Called], executed: int, least: int, recovery: float
) -> Iterable[str]:
    if executed < least:
        yield f"only {executed} calls were executed, {least} are needed to show anything"
    if verdict.lost:
        first = next(call for call in calls if call.answer is None)
        kinds = ", ".join(f"{kind} {count}" for kind, count in verdict.failed.items())
        yield f"{verdict.lost} lost ({kinds}); the first: {first.text}: {first.why or 'no outcome'}"
    for name in ("wrong", "hung", "late", "ghost"):
        if count := getattr(verdict, name):
            yield f"{count} {name}"
    if verdict.lied:
        yield f"{verdict.lied} ran, though the error said that they did not"
    if verdict.duplicates > verdict.allowed:
        yield f"{verdict.duplicates} ran twice, {verdict.allowed} may"
    if verdict.recovered is None:
        yield "no call was answered after the fault"
    elif verdict.recovered > recovery:
        yield f"answered again only {verdict.recovered:.2f} s after the fault's end"
