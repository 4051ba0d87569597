"""The outbox: requests on their way to the broker, until it is known that it has them."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

from . import topology
from .agenda import Agenda
from .calls import Call
from .confirms import Outcome
from .errors import Busy, NoWorker, RpcError
from .link import Link
from .messages import Message
from .pending import PendingCalls

_AGAIN = 0.05  # seconds before what was refused is sent again
_SILENCE = 2.5  # seconds after which a cluster is asked once more
_COMES_BACK = 2.0  # seconds that a queue which has been there may be missing


class Outbox:
    """Sends requests, and sends again under the same id what the broker does not have.

    A request that was confirmed is not sent again. One that was lost with its connection
    waits for the next; one that was refused is sent again after a moment, unless the
    queue is full or missing. (C04, C12, C13, C15)

    Args:
        pending: the calls in flight, by id.
        fail: ends a call with an error.
        service: whom the requests are for; its queue takes at most ``limit`` of them.
        user, reply_queue: who asks, and where the answers should go.
        safe: whether the broker confirms what is sent.
        several: whether the broker has several nodes. An election may lose even what was
            confirmed, so after some silence a request is sent once more, under the same id.
    """

    def __init__(
        self,
        link: Link,
        agenda: Agenda,
        pending: PendingCalls[Call],
        fail: Callable[[str, RpcError], None],
        *,
        service: str,
        limit: int,
        user: str,
        reply_queue: str,
        safe: bool,
        several: bool,
    ) -> None:
        self._link, self._agenda, self._pending, self._fail = link, agenda, pending, fail
        self._service, self._limit = service, limit
        self._safe, self._several = safe, several
        self._key = service if safe else service + topology.FAST
        self._user, self._reply_queue = user, reply_queue
        self._unsent: dict[str, Call] = {}
        self._nacked: collections.deque[Call] = collections.deque()
        self._known = False  # whether the service's queue has ever been there

    def send(self, call: Call, *, soon: bool = True) -> None:
        """Send a request now, or as soon as the link stands.

        Not ``soon``: together with whatever the link writes next.
        """
        left, at = call.deadline.to_wire(time.monotonic(), time.time())
        message = Message(
            body=call.body,
            correlation_id=call.id,
            message_id=call.message_id,
            reply_to=self._reply_queue,
            user_id=self._user,
            expiration=max(left, 1),
            headers={"deadline": at},
            persistent=self._safe,
        )
        call.sends += 1
        if not self._link.publish(
            call.id, message, exchange=topology.REQUESTS, key=self._key, mandatory=True, soon=soon
        ):
            call.sends -= 1
            self._unsent[call.id] = call
            if self._link.stands:  # it came up between the last two lines
                self._try(call.id)

    def send_all(self) -> None:
        """Send what waits for the link, which stands now."""
        for id in list(self._unsent):
            self._try(id)

    def settled(self, id: str, outcome: Outcome) -> None:
        """Learn what became of a send; on the thread that reads, so what takes time comes later."""
        if (call := self._pending.get(id)) is None or call.over():
            return
        if outcome is Outcome.CONFIRMED:
            self._known = True
            if self._several and not call.reminded:
                call.reminded = True
                self._agenda.at(time.monotonic() + _SILENCE, lambda: self._again(call))
        elif outcome is Outcome.LOST:
            call.doubtful = True
            self._unsent[id] = call
        elif outcome is Outcome.RETURNED:
            self._returned(call)
        else:
            self._nacked.append(call)
            self._agenda.soon(self._ask_why)

    def answered(self) -> None:
        """Learn that a reply came: the service has been there."""
        self._known = True

    def forget(self, id: str) -> None:
        """Do not send a call that is over."""
        self._unsent.pop(id, None)

    def _try(self, id: str) -> None:
        # Whoever takes the entry out sends it, so that two threads do not send it twice.
        if (call := self._unsent.pop(id, None)) is not None and self._waits(call):
            self.send(call)

    def _returned(self, call: Call) -> None:
        now = time.monotonic()
        if call.missing_since is None:
            call.missing_since = now
        if self._known and now - call.missing_since < _COMES_BACK:
            self._later(call)
        else:
            self._fail(call.id, NoWorker(f"nobody serves {self._service!r}"))

    def _ask_why(self) -> None:
        # Once for all that were refused meanwhile: while this waits, the agenda does nothing else.
        if calls := [self._nacked.popleft() for _ in range(len(self._nacked))]:
            self._refused(*calls)

    def _refused(self, *calls: Call) -> None:
        # A nack alone does not say that the queue is full: an election nacks too.
        try:
            waiting, _ = self._link.look(topology.request_queue(self._service), timeout=0.4)
        except RpcError:
            waiting = 0
        for call in calls:
            if waiting >= self._limit:
                self._fail(call.id, Busy(f"the queue of {self._service!r} is full"))
            else:
                self._link.nacked()
                self._later(call)

    def _again(self, call: Call) -> None:
        if self._waits(call):
            self.send(call)

    def _later(self, call: Call) -> None:
        self._agenda.at(time.monotonic() + _AGAIN, lambda: self._again(call))

    def _waits(self, call: Call) -> bool:
        return self._pending.get(call.id) is call and not call.over()

    def __len__(self) -> int:
        """Return how many requests wait for the link."""
        return len(self._unsent)
