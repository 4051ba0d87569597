"""One call in flight, the future of its answer, who is woken next, and what expires when."""

from __future__ import annotations

import collections
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .agenda import Agenda
from .deadline import Deadline
from .errors import RpcError
from .messages import Reply
from .pending import PendingCalls


class CallFuture(Future[Any]):
    """The answer of a call, some time before its deadline.

    ``worker`` is who served it, ``took`` the seconds that its method took; both are known
    when the answer is.
    """

    worker: str = ""
    took: float = 0.0


@dataclass(slots=True, eq=False)
class Call:
    """One call in flight; several may try to end it, and the first outcome counts.

    ``id`` names this call, ``message_id`` the intention behind it. ``sends`` counts how
    often it went out. ``doubtful`` is set when a send was lost: perhaps it ran, whatever a
    later send tells. ``reminded`` is set when silence has its second send in store.
    ``missing_since`` is when its queue was first found missing. ``left`` is set when its
    caller does not wait any more.
    """

    id: str
    message_id: str
    body: bytes
    deadline: Deadline
    future: CallFuture | None = None
    sends: int = 0
    doubtful: bool = False
    reminded: bool = False
    missing_since: float | None = None
    left: bool = False
    _outcomes: list[Reply | RpcError] = field(default_factory=list)
    _ended: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._ended.acquire()  # a bare lock wakes its waiter faster than an Event

    def over(self) -> bool:
        """Whether the outcome is there."""
        return bool(self._outcomes)

    def end(self, outcome: Reply | RpcError) -> None:
        """Give the call its outcome, if it has none, and wake whoever waits for it.

        Whoever is interrupted in here can do it again: nothing is done twice by that.
        """
        self.settle(outcome)
        self.wake()

    def settle(self, outcome: Reply | RpcError) -> None:
        """Give the call its outcome, if it has none; its caller sleeps on."""
        self._outcomes.append(outcome)

    def wake(self) -> None:
        """Wake whoever waits for the outcome."""
        try:  # noqa: SIM105 (suppress is not for free, and this is on the path of each call)
            self._ended.release()
        except RuntimeError:
            pass

    def wait(self, timeout: float = -1) -> bool:
        """Wait, once, for the outcome; return whether it is there. -1 is without end."""
        return self._ended.acquire(timeout=timeout)

    def tell(self) -> None:
        """Give the future the outcome, once; its callbacks run now. Only after the end."""
        future, outcome = self.future, self._outcomes[0]
        if future is None or future.done():
            return
        if isinstance(outcome, Reply):
            future.worker, future.took = outcome.worker, outcome.took
        try:
            future.set_result(self.result())
        except RpcError as error:
            future.set_exception(error)

    def result(self) -> Any:
        """Return the answer, or raise the error; only after the end."""
        outcome = self._outcomes[0]
        if isinstance(outcome, Reply):
            return outcome.value()
        raise outcome


class Wakes:
    """Callers whose outcomes are there, and who are woken one after the other.

    Whoever reads wakes the first, once it has handed over all that it read; from then on each
    caller who leaves wakes the next. Woken all at once, they would crowd before the interpreter's
    lock, which one thread at a time can have. The last one writes what the others have sent since.

    Args:
        flush: writes what was sent.
        most: how much may wait for that. More would wait long, if the interpreter is busy.
    """

    def __init__(self, flush: Callable[[], None], most: int = 8) -> None:
        self._flush, self._most = flush, most
        self._calls: collections.deque[Call] = collections.deque()
        self._on_the_way = False  # a caller who was woken, and has not left
        self._sent = 0  # and perhaps not written

    def add(self, call: Call) -> None:
        """Have the caller of a call woken in its turn; once it has ``left``, it owes a ``next``."""
        self._calls.append(call)

    def next(self) -> None:
        """Wake the next who waits; if nobody does, write what was sent."""
        while self._calls:
            try:
                call = self._calls.popleft()
            except IndexError:  # somebody else has taken the last, and wakes it
                return
            self._on_the_way = True
            if not call.left:
                call.wake()
                return
        self._on_the_way = False
        if self._sent:
            self._write()

    def sent(self) -> None:
        """Have what was sent written: now, or by those who are on the way, if they are few."""
        # Whoever leaves last does the same two things the other way round: so one of the two
        # sees what the other did.
        self._sent += 1
        if not self._on_the_way or self._sent >= self._most:
            self._write()

    def _write(self) -> None:
        self._sent = 0
        self._flush()


class Expiry:
    """Ends the calls that nobody waits for at their deadlines, all that are due at once.

    One entry of the agenda stands for all of them: an entry of its own would keep each call
    until its deadline, however soon it was answered.

    Args:
        pending: the calls in flight, of which it looks at those with a future.
        expire: ends calls. It may take a fifth of a second.
    """

    def __init__(
        self, agenda: Agenda, pending: PendingCalls[Call], expire: Callable[..., None]
    ) -> None:
        self._agenda, self._pending, self._expire = agenda, pending, expire
        self._next = math.inf

    def watch(self, at: float) -> None:
        """Have a call end soon after ``at``, in seconds of ``time.monotonic``."""
        if not time.monotonic() < self._next <= at:
            self._agenda.at(at, self._look)
            self._next = at  # after that, since Ctrl-C may come between; a past one counts for none

    def _look(self) -> None:
        self._next = math.inf  # first: a call that comes from now on is perhaps not seen below
        now, soonest = time.monotonic(), math.inf
        due = []
        for id in self._pending.ids():
            if (call := self._pending.get(id)) is None or call.future is None:
                continue
            if call.deadline.passed(now):
                due.append(call)
            else:
                soonest = min(soonest, call.deadline.at)
        if soonest < math.inf:
            self.watch(max(soonest, now + 0.05))
        if due:
            self._expire(*due)
