"""The sequence diagram of what really went over the wire: as text, and as a picture.

hops  ──story──►  lanes and arrows  ──►  text, SVG
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from .firehose import Firehose, Hop
from .story import Arrow, Call, Kind, rows, tell

SHOWN = 80
"""How many arrows a ladder shows; the rest is one line."""


class Ladder:
    """What ``with lab.trace() as ladder`` leaves: print it, show it, or read ``hops``.

    ``missing_queues`` are queues that somebody wrote to and that do not exist.
    """

    def __init__(self) -> None:
        self.hops: list[Hop] = []
        self.missing_queues: frozenset[str] = frozenset()
        self.note = ""

    @property
    def calls(self) -> list[Call]:
        """The hops, told as calls."""
        return tell(self.hops)

    @property
    def arrows(self) -> list[Arrow]:
        """The lines of the ladder, sorted by cause."""
        return rows(self.calls, self.missing_queues)[1]

    @property
    def text(self) -> str:
        """The ladder for a terminal, a screen reader and a comparison."""
        return as_text(*rows(self.calls, self.missing_queues), note=self.note)

    @property
    def svg(self) -> str:
        """The ladder for the eye, on a card of its own colours."""
        return as_svg(*rows(self.calls, self.missing_queues), note=self.note)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.text}


# The two forms

NOTHING = "No message passed while this was traced."


def as_text(lanes: Sequence[tuple[str, str]], arrows: Sequence[Arrow], *, note: str = "") -> str:
    """One line an arrow, in columns."""
    shown = arrows[:SHOWN]
    lines = [note] if note else []
    if not arrows:
        return "\n".join([*lines, NOTHING])
    lines.append("lanes: " + " | ".join(f"{n} (queue)" if k == "queue" else n for n, k in lanes))
    left = max(len(a.source) for a in shown)
    right = max(len(a.target) for a in shown)
    kinds = max(len(a.kind.value) for a in shown)
    digits = len(str(shown[-1].number))
    for a in shown:
        head = f"#{a.number:<{digits}}  {a.source:<{left}} "
        if a.kind is Kind.MISSING:
            lines.append(f"{head}✗ {a.kind.value}: {a.label}")
        else:
            line = f"{head}→ {a.target:<{right}}  {a.kind.value:<{kinds}}  {a.label}"
            lines.append(line.rstrip())
    if len(arrows) > SHOWN:
        lines.append(_rest(arrows))
    return "\n".join(lines)


def _rest(arrows: Sequence[Arrow]) -> str:
    calls = len({a.number for a in arrows})
    return f"… and {len(arrows) - SHOWN} more arrows: {calls} messages and their replies in all"


LANE, ROW, TOP, LEFT, SIZE = 250, 46, 84, 70, 16
WIDE = 0.56  # of the type size, a generous mean width of a letter
INK, PAPER, BAND, LINE = "#1b2733", "#ffffff", "#f1f5f9", "#9fb0c0"
FILLS = {"client": "#dbeafe", "queue": "#fef3c7", "worker": "#dcfce7"}
EDGES = {"client": "#1d4ed8", "queue": "#b45309", "worker": "#15803d"}
STROKES = {
    Kind.PUBLISH: ("#1d4ed8", ""),
    Kind.RETRY: ("#1d4ed8", "2 5"),
    Kind.DELIVER: ("#b45309", ""),
    Kind.AGAIN: ("#b45309", "2 5"),
    Kind.REPLY: ("#15803d", "11 5"),
    Kind.STRAY: ("#b91c1c", "11 5"),
    Kind.MISSING: ("#b91c1c", "3 4"),
}
MARKS = {Kind.AGAIN: "↻ ", Kind.RETRY: "↻ ", Kind.STRAY: "? "}


def as_svg(lanes: Sequence[tuple[str, str]], arrows: Sequence[Arrow], *, note: str = "") -> str:
    """A drawing that is read without colour: each arrow has its word, its dash and its mark."""
    shown = arrows[:SHOWN]
    at = {name: LEFT + LANE // 2 + i * LANE for i, (name, _) in enumerate(lanes)}
    width = max(LEFT + LANE * len(lanes) + 20, 640)
    foot = [t for t in (note, NOTHING if not arrows else "") if t]
    if len(arrows) > SHOWN:
        foot.append(_rest(arrows))
    height = TOP + ROW * len(shown) + 24 + 26 * len(foot)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{_x(as_text(lanes, arrows, note=note))}" '
        f'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif" '
        f'font-size="{SIZE}" fill="{INK}">',
        f'<rect width="{width}" height="{height}" rx="10" fill="{PAPER}" stroke="{LINE}"/>',
    ]
    out += _bands(shown, width)
    for name, kind in lanes:
        x, bottom = at[name], TOP + ROW * len(shown) + 8
        round_ = 4 if kind == "queue" else 20
        out.append(
            f'<line x1="{x}" y1="56" x2="{x}" y2="{bottom}" stroke="{EDGES[kind]}" '
            f'stroke-width="2" stroke-opacity="0.45"/>'
            f'<rect x="{x - 100}" y="16" width="200" height="40" rx="{round_}" '
            f'fill="{FILLS[kind]}" stroke="{EDGES[kind]}" stroke-width="2"/>'
            f'<text x="{x}" y="42" text-anchor="middle" font-weight="600">'
            f"{_x(_fit(('▤ ' if kind == 'queue' else '') + name, 190))}</text>"
        )
    for i, arrow in enumerate(shown):
        out.append(_arrow(arrow, at, TOP + ROW * i + 32, width))
    for i, line in enumerate(foot):
        y = TOP + ROW * len(shown) + 30 + 26 * i
        out.append(f'<text x="24" y="{y}">{_x(_fit(line, width - 48))}</text>')
    out.append("</svg>")
    return "\n".join(out)


def _bands(shown: Sequence[Arrow], width: int) -> Iterable[str]:
    """Every other call on a tinted band, with its number at the left."""
    seen: dict[int, int] = {}
    for i, arrow in enumerate(shown):
        if arrow.number in seen:
            continue
        seen[arrow.number] = i
        rows_of = sum(a.number == arrow.number for a in shown)
        y = TOP + ROW * i
        if len(seen) % 2:
            yield (
                f'<rect x="8" y="{y}" width="{width - 16}" height="{ROW * rows_of}" rx="6" '
                f'fill="{BAND}"/>'
            )
        yield (
            f'<text x="22" y="{y + 31}" font-size="{SIZE + 2}" font-weight="700">'
            f"#{arrow.number}</text>"
        )


def _arrow(arrow: Arrow, at: dict[str, int], y: int, width: int) -> str:
    colour, dash = STROKES[arrow.kind]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    start = at[arrow.source]
    title = f"<title>{_x(arrow.more)}</title>" if arrow.more else ""
    if arrow.kind is Kind.MISSING:
        # Text goes to the side where there is room.
        right = width - start >= start
        way = 1 if right else -1
        room = (width - start if right else start) - 84
        anchor = "start" if right else "end"
        return (
            f'<g>{title}<line x1="{start}" y1="{y}" x2="{start + way * 40}" y2="{y}" '
            f'stroke="{colour}" stroke-width="3"{dashed}/>'
            f'<path d="M{start + way * 52 - 8} {y - 8}l16 16m0 -16l-16 16" stroke="{colour}" '
            f'stroke-width="4"/><text x="{start + way * 70}" y="{y + 6}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="600">{_x(_fit(arrow.label, room))}</text></g>'
        )
    end = at[arrow.target]
    way = 1 if end > start else -1
    tip = end - way * 3
    word = MARKS.get(arrow.kind, "") + arrow.kind.value
    room = abs(end - start) - 44
    said = _fit(arrow.label, room - SIZE * WIDE * (len(word) + 1)) if arrow.label else ""
    said = said if len(said) > 2 else ""
    return (
        f'<g>{title}<line x1="{start}" y1="{y}" x2="{tip - way * 10}" y2="{y}" stroke="{colour}" '
        f'stroke-width="3"{dashed}/><path d="M{tip} {y}l{-way * 14} -7v14z" fill="{colour}"/>'
        f'<text x="{(start + end) / 2:g}" y="{y - 8}" text-anchor="middle" stroke="{PAPER}" '
        f'stroke-width="4" stroke-linejoin="round" paint-order="stroke">'
        f'<tspan fill="{colour}" font-weight="600">{_x(word)}</tspan>'
        f"{' ' + _x(said) if said else ''}</text></g>"
    )


def _fit(text: str, pixels: float) -> str:
    letters = max(1, int(pixels / (SIZE * WIDE)))
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _x(text: str) -> str:
    """Escaped, and without the control characters that XML does not allow."""
    return escape("".join(c if c >= " " or c in "\n\t" else "�" for c in text), quote=True)


@contextlib.contextmanager
def trace(only: str | None = None, *, url: str | None = None) -> Iterator[Ladder]:
    """Draw every message that passes while the block runs, whoever's code sends it.

    ``only`` is a queue or a service; without it, all of the broker's messages are drawn.

    Raises:
        LabProblem: the broker is away, or does not permit or does not do tracing.
    """
    ladder = Ladder()
    with Firehose(only=only, url=url) as firehose:
        try:
            yield ladder
        finally:
            firehose.settle()
            ladder.hops = list(firehose.hops)
            ladder.missing_queues = firehose.missing(_not_taken(ladder.hops))
            notes = []
            if firehose.left_out:
                notes.append(f"{firehose.left_out} hops more were seen and not kept.")
            if firehose.unreadable:
                notes.append(f"{firehose.unreadable} messages could not be read.")
            ladder.note = " ".join(notes)


def _not_taken(hops: Sequence[Hop]) -> set[str]:
    """Queues that were written to and never read from: perhaps they do not exist."""
    return {q for hop in hops for q in hop.routed} - {hop.queue for hop in hops}
