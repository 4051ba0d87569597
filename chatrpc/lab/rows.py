"""From arrows to the rows that are shown: folded if they are many, or one party's own view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .rungs import Arrow, Kind, Lane
from .story import Call, shorten

SHOWN = 80
"""How many arrows a ladder shows one by one."""


@dataclass(frozen=True)
class Note:
    """A row that stands for arrows which are not drawn."""

    number: int
    text: str


Row = Arrow | Note


def fold(arrows: Sequence[Arrow], lanes: Sequence[Lane], most: int = SHOWN) -> list[Row]:
    """Return all arrows if they are few; else one call of each shape, and how many are like it.

    So what happened once stands out from what happened three hundred times. Within one call,
    what happened over and over is shown once.
    """
    if len(arrows) <= most:
        return _unrepeated(arrows)
    workers = {lane.name for lane in lanes if lane.kind == "worker"}
    calls: dict[int, list[Arrow]] = {}
    for arrow in arrows:
        calls.setdefault(arrow.number, []).append(arrow)
    shapes: dict[tuple[object, ...], list[list[Arrow]]] = {}
    for call in calls.values():
        shape = tuple((_part(a.source), _part(a.target), a.kind) for a in call)
        shapes.setdefault(shape, []).append(call)
    rows: list[Row] = []
    for alike in shapes.values():
        rows += _unrepeated(alike[0])
        if len(alike) > 1:
            rows.append(Note(alike[0][0].number, _more(alike, workers)))
    if len(rows) > most:
        left = len(rows) - most
        rows[most:] = [Note(0, f"… and {left} more rows: {len(calls)} messages in all")]
    return rows


BLOCK = 4
"""How many arrows at most are looked at as one thing that repeats itself."""
TIMES = 10
"""How many repetitions are counted; more are many: their number is the clock's."""


def _unrepeated(arrows: Sequence[Arrow]) -> list[Row]:
    rows: list[Row] = []
    at = 0
    while at < len(arrows):
        size, times = _repeat(arrows, at)
        rows += arrows[at : at + size]
        if times > 2:
            again = f"{times - 1} times more" if times <= TIMES else "many times more"
            rows.append(Note(arrows[at].number, f"… and the same again, {again}"))
            at += size * times
        else:
            at += size
    return rows


def _repeat(arrows: Sequence[Arrow], at: int) -> tuple[int, int]:
    """Return the length of the block that begins here, and how often it comes in a row."""
    for size in range(1, BLOCK + 1):
        block, times = arrows[at : at + size], 1
        while arrows[at + size * times : at + size * (times + 1)] == block:
            times += 1
        if times > 2:
            return size, times
    return 1, 1


def _part(lane: str) -> str:
    return lane.rstrip("0123456789")


def _more(alike: Sequence[Sequence[Arrow]], workers: set[str]) -> str:
    text = f"… and {len(alike) - 1} more like #{alike[0][0].number}"
    by: dict[str, int] = {}
    for call in alike:
        for worker in dict.fromkeys(a.target for a in call if a.target in workers):
            by[worker] = by.get(worker, 0) + 1
    if len(by) > 1:
        text += "; " + ", ".join(f"{by[w]} by {w}" for w in sorted(by)) + " in all"
    return text


# What one party can know


def covered(calls: Sequence[Call], arrows: Sequence[Arrow], lane: str) -> list[Arrow]:
    """Return what one party sent and received, in its own order, and what it waits for.

    An answer has a number only if its id is one that the party itself has given.
    """
    asked = _asked(calls, arrows, lane)
    named = {call.name: number for number, call in asked.items() if call.name}
    found: list[Arrow] = []
    sent: set[int] = set()
    answered: set[int] = set()
    for arrow in arrows:
        hop = arrow.hop
        if hop is None or lane not in (arrow.source, arrow.target):
            continue
        if arrow.kind is Kind.RETURNED and arrow.target == lane:
            answered.add(arrow.number)
            found.append(replace(arrow, source=lane, target="", kind=Kind.GIVEN_BACK))
        elif arrow.kind in (Kind.ACK, Kind.REJECT) and arrow.source == lane:
            found.append(replace(arrow, target=""))
        elif arrow.target == lane and hop.kind in ("publish", "deliver"):
            number = arrow.number
            if asked:
                number = named.get(hop.correlation_id or hop.message_id, 0)
                answered.add(number)
            again = "  (again)" if arrow.kind is Kind.AGAIN else ""
            found.append(_said(arrow, lane, number, Kind.RECEIVED, again))
        elif arrow.source == lane and hop.kind == "publish" and id(hop) not in sent:
            sent.add(id(hop))
            again = "  (again)" if arrow.kind is Kind.RETRY else ""
            found.append(_said(arrow, lane, arrow.number, Kind.SENT, again))
    found.sort(key=lambda a: a.hop.time if a.hop else 0.0)
    return [*found, *_nothing(asked, answered, found, lane)]


def _said(arrow: Arrow, lane: str, number: int, kind: Kind, more: str) -> Arrow:
    assert arrow.hop is not None
    label = shorten(arrow.hop) + more
    return replace(arrow, number=number, source=lane, target="", kind=kind, label=label)


def _asked(calls: Sequence[Call], arrows: Sequence[Arrow], lane: str) -> dict[int, Call]:
    """The calls that this party made."""
    spoken = {id(a.hop) for a in arrows if a.source == lane and a.hop is not None}
    return {c.number: c for c in calls if c.asks and id(c.requests[0].publish) in spoken}


def _nothing(
    asked: dict[int, Call], answered: set[int], found: Sequence[Arrow], lane: str
) -> Iterable[Arrow]:
    for number, call in asked.items():
        if call.name and number not in answered:
            yield Arrow(number, lane, "", Kind.MISSING, "nothing came")
    nameless = [n for n, call in asked.items() if not call.name and n not in answered]
    came = sum(a.kind is Kind.RECEIVED and not a.number for a in found)
    if len(nameless) > came:
        count = len(nameless) - came
        yield Arrow(0, lane, "", Kind.MISSING, f"{count} answer{'s' * (count > 1)} did not come")
