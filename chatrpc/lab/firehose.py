"""Every hop of every message, as the broker itself saw it.

RabbitMQ's firehose copies each publish and each delivery to the exchange amq.rabbitmq.trace.
It shows no ack, no return and no dead letter; and a reply to amq.rabbitmq.reply-to appears as
its publish alone, since no queue lies between.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BrokerError, NoWorker
from ..messages import Message
from ..settings import Settings
from ..topology import request_queue
from ..transport import Delivery, Transport
from .problem import LabProblem

EXCHANGE = "amq.rabbitmq.trace"
BODY = 4096
"""Bytes of a body that are kept."""
KEPT = 10_000
"""Hops that are kept; the rest is counted."""
MARK = "chatrpc.trace."
QUIET = 0.06
"""Seconds of silence after which nothing more is expected."""

OFF = (
    "Tracing is off on this broker, so nothing can be seen of its messages: "
    "type rabbitmqctl trace_on there, or use the kit's own broker (chatrpc broker start)."
)
FORBIDDEN = (
    "This broker does not let us see its messages: its user may not read amq.rabbitmq.trace. "
    "Use the kit's own broker (chatrpc broker start)."
)


@dataclass(frozen=True)
class Hop:
    """One step of one message: ``kind`` is publish (into the broker) or deliver (out of it).

    ``time`` is when we heard of it, in seconds of ``time.monotonic``; ``body`` is bounded,
    ``size`` is its true length in bytes. ``queue`` belongs to a delivery, ``routed`` to a publish.
    """

    kind: str
    time: float
    exchange: str
    routing_key: str
    queue: str
    routed: tuple[str, ...]
    connection: str
    user: str
    redelivered: bool
    properties: Mapping[str, Any]
    body: bytes
    size: int

    @property
    def correlation_id(self) -> str:
        """The id that ties a reply to its request, or nothing."""
        return str(self.properties.get("correlation_id") or "")

    @property
    def message_id(self) -> str:
        """The message's own id, or nothing."""
        return str(self.properties.get("message_id") or "")

    @property
    def reply_to(self) -> str:
        """Where an answer is wanted, or nothing."""
        return str(self.properties.get("reply_to") or "")

    @property
    def body_text(self) -> str:
        """The body as text; what is not UTF-8 is seen to be not."""
        return self.body.decode("utf-8", "backslashreplace")

    @property
    def identity(self) -> tuple[object, ...]:
        """What a publish and its deliveries have in common."""
        ids = (self.correlation_id, self.message_id, self.reply_to)
        return (self.exchange, self.routing_key, *ids, self.size, self.body)


def read_hop(key: str, headers: Mapping[str, Any], body: bytes) -> Hop:
    """Make a Hop of one message from the trace exchange."""
    kind, _, place = key.partition(".")
    keys = headers.get("routing_keys") or [""]
    return Hop(
        kind=kind,
        time=time.monotonic(),
        exchange=_text(headers.get("exchange_name")),
        routing_key=_text(keys[0]),
        queue=place if kind == "deliver" else "",
        routed=tuple(_text(q) for q in headers.get("routed_queues") or ()),
        connection=_text(headers.get("connection")),
        user=_text(headers.get("user")),
        redelivered=bool(headers.get("redelivered")),
        properties={k: _plain(v) for k, v in (headers.get("properties") or {}).items()},
        body=body[:BODY],
        size=len(body),
    )


class Filter:
    """Keeps what has to do with one queue or one service: its requests and their replies."""

    def __init__(self, name: str | None) -> None:
        self.places = {name, request_queue(name)} if name else None
        self.asked: set[str] = set()

    def __call__(self, hop: Hop) -> bool:
        """Say whether the hop is kept."""
        if hop.routing_key.startswith(MARK):
            return False
        if self.places is None:
            return True
        wanted = bool(self.places & {hop.queue, hop.routing_key, *hop.routed})
        if wanted and hop.reply_to:
            self.asked.add(hop.reply_to)
        return wanted or hop.routing_key in self.asked or hop.queue in self.asked


