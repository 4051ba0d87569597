"""What this process itself says to a broker, and hears from it, frame by frame.

A broker's trace knows no ack, no return and no confirm; and a broker that is not ours may trace
nothing at all. Whoever holds an end of the wire knows them: so, while somebody listens, the
bytes of every AMQPStorm connection of this process are read along, ours and a stranger's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from amqpstorm.io import IO
from pamqp import frame as pamqp_frames

from .. import frames
from ..writer import Writer
from .channel import Channel
from .connection import Connection

KEPT = 4096
"""Bytes of a body that are kept."""

_KINDS = {
    "Basic.Publish": "publish",
    "Basic.Deliver": "deliver",
    "Basic.GetOk": "deliver",
    "Basic.Return": "return",
    "Basic.Ack": "ack",
    "Basic.Nack": "nack",
    "Basic.Reject": "reject",
    "Basic.Consume": "consume",
    "Basic.ConsumeOk": "consuming",
    "Basic.Get": "get",
}
_WITH_CONTENT = ("publish", "deliver", "return")


@dataclass(frozen=True)
class Seen:
    """One thing that was said (``out``) or heard on one channel of one connection.

    ``kind`` is publish, deliver, return, ack, nack, reject, consume, consuming or get; ``port``
    is the connection's own; ``time`` is of ``time.monotonic``. ``body`` is bounded, ``size`` its
    true length.
    """

    kind: str
    out: bool
    time: float
    port: int
    channel: int
    exchange: str = ""
    key: str = ""
    queue: str = ""
    tag: int = 0
    multiple: bool = False
    requeue: bool = False
    redelivered: bool = False
    mandatory: bool = False
    no_ack: bool = False
    consumer: str = ""
    reason: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""
    size: int = 0


Listener = Callable[[Seen], None]
_lock = threading.Lock()
_listeners: list[_Ears] = []
_untouched: list[tuple[type, str, Any]] = []


@contextlib.contextmanager
def witness(listener: Listener, *, but: int | None = None) -> Iterator[None]:
    """Tell ``listener`` of all that is said and heard while the block runs, on any thread.

    What is said is told before it is sent.
    The connection at the port ``but`` is not listened to.
    """
    ears = _Ears(listener, but)
    with _lock:
        _listeners.append(ears)
        if len(_listeners) == 1:
            _bend()
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(ears)
            if not _listeners:
                _straighten()


def port_of(thing: object) -> int | None:
    """Return the local port of a connection, or of what uses one; None if it has none now.

    ``thing`` is an AMQPStorm connection or channel, an RpcClient or an RpcServer.
    """
    for inside in ("_link", "_standing", "transport", "_connection"):
        if not hasattr(thing, "socket"):
            thing = getattr(thing, inside, None) or thing
    return _port(getattr(thing, "socket", None))


class _Ears:
    """Frames put together for one listener, which must not disturb whoever speaks."""

    def __init__(self, listener: Listener, but: int | None) -> None:
        self._tell = listener
        self._deaf_to = (None, but)
        self._lock = threading.Lock()
        self._bytes: dict[tuple[int, bool], bytes] = {}
        self._again: dict[int | None, int] = {}
        self._open: dict[tuple[int, bool, int], tuple[Seen, int]] = {}

    def hear(self, port: int | None, out: bool, data: bytes, before: bytes = b"") -> None:
        """Take bytes of one direction; ``before`` is what of the frame had come earlier."""
        if port is None or port in self._deaf_to:
            return
        with self._lock, contextlib.suppress(Exception):
            if out and (known := self._again.pop(port, 0)):
                data = data[known:]
            data = self._bytes.pop((port, out), before) + data
            if data.startswith(b"AMQP"):
                data = data[8:]
            at = 0
            while len(data) - at >= frames.OVERHEAD:
                kind, number, size = frames.FRAME.unpack_from(data, at)
                if kind not in (1, 2, 3, 8):  # we came in the middle of a frame
                    return
                after = at + size + frames.OVERHEAD
                if after > len(data):
                    break
                self._take(port, out, number, kind, data[at:after])
                at = after
            self._bytes[port, out] = data[at:]

    def hears_again(self, port: int | None, size: int) -> None:
        """Pass over the next bytes said: they were told before, and could not be sent at once."""
        with self._lock:
            self._again[port] = size

    def whole(self, port: int | None, number: int, kind: int, payload: bytes) -> None:
        """Take one frame that was heard."""
        if port is not None and port not in self._deaf_to:
            with self._lock, contextlib.suppress(Exception):
                self._take(port, False, number, kind, frames.frame(kind, number, payload))

    def _take(self, port: int, out: bool, number: int, kind: int, frame: bytes) -> None:
        where = port, out, number
        if kind == frames.METHOD:
            if (seen := _seen(port, out, number, frame)) is None:
                return
            if seen.kind in _WITH_CONTENT:
                self._open[where] = seen, -1
            else:
                self._tell(seen)
        elif kind in (frames.HEADER, frames.BODY) and where in self._open:
            seen, left = self._open.pop(where)
            if kind == frames.HEADER:
                left = frames.body_size(frame[7:-1])
                seen = replace(seen, properties=_properties(frame), size=left)
            else:
                left -= len(frame) - frames.OVERHEAD
                seen = replace(seen, body=(seen.body + frame[7:-1])[:KEPT])
            if left > 0:
                self._open[where] = seen, left
            else:
                self._tell(seen)


def _seen(port: int, out: bool, number: int, frame: bytes) -> Seen | None:
    found: Any = pamqp_frames.unmarshal(frame)[2]
    kind = _KINDS.get(found.name)
    if kind is None:
        return None
    return Seen(
        kind=kind,
        out=out,
        time=time.monotonic(),
        port=port,
        channel=number,
        exchange=getattr(found, "exchange", None) or "",
        key=getattr(found, "routing_key", None) or "",
        queue=getattr(found, "queue", None) or "",
        tag=getattr(found, "delivery_tag", None) or 0,
        multiple=bool(getattr(found, "multiple", False)),
        requeue=bool(getattr(found, "requeue", False)),
        redelivered=bool(getattr(found, "redelivered", False)),
        mandatory=bool(getattr(found, "mandatory", False)),
        no_ack=bool(getattr(found, "no_ack", False)),
        consumer=getattr(found, "consumer_tag", None) or "",
        reason=getattr(found, "reply_text", None) or "",
    )


def _properties(frame: bytes) -> dict[str, Any]:
    found: Any = pamqp_frames.unmarshal(frame)[2]
    return {name: value for name, value in found.properties if value not in (None, "")}


# The places where all bytes pass. They belong to classes, so a connection that is open already
# is heard as well; our own inbound thread waits inside of ``recv``, so its frames are taken later.


def _bend() -> None:
    def put(cls: type, name: str, made: Any) -> None:
        _untouched.append((cls, name, cls.__dict__[name]))
        setattr(cls, name, made)

    write, receive, take = IO.write_to_socket, IO._receive, Channel.take
    at_once = Writer._sent_at_once

    def write_to_socket(self: IO, frame_data: bytes) -> None:
        _all(lambda ears: ears.hear(_port(self.socket), True, bytes(frame_data)))
        write(self, frame_data)

    def _receive(self: IO) -> bytes:
        data = receive(self)
        if data and not isinstance(getattr(self._on_read_impl, "__self__", None), Connection):
            port, before = _port(self.socket), self.data_in
            _all(lambda ears: ears.hear(port, False, data, before))
        return data

    def taken(self: Channel, kind: int, payload: bytes) -> bool:
        port = _port(self._connection.socket)
        _all(lambda ears: ears.whole(port, self.channel_id, kind, payload))
        return take(self, kind, payload)

    def _sent_at_once(sock: Any, data: bytes) -> bytes:
        port = _port(sock)
        _all(lambda ears: ears.hear(port, True, data))
        rest = at_once(sock, data)
        _all(lambda ears: ears.hears_again(port, len(rest)))
        return rest

    put(IO, "write_to_socket", write_to_socket)
    put(IO, "_receive", _receive)
    put(Channel, "take", taken)
    put(Writer, "_sent_at_once", staticmethod(_sent_at_once))


def _straighten() -> None:
    while _untouched:
        cls, name, was = _untouched.pop()
        setattr(cls, name, was)


def _all(tell: Callable[[_Ears], None]) -> None:
    for ears in tuple(_listeners):
        tell(ears)


def _port(sock: Any) -> int | None:
    try:
        return int(sock.getsockname()[1])
    except (AttributeError, OSError, ValueError, IndexError, TypeError):
        return None
