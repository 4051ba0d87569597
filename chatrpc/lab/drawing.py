"""A ladder for a terminal and for the eye: as text, as a still picture, and as a live page.

Every arrow has its word, its dash and its mark, so that colour is never the only sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from .rows import Note, Row
from .rungs import STUBS, Arrow, Kind, Lane

NOTHING = "No message passed while this was traced."
COVERED = "covered: only what {} sent and received"

Colour = Callable[[str], str]

# name: light, dark
COLOURS = {
    "ink": ("#1b2733", "#e6edf3"),
    "paper": ("#ffffff", "#161b22"),
    "band": ("#f1f5f9", "#21262d"),
    "line": ("#9fb0c0", "#57606a"),
    "client-fill": ("#dbeafe", "#0c2d6b"),
    "client-edge": ("#1d4ed8", "#79b8ff"),
    "exchange-fill": ("#ede9fe", "#3c1e70"),
    "exchange-edge": ("#6d28d9", "#c4a7ff"),
    "queue-fill": ("#fef3c7", "#4b2900"),
    "queue-edge": ("#b45309", "#f0b429"),
    "worker-fill": ("#dcfce7", "#033a16"),
    "worker-edge": ("#15803d", "#56d364"),
    "out": ("#1d4ed8", "#79b8ff"),
    "route": ("#6d28d9", "#c4a7ff"),
    "in": ("#b45309", "#f0b429"),
    "back": ("#15803d", "#56d364"),
    "quiet": ("#57606a", "#9da7b1"),
    "bad": ("#b91c1c", "#ff8b82"),
}
STROKES = {
    Kind.PUBLISH: ("out", ""),
    Kind.RETRY: ("out", "2 5"),
    Kind.ROUTE: ("route", ""),
    Kind.DELIVER: ("in", ""),
    Kind.AGAIN: ("in", "2 5"),
    Kind.ACK: ("quiet", "2 3"),
    Kind.REJECT: ("bad", "2 3"),
    Kind.REPLY: ("back", "11 5"),
    Kind.STRAY: ("bad", "11 5"),
    Kind.RETURNED: ("bad", "7 4"),
    Kind.DEAD: ("bad", "7 4"),
    Kind.WAITS: ("in", "3 4"),
    Kind.UNACKED: ("quiet", "3 4"),
    Kind.MISSING: ("bad", "3 4"),
    Kind.SENT: ("out", ""),
    Kind.RECEIVED: ("back", "11 5"),
    Kind.GIVEN_BACK: ("bad", "7 4"),
}
MARKS = {
    Kind.AGAIN: "↻ ",
    Kind.RETRY: "↻ ",
    Kind.STRAY: "? ",
    Kind.ACK: "✓ ",
    Kind.REJECT: "✗ ",
    Kind.RETURNED: "↩ ",
    Kind.GIVEN_BACK: "↩ ",
    Kind.DEAD: "† ",
}
SIGNS = {"queue": "▤ ", "exchange": "⇉ "}
INWARD = (Kind.RECEIVED, Kind.GIVEN_BACK)


@dataclass(frozen=True)
class Picture:
    """What is to be drawn: the rows, the lanes, the lines below; of one party, if ``only`` is set.

    ``times`` are seconds by row, where they are wanted.
    """

    lanes: Sequence[Lane]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    only: str = ""
    times: Sequence[str] = ()

    # -- text ---------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """One line a row, in columns, for a terminal, a screen reader and a comparison."""
        lines = list(self.notes)
        if not self.rows:
            return "\n".join([*lines, NOTHING])
        lines.append(COVERED.format(self.only) if self.only else self._lanes())
        arrows = [row for row in self.rows if isinstance(row, Arrow)]
        width = {
            "number": max((len(_number(a)) for a in arrows), default=2),
            "source": max((len(a.source) for a in arrows), default=0),
            "target": max((len(a.target) for a in arrows), default=0),
            "kind": max((len(a.kind.value) for a in arrows if a.kind not in STUBS), default=0),
        }
        line = _own_line if self.only else _line
        for i, row in enumerate(self.rows):
            text = row.text if isinstance(row, Note) else line(row, width)
            at = f"{self.times[i]:>8}  " if self.times else ""
            lines.append(f"{at}{text}".rstrip())
        return "\n".join(lines)

    def _lanes(self) -> str:
        names = (f"{n.name} ({n.kind})" if n.kind in SIGNS else n.name for n in self.lanes)
        return "lanes: " + " | ".join(names)

    # -- the still picture --------------------------------------------------------------------

    @property
    def svg(self) -> str:
        """The whole on a card of its own colours."""
        scene = _Scene(self, lambda name: COLOURS[name][0])
        foot = [*self.notes, *([] if self.rows else [NOTHING])]
        bottom = TOP + ROW * len(self.rows)
        height = bottom + 24 + 26 * len(foot)
        out = [
            f"{scene.open(height, self.text)}",
            f'<rect x="1" y="1" width="{scene.width - 2}" height="{height - 2}" rx="10" '
            f'fill="{scene.colour("paper")}" stroke="{scene.colour("line")}"/>',
        ]
        for i, (row, number, tinted) in enumerate(scene.rows()):
            out += scene.band(number, tinted, TOP + ROW * i)
            del row
        out += scene.head()
        if self.rows:
            out += scene.lines(56, bottom + 8)
        for i, (row, _, _) in enumerate(scene.rows()):
            out.append(scene.row(row, TOP + ROW * i + 32, self.times[i] if self.times else ""))
        for i, line in enumerate(foot):
            out.append(
                f'<text x="24" y="{bottom + 30 + 26 * i}">{_x(_fit(line, scene.width - 48))}</text>'
            )
        return "\n".join([*out, "</svg>"])

    # -- the live page ------------------------------------------------------------------------

    @property
    def html(self) -> str:
        """The same in the page's own theme; a row opens to show all of its message."""
        scene = _Scene(self, lambda name: f"var(--ladder-{name})")
        # It shrinks with the page as long as it can be read, and then it scrolls.
        least = int(scene.width * LEAST)
        out = [
            f'<div class="chatrpc-ladder" style="width:{scene.width}px">'
            f'<div style="min-width:{least}px">'
        ]
        out += [f"<p>{_x(note)}</p>" for note in self.notes]
        if not self.rows:
            return "".join([*out, f"<p>{NOTHING}</p></div></div>"])
        head = [scene.open(TOP - 10, self._lanes() if not self.only else self.only)]
        out += [*head, *scene.head(), *scene.lines(56, TOP - 10), "</svg>"]
        width = {"number": 0, "source": 0, "target": 0, "kind": 0}
        for i, (row, number, tinted) in enumerate(scene.rows()):
            if isinstance(row, Note):
                said = row.text
            else:
                said = (_own_line if self.only else _line)(row, width)
            inner = [
                scene.open(ROW, " ".join(said.split())),
                *scene.band(number, tinted, 0),
                *scene.lines(0, ROW),
                scene.row(row, 32, self.times[i] if self.times else ""),
                "</svg>",
            ]
            if isinstance(row, Note) or not row.facts:
                out += ['<div class="chatrpc-rung">', *inner, "</div>"]
            else:
                facts = "".join(
                    f"<tr><th scope='row'>{_x(k)}</th><td>{_x(v)}</td></tr>"
                    for k, v in row.facts.items()
                )
                out += [
                    '<details class="chatrpc-rung"><summary>',
                    *inner,
                    f"</summary><table>{facts}</table></details>",
                ]
        return "".join([*out, "</div></div>"])


