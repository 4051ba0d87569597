"""The server's memory: is this request new, is it being answered, or was it answered already?"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from .deadline import Deadline
from .messages import Reply

Delivery = TypeVar("Delivery")


class Seen(Enum):
    """What the server knows of a request."""

    NEW = "run it"
    RUNNING = "wait for the answer of the copy that runs"
    ANSWERED = "send the same answer again"


@dataclass(slots=True)
class _Entry(Generic[Delivery]):
    deadline: Deadline
    waiting: list[Delivery] = field(default_factory=list)
    reply: Reply | None = None


class Answers(Generic[Delivery]):
    """Which requests run and which have been answered, so that a copy does not run again.

    A broker promises *at least* once: after a lost connection the same request comes
    again. The copy of a running request waits for the same answer; the copy of an
    answered one gets that answer. An answer stays until its request's deadline, and for
    ``keep`` seconds at least, since a person who got no answer in time sends again; but at
    most ``entries`` of them and ``size`` bytes stay: the oldest go first. (C11)
    """

    def __init__(
        self, *, entries: int = 10_000, size: int = 64 * 1024 * 1024, keep: float = 60.0
    ) -> None:
        self._most_entries, self._most_bytes, self._keep = entries, size, keep
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Entry[Delivery]] = {}
        self._answered: OrderedDict[Hashable, _Entry[Delivery]] = OrderedDict()
        self._bytes = 0

    def begin(
        self, key: Hashable, delivery: Delivery, deadline: Deadline
    ) -> tuple[Seen, Reply | None]:
        """Return what to do with a request, and the reply if it was answered before.

        After ``Seen.NEW`` the caller owes a ``finish``.
        """
        with self._lock:
            if (running := self._running.get(key)) is not None:
                running.waiting.append(delivery)
                return Seen.RUNNING, None
            if (answered := self._answered.get(key)) is not None:
                return Seen.ANSWERED, answered.reply
            self._running[key] = _Entry(deadline, [delivery])
            return Seen.NEW, None

    def finish(self, key: Hashable, reply: Reply, now: float) -> list[Delivery]:
        """Keep the reply, and return every delivery that waits for it."""
        with self._lock:
            entry = self._running.pop(key)
            waiting, entry.waiting, entry.reply = entry.waiting, [], reply
            entry.deadline = Deadline(max(entry.deadline.at, now + self._keep))
            self._answered[key] = entry
            self._bytes += len(reply.body)
            self._shrink(now)
            return waiting

    def _shrink(self, now: float) -> None:
        while self._answered:
            oldest = next(iter(self._answered.values()))
            over = len(self._answered) > self._most_entries or self._bytes > self._most_bytes
            if not over and not oldest.deadline.passed(now):
                return
            _, gone = self._answered.popitem(last=False)
            self._bytes -= len(gone.reply.body) if gone.reply else 0

    def __len__(self) -> int:
        """Return how many requests are remembered, running or answered."""
        return len(self._running) + len(self._answered)
