"""How many messages wait, how many are in workers' hands, how many workers listen, over time.

A passive declare tells what waits and who listens in a fraction of a millisecond and needs no
permission. What workers have in hand, and who has answered how many, is counted from the trace,
where there is one; what is not acknowledged only ``rabbitmqctl`` tells, which takes its time.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..broker import Node
from ..errors import BrokerError, NoWorker
from ..topology import request_queue
from ..transport import Transport
from . import services
from .firehose import Firehose, Hop, NoTrace, connect
from .problem import LabProblem, told_in_a_cell
from .services import plain

KEPT = 5000
"""Samples that are kept: the newest."""
SHOWN = 60
BARS = "▁▂▃▄▅▆▇█"
INK, PAPER, LINE = "#1b2733", "#ffffff", "#9fb0c0"
WAITING, HELD, CONSUMERS = "#b45309", "#1d4ed8", "#15803d"
LOOKS = {  # sign, colour, dash, width
    "waiting": ("━━", WAITING, "", 4),
    "in hand": ("┅┅", HELD, "3 4", 3),
    "workers listening": ("╍╍", CONSUMERS, "10 5", 3),
}
# In a live page the colours follow the theme: name, light, dark.
THEME = {
    INK: ("ink", "#e6edf3"),
    PAPER: ("paper", "#161b22"),
    LINE: ("line", "#57606a"),
    WAITING: ("waiting", "#f0b429"),
    HELD: ("held", "#79b8ff"),
    CONSUMERS: ("consumers", "#56d364"),
}
STYLE = (
    "<style>.chatrpc-gauges{"
    + "".join(f"--gauges-{name}:{light};" for light, (name, _) in THEME.items())
    + "}[data-jp-theme-light=false] .chatrpc-gauges{"
    + "".join(f"--gauges-{name}:{dark};" for name, dark in THEME.values())
    + "}</style>"
)
BAR = 24  # pixels of a worker's bar
GLANCE = 0.3  # seconds between two drawings of a live plot


@dataclass(frozen=True)
class Sample:
    """One look: ``at`` in seconds since the start; None where the queue or the broker is away.

    ``held`` are requests that were delivered and have no reply yet; None without a trace.
    """

    at: float
    waiting: int | None
    consumers: int | None
    held: int | None = None


class Gauges:
    """``with lab.Gauges("chat") as gauges: …`` looks at a service's queue the whole time.

    ``every`` is the seconds between two looks. ``samples`` are the data, ``served`` says who has
    answered how many; shown in a cell it is a plot, live while it looks, printed it is some
    lines. It goes on while the broker is away.

    Raises:
        LabProblem: no broker answers at the start.
    """

    def __init__(self, service: str, *, every: float = 0.05, url: str | None = None) -> None:
        """Name the service; nothing is looked at yet."""
        if not 0.01 <= every <= 60:
            raise LabProblem("Gauges look every 0.01 to 60 seconds.")
        self.service = service
        self.every = every
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._url = url
        self._ended = threading.Event()
        self._looked = threading.Event()
        self._thread: threading.Thread | None = None
        self._firehose: Firehose | None = None
        self._held: set[str] = set()
        self._asked: set[str] = set()
        self._answered: Counter[str] = Counter()
        self._face: Any = None

    @property
    def served(self) -> dict[str, int]:
        """How many requests each worker has answered, by its name in the order of appearance."""
        counts = self._answered.values()
        return {f"worker {place}": count for place, count in enumerate(counts, start=1)}

    def __enter__(self) -> Gauges:
        """Look, from now on."""
        return self.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Look no more."""
        self.stop()

    def start(self) -> Gauges:
        """Look, from now on."""
        if self._thread is None:
            transport = connect(self._url)
            with contextlib.suppress(NoTrace):
                firehose = Firehose(only=self.service, url=self._url, on_hop=self._hop)
                self._firehose = firehose.__enter__()
            self._ended.clear()
            self._thread = threading.Thread(
                target=self._run, args=(transport,), name="gauges", daemon=True
            )
            self._thread.start()
            self._looked.wait(2.0)  # what happens next is seen from its beginning
        return self

    def stop(self) -> None:
        """Look no more; the samples stay."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join(6.0)
            self._thread = None
            if self._firehose is not None:
                self._firehose.__exit__(None, None, None)
                self._firehose = None
            if self._face is not None:
                self._face.value = self._live

    def _hop(self, hop: Hop) -> None:
        id = hop.correlation_id or hop.message_id
        if hop.reply_to:
            self._asked.add(hop.reply_to)
            if hop.kind == "deliver":
                self._held.add(id)
        elif hop.kind == "publish" and hop.routing_key in self._asked:
            self._held.discard(id)
            self._answered[hop.connection] += 1

    def _run(self, transport: Transport | None) -> None:
        start, queue = time.monotonic(), request_queue(self.service)
        drawn, last = start, False
        while True:
            waiting: int | None = None
            consumers: int | None = None
            try:
                transport = transport or connect(self._url)
                waiting, consumers = transport.look(queue)
            except NoWorker:
                pass
            except (BrokerError, LabProblem):
                if transport is not None:
                    transport.close()
                transport = None
            held = len(self._held) if self._firehose is not None else None
            self.samples.append(Sample(time.monotonic() - start, waiting, consumers, held))
            if self._face is not None and time.monotonic() - drawn > GLANCE:
                drawn, self._face.value = time.monotonic(), self._live
            self._looked.set()
            if last:
                break
            last = self._ended.wait(self.every)  # then once more: how it is at the end
        if transport is not None:
            transport.close()

    def __repr__(self) -> str:
        """Return the series as bars of text."""
        samples, name = list(self.samples), self._label
        width = max(len(name), 12)
        lines = [
            f"{name:<{width}} waiting   {spark([s.waiting for s in samples])}",
            f"{'':<{width}} workers   {spark([s.consumers for s in samples])}",
        ]
        if any(s.held is not None for s in samples):
            lines.append(f"{'':<{width}} in hand   {spark([s.held for s in samples])}")
        if self.served:
            told = ", ".join(f"{who} {count}" for who, count in self.served.items())
            lines.append(f"{'':<{width}} answered  {told}")
        return "\n".join(lines)

    @property
    def _label(self) -> str:
        return services.labels().get(self.service, self.service)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        import ipywidgets as widgets  # type: ignore[import-untyped]

        self._face = self._face or widgets.HTML()
        self._face.value = self._live
        self._face.add_class("chatrpc-gauges")
        bundle = dict(self._face._repr_mimebundle_())
        return {**bundle, "image/svg+xml": self.svg, "text/plain": repr(self)}

    @property
    def _live(self) -> str:
        drawn = self.svg
        for colour, (name, _) in THEME.items():
            drawn = drawn.replace(colour, f"var(--gauges-{name})")
        return STYLE + drawn

    @property
    def summary(self) -> Summary:
        """The plot while a kernel runs; stored, what is the same on each run: most and last."""
        return Summary(self.service, list(self.samples))

    def told(self, words: str) -> Summary:
        """The plot while a kernel runs; stored, the words of whoever has judged it."""
        return Summary(self.service, list(self.samples), words)

    @property
    def svg(self) -> str:
        """The series as a plot: full what waits, dotted what is in hand, dashed the workers."""
        return draw(self._label, list(self.samples), self.served)


class Summary:
    """What was seen, without times: how many waited and listened at most, and at the end."""

    def __init__(self, service: str, samples: Sequence[Sample], words: str = "") -> None:
        self._service, self._samples, self._words = service, samples, words

    def __repr__(self) -> str:
        if self._words:
            return self._words
        waiting = _most_and_last([s.waiting for s in self._samples])
        workers = _most_and_last(_steady([s.consumers for s in self._samples]))
        return f"requests waiting:  {waiting}\nworkers listening: {workers}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        import ipywidgets

        words = f"<div>{escape(self._words)}</div>" if self._words else ""
        live = draw(plain(self._service), self._samples) + words
        bundle = dict(ipywidgets.HTML(live)._repr_mimebundle_())
        bundle["text/html"] = f"<pre>{escape(repr(self))}</pre>"
        bundle["text/plain"] = repr(self)
        return bundle


def _steady(values: Sequence[int | None]) -> list[int | None]:
    """Leave out a peak that one look alone has seen.

    A server that takes its consumer anew, after its first answer, has two for a moment.
    """
    around = zip(values, values[1:], values[2:], strict=False)
    middle = [v for before, v, after in around if not _peak(before, v, after)]
    return [*values[:1], *middle, *values[-1:]]


def _peak(before: int | None, value: int | None, after: int | None) -> bool:
    if before is None or value is None or after is None:
        return False
    return value > max(before, after)


def _most_and_last(values: Sequence[int | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "no queue"
    last = "away" if values[-1] is None else values[-1]
    return f"at most {max(known)}, {last} at the end"


def unacknowledged(service: str, node: Node) -> int:
    """Return how many requests are with workers, not yet acknowledged; it takes two seconds.

    The channels know it exactly; the count that a quorum queue shows is some seconds old.

    Raises:
        LabProblem: the node does not answer, or nobody listens on that service.
    """

    def ask(*what: str) -> list[dict[str, object]]:
        told: list[dict[str, object]] = json.loads(node.ctl(*what, "--formatter", "json"))
        return told

    with told_in_a_cell():
        consumers = ask("list_consumers", "queue_name", "channel_pid")
        channels = ask("list_channels", "pid", "messages_unacknowledged")
    queue = request_queue(service)
    reading = {one["channel_pid"] for one in consumers if one["queue_name"] == queue}
    if not reading:
        raise LabProblem(f"Nobody listens on the service {service!r}.")
    return sum(int(str(c["messages_unacknowledged"])) for c in channels if c["pid"] in reading)


def spark(values: Sequence[int | None]) -> str:
    """A series as bars, folded to at most 60: each shows the most of its span."""
    known = [v for v in values if v is not None]
    if not known:
        return "no queue"
    most, span = max(known), -(-len(values) // SHOWN)
    bars = []
    for at in range(0, len(values), span):
        here = [v for v in values[at : at + span] if v is not None]
        bars.append(BARS[max(here) * 7 // max(most, 1)] if here else " ")
    now = "away" if values[-1] is None else values[-1]
    return f"{''.join(bars)}  now {now}, most {most}"


def draw(service: str, samples: Sequence[Sample], served: Mapping[str, int] | None = None) -> str:
    """The plot, on a card of its own colours; below it, who has answered how many."""
    served = served or {}
    wide, left, top = 760, 48, 44
    right, bottom = wide - 20, 160
    high = 190 + BAR * len(served)
    length = max((s.at for s in samples), default=0.0) or 1.0
    series = {
        "waiting": [s.waiting for s in samples],
        "in hand": [s.held for s in samples],
        "workers listening": [s.consumers for s in samples],
    }
    most = max([value or 0 for values in series.values() for value in values] + [1])

    def path(values: Sequence[int | None]) -> str:
        steps: list[str] = []
        pen_up = True
        for sample, value in zip(samples, values, strict=True):
            if value is None:
                pen_up = True
                continue
            x = left + (right - left) * sample.at / length
            y = bottom - (bottom - top) * value / most
            steps.append(f"M{x:.1f} {y:.1f}" if pen_up else f"H{x:.1f}V{y:.1f}")
            pen_up = False
        return "".join(steps)

    label = f"{service}: requests waiting and in hand, and workers, over {length:.1f} seconds"
    axis = f'text-anchor="end" fill="{INK}" fill-opacity="0.8"'
    legend = "".join(
        f' <tspan fill="{colour}" font-weight="600">{sign} {name}</tspan>'
        for name, (sign, colour, _, _) in LOOKS.items()
    )
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{escape(label)}" font-size="15" '
        f'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif">',
        f'<rect x="1" y="1" width="{wide - 2}" height="{high - 2}" rx="10" fill="{PAPER}" '
        f'stroke="{LINE}"/>',
        f'<text x="{left}" y="26" fill="{INK}"><tspan font-weight="600">{escape(service)}</tspan>'
        f"{legend}</text>",
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{LINE}"/>',
        f'<text x="{left - 8}" y="{top + 6}" {axis}>{most}</text>',
        f'<text x="{left - 8}" y="{bottom + 5}" {axis}>0</text>',
        f'<text x="{right}" y="{bottom + 20}" {axis}>{length:.1f} s</text>',
    ]
    for name, (_, colour, dash, width) in reversed(LOOKS.items()):
        out.append(
            f'<path d="{path(series[name])}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}" stroke-dasharray="{dash}"/>'
        )
    out += _bars(served, left, 180, right)
    return "\n".join([*out, "</svg>"])


def _bars(served: Mapping[str, int], left: int, top: int, right: int) -> Iterator[str]:
    most = max(served.values(), default=1)
    for place, (who, count) in enumerate(served.items()):
        y = top + BAR * place
        length = (right - left - 190) * count / most
        yield (
            f'<text x="{left}" y="{y + 15}" fill="{INK}">{escape(who)}</text>'
            f'<rect x="{left + 90}" y="{y + 3}" width="{length:.1f}" height="16" rx="3" '
            f'fill="{CONSUMERS}" fill-opacity="0.75"/>'
            f'<text x="{left + 98 + length:.1f}" y="{y + 16}" fill="{INK}">{count} answered</text>'
        )
