"""AMQPStorm as we need it: event-driven, prompt to notice a loss, bounded in every wait.

The only module that knows AMQPStorm, and the only one that relies on its inside; proven
on the version that ``PROVEN_ON`` names. It changes five things:

1. Frames are put together in the inbound thread and handed over at once; AMQPStorm's own
   consumers look for them every 10 ms, and its synchronous calls for their answers.
2. A dead socket is noticed when the operating system says so. ``Connection.open`` gives
   the inbound thread one list of errors and looks into another; here it is one list, and
   it calls us.
3. TCP_NODELAY, without which a reply and its ack wait 40 ms for each other.
4. Confirms and returns are handed over by delivery tag, not by the name of their frame.
5. What cannot be decoded arrives as a delivery with a ``problem``, and not as the end of
   the connection.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from amqpstorm.channel import Channel as StormChannel
from amqpstorm.connection import Connection as StormConnection
from amqpstorm.exception import AMQPChannelError, AMQPError
from amqpstorm.heartbeat import Heartbeat
from amqpstorm.rpc import Rpc
from pamqp import commands
from pamqp import frame as frames
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from . import topology
from .confirms import Confirms, Outcome
from .errors import BrokerError, BrokerRefused, NoWorker, RpcError
from .messages import LARGEST, Message
from .settings import Address

log = logging.getLogger("chatrpc.transport")
logging.getLogger("amqpstorm").setLevel(logging.CRITICAL)  # it logs a traceback for every loss

PROVEN_ON = "3.1.4"
"""The version of AMQPStorm whose inside this module knows."""

_HEADER = struct.Struct(">BHI")
_CONTENT_HEADER, _OVERHEAD = 2, 8
_LARGEST_BODY = LARGEST + 64 * 1024


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that the broker handed to a consumer, to be acknowledged by its tag.

    ``problem`` says why the message could not be read; its fields are then empty.
    """

    message: Message
    tag: int
    redelivered: bool
    problem: str = ""
    key: str = ""


class _Alarm(list[Exception]):
    """AMQPStorm's list of errors; it tells of the first that is put in."""

    def __init__(self, ring: Callable[[Exception], None]) -> None:
        super().__init__()
        self._ring = ring

    def append(self, error: Exception) -> None:
        super().append(error)
        if len(self) == 1:
            self._ring(error)


class _Writer:
    """Whoever writes also sends what others queued meanwhile, so nobody waits for a lock."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._queue: collections.deque[bytes] = collections.deque()
        self._lock = threading.Lock()
        self.since: float | None = None

    def add(self, data: bytes) -> None:
        self._queue.append(data)

    def flush(self) -> None:
        while self._queue and self._lock.acquire(blocking=False):
            try:
                parts = [self._queue.popleft() for _ in range(len(self._queue))]
                self.since = time.monotonic()
                self._send(b"".join(parts))
            finally:
                self.since = None
                self._lock.release()


class _LifeSigns(Heartbeat):
    """AMQPStorm's heartbeat, which also notices a write that has been stuck for its length."""

    writer: _Writer

    def _check_for_life_signs(self) -> bool:
        since, patience = self.writer.since, (self._interval or 0) * 2
        if since is not None and time.monotonic() - since > patience:
            self._raise_or_append_exception()
            return False
        return super()._check_for_life_signs()


class _EventRpc(Rpc):
    """AMQPStorm's synchronous calls, woken by the answer instead of every 10 ms."""

    def __init__(self, adapter: Any, timeout: float) -> None:
        super().__init__(adapter, timeout)
        self.news = threading.Event()

    def on_frame(self, frame_in: Any) -> bool:
        taken = super().on_frame(frame_in)
        if taken:
            self.news.set()
        return taken

    def _wait_for_request(self, uuid: str, connection_adapter: Any = None) -> None:
        adapter = connection_adapter or self._default_connection_adapter
        end = time.monotonic() + self._timeout
        while True:
            self.news.clear()
            if self._response[uuid]:
                return
            adapter.check_for_errors()
            left = end - time.monotonic()
            if left <= 0:
                self._raise_rpc_timeout_error(uuid)
            self.news.wait(min(left, 0.25))


