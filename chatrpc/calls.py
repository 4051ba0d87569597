"""One call in flight, and the future of its answer."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .deadline import Deadline
from .errors import RpcError
from .link import Arrival
from .messages import Reply


class CallFuture(Future[Any]):
    """The answer of a call, some time before its deadline.

    ``worker`` is who served it, ``took`` the seconds that its method took; both are known
    when the answer is.
    """

    worker: str = ""
    took: float = 0.0


@dataclass(slots=True, eq=False)
class Call:
    """One call in flight; whoever takes it from the table of pending calls ends it, once.

    ``id`` names this call, ``message_id`` the intention behind it. ``sends`` counts how
    often it went out. ``doubtful`` is set when a send was lost: perhaps it ran, whatever a
    later send tells. ``missing_since`` is when its queue was first found missing.
    ``arrival`` is how its reply came, to be acknowledged by whoever waited for it.
    """

    id: str
    message_id: str
    body: bytes
    deadline: Deadline
    future: CallFuture | None = None
    sends: int = 0
    doubtful: bool = False
    missing_since: float | None = None
    outcome: Reply | RpcError | None = None
    arrival: Arrival | None = None
    _ended: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._ended.acquire()  # a bare lock wakes its waiter faster than an Event

    def end(self, outcome: Reply | RpcError, arrival: Arrival | None = None) -> None:
        """Give the call its outcome, and wake whoever waits for it."""
        self.outcome, self.arrival = outcome, arrival
        self._ended.release()

    def wait(self, timeout: float = -1) -> bool:
        """Wait, once, for the outcome; return whether it is there. -1 is without end."""
        return self._ended.acquire(timeout=timeout)

    def result(self) -> Any:
        """Return the answer, or raise the error; only after the end."""
        if isinstance(self.outcome, Reply):
            return self.outcome.value()
        assert self.outcome is not None
        raise self.outcome
