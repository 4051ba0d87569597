"""One channel: whole deliveries, confirms and returns, handed over as they arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpstorm.channel import Channel as StormChannel
from amqpstorm.rpc import Rpc
from pamqp import commands
from pamqp import frame as pamqp_frames

from .. import frames, topology
from ..acks import Acks
from ..confirms import Confirms, Outcome
from ..errors import BrokerError
from ..frames import Delivery
from ..messages import LARGEST, Message
from .news import News

if TYPE_CHECKING:
    from .connection import Connection

_LARGEST_BODY = LARGEST + 64 * 1024


class _EventRpc(Rpc):
    """AMQPStorm's synchronous calls, woken by the answer instead of every 10 ms."""

    def __init__(self, adapter: Any, timeout: float) -> None:
        super().__init__(adapter, timeout)
        self.news = News()

    def on_frame(self, frame_in: Any) -> bool:
        taken = super().on_frame(frame_in)
        if taken:
            self.news.set()
        return taken

    def _wait_for_request(self, uuid: str, connection_adapter: Any = None) -> None:
        adapter = connection_adapter or self._default_connection_adapter
        if not self.news.until(
            lambda: self._response[uuid], self._timeout, adapter.check_for_errors
        ):
            self._raise_rpc_timeout_error(uuid)


