"""Caution: a fresh server's first requests may be what killed the one before it."""

from __future__ import annotations

import time

from . import topology
from .agenda import Agenda
from .errors import RpcError
from .link import WARY, Arrival, Link

_SUSPECT = 3  # a request that came back so often has perhaps killed who ran it
_SOON = 0.2  # seconds after which a slow first request may not hold up others
_AT_LAST = 10.0  # seconds after which nobody looks any more whether it does


class Caution:
    """Has a fresh server take one request at a time, until one comes that is not suspect. (C14)

    What a server has in hand comes back when it dies, and each return counts. So innocent
    requests would be given up together with the one that kills, if they were taken with it.

    Args:
        link: takes one delivery at a time until it is told to ``trust``.
        queue: the one that the requests come from.
    """

    def __init__(self, link: Link, agenda: Agenda, *, queue: str) -> None:
        self._link, self._agenda, self._queue = link, agenda, queue
        self._waits = True
        self._proof: Arrival | None = None

    def came(self, arrival: Arrival) -> None:
        """Learn of a request; on the inbound thread."""
        delivery = arrival.delivery
        if not self._waits or delivery.problem or delivery.consumer != self._queue + WARY:
            return
        if topology.returns(delivery.message.headers) < _SUSPECT:
            now = time.monotonic()
            self._waits, self._proof = False, arrival
            self._agenda.at(now + _SOON, lambda: self._trust_if_others_wait(now + _AT_LAST))

    def done(self, arrival: Arrival) -> None:
        """Learn that a request is done with: if it was the first, trust."""
        if arrival is self._proof:
            self._proof = None
            self._agenda.soon(self._link.trust)

    def _trust_if_others_wait(self, at_last: float) -> None:
        # Not before: while the first request is in hand, the broker would count us twice.
        if self._proof is None:
            return
        now = time.monotonic()
        try:
            waiting, _ = self._link.look(self._queue)
        except RpcError:
            waiting = 0
        if waiting or now > at_last:
            self._link.trust()
        else:
            self._agenda.at(now + _SOON, lambda: self._trust_if_others_wait(at_last))
