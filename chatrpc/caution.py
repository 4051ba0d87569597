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
        self._tag = queue + WARY
        self._proof: Arrival | None = None  # the first request that was not suspect, in hand

    def came(self, arrival: Arrival) -> None:
        """Learn of a request; on the thread that reads."""
        delivery = arrival.delivery
        if delivery.consumer != self._tag or delivery.problem:
            return
        if topology.returns(delivery.message.headers) < _SUSPECT:
            now, self._proof = time.monotonic(), arrival
            self._agenda.at(now + _SOON, lambda: self._look(arrival, now + _AT_LAST))

    def done(self, arrival: Arrival) -> None:
        """Acknowledge a request; if it is the first that was not suspect, trust before that.

        As long as it is in hand no other is on its way, which would come back.
        """
        if arrival is self._proof:
            self._agenda.soon(lambda: self._trust(arrival))
        else:
            self._link.ack(arrival)

    def _trust(self, arrival: Arrival) -> None:
        self._proof = None
        self._link.trust()
        self._link.ack(arrival)

    def _look(self, arrival: Arrival, at_last: float) -> None:
        # While the first request is in hand, the broker would count us twice: so not
        # before others wait.
        if arrival is not self._proof:
            return
        now = time.monotonic()
        try:
            waiting, _ = self._link.look(self._queue)
        except RpcError:
            waiting = 0
        if waiting or now > at_last:
            self._proof = None
            self._link.trust()
        else:
            self._agenda.at(now + _SOON, lambda: self._look(arrival, at_last))
