"""Replies on their way to the broker, until it is known that it has them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import topology
from .agenda import Agenda
from .confirms import Outcome
from .link import Arrival, Link
from .messages import Message

_AGAIN = 0.05  # seconds before a refused reply is sent again
_MADE_AGAIN = 1.5  # seconds that a client has to make its queue again, if it is gone


@dataclass(slots=True)
class _Owed:
    """A reply, and the request that is done with when the broker has it."""

    arrival: Arrival
    message: Message
    queue: str
    until: float
    done: Callable[[Arrival], None]

    @property
    def ours(self) -> bool:
        """Whether it goes to a client of this kit, whose queue comes back if it is lost."""
        return self.queue.startswith(topology.REPLIES)


class Replies:
    """Sends replies, and tells when the broker has one: only then is its request done with.

    A reply that is lost with its connection is forgotten, since its request comes again; but
    not if that was destroyed with its queue: then the reply itself is sent again. So is one
    that was refused, or whose client's queue is missing for a moment.

    Args:
        name: what the ids of the replies begin with; no other server's may.
    """

    def __init__(self, link: Link, agenda: Agenda, *, name: str) -> None:
        self._link, self._agenda, self._name = link, agenda, name
        self._numbers = itertools.count(1)
        self._owed: dict[str, _Owed] = {}
        self._lost: dict[str, _Owed] = {}  # with their connection, of which the next may know more
        self._missing: dict[str, float] = {}  # clients' queues that are not there, since when
        self._draining = False
        self._none_owed = threading.Event()

    def send(
        self,
        message: Message,
        *,
        queue: str,
        until: float,
        arrival: Arrival,
        done: Callable[[Arrival], None],
    ) -> None:
        """Send a reply, and call ``done`` with the delivery that it answers when it is safe.

        It goes with the link's next write. ``until`` is when nobody waits for it any more, in
        seconds of ``time.monotonic``.
        """
        message.message_id = id = f"{self._name}-{next(self._numbers)}"
        owed = self._owed[id] = _Owed(arrival, message, queue, until, done)
        self._publish(id, owed, soon=False)

    def settled(self, id: str, outcome: Outcome) -> None:
        """Learn what became of a publish; on the thread that reads."""
        owed = self._owed.get(id)
        if owed is None:
            return
        now = time.monotonic()
        if outcome is Outcome.NACKED and owed.ours:
            self._link.nacked()  # a stranger's queue may be full, one of ours is not
        refused = outcome is Outcome.NACKED or (
            outcome is Outcome.RETURNED and self._may_come_back(owed.queue, now)
        )
        if refused and now < owed.until:
            self._agenda.at(now + _AGAIN, lambda: self._publish(id, owed))
            return
        if outcome is Outcome.CONFIRMED and self._missing:
            self._missing.pop(owed.queue, None)
        if outcome is Outcome.LOST:
            self._lost[id] = owed
        else:
            owed.done(owed.arrival)
        self._forget(id)

    def up(self, *, emptied: bool) -> None:
        """Learn that the link stands again; ``emptied`` if no request comes again."""
        lost, self._lost = self._lost, {}
        for id, owed in lost.items():
            if emptied and time.monotonic() < owed.until:
                self._owed[id] = owed
                self._publish(id, owed)

    def drain(self, timeout: float) -> None:
        """Wait until the broker has every reply, at most ``timeout`` seconds."""
        self._draining = True
        if self._owed:
            self._none_owed.wait(timeout)

    def _publish(self, id: str, owed: _Owed, *, soon: bool = True) -> None:
        if not self._link.publish(
            id, owed.message, exchange="", key=owed.queue, mandatory=owed.ours, soon=soon
        ):
            self._lost[id] = owed
            self._forget(id)
            if self._link.stands:  # it came up between the first of these lines and the last
                self.up(emptied=True)

    def _may_come_back(self, queue: str, now: float) -> bool:
        # A client whose queue was deleted declares it again; one that is gone does not, and
        # its replies must not hold up the others' for long.
        if len(self._missing) > 1000:
            self._missing.clear()
        return now - self._missing.setdefault(queue, now) < _MADE_AGAIN

    def _forget(self, id: str) -> None:
        self._owed.pop(id, None)
        if self._draining and not self._owed:
            self._none_owed.set()

    def __len__(self) -> int:
        """Return how many replies the broker does not have yet."""
        return len(self._owed)
