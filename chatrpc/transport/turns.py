"""Whose turn it is to read: the inbound thread's, or that of a caller who waits anyway.

A caller whose answer is the only one that is expected reads it itself, as in the pattern of
leader and followers (Schmidt et al., "Leader/Followers", 2000). That saves waking it, a tenth
of a fast call. The inbound thread stands back meanwhile, and for a moment after.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from amqpstorm.exception import AMQPConnectionError
from amqpstorm.io import IO, BasePoller

_AWAY = 0.05  # seconds that the inbound thread stands back after the last caller who read
_LED = 5  # times as long while one reads: in slow calls the looks for the next would add up


class Turns(BasePoller):
    """What AMQPStorm's inbound thread asks before each read; exactly one thread reads at a time.

    The inbound thread has the first turn. It waits in ``recv`` itself, which is one system
    call fewer than to ask first whether something is there.
    """

    def __init__(self, io: IO, exceptions: list[Exception]) -> None:
        assert io.socket is not None
        super().__init__(io.socket.fileno(), exceptions)
        self._io = io
        self._turn = threading.Lock()
        self._turn.acquire()
        self._wish: Callable[[], bool] | None = None  # of who wished to read last: is it served?
        self._away = False
        self._back = threading.Event()
        self._leading = False
        self._rouse, self._roused = socket.socketpair()
        self._rouse.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self.fileno, select.POLLIN)
        self._poll.register(self._roused, select.POLLIN)

    @property
    def is_ready(self) -> bool:
        """Whether the inbound thread may read; it stands back first if a caller wished for that."""
        wish = self._wish
        if wish is not None and wish():
            self._turn.release()
            self._away = True
            if self._wish is wish:  # else somebody came too early for the turn, and waits for us
                self._stand_back()
            self._away = False
            self._turn.acquire()
        return self._io._running.is_set()

    def _stand_back(self) -> None:
        while self._wish is not None or self._leading:
            self._wish = None
            if self._back.wait(_AWAY * _LED if self._leading else _AWAY):
                break
        self._back.clear()

    def call_back(self) -> None:
        """Have the inbound thread read: somebody waits who does not."""
        self._wish = None
        if self._away:
            self._back.set()

    def read_until(self, done: Callable[[], bool], timeout: float) -> None:
        """Read on this thread until ``done``, unless it is somebody else's turn.

        At most ``timeout`` seconds, and not on after the connection's end. If it is the inbound
        thread's turn, it stands back once ``done``.
        """
        self._wish = done
        if not self._turn.acquire(blocking=False):
            return
        end = time.monotonic() + timeout
        try:
            self._leading = True
            while not done() and (left := end - time.monotonic()) > 0 and self._goes_on():
                self._read(left)
        finally:
            self._leading = False
            self._turn.release()
        if self._wish is not None and self._wish is not done:  # who came too early waits for it
            self.call_back()

    def look_up(self) -> None:
        """Have a caller who reads look at once whether it is done."""
        if self._leading:
            with contextlib.suppress(OSError):  # full: it will look; closed: it has looked
                self._rouse.send(b"!")

    def close(self) -> None:
        """Let nobody wait any more."""
        self._rouse.close()
        self._roused.close()

    def _goes_on(self) -> bool:
        return self._io._running.is_set() and not self._exceptions

    def _read(self, timeout: float) -> None:
        for what, _ in self._poll.poll(timeout * 1000):
            if what != self.fileno:
                with contextlib.suppress(OSError):
                    self._roused.recv(1024)
                continue
            try:
                self._io.data_in += self._io._receive()
                self._io.data_in = self._io._on_read_impl(self._io.data_in)  # type: ignore[misc]
            except BaseException as error:  # after Ctrl-C, too: what was half read is lost
                self._exceptions.append(AMQPConnectionError(error))
                if not isinstance(error, Exception):
                    raise