class Channel(StormChannel):
    """A channel that hands over whole deliveries, confirms and returns as they arrive.

    The callbacks run on the thread that reads: they must be quick and must not raise.
    """

    def __init__(self, number: int, connection: Connection, rpc_timeout: float) -> None:
        super().__init__(number, connection, rpc_timeout)
        self.rpc = self._answers = _EventRpc(self, rpc_timeout)
        self.on_delivery: Callable[[Delivery], None] = lambda delivery: None
        self.on_outcome: Callable[[str, Outcome], None] = lambda id, outcome: None
        self.on_end: Callable[[Exception], None] = lambda error: None
        self.named_by = "correlation_id"
        self.cancelled = False
        self.acknowledges = False
        self._writer, self._fail = connection.writer, connection.fail
        self._order = threading.Lock()
        self._confirms: Confirms | None = None
        self._acks, self._telling = Acks(), False
        self._over = False
        self._method = self._header = b""
        self._missing = 0
        self._too_large = False
        self._parts: list[bytes] = []

    def patience(self, seconds: float) -> None:
        """Wait so long for the answers of synchronous calls from now on."""
        self._answers._timeout = seconds

    def confirm(self) -> None:
        """Have the broker confirm every publish from now on."""
        self.write_frame(commands.Confirm.Select(nowait=True))
        self._confirms = Confirms()

    def declare(self, what: topology.Queue | topology.Binding, *, wait: bool) -> None:
        """Declare a queue or a binding, and ``wait`` for the broker's word, or do not."""
        arguments: Any = dict(what.arguments)
        frame: Any
        if isinstance(what, topology.Queue):
            frame = commands.Queue.Declare(queue=what.name, durable=True, arguments=arguments)
        else:
            frame = commands.Queue.Bind(
                queue=what.queue, exchange=what.exchange, routing_key=what.key, arguments=arguments
            )
        frame.nowait = not wait
        (self.rpc_request if wait else self.write_frame)(frame)

    def check_for_errors(self) -> None:
        """Raise the channel's own error, if it has one, or else the connection's.

        Not in AMQPStorm's order: a link that hears of the first ends the connection for it.
        """
        self.check_for_exceptions()
        super().check_for_errors()

    def publish(
        self,
        id: str,
        message: Message,
        *,
        exchange: str,
        key: str,
        mandatory: bool,
        done: int | None = None,
        soon: bool = True,
    ) -> bool:
        """Send a message, without waiting; False if this channel is over.

        Its outcome comes to ``on_outcome`` under the id; without ``confirm`` only a return
        does. A ``mandatory`` message is returned if it finds no queue; its property
        ``named_by`` must then be the id. ``done`` is the tag of a delivery to acknowledge with it.
        Not ``soon``: with the next write, or ``flush``.
        """
        number = self._channel_id
        data = frames.publish(number, exchange, key, mandatory) + frames.content(
            number, message, self._connection.max_frame_size
        )
        try:
            with self._order:
                if self._over:
                    return False
                if self._confirms is not None:
                    self._confirms.publishing(id)
                self._writer.add(data)
                if done is not None:
                    self.ack(done, soon=False)
        except BaseException as error:  # Ctrl-C: nobody knows which message has which tag
            self._fail(error)
            raise
        if soon:
            self.flush()
        return True

    def flush(self) -> None:
        """Send what waits for the next write."""
        try:
            self._writer.flush()
        except BaseException as error:  # Ctrl-C: of others' messages, too, nobody knows what went
            self._fail(error)
            if not isinstance(error, Exception):
                raise

    def ack(self, tag: int, *, soon: bool = True) -> None:
        """Tell the broker that a delivery is done with; not ``soon``: with the next write.

        Something is written twice a heartbeat at least.
        """
        self._acks.done(tag)
        self._tell()
        if soon:
            self.flush()

    def reject(self, tag: int) -> None:
        """Give a delivery up: it goes to the dead letters."""
        self._acks.reject(tag)
        self._tell()
        self.flush()

    def cancel_unasked(self, tag: str) -> None:
        """End a consumer without waiting for the broker's word."""
        self.write_frame(commands.Basic.Cancel(tag, nowait=True))
        self.remove_consumer_tag(tag)

    def lost(self) -> list[str]:
        """End the channel; return the ids of all publishes that the broker has not spoken of."""
        with self._order:
            self._over = True
            return [] if self._confirms is None else self._confirms.lost()

    def take(self, kind: int, payload: bytes) -> bool:
        """Take a frame on the thread that reads; False if it is one for AMQPStorm."""
        if kind == frames.BODY:
            self._missing -= len(payload)
            if not self._too_large:
                self._parts.append(payload)
            if self._missing <= 0:
                self._complete(b"".join(self._parts))
        elif kind == frames.HEADER:
            self._header, self._parts = payload, []
            self._missing = frames.body_size(payload)
            self._too_large = self._missing > _LARGEST_BODY
            if not self._missing:
                self._complete(b"")
        else:
            method = payload[:4]
            if method in (frames.DELIVER, frames.RETURN):
                self._method = payload
            elif method in (frames.ACK, frames.NACK):
                self._settle(payload, ok=method == frames.ACK)
            else:
                return False
        return True

    def on_frame(self, frame_in: Any) -> None:
        """Take any other frame, as AMQPStorm has read it, on the thread that reads."""
        if frame_in.name == "Basic.Cancel":
            self.cancelled = True
            self.on_end(BrokerError("the broker ended the consumer: its queue is gone"))
            return
        super().on_frame(frame_in)
        if frame_in.name == "Channel.Close":
            self._answers.news.set()
            self.on_end(self.exceptions[-1])

    def _complete(self, body: bytes) -> None:
        problem, message = "", Message(b"")
        try:
            message = _message(self._header, body)
        except Exception:  # noqa: BLE001 (pamqp raises many kinds for what a stranger can send)
            problem = "the message's properties cannot be read"
        if self._too_large:
            problem = f"the message is over {LARGEST:,} bytes"
        if self._method.startswith(frames.DELIVER):
            consumer, tag, redelivered, key = frames.delivered(self._method)
            if self.acknowledges:
                self._acks.delivered(tag)
            self.on_delivery(Delivery(message, tag, redelivered, problem, key, consumer))
        elif self._confirms is None:
            self.on_outcome(getattr(message, self.named_by), Outcome.RETURNED)
        else:
            with self._order:
                self._confirms.returned(getattr(message, self.named_by))

    def _tell(self) -> None:
        if not self._telling:  # else the next write asks anyway
            self._telling = True
            self._writer.add(self._told)

    def _told(self) -> bytes:
        self._telling = False  # before it looks, so that nothing is missed
        told, number = self._acks.told(), self._channel_id
        acks = b"".join([frames.ack(number, tag) for tag in told.single])
        if told.up_to:
            acks = frames.ack(number, told.up_to, multiple=True) + acks
        if told.rejected:
            acks = b"".join([frames.reject(number, tag) for tag in told.rejected]) + acks
        return acks

    def _settle(self, method: bytes, *, ok: bool) -> None:
        if self._confirms is None:
            return
        tag, multiple = frames.settlement(method)
        with self._order:
            settled = self._confirms.answered(tag, multiple=multiple, ok=ok)
        for id, outcome in settled:
            self.on_outcome(id, outcome)


def _message(header: bytes, body: bytes) -> Message:
    """Return a message; pamqp reads what we do not."""
    try:
        return frames.message(header, body)
    except frames.Unusual:
        data = frames.frame(frames.HEADER, 1, header)
        found: Any = pamqp_frames.unmarshal(data)[2]
        found = found.properties
    expiration = found.expiration
    return Message(
        body=body,
        correlation_id=found.correlation_id or "",
        message_id=found.message_id or "",
        reply_to=found.reply_to or "",
        user_id=found.user_id or "",
        expiration=int(expiration) if expiration and expiration.isdecimal() else None,
        headers=found.headers or {},
    )