class _Unreadable:
    """A content header that pamqp cannot decode; the size of its body is all we know."""

    name = "ContentHeader"
    properties = None

    def __init__(self, data: memoryview) -> None:
        (self.body_size,) = struct.unpack_from(">Q", data, 7 + 4)


class Channel(StormChannel):
    """A channel that hands over whole deliveries, confirms and returns as they arrive.

    The callbacks run on the inbound thread: they must be quick and must not raise.
    """

    def __init__(self, number: int, connection: _Connection, rpc_timeout: float) -> None:
        super().__init__(number, connection, rpc_timeout)
        self.rpc = self._answers = _EventRpc(self, rpc_timeout)
        self.on_delivery: Callable[[Delivery], None] = lambda delivery: None
        self.on_outcome: Callable[[str, Outcome], None] = lambda id, outcome: None
        self.on_end: Callable[[Exception], None] = lambda error: None
        self._writer = connection.writer
        self._order = threading.Lock()
        self._confirms: Confirms | None = None
        self._over = False
        self._method: Any = None
        self._properties: Any = None
        self._missing = 0
        self._too_large = False
        self._parts: list[bytes] = []

    def patience(self, seconds: float) -> None:
        """Wait so long for the answers of synchronous calls from now on."""
        self._answers._timeout = seconds

    def confirm(self) -> None:
        """Ask the broker to confirm every publish from now on."""
        self.rpc_request(commands.Confirm.Select())
        self._confirms = Confirms()

    def publish(
        self, id: str, message: Message, *, exchange: str, key: str, mandatory: bool
    ) -> bool:
        """Send a message, without waiting; False if this channel is over.

        Its outcome comes to ``on_outcome`` under the id; without ``confirm`` only a return
        does. A ``mandatory`` message is returned if it finds no queue; its correlation id
        must then be the id.
        """
        publish = commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
        data = _marshal(self.channel_id, self._connection.max_frame_size, publish, message)
        with self._order:
            if self._over:
                return False
            if self._confirms is not None:
                self._confirms.publishing(id)
            self._writer.add(data)
        self._writer.flush()
        return True

    def ack(self, tag: int) -> None:
        """Tell the broker that a delivery is done with."""
        self._send(commands.Basic.Ack(delivery_tag=tag))

    def reject(self, tag: int) -> None:
        """Give a delivery up: it goes to the dead letters."""
        self._send(commands.Basic.Reject(delivery_tag=tag, requeue=False))

    def lost(self) -> list[str]:
        """End the channel; return the ids of all publishes that the broker has not spoken of."""
        with self._order:
            self._over = True
            return [] if self._confirms is None else self._confirms.lost()

    def _send(self, frame: Any) -> None:
        self._writer.add(frames.marshal(frame, self.channel_id))
        self._writer.flush()

    def on_frame(self, frame_in: Any) -> None:
        """Take a frame, on the inbound thread."""
        name = frame_in.name
        if name in ("Basic.Deliver", "Basic.Return"):
            self._method = frame_in
        elif name == "ContentHeader":
            self._properties, self._missing = frame_in.properties, frame_in.body_size
            self._too_large, self._parts = frame_in.body_size > _LARGEST_BODY, []
            self._complete()
        elif name == "ContentBody":
            self._missing -= len(frame_in.value)
            if not self._too_large:
                self._parts.append(frame_in.value)
            self._complete()
        elif name in ("Basic.Ack", "Basic.Nack"):
            self._settle(frame_in, ok=name == "Basic.Ack")
        elif name == "Basic.Cancel":
            self.on_end(BrokerError("the broker ended the consumer: its queue is gone"))
        elif name == "Channel.Close":
            super().on_frame(frame_in)
            self._answers.news.set()
            self.on_end(self.exceptions[-1])
        else:
            super().on_frame(frame_in)

    def _complete(self) -> None:
        if self._missing > 0:
            return
        method, properties, body = self._method, self._properties, b"".join(self._parts)
        self._method, self._properties, self._parts = None, None, []
        problem, message = "", Message(b"")
        if self._too_large:
            problem = f"the message is over {LARGEST:,} bytes"
        else:
            try:
                message = _message(properties, body)
            except (AttributeError, TypeError, ValueError):
                problem = "the message's properties cannot be read"
        if method.name == "Basic.Deliver":
            delivery = Delivery(
                message, method.delivery_tag, method.redelivered, problem, method.routing_key
            )
            self.on_delivery(delivery)
        else:
            self._returned(message.correlation_id)

    def _returned(self, id: str) -> None:
        if self._confirms is None:
            self.on_outcome(id, Outcome.RETURNED)
        else:
            with self._order:
                self._confirms.returned(id)

    def _settle(self, frame_in: Any, *, ok: bool) -> None:
        if self._confirms is None:
            return
        with self._order:
            settled = self._confirms.answered(
                frame_in.delivery_tag, multiple=frame_in.multiple, ok=ok
            )
        for id, outcome in settled:
            self.on_outcome(id, outcome)


