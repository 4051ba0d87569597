"""What a client or a server does later, or not on the thread that reads: in turn, on one thread."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("chatrpc.agenda")


class Agenda:
    """Does things at their time, one after the other.

    Args:
        name: of the thread, which starts with the first entry.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Start the thread now; else the first entry does."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def soon(self, act: Callable[[], None]) -> None:
        """Do something as soon as possible."""
        self.at(0.0, act)

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Do something at ``when``, in seconds of ``time.monotonic``."""
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._entries, (when, next(self._order), act))
            if self._thread is None:
                self._start()
            elif self._entries[0][2] is act:
                self._changed.notify()

    def close(self, timeout: float = 0.5) -> None:
        """Do what is due, drop the rest, and end; wait for it at most ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while (act := self._next()) is not None:
            try:
                act()
            except Exception:  # one entry's failure must not cost the others
                log.exception("an entry of the agenda failed")
            del act  # and what it holds: the next may come late

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while True:
                left = self._entries[0][0] - time.monotonic() if self._entries else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._entries)[2]
                if self._closed:
                    return None
                self._changed.wait(left)
