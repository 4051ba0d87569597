"""The table of calls in flight: the caller names the call, the table remembers who asked."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class PendingCalls(Generic[T]):
    """Which call waits under which id, until exactly one party takes it out.

    A reply, a timeout, a failure and ``close()`` may all want to end the same call, each
    on its own thread: whoever gets it from ``take`` ends it, the others get None.
    That needs no lock, because ``dict.pop`` and ``dict.setdefault`` are atomic in CPython.
    """

    def __init__(self) -> None:
        self._calls: dict[str, T] = {}

    def add(self, id: str, call: T) -> None:
        """Remember a call.

        Raises:
            ValueError: another call with this id is in flight.
        """
        if self._calls.setdefault(id, call) is not call:
            raise ValueError(f"a call with the id {id!r} is already in flight")

    def take(self, id: str) -> T | None:
        """Forget the call and return it; None if it is unknown or already over."""
        return self._calls.pop(id, None)

    def get(self, id: str) -> T | None:
        """Return the call without ending it; None if it is unknown or already over."""
        return self._calls.get(id)

    def ids(self) -> list[str]:
        """Return the ids of all calls in flight, the oldest first."""
        return list(self._calls)

    def __len__(self) -> int:
        """Return how many calls are in flight."""
        return len(self._calls)