def _marshal(number: int, frame_max: int, publish: Any, message: Message) -> bytes:
    properties = commands.Basic.Properties(
        content_type="application/json",
        correlation_id=message.correlation_id or None,
        message_id=message.message_id or None,
        reply_to=message.reply_to or None,
        user_id=message.user_id or None,
        expiration=None if message.expiration is None else str(message.expiration),
        headers=dict(message.headers) or None,
        delivery_mode=2,
    )
    body, piece = message.body, frame_max - _OVERHEAD
    parts = [publish, ContentHeader(body_size=len(body), properties=properties)]
    parts += [ContentBody(body[at : at + piece]) for at in range(0, len(body), piece)]
    return b"".join(frames.marshal(part, number) for part in parts)


def _message(properties: Any, body: bytes) -> Message:
    expiration = properties.expiration
    return Message(
        body=body,
        correlation_id=properties.correlation_id or "",
        message_id=properties.message_id or "",
        reply_to=properties.reply_to or "",
        user_id=properties.user_id or "",
        expiration=int(expiration) if expiration and expiration.isdecimal() else None,
        headers=properties.headers or {},
    )


class _Connection(StormConnection):
    """One connection whose loss is noticed at once, and told once."""

    def __init__(self, address: Address, *, lost: Callable[[Exception], None], **options: Any):
        self._lost = lost
        self.reached = False
        self.writer = _Writer(lambda data: self._io.write_to_socket(data))
        super().__init__(
            address.host,
            address.user,
            address.password,
            port=address.port,
            virtual_host=address.vhost,
            ssl=address.tls,
            poller="poll",
            lazy=True,
            **options,
        )
        self.heartbeat = _LifeSigns(self.parameters["heartbeat"], self._channel0.send_heartbeat)
        self.heartbeat.writer = self.writer

    def _send_handshake(self) -> None:
        self.reached = True
        alarm = _Alarm(self._ring)
        self._exceptions = self._io._exceptions = alarm
        if self._io.poller is not None:
            self._io.poller._exceptions = alarm
        if self.socket is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._send_handshake()

    def _ring(self, error: Exception) -> None:
        self.abort()
        self._lost(error)

    def abort(self) -> None:
        """Shut the socket, so that nothing waits for it any more."""
        if (sock := self.socket) is not None:
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def write_frame(self, channel_id: int, frame_out: Any) -> None:
        self._write(frames.marshal(frame_out, channel_id))

    def write_frames(self, channel_id: int, frames_out: list[Any]) -> None:
        self._write(b"".join(frames.marshal(frame, channel_id) for frame in frames_out))

    def _write(self, data: bytes) -> None:
        self.heartbeat.register_write()
        self.writer.add(data)
        self.writer.flush()

    def channel(self, rpc_timeout: float = 5, lazy: bool = False) -> Channel:
        with self.lock:
            number = self._get_next_available_channel_id()
            channel = self._channels[number] = Channel(number, self, rpc_timeout)
            channel.open()
        return channel

    def _read_buffer(self, data_in: bytes) -> bytes:
        at, end = 0, len(data_in)
        while end - at >= _OVERHEAD:
            kind, number, size = _HEADER.unpack_from(data_in, at)
            if kind not in (1, 2, 3, 8):
                raise BrokerError("what answers there does not speak AMQP")
            after = at + size + _OVERHEAD
            if after > end:
                break
            self._dispatch(number, self._unmarshal(kind, data_in[at:after]))
            at = after
        return data_in[at:]

    def _unmarshal(self, kind: int, data: bytes) -> Any:
        try:
            return frames.unmarshal(data)[2]
        except Exception:  # pamqp raises many kinds for what a stranger can send
            if kind != _CONTENT_HEADER:
                raise
            return _Unreadable(memoryview(data))

    def _dispatch(self, number: int, frame_in: Any) -> None:
        self.heartbeat.register_read()
        if number == 0:
            self._channel0.on_frame(frame_in)
            if frame_in.name == "Connection.Close" and not self.exceptions:
                self.exceptions.append(BrokerError("the broker closed the connection"))
        elif (channel := self._channels.get(number)) is not None:
            channel.on_frame(frame_in)