STYLE = (
    "<style>.chatrpc-ladder{"
    + "".join(f"--ladder-{name}:{light};" for name, (light, _) in COLOURS.items())
    + "}[data-jp-theme-light=false] .chatrpc-ladder{"
    + "".join(f"--ladder-{name}:{dark};" for name, (_, dark) in COLOURS.items())
    + """}
.chatrpc-ladder{max-width:100%;box-sizing:border-box;border-radius:10px;padding-bottom:10px;
 line-height:0;color:var(--ladder-ink);background:var(--ladder-paper);overflow:auto hidden;
 border:1px solid var(--ladder-line)}
.chatrpc-ladder-page,.chatrpc-ladder-page .widget-html-content{max-width:100%;min-width:0;
 width:100%;overflow:hidden}
.chatrpc-ladder svg{display:block;width:100%;height:auto}
.chatrpc-ladder p{line-height:1.4;margin:8px 16px;font-size:15px}
.chatrpc-rung>summary{display:block;list-style:none;cursor:pointer}
.chatrpc-rung>summary::-webkit-details-marker{display:none}
.chatrpc-rung>summary:hover{background:var(--ladder-band)}
.chatrpc-rung>summary:focus-visible{outline:3px solid var(--ladder-out);outline-offset:-3px}
.chatrpc-ladder table{line-height:1.4;font-size:14px;margin:2px 16px 10px 60px;text-align:left;
 border-collapse:collapse;color:var(--ladder-ink);border-left:4px solid var(--ladder-line)}
.chatrpc-ladder th,.chatrpc-ladder td{padding:2px 12px;vertical-align:top;text-align:left;
 font-weight:400;overflow-wrap:anywhere;white-space:pre-wrap;background:none}
.chatrpc-ladder th{font-weight:600;white-space:nowrap}
</style>"""
)


