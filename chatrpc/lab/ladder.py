"""The sequence diagram of what really went over the wire: as text, and as a picture.

hops  ──story──►  calls  ──rungs──►  lanes and arrows  ──rows──►  rows  ──drawing──►  text, SVG
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..topology import DEAD
from ..transport.witness import Seen, port_of, witness
from . import ends, services, wire
from .drawing import STYLE, Picture
from .firehose import QUIET, Filter, Firehose, Hop, NoTrace
from .problem import LabProblem
from .rows import covered, fold
from .rungs import Arrow, Lane, View, rungs
from .story import Call, tell


class _Shown:
    """What can be drawn: the same picture for the eye and as text."""

    @property
    def picture(self) -> Picture:
        """What is drawn."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The picture for a terminal, a screen reader and a comparison."""
        return self.picture.text

    @property
    def svg(self) -> str:
        """The picture for the eye, on a card of its own colours."""
        return self.picture.svg

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


class Ladder(_Shown):
    """What ``with lab.trace() as ladder`` leaves: print it, show it, or read ``hops``.

    ``missing_queues`` are queues that somebody wrote to and that do not exist, ``empty_queues``
    those in which nothing was left at the end.
    """

    def __init__(self) -> None:
        self.hops: list[Hop] = []
        self.missing_queues: frozenset[str] = frozenset()
        self.empty_queues: frozenset[str] = frozenset()
        self.note = ""
        self._view = View()
        self._names: dict[int | str, str] = {}
        self._ended: float | None = None

    def name(self, name: str, thing: Any) -> None:
        """Call a lane by this name: that of a connection, or of what uses one, or of a queue.

        ``thing`` is an AMQPStorm connection or channel, an RpcClient, an RpcServer, or the name
        of a queue or an exchange.

        Raises:
            LabProblem: it is none of these, or it is closed.
        """
        key = thing if isinstance(thing, str) else port_of(thing)
        if key is None:
            raise LabProblem(
                f"{name!r} cannot name {type(thing).__name__}: give an open connection, its "
                "channel, a client, a server, or the name of a queue or an exchange."
            )
        self._names[key if isinstance(key, str) else wire.through(key)] = name

    @property
    def view(self) -> View:
        """What the drawing knows besides the hops."""
        names = {**services.labels(), **self._names}
        return replace(
            self._view, missing=self.missing_queues, empty=self.empty_queues, names=names
        )

    @property
    def calls(self) -> list[Call]:
        """The hops, told as calls."""
        return tell(self.hops)

    @property
    def arrows(self) -> list[Arrow]:
        """The lines of the ladder, sorted by cause."""
        return rungs(self.calls, self.view)[1]

    @property
    def parties(self) -> list[str]:
        """The lanes of those who send and receive, from left to right."""
        return [n.name for n in self._lanes if n.kind in ("client", "worker")]

    @property
    def _lanes(self) -> list[Lane]:
        return rungs(self.calls, self.view)[0]

    @property
    def picture(self) -> Picture:
        """The whole ladder, ready to be drawn."""
        lanes, arrows = rungs(self.calls, self.view)
        rows = fold(arrows, lanes)
        shown = {end for row in rows if isinstance(row, Arrow) for end in (row.source, row.target)}
        notes = (self.note,) if self.note else ()
        return Picture([lane for lane in lanes if lane.name in shown], rows, notes)

    def cover(self, lane: str | None = None, *, times: bool = False) -> Covered:
        """Return what one party can know: only what it sent and received itself.

        ``lane`` is the party's name; without one, the first client. ``times`` adds the seconds
        since its first message; they differ from run to run, so a notebook is committed without.

        Raises:
            LabProblem: the ladder has no such party.
        """
        parties = self.parties
        if lane is None and parties:
            lane = parties[0]
        if lane is None or lane not in parties:
            there = ", ".join(parties) or "nobody, since no message passed"
            raise LabProblem(f"Nobody here is called {lane or 'client 1'!r}: there is {there}.")
        return Covered(self, lane, times=times)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return _bundle(self, self.picture, "")


class Covered(_Shown):
    """One party's side of a ladder; ``uncover()`` gives the whole."""

    def __init__(self, ladder: Ladder, lane: str, *, times: bool = False) -> None:
        self.lane = lane
        self._ladder = ladder
        self._times = times

    def uncover(self) -> Ladder:
        """Return the whole ladder."""
        return self._ladder

    @property
    def arrows(self) -> list[Arrow]:
        """What the party sent and received, in its own order."""
        return covered(self._ladder.calls, self._ladder.arrows, self.lane)

    @property
    def picture(self) -> Picture:
        """The party's side, ready to be drawn."""
        lanes = [lane for lane in self._ladder._lanes if lane.name == self.lane]
        notes = (self._ladder.note,) if self._ladder.note else ()
        arrows = self.arrows
        rows = fold(arrows, lanes)
        times = _seconds(arrows, self._ladder._ended) if self._times else ()
        return Picture(lanes, rows, notes, only=self.lane, times=times[: len(rows)])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return _bundle(self._ladder, self.picture, self.lane)


def _seconds(arrows: Sequence[Arrow], ended: float | None) -> list[str]:
    known = [a.hop.time for a in arrows if a.hop is not None]
    start = min(known, default=0.0)
    last = ended if ended is not None else max(known, default=0.0)
    return [f"{(a.hop.time if a.hop else last) - start:.2f} s" for a in arrows]