class Transport:
    """One connection to the broker, and what can be asked over it.

    Args:
        address: whom to dial, and as whom.
        lost: called once, on any thread, when the connection has ended, for whatever reason.
        heartbeat: seconds of silence between signs of life; a stall shows after 1.5 of them.
        dial: seconds that the dial may take in all.
        ca: file of the authority that signed the broker's certificate.
    """

    def __init__(
        self,
        address: Address,
        *,
        lost: Callable[[Exception], None],
        heartbeat: int = 4,
        dial: float = 5.0,
        ca: str | None = None,
    ) -> None:
        self.address = address
        self._dial = dial
        tls = _tls(address, ca) if address.tls else {}
        self._connection = _Connection(
            address,
            lost=lambda error: lost(_told(address, error)),
            heartbeat=heartbeat,
            timeout=dial,
            ssl_options=tls,
        )
        self._asking: Channel | None = None
        self._ask_lock = threading.Lock()

    def open(self) -> None:
        """Dial.

        Raises:
            BrokerRefused: wrong user, password, virtual host or certificate.
            BrokerError: nobody answers, or not in time, or it is no RabbitMQ.
        """
        with _translated(self.address), _guard(self._dial, self._connection.abort):
            self._connection.open()

    @property
    def reached(self) -> bool:
        """Whether anybody took the dial, a broker or not."""
        return self._connection.reached

    @property
    def version(self) -> str:
        """The broker's version, as it greeted us; empty before ``open``."""
        return str(self._connection.server_properties.get("version", ""))

    def channel(self) -> Channel:
        """Open a channel."""
        with _translated(self.address):
            return self._connection.channel()

    def declare(self, what: topology.Declaration) -> None:
        """Make sure that an exchange, a queue or a binding exists.

        Raises:
            BrokerRefused: it exists with other arguments, or this user may not make it.
        """
        if isinstance(what, topology.Exchange):
            self._declare_exchange(what)
            return
        with self._question() as channel:
            if isinstance(what, topology.Queue):
                channel.queue.declare(what.name, durable=True, arguments=dict(what.arguments))
            else:
                channel.queue.bind(what.queue, what.exchange, what.key, dict(what.arguments))

    def _declare_exchange(self, what: topology.Exchange) -> None:
        # A user with few rights may use an exchange that it may not declare.
        try:
            with self._question() as channel:
                channel.exchange.declare(what.name, what.kind, passive=True)
        except NoWorker:
            with self._question() as channel:
                channel.exchange.declare(what.name, what.kind, durable=True)

    def consume(self, channel: Channel, queue: str, *, prefetch: int, no_ack: bool) -> None:
        """Have a queue's messages delivered to a channel, ``prefetch`` at a time (0: all).

        Raises:
            NoWorker: there is no such queue.
        """
        with _translated(self.address):
            if prefetch:
                channel.basic.qos(prefetch)
            channel.basic.consume(queue=queue, no_ack=no_ack)

    def stop_consuming(self, channel: Channel, *, timeout: float) -> None:
        """Have no more messages delivered to a channel; a broker that is silent is left."""
        with _guard(timeout, self.abort), contextlib.suppress(AMQPError):
            channel.stop_consuming()

    def look(self, queue: str, *, timeout: float = 2.0) -> tuple[int, int]:
        """Return how many messages wait in a queue, and how many consumers it has.

        Raises:
            NoWorker: there is no such queue.
            BrokerError: no answer within ``timeout`` seconds.
        """
        with self._question(timeout) as channel:
            found = channel.queue.declare(queue, passive=True)
        return int(found["message_count"]), int(found["consumer_count"])

    def delete(self, queue: str, *, timeout: float = 2.0) -> None:
        """Delete a queue; one that is not there is deleted already.

        Raises:
            BrokerError: no answer within ``timeout`` seconds.
        """
        with self._question(timeout) as channel:
            channel.queue.delete(queue)

    @contextlib.contextmanager
    def _question(self, timeout: float = 5.0) -> Iterator[Channel]:
        # The broker closes a channel that asked for what is not there, and an answer that
        # comes too late would be taken for the next question's: so questions have a
        # channel of their own, and after any error a new one.
        if not self._ask_lock.acquire(timeout=timeout):
            raise BrokerError(f"the broker at {self.address} does not answer")
        try:
            with _translated(self.address):
                channel = self._asking or self._connection.channel(rpc_timeout=5)
                channel.patience(timeout)
                self._asking = None
                yield channel
                self._asking = channel
        finally:
            self._ask_lock.release()

    def abort(self) -> None:
        """End the connection at once, unasked: ``lost`` is told."""
        self._connection.abort()

    def close(self, timeout: float = 1.0) -> None:
        """End the connection, politely within ``timeout`` seconds and rudely after them."""
        try:
            with _guard(timeout, self._connection.abort):
                self._connection.close()
        except (AMQPError, OSError, KeyError, RuntimeError) as error:
            # A broker that goes meanwhile makes AMQPStorm trip over its own table of channels.
            log.debug("closing %s: %r", self.address, error)