# -- text -------------------------------------------------------------------------------------


def _number(arrow: Arrow) -> str:
    return f"#{arrow.number or '?'}"


def _line(arrow: Arrow, width: dict[str, int]) -> str:
    head = f"{_number(arrow):<{width['number']}}  {arrow.source:<{width['source']}} "
    if arrow.kind in STUBS:
        sign = "✗" if arrow.kind is Kind.MISSING else "○"
        return f"{head}{sign} {arrow.kind.value}: {arrow.label}"
    kind = f"{arrow.kind.value:<{width['kind']}}"
    return f"{head}→ {arrow.target:<{width['target']}}  {kind}  {arrow.label}".rstrip()


def _own_line(arrow: Arrow, width: dict[str, int]) -> str:
    head = f"{_number(arrow):<{width['number']}}"
    if arrow.kind in STUBS:
        return f"{head}  {'✗' if arrow.kind is Kind.MISSING else '○'} {arrow.label}"
    sign = "←" if arrow.kind in INWARD else "→"
    return f"{head}  {sign} {arrow.kind.value:<{width['kind']}}  {arrow.label}".rstrip()


# -- pictures ---------------------------------------------------------------------------------

ROW, TOP, LEFT, SIZE = 46, 84, 70, 16
WIDEST, NARROWEST, PAGE = 250, 176, 1080
WIDE = 0.56  # of the type size, a generous mean width of a letter
FONT = "system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif"
FOG = 430
LEAST = 0.7  # of its size, down to which a live ladder shrinks with the page


