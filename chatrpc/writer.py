"""Whoever writes also sends what others have queued, so nobody waits for a lock."""

from __future__ import annotations

import collections
import socket
import threading
import time
from collections.abc import Callable

_NOT_WAITING = getattr(socket, "MSG_DONTWAIT", 0)


class Writer:
    """The way out of one connection: bytes of many threads, in order, in few sends.

    The thread that reads must never wait for a write: the broker may wait for it to read.
    What that thread adds goes out by ``nudge``, as far as the socket takes it at once; a
    thread of the writer's own sends the rest.

    Args:
        send: writes bytes to the socket, waiting as long as it takes.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._queue: collections.deque[bytes | Callable[[], bytes]] = collections.deque()
        self._lock = threading.Lock()
        self._reader = 0
        self._wanted = False
        self._rest = threading.Semaphore(0)
        self._helper: threading.Thread | None = None
        self._closed = False
        self.since: float | None = None
        """Since when a write is under way; None if none is."""

    def reading(self, now: bool) -> None:
        """Say that this thread is the one that reads, or that it has read."""
        self._reader = threading.get_ident() if now else 0

    def add(self, *parts: bytes | Callable[[], bytes]) -> None:
        """Queue bytes, or who is asked for them when they go: with the next flush of any thread."""
        self._queue.extend(parts)

    def flush(self) -> None:
        """Send what is queued; on the thread that reads, only ask ``nudge`` to."""
        if threading.get_ident() == self._reader:
            self._wanted = True
            return
        while self._queue and self._lock.acquire(blocking=False):
            try:
                self.since = time.monotonic()
                self._send(self._taken())
            finally:
                self.since = None
                self._lock.release()

    def nudge(self, sock: socket.socket | None) -> None:
        """Send what the reading thread has flushed, as far as that needs no waiting.

        Args:
            sock: the bare socket; None if it must not be written to from here, as with TLS.
        """
        if not self._wanted:
            return
        self._wanted = False
        while self._queue and self._lock.acquire(blocking=False):
            try:
                rest = self._taken() if sock is None else self._sent_at_once(sock, self._taken())
                if rest:
                    self._queue.appendleft(rest)
                    self._help()
                    return
            finally:
                self._lock.release()

    def close(self) -> None:
        """End the writer's own thread."""
        self._closed = True
        self._rest.release()

    def _taken(self) -> bytes:
        parts = [self._queue.popleft() for _ in range(len(self._queue))]
        return b"".join([part if isinstance(part, bytes) else part() for part in parts])

    @staticmethod
    def _sent_at_once(sock: socket.socket, data: bytes) -> bytes:
        try:
            return data[sock.send(data, _NOT_WAITING) :]
        except OSError:  # full, or broken: then whoever reads or writes next is told why
            return data

    def _help(self) -> None:
        if self._helper is None:
            name = "chatrpc-writer"
            self._helper = threading.Thread(target=self._run, name=name, daemon=True)
            self._helper.start()
        self._rest.release()

    def _run(self) -> None:
        while True:
            self._rest.acquire()
            if self._closed:
                return
            self.flush()