@contextlib.contextmanager
def _guard(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _translated(address: Address) -> Iterator[None]:
    try:
        yield
    except (AMQPError, OSError) as error:
        raise _told(address, error) from None


def _told(address: Address, error: Exception) -> RpcError:
    """Return AMQPStorm's error as one of ours: one sentence, no password."""
    if isinstance(error, RpcError):
        return error
    code = getattr(error, "error_code", None)
    text = str(error).replace(address.password, "***") if address.password else str(error)
    if code == 404 and isinstance(error, AMQPChannelError):
        return NoWorker(f"the broker has no such queue or exchange: {text}")
    if code == 403 and "ACCESS_REFUSED - Login" in text:
        return BrokerRefused(f"the broker at {address} refuses this user or password")
    if code == 530 or (code in (402, 403) and "vhost" in text):
        return BrokerRefused(f"the broker refuses the virtual host {address.vhost!r} to {address}")
    if code == 403:
        advice = "Ask whoever runs the broker for the permission."
        return BrokerRefused(f"the broker at {address} refuses: {text}", advice=advice)
    if code in (405, 406):
        advice = "It was made with other settings or is somebody else's: delete it, or use another."
        return BrokerRefused(f"the broker at {address} refuses: {text}", advice=advice)
    if isinstance(error, ssl.SSLError) or "CERTIFICATE" in text.upper():
        return BrokerRefused(f"the certificate of {address} cannot be trusted: {text}")
    return BrokerError(f"no connection to the broker at {address}: {text}")


def _tls(address: Address, ca: str | None) -> dict[str, Any]:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise BrokerRefused(f"the file that CHATRPC_CA names cannot be read: {error}") from None
    return {"context": context, "server_hostname": address.host}