class _Scene:
    """Where everything stands, and the colours of the page that it stands on."""

    def __init__(self, picture: Picture, colour: Colour) -> None:
        self.colour = colour
        self._picture = picture
        self._left = LEFT + (70 if picture.times else 0)
        lanes = [lane for lane in picture.lanes if not picture.only or lane.name == picture.only]
        self._lanes = lanes
        lane = max(NARROWEST, min(WIDEST, PAGE // max(len(lanes), 1)))
        self._lane = lane
        self._at = {n.name: self._left + lane // 2 + i * lane for i, n in enumerate(lanes)}
        wide = self._left + lane * len(lanes) + 20
        self.width = max(wide, 640) if not picture.only else wide + FOG + 170

    def open(self, height: int, label: str) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" '
            f'width="{self.width}" height="{height}" role="img" aria-label="{_x(label)}" '
            f'font-family="{FONT}" font-size="{SIZE}" fill="{self.colour("ink")}">'
        )

    def rows(self) -> Iterator[tuple[Row, str, bool]]:
        """Each row, with the number if it is the first of its call, and whether it is tinted."""
        before, tinted = -1, False
        for row in self._picture.rows:
            new = row.number != before
            tinted = not tinted if new else tinted
            before = row.number
            number = "" if isinstance(row, Note) or not new else _number(row)
            yield row, number, tinted

    def band(self, number: str, tinted: bool, y: int) -> Iterator[str]:
        if tinted:
            yield (
                f'<rect x="8" y="{y}" width="{self.width - 16}" height="{ROW}" '
                f'fill="{self.colour("band")}"/>'
            )
        if number:
            yield (
                f'<text x="22" y="{y + 31}" font-size="{SIZE + 2}" font-weight="700">{number}'
                f"</text>"
            )

    def head(self) -> Iterator[str]:
        half = min(self._lane - 24, 200) // 2
        for lane in self._lanes:
            x, edge = self._at[lane.name], self.colour(f"{lane.kind}-edge")
            look = f'fill="{self.colour(f"{lane.kind}-fill")}" stroke="{edge}" stroke-width="2"'
            if lane.kind == "exchange":
                side = 2 * half - 28
                yield f'<path d="M{x - half} 36l14 -20h{side}l14 20l-14 20h-{side}z" {look}/>'
            else:
                round_ = 4 if lane.kind == "queue" else 20
                yield (
                    f'<rect x="{x - half}" y="16" width="{2 * half}" height="40" rx="{round_}" '
                    f"{look}/>"
                )
            name = _fit(SIGNS.get(lane.kind, "") + lane.name, 2 * half - 20)
            yield f'<text x="{x}" y="42" text-anchor="middle" font-weight="600">{_x(name)}</text>'
        if self._picture.only:
            x = self.width - 90
            yield (
                f'<text x="{x}" y="42" text-anchor="middle" font-weight="600" '
                f'fill="{self.colour("quiet")}">covered</text>'
            )

    def lines(self, top: int, bottom: int) -> Iterator[str]:
        for lane in self._lanes:
            x = self._at[lane.name]
            yield (
                f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" '
                f'stroke="{self.colour(f"{lane.kind}-edge")}" stroke-width="2" '
                f'stroke-opacity="0.45"/>'
            )
        if self._picture.only:
            yield (
                f'<rect x="{self.width - 150}" y="{top}" width="120" height="{bottom - top}" '
                f'fill="{self.colour("line")}" fill-opacity="0.35"/>'
            )

    def row(self, row: Row, y: int, time: str) -> str:
        at = f'<text x="64" y="{y - 1}" font-size="14">{_x(time)}</text>' if time else ""
        if isinstance(row, Note):
            said = _x(_fit(row.text, self.width - 90))
            return f'{at}<text x="64" y="{y - 2}" font-style="italic">{said}</text>'
        facts = "\n".join(f"{k}: {v}" for k, v in row.facts.items())
        # A still picture is compared, so it tells only what is the same on every run.
        told = row.more if self.colour("ink").startswith("#") else facts
        title = f"<title>{_x(told)}</title>" if told else ""
        drawn = self._stub(row, y) if row.kind in STUBS else self._arrow(row, y)
        return f"<g>{title}{at}{drawn}</g>"

    def _stub(self, arrow: Arrow, y: int) -> str:
        name, dash = STROKES[arrow.kind]
        colour, start = self.colour(name), self._at[arrow.source]
        # Text goes to the side where there is room.
        right = self.width - start >= start or bool(self._picture.only)
        way = 1 if right else -1
        room = (self.width - start if right else start) - 84
        anchor, x = ("start" if right else "end"), start + way * 52
        if arrow.kind is Kind.MISSING:
            end = f'<path d="M{x - 8} {y - 8}l16 16m0 -16l-16 16" stroke-width="4" '
        else:
            end = f'<circle cx="{x}" cy="{y}" r="7" fill="none" stroke-width="3" '
        label = arrow.label if arrow.kind is Kind.MISSING else f"{arrow.kind.value}: {arrow.label}"
        return (
            f'<line x1="{start}" y1="{y}" x2="{start + way * 40}" y2="{y}" stroke="{colour}" '
            f'stroke-width="3" stroke-dasharray="{dash}"/>{end}stroke="{colour}"/>'
            f'<text x="{start + way * 70}" y="{y + 6}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="600" {self._halo()}>{_x(_fit(label, room))}</text>'
        )

    def _arrow(self, arrow: Arrow, y: int) -> str:
        name, dash = STROKES[arrow.kind]
        colour = self.colour(name)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        start = self._at[arrow.source]
        end = self._at.get(arrow.target, self.width - 150)
        if arrow.kind in INWARD:
            start, end = end, start
        way = 1 if end > start else -1
        tip = end - way * 3
        word = MARKS.get(arrow.kind, "") + arrow.kind.value
        room = abs(end - start) - 30
        said = _fit(arrow.label, room - SIZE * WIDE * (len(word) + 1)) if arrow.label else ""
        said = said if len(said) > 2 or said == arrow.label else ""
        return (
            f'<line x1="{start}" y1="{y}" x2="{tip - way * 10}" y2="{y}" stroke="{colour}" '
            f'stroke-width="3"{dashed}/><path d="M{tip} {y}l{-way * 14} -7v14z" fill="{colour}"/>'
            f'<text x="{(start + end) / 2:g}" y="{y - 8}" text-anchor="middle" '
            f'{self._halo()}><tspan fill="{colour}" font-weight="600">{_x(word)}</tspan>'
            f"{' ' + _x(said) if said else ''}</text>"
        )

    def _halo(self) -> str:
        """What keeps a word legible where it crosses a lane."""
        paper = self.colour("paper")
        return f'stroke="{paper}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'


def _fit(text: str, pixels: float) -> str:
    text = " ".join(text.split())
    letters = max(1, int(pixels / (SIZE * WIDE)))
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _x(text: str) -> str:
    """Escaped, and without the control characters that XML does not allow."""
    return escape("".join(c if c >= " " or c in "\n\t" else "�" for c in text), quote=True)
