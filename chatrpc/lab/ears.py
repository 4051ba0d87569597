"""What the judge hears: the hops of the promise on trial, for the ladder of one that is broken."""

from __future__ import annotations

import contextlib

from .firehose import Firehose, Hop
from .ladder import Ladder
from .problem import LabProblem

HEARD = 0.1
"""The largest scale at which it listens: many thousand calls have more hops than they say."""

WAIT = 2.0  # seconds at most for what is still on its way


class Ears:
    """Listens to a broker while the block runs; where it must not, there are no ladders."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._service = ""
        self._firehose: Firehose | None = None

    def __enter__(self) -> Ears:
        if self._url is not None:
            firehose = Firehose(url=self._url)
            with contextlib.suppress(LabProblem):
                self._firehose = firehose.__enter__()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._firehose is not None:
            self._firehose.hops.clear()
            self._firehose.__exit__(kind, error, trace)

    def begin(self, service: str) -> None:
        """Forget what was, and listen for this service, and for those whose name begins so."""
        self._service = service
        if self._firehose is not None:
            self._firehose.hops.clear()

    def ladder(self) -> Ladder | None:
        """Return what went over the wire since the beginning; None if nothing was heard."""
        if self._firehose is None:
            return None
        self._firehose.settle(WAIT)
        ladder = Ladder()
        ladder.hops = about(self._firehose.hops, self._service)
        if not ladder.hops:
            return None
        written = {queue for hop in ladder.hops for queue in hop.routed}
        read = {hop.queue for hop in ladder.hops}
        depths = self._firehose.depths(written - read)
        ladder.missing_queues = frozenset(q for q, depth in depths.items() if depth is None)
        return ladder


def about(hops: list[Hop], service: str) -> list[Hop]:
    """Return the hops that have to do with a service: requests, and replies to their queues."""
    asked: set[str] = set()
    found = []
    for hop in list(hops):
        places = {hop.queue, hop.routing_key, *hop.routed}
        if any(service in place for place in places):
            found.append(hop)
            if hop.reply_to:
                asked.add(hop.reply_to)
        elif places & asked:
            found.append(hop)
    return found
