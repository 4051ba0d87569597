"""How many messages wait and how many workers listen, over time.

A passive declare answers both in a fraction of a millisecond and needs no permission. What
workers hold without having acknowledged it only ``rabbitmqctl`` tells, which takes its time.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..broker import Node
from ..errors import BrokerError, NoWorker
from ..topology import request_queue
from ..transport import Transport
from .firehose import connect
from .looks import Look, draw_looks, table
from .problem import LabProblem, told_in_a_cell

KEPT = 5000
"""Samples that are kept: the newest."""
SHOWN = 60
BARS = "▁▂▃▄▅▆▇█"
INK, PAPER, LINE, WAITING, CONSUMERS = "#1b2733", "#ffffff", "#9fb0c0", "#b45309", "#15803d"


@dataclass(frozen=True)
class Sample:
    """One look: ``at`` in seconds since the start; None where the queue or the broker is away."""

    at: float
    waiting: int | None
    consumers: int | None


class Gauges:
    """``with lab.Gauges("chat") as gauges: …`` looks at a service's queue the whole time.

    ``every`` is the seconds between two looks. ``samples`` are the data; shown in a cell it is
    a plot, printed it is two lines. It goes on while the broker is away.

    Or look at moments of your own, ``gauges.look("Ana has written")``: then a cell shows those,
    which are the same on every run. ``queue`` is the queue to look at where it is not a service's.

    Raises:
        LabProblem: no broker answers at the start.
    """

    def __init__(
        self,
        service: str,
        *,
        queue: str | None = None,
        every: float = 0.05,
        url: str | None = None,
    ) -> None:
        """Name the service; nothing is looked at yet."""
        if not 0.01 <= every <= 60:
            raise LabProblem("Gauges look every 0.01 to 60 seconds.")
        self.service = service
        self.queue = queue or request_queue(service)
        self.looks: list[Look] = []
        self.every = every
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._url = url
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

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
            self._ended.clear()
            self._thread = threading.Thread(
                target=self._run, args=(transport,), name="gauges", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Look no more; the samples stay."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join(6.0)
            self._thread = None

    def _run(self, transport: Transport | None) -> None:
        start, queue = time.monotonic(), self.queue
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
            self.samples.append(Sample(time.monotonic() - start, waiting, consumers))
            if self._ended.wait(self.every):
                break
        if transport is not None:
            transport.close()

    def look(self, moment: str) -> Look:
        """Look once, and keep what is seen under the name of this moment.

        Raises:
            LabProblem: no broker answers.
        """
        transport = connect(self._url)
        try:
            waiting, consumers = transport.look(self.queue)
        except NoWorker:
            waiting, consumers = None, None
        finally:
            transport.close()
        self.looks.append(Look(moment, waiting, consumers))
        return self.looks[-1]

    def __repr__(self) -> str:
        """Return the looks, or both series as bars of text."""
        if self.looks:
            return table(self.service, self.looks)
        samples = list(self.samples)
        lines = [
            f"{self.service:<12} waiting   {spark([s.waiting for s in samples])}",
            f"{'':<12} workers   {spark([s.consumers for s in samples])}",
        ]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    @property
    def svg(self) -> str:
        """The looks as bars, or both series as a plot: what waits full, workers dashed."""
        if self.looks:
            return draw_looks(self.service, self.looks)
        return draw(self.service, list(self.samples))


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


def draw(service: str, samples: Sequence[Sample]) -> str:
    """The plot, on a card of its own colours."""
    wide, high, left, top = 660, 190, 48, 44
    length = max((s.at for s in samples), default=0.0) or 1.0
    most = max([s.waiting or 0 for s in samples] + [s.consumers or 0 for s in samples] + [1])
    right, bottom = wide - 20, high - 30

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

    waiting, consumers = [s.waiting for s in samples], [s.consumers for s in samples]
    label = f"{service}: requests waiting and workers listening over {length:.1f} seconds"
    axis = f'text-anchor="end" fill="{INK}" fill-opacity="0.8"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
            f'height="{high}" role="img" aria-label="{escape(label)}" font-size="15" '
            f'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif">',
            f'<rect width="{wide}" height="{high}" rx="10" fill="{PAPER}" stroke="{LINE}"/>',
            f'<text x="{left}" y="26" fill="{INK}"><tspan font-weight="600">{escape(service)}'
            f'</tspan> <tspan fill="{WAITING}" font-weight="600">━━ requests waiting</tspan> '
            f'<tspan fill="{CONSUMERS}" font-weight="600">╍╍ workers listening</tspan></text>',
            f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{LINE}"/>',
            f'<text x="{left - 8}" y="{top + 6}" {axis}>{most}</text>',
            f'<text x="{left - 8}" y="{bottom + 5}" {axis}>0</text>',
            f'<text x="{right}" y="{bottom + 20}" {axis}>{length:.1f} s</text>',
            f'<path d="{path(consumers)}" fill="none" stroke="{CONSUMERS}" stroke-width="3" '
            f'stroke-dasharray="8 5"/>',
            f'<path d="{path(waiting)}" fill="none" stroke="{WAITING}" stroke-width="3"/>',
            "</svg>",
        ]
    )
