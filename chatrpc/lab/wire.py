"""A wire between one client and the broker, which can be stalled, cut and mended.

    client ──► Wire (127.0.0.1, a free port) ──► broker

A client that is given ``wire.url`` instead of the broker's address talks through it. One thread
carries the bytes; it reads from a side only what it may pass on, so that a stall fills the
sender's buffers as a real one does.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from ..settings import Settings
from .problem import LabProblem

CHUNK = 65536
ON_THE_WAY = 4 * 1024 * 1024
"""How many bytes a delayed direction holds before it stops reading."""
DRAIN = 64
DIAL = 2.0
COMMAND = 5.0
RESET = struct.pack("ii", 1, 0)

LATE = 5.0  # seconds in which what a closed connection had said may still be told of

_through: dict[int, _Pair] = {}


class _Direction:
    """The bytes on their way from one socket to the other."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.chunks: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.ended = False
        self.left: int | None = None  # bytes that may still pass before the cut

    def read(self, due: float) -> None:
        try:
            data = self.source.recv(CHUNK)
        except BlockingIOError:
            return
        if data:
            self.chunks.append((due, data))
            self.size += len(data)
        else:
            self.ended = True

    def write(self) -> None:
        due, data = self.chunks[0]
        try:
            sent = self.sink.send(data[: self.left])
        except BlockingIOError:
            return
        self.size -= sent
        if self.left is not None:
            self.left -= sent
        if sent == len(data):
            self.chunks.popleft()
        else:
            self.chunks[0] = (due, data[sent:])

    @property
    def done(self) -> bool:
        return self.left == 0 or (self.ended and not self.chunks)