WHOLE = "everything"


def _bundle(ladder: Ladder, picture: Picture, lane: str) -> dict[str, Any]:
    """Return the forms of a picture: live where there is a kernel, still, and as text."""
    bundle: dict[str, Any] = {}
    with contextlib.suppress(ImportError):
        bundle = dict(_live(ladder, picture, lane)._repr_mimebundle_())
    return {**bundle, "image/svg+xml": picture.svg, "text/plain": picture.text}


def _live(ladder: Ladder, picture: Picture, lane: str) -> Any:
    """Make a widget that shows the whole or covers all but one party, by a row of buttons."""
    import ipywidgets as widgets  # type: ignore[import-untyped]

    page = widgets.HTML(STYLE + picture.html)
    page.add_class("chatrpc-ladder-page")
    choice = widgets.ToggleButtons(
        options=[WHOLE, *(f"only {party}" for party in ladder.parties)],
        value=f"only {lane}" if lane else WHOLE,
        style={"button_width": "auto"},
        tooltips=["All that the broker saw", *(["What this party can know"] * len(ladder.parties))],
    )
    choice.add_class("chatrpc-ladder-cover")

    def chosen(change: Any) -> None:
        party = change["new"].removeprefix("only ")
        shown = ladder if change["new"] == WHOLE else ladder.cover(party)
        page.value = STYLE + shown.picture.html

    choice.observe(chosen, "value")
    return widgets.VBox([choice, page] if ladder.parties else [page])


@contextlib.contextmanager
def trace(
    *only: str,
    names: Mapping[str, Any] | None = None,
    exchanges: bool = False,
    acks: bool = False,
    dead_letters: str | Sequence[str] = (),
    url: str | None = None,
) -> Iterator[Ladder]:
    """Draw every message that passes while the block runs, whoever's code sends it.

    Args:
        only: queues or services; without any, all of the broker's messages are drawn.
        names: what lanes are called, by name: connections, clients, servers, queues, exchanges.
        exchanges: whether the default exchange has a lane, too.
        acks: whether acknowledgements are drawn; only code of this kernel shows its own.
        dead_letters: names of dead-letter exchanges; chatrpc's own is known.
        url: the broker's address, if it is not CHATRPC_URL's.

    Where the broker does not let us trace, what this kernel itself sent and received is drawn.

    Raises:
        LabProblem: the broker is away.
    """
    ladder = Ladder()
    for name, thing in (names or {}).items():
        ladder.name(name, thing)
    ladder._view = View(all_exchanges=exchanges, acks=acks)
    graves = [dead_letters] if isinstance(dead_letters, str) else list(dead_letters)
    seen: list[Seen] = []

    def hear(one: Seen) -> None:
        seen.append(replace(one, port=wire.through(one.port)))  # as long as that is known

    traced: Firehose | None = None
    with contextlib.ExitStack() as stack:
        try:
            traced = stack.enter_context(Firehose(only=only, dead=[DEAD, *graves], url=url))
        except NoTrace as problem:
            ladder.note = f"{problem} Here is what this notebook itself knows."
        stack.enter_context(witness(hear, but=traced.port if traced else None))
        try:
            yield ladder
        finally:
            ladder._ended = time.monotonic()
            for name, thing in (names or {}).items():  # whoever has dialled again has another port
                with contextlib.suppress(LabProblem):
                    ladder.name(name, thing)
            if traced is None:
                _from_here(ladder, seen, only)
            else:
                _from_the_broker(ladder, traced, seen)


KNOWN = ("publish", "deliver")
"""What an end of a wire and the broker's trace both know."""


def _from_the_broker(ladder: Ladder, firehose: Firehose, seen: Sequence[Seen]) -> None:
    ours = tuple(seen)
    firehose.settle(expected=Counter((one.kind, one.port) for one in ours if one.kind in KNOWN))
    hops = list(firehose.hops)
    ladder.hops = [*hops, *ends.about(hops, ours)]
    depths = firehose.depths(_not_taken(hops))
    ladder.missing_queues = frozenset(q for q, depth in depths.items() if depth is None)
    ladder.empty_queues = frozenset(q for q, depth in depths.items() if depth == 0)
    notes = []
    if firehose.left_out:
        notes.append(f"{firehose.left_out} hops more were seen and not kept.")
    if firehose.unreadable:
        notes.append(f"{firehose.unreadable} messages could not be read.")
    ladder.note = " ".join(notes)


def _from_here(ladder: Ladder, seen: Sequence[Seen], only: Sequence[str]) -> None:
    time.sleep(QUIET)
    ours = tuple(seen)
    kept = Filter(*only)
    hops = [hop for hop in ends.alone(ours) if kept(hop)]
    ladder.hops = [*hops, *ends.about(hops, ours)]
    ladder._view = replace(ladder._view, one_end=True)


def _not_taken(hops: Sequence[Hop]) -> set[str]:
    """Queues that were written to and from which something was never read."""
    return {
        queue
        for call in tell(hops)
        for message in [*call.requests, *(reply for reply, _ in call.replies)]
        for queue in set(message.queues) - {d.queue for d in message.deliveries}
    }