class Firehose:
    """``with Firehose() as firehose: …`` collects every hop into ``firehose.hops``.

    ``only`` keeps one queue or one service and its replies; ``on_hop`` is called for each hop
    that is kept, on the connection's thread, so it must be quick. ``left_out`` counts hops
    beyond what is kept, ``unreadable`` messages that could not be decoded.

    Raises:
        LabProblem: the broker is away, or does not permit or does not do tracing.
    """

    def __init__(
        self,
        *,
        only: str | None = None,
        url: str | None = None,
        on_hop: Callable[[Hop], None] | None = None,
    ) -> None:
        self.hops: list[Hop] = []
        self.left_out = 0
        self.unreadable = 0
        self._url = url
        self._filter = Filter(only)
        self._on_hop = on_hop
        self._last = 0.0
        self._marks: dict[str, threading.Event] = {}
        self._transport: Transport | None = None

    def __enter__(self) -> Firehose:
        """Listen from now on."""
        self._transport = connect(self._url)
        try:
            self._channel = self._transport.channel()
            self._channel.on_delivery = self._heard
            self._listen()
            if not self._mark(1.0):
                raise LabProblem(OFF)
        except BaseException:
            self._transport.close()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait until what has happened is heard, at most a second, and stop listening."""
        self.settle()
        if self._transport is not None:
            self._transport.close()

    def settle(self, timeout: float = 1.0) -> None:
        """Wait until all that has happened up to now is heard, at most ``timeout`` seconds."""
        end = time.monotonic() + timeout
        self._mark(timeout)
        while self._last + QUIET > (now := time.monotonic()) and now < end:
            time.sleep(QUIET / 4)

    def missing(self, queues: set[str]) -> frozenset[str]:
        """Say which of these queues do not exist now."""
        return frozenset(q for q in queues if self._transport and not exists(self._transport, q))

    def _listen(self) -> None:
        try:
            queue = self._channel.queue.declare(exclusive=True)["queue"]
            self._channel.queue.bind(queue, EXCHANGE, "#")
            self._channel.basic.consume(queue=queue, no_ack=True)
        except Exception as error:
            if getattr(error, "error_code", None) in (403, 404):
                raise LabProblem(FORBIDDEN) from None
            raise

    def _mark(self, timeout: float) -> bool:
        """Send a message that only we know, and wait until the firehose shows it."""
        key = MARK + uuid.uuid4().hex
        heard = self._marks[key] = threading.Event()
        self._channel.publish(key, Message(b""), exchange="", key=key, mandatory=False)
        try:
            return heard.wait(timeout)
        finally:
            del self._marks[key]

    def _heard(self, delivery: Delivery) -> None:
        if delivery.problem:
            self.unreadable += 1
            return
        hop = read_hop(delivery.key, delivery.message.headers, delivery.message.body)
        if (heard := self._marks.get(hop.routing_key)) is not None:
            heard.set()
        if not self._filter(hop):
            return
        self._last = hop.time
        if len(self.hops) >= KEPT:
            self.left_out += 1
            return
        self.hops.append(hop)
        if self._on_hop is not None:
            self._on_hop(hop)


def connect(url: str | None = None) -> Transport:
    """Open a connection of the laboratory's own.

    Raises:
        LabProblem: no broker answers.
    """
    problem: BrokerError | None = None
    try:
        for address in Settings.from_env(url=url).addresses:
            try:
                transport = Transport(address, lost=lambda error: None)
                transport.open()
                return transport
            except BrokerError as error:
                problem = problem or error
    except BrokerError as error:
        problem = error
    raise LabProblem(f"{problem} {problem.advice if problem else ''}".strip())


def exists(transport: Transport, queue: str) -> bool:
    """Say whether the broker has this queue."""
    try:
        transport.look(queue)
    except NoWorker:
        return False
    return True


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value or "")


def _plain(value: object) -> object:
    return _text(value) if isinstance(value, bytes) else value