class _Pair:
    """One client's connection: its two sockets and the two directions between them."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.sockets = (client, broker)
        self.port_at_broker = int(broker.getsockname()[1])
        self.closed: float | None = None
        self.ways = (_Direction(client, broker), _Direction(broker, client))
        for end in self.sockets:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self, *, reset: bool) -> None:
        self.closed = time.monotonic()
        for end in self.sockets:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                else:
                    end.shutdown(socket.SHUT_WR)
                    for _ in range(DRAIN):  # closing with unread bytes would send a reset
                        if not end.recv(CHUNK):
                            break
            end.close()


class Wire:
    """A TCP proxy to one broker whose faults are methods; each holds until ``mend()``.

    ``url`` is the broker's address (amqp or amqps), else CHATRPC_URL's first. It listens on
    127.0.0.1 alone, from the moment it is made until ``close()``, or as a context manager.
    Raises LabProblem for an address that it cannot use.
    """

    def __init__(self, url: str | None = None) -> None:
        try:
            first = (Settings.from_env().url if url is None else url).split(",")[0]
            parts = urlsplit(first)
            port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            raise LabProblem(
                "A wire needs the address of one broker, such as amqp://localhost:5672/."
            )
        self._target = (parts.hostname, port)
        self._delay = 0.0
        self._stalled = {"to_broker": False, "to_client": False}
        self._pairs: list[_Pair] = []
        self._commands: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._closing = False
        self._listening = True
        self._listener = _bound(0)
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._waker = socket.socketpair()
        account = parts.netloc.rpartition("@")[0]
        netloc = f"{account}@127.0.0.1:{self.port}" if account else f"127.0.0.1:{self.port}"
        self.url = urlunsplit(parts._replace(netloc=netloc))
        self._thread = threading.Thread(target=self._run, name=f"wire-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Wire 127.0.0.1:{self.port} to {self._target[0]}:{self._target[1]}, {self.state}>"

    # What one can do to it

    def delay(self, seconds: float) -> None:
        """Every byte arrives this much later, each way."""
        if seconds < 0:
            raise LabProblem("A delay is 0 seconds or more.")
        self._delay = seconds

    def stall(self, *, to_broker: bool = True, to_client: bool = True) -> None:
        """Nothing arrives any more, and nobody is told: the cable was pulled."""
        self._do(lambda: self._stalled.update(to_broker=to_broker, to_client=to_client))

    def cut(self, *, after: int = 0, to_broker: bool = True) -> None:
        """Both sides are told that the other has hung up (FIN); a new connection may be made.

        With ``after``, once each connection has carried so many bytes more to the broker, or
        else to the client: nearly always in the middle of a frame.
        """
        if after < 0:
            raise LabProblem("A wire is cut after 0 bytes or more.")
        if after == 0:
            self._do(lambda: self._drop(reset=False))
        else:
            self._do(lambda: self._let_pass(after, to_broker))

    def reset(self) -> None:
        """Both sides are told that the connection is void (RST); a new one may be made."""
        self._do(lambda: self._drop(reset=True))

    def refuse(self) -> None:
        """A new connection is refused, as by a host on which no broker runs; the old ones stay."""
        self._do(self._refuse)

    def mend(self) -> None:
        """The wire is whole again: no delay, no stall, new connections welcome."""
        self._do(self._mend)

    def close(self) -> None:
        """Hang up on both sides and leave no thread and no socket; twice does no harm."""
        if self._thread.is_alive():
            self._closing = True
            self._nudge()
            self._thread.join(COMMAND)

    # What one can see of it

    @property
    def connections(self) -> int:
        """How many connections it carries now."""
        return len(self._pairs)

    @property
    def state(self) -> str:
        """What it does to the bytes now, in a few words."""
        faults = []
        if all(self._stalled.values()):
            faults.append("stalled")
        elif any(self._stalled.values()):
            faults.append("stalled " + " ".join(k for k, v in self._stalled.items() if v))
        if self._delay:
            faults.append(f"delayed by {self._delay:g} s")
        if not self._listening:
            faults.append("refusing")
        return ", ".join(faults) or "passing"

    # The thread that carries

    def _do(self, command: Callable[[], None]) -> None:
        """Run it in the carrying thread, and return when it is done."""
        done = threading.Event()
        self._commands.append((command, done))
        self._nudge()
        if not self._thread.is_alive() or not done.wait(COMMAND):
            raise LabProblem("This wire is closed: make another.")

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            self._drop(reset=False)
            for end in (self._listener, self._wake, self._waker):
                end.close()

    def _turn(self) -> None:
        now = time.monotonic()
        wait: float | None = None
        with selectors.PollSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            if self._listening:
                selector.register(self._listener, selectors.EVENT_READ)
            for pair in self._pairs:
                for end, events in self._wanted(pair, now).items():
                    selector.register(end, events, pair)
                for way in pair.ways:
                    if way.chunks and (due := way.chunks[0][0]) > now:
                        wait = due - now if wait is None else min(wait, due - now)
            ready = selector.select(wait)
        ends = [key.fileobj for key, _ in ready]
        if self._wake in ends:  # a command comes before any byte
            self._obey()
            return
        if self._listener in ends:
            self._accept()
        for key, mask in ready:
            if isinstance(key.data, _Pair):
                self._carry(key.data, key.fileobj, mask)

    def _wanted(self, pair: _Pair, now: float) -> dict[socket.socket, int]:
        events: dict[socket.socket, int] = {}
        for way, stalled in zip(pair.ways, self._stalled.values(), strict=True):
            if stalled:
                continue
            if not way.ended and way.size < ON_THE_WAY:
                events[way.source] = events.get(way.source, 0) | selectors.EVENT_READ
            if way.chunks and way.chunks[0][0] <= now:
                events[way.sink] = events.get(way.sink, 0) | selectors.EVENT_WRITE
        return events

    def _carry(self, pair: _Pair, end: object, mask: int) -> None:
        if pair not in self._pairs:
            return
        outward, inward = pair.ways
        if end is pair.sockets[1]:
            outward, inward = inward, outward
        try:
            if mask & selectors.EVENT_READ:
                outward.read(time.monotonic() + self._delay)
            if mask & selectors.EVENT_WRITE:
                inward.write()
        except OSError:  # one side has reset: so does the other
            self._pairs.remove(pair)
            pair.close(reset=True)
            return
        if outward.done or inward.done:
            self._pairs.remove(pair)
            pair.close(reset=False)

    def _obey(self) -> None:
        self._wake.recv(CHUNK)
        while self._commands:
            command, done = self._commands.popleft()
            command()
            done.set()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            broker = socket.create_connection(self._target, timeout=DIAL)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
            return
        pair = _through[client.getpeername()[1]] = _Pair(client, broker)
        self._pairs.append(pair)

    def _drop(self, *, reset: bool) -> None:
        while self._pairs:
            self._pairs.pop().close(reset=reset)

    def _let_pass(self, left: int, to_broker: bool) -> None:
        for pair in self._pairs:
            pair.ways[0 if to_broker else 1].left = left

    def _refuse(self) -> None:
        if self._listening:
            self._listener.close()
            self._listener = _bound(self.port)  # bound, not listening: the port stays ours
            self._listening = False

    def _mend(self) -> None:
        self._delay = 0.0
        self._stalled.update(to_broker=False, to_client=False)
        for pair in self._pairs:
            for way in pair.ways:
                way.left = None
                way.chunks = deque((0.0, data) for _, data in way.chunks)
        if not self._listening:
            self._listener.listen()
            self._listening = True


def through(port: int) -> int:
    """Return the port at which the broker sees a connection from this one: a wire has its own.

    The system gives a port away again; so a connection that has ended is soon forgotten.
    """
    pair = _through.get(port)
    if pair is None:
        return port
    if pair.closed is not None and time.monotonic() - pair.closed > LATE:
        _through.pop(port, None)
        return port
    return pair.port_at_broker


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener
