"""Every hop of every message, as the broker itself saw it.

RabbitMQ's firehose copies each publish and each delivery to the exchange amq.rabbitmq.trace.
It shows no ack, no return and no dead letter; and a reply to amq.rabbitmq.reply-to appears as
its publish alone, since no queue lies between.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BrokerError, BrokerRefused, NoWorker
from ..messages import Message
from ..settings import Settings
from ..topology import DIRECT_REPLY, Exchange, request_queue
from ..transport import Delivery, Transport
from ..transport.witness import port_of
from .problem import LabProblem

EXCHANGE = "amq.rabbitmq.trace"
BODY = 4096
"""Bytes of a body that are kept."""
KEPT = 10_000
"""Hops that are kept; the rest is counted."""
MARK = "chatrpc.trace."
"""How names begin that are the laboratory's own, and of no story."""
QUIET = 0.06
"""Seconds of silence after which nothing more is expected."""
_TRACES_WITHIN = 3.0  # seconds; at once, unless the machine is busy

OFF = (
    "Tracing is off on this broker, so nothing can be seen of its messages: "
    "type rabbitmqctl trace_on there, or use the kit's own broker (chatrpc broker start)."
)
FORBIDDEN = (
    "This broker does not let us see its messages: its user may not read amq.rabbitmq.trace. "
    "Use the kit's own broker (chatrpc broker start)."
)


class NoTrace(LabProblem):
    """A broker answers, and does not show us its messages."""


@dataclass(frozen=True)
class Hop:
    """One step of one message: ``kind`` is publish (into the broker) or deliver (out of it).

    A dead letter has the kind dead, the queue that it left and the ``reason``. What only an end
    of a wire knows is ``about`` one of these: return, ack, reject, requeue or no ack.

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
    reason: str = ""
    about: Hop | None = None

    @property
    def port(self) -> int:
        """The port at the other end of the broker's connection, or 0."""
        end = self.connection.partition(" ")[0].rpartition(":")[2]
        return int(end) if end.isdecimal() else 0

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
        return self._identity(self.exchange, self.routing_key)

    @property
    def origin(self) -> tuple[object, ...]:
        """The identity that a dead letter had when it was published; of others, their own."""
        if not self._deaths:
            return self.identity
        first = self._deaths[-1]
        keys = first.get("routing-keys") or [""]
        return self._identity(_text(first.get("exchange")), _text(keys[0]))

    @property
    def moved(self) -> bool:
        """Whether it came to its queue as a dead letter of another."""
        return any(_text(death.get("queue")) != self.queue for death in self._deaths)

    @property
    def _deaths(self) -> Sequence[Mapping[str, Any]]:
        return (self.properties.get("headers") or {}).get("x-death") or ()

    def _identity(self, exchange: str, key: str) -> tuple[object, ...]:
        # A direct reply address is a word to its client and a token to everybody else.
        to = DIRECT_REPLY if self.reply_to.startswith(DIRECT_REPLY) else self.reply_to
        return (exchange, key, self.correlation_id, self.message_id, to, self.size, self.body)


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


def read_dead(delivery: Delivery) -> Hop:
    """Make a Hop of a dead letter."""
    message = delivery.message
    headers = {k: _plain(v) for k, v in message.headers.items()}
    ids = {
        "correlation_id": message.correlation_id,
        "message_id": message.message_id,
        "reply_to": message.reply_to,
        "headers": headers,
    }
    return Hop(
        kind="dead",
        time=time.monotonic(),
        exchange=delivery.consumer,
        routing_key=delivery.key,
        queue=_text(headers.get("x-first-death-queue")),
        routed=(),
        connection="",
        user=message.user_id,
        redelivered=False,
        properties={k: v for k, v in ids.items() if v},
        body=message.body[:BODY],
        size=len(message.body),
        reason=_text(headers.get("x-first-death-reason")),
    )


class Filter:
    """Keeps what has to do with some queues or services: their requests and the replies."""

    def __init__(self, *names: str) -> None:
        self.places = {place for name in names for place in (name, request_queue(name))}
        self.asked: set[str] = set()
        self.ids: set[str] = set()

    def __call__(self, hop: Hop) -> bool:
        """Say whether the hop is kept."""
        if hop.routing_key.startswith(MARK):
            return False
        if not self.places:
            return True
        wanted = bool(self.places & {hop.queue, hop.exchange, hop.routing_key, *hop.routed})
        wanted = wanted or not self.places.isdisjoint(map(str, hop.origin[:2]))
        if wanted and hop.reply_to:
            self.asked.add(hop.reply_to)
            self.ids.add(hop.correlation_id)
        # An answer that goes astray is known by its id alone.
        answers = hop.correlation_id != "" and hop.correlation_id in self.ids
        return wanted or answers or hop.routing_key in self.asked or hop.queue in self.asked


class Firehose:
    """``with Firehose() as firehose: …`` collects every hop into ``firehose.hops``.

    ``only`` keeps one queue or one service and its replies, or several; ``dead`` names exchanges
    whose dead letters are heard too. ``on_hop`` is called for each hop that is kept, on the
    connection's thread, so it must be quick. ``left_out`` counts hops beyond what is kept,
    ``unreadable`` messages that could not be decoded.

    Raises:
        NoTrace: the broker does not permit or does not do tracing.
        LabProblem: the broker is away.
    """

    def __init__(
        self,
        *,
        only: str | Sequence[str] | None = None,
        dead: Sequence[str] = (),
        url: str | None = None,
        on_hop: Callable[[Hop], None] | None = None,
    ) -> None:
        self.hops: list[Hop] = []
        self.left_out = 0
        self.unreadable = 0
        self._url = url
        self._only = (only,) if isinstance(only, str) else tuple(only or ())
        self._dead = dead
        self._graves: set[str] = set()
        self._filter = Filter(*self._only)
        self._on_hop = on_hop
        self._counts: Counter[tuple[str, int]] = Counter()
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
            for exchange in self._dead:
                self._listen_to_the_dead(exchange)
            if not self._mark(_TRACES_WITHIN):
                raise NoTrace(OFF)
        except BaseException:
            self._transport.close()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait until what has happened is heard, at most a second, and stop listening."""
        self.settle()
        if self._transport is not None:
            self._transport.close()

    def settle(
        self, timeout: float = 1.0, expected: Mapping[tuple[str, int], int] | None = None
    ) -> None:
        """Wait until all that has happened up to now is heard, at most ``timeout`` seconds.

        ``expected`` says how many hops of a kind are known to have gone over the connection at
        a port: another connection's messages may be slower than ours.
        """
        end = time.monotonic() + timeout
        self._mark(timeout)
        for what, count in (expected or {}).items():
            while self._counts[what] < count and time.monotonic() < end:
                time.sleep(QUIET / 4)
        since = time.monotonic()
        while max(since, self._last) + QUIET > (now := time.monotonic()) and now < end:
            time.sleep(QUIET / 4)

    @property
    def port(self) -> int | None:
        """The port of the laboratory's own connection."""
        return port_of(self._transport)

    def depths(self, queues: Collection[str]) -> dict[str, int | None]:
        """Say how many messages wait in each of these queues now; None: there is no such queue.

        Somebody's exclusive queue is left out: the broker tells nobody else of it.
        """
        assert self._transport is not None
        found: dict[str, int | None] = {}
        for queue in queues:
            if queue.startswith(DIRECT_REPLY):  # RabbitMQ 4.0 lists it, and there is no queue
                found[queue] = None
                continue
            try:
                found[queue] = self._transport.look(queue)[0]
            except (NoWorker, ValueError):  # or no queue that AMQPStorm declares is called so
                found[queue] = None
            except BrokerRefused:
                continue
        return found

    def missing(self, queues: Collection[str]) -> frozenset[str]:
        """Say which of these queues do not exist now."""
        return frozenset(q for q, depth in self.depths(queues).items() if depth is None)

    def _listen(self) -> None:
        try:
            queue = self._channel.queue.declare(exclusive=True)["queue"]
            self._channel.queue.bind(queue, EXCHANGE, "#")
            self._channel.basic.consume(queue=queue, no_ack=True)
        except Exception as error:
            if getattr(error, "error_code", None) in (403, 404):
                raise NoTrace(FORBIDDEN) from None
            raise

    def _listen_to_the_dead(self, exchange: str) -> None:
        """Have a copy of what comes to a dead-letter exchange, if there is such an exchange."""
        assert self._transport is not None
        if not self._transport.exists(Exchange(exchange, "fanout")):
            return
        queue = MARK + uuid.uuid4().hex
        self._channel.queue.declare(queue, exclusive=True)
        self._graves.add(exchange)
        # One of these keys serves each kind of exchange: fanout and headers take any.
        for key in ("#", *self._only):
            self._channel.queue.bind(queue, exchange, key)
        self._channel.basic.consume(queue=queue, consumer_tag=exchange, no_ack=True)

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
        if delivery.consumer in self._graves:
            hop = read_dead(delivery)
        else:
            hop = read_hop(delivery.key, delivery.message.headers, delivery.message.body)
        if hop.queue.startswith(MARK):  # an ear of the laboratory: ours, or another trace's
            return
        if any(queue.startswith(MARK) for queue in hop.routed):
            hop = replace(hop, routed=tuple(q for q in hop.routed if not q.startswith(MARK)))
        if (heard := self._marks.get(hop.routing_key)) is not None:
            heard.set()
        self._counts[hop.kind, hop.port] += 1
        if hop.queue.startswith(DIRECT_REPLY):  # RabbitMQ 4.3 tells of it; its publish is enough
            return
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
    raise LabProblem(f"{problem}. {problem.advice if problem else ''}".strip())


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
    if isinstance(value, Mapping):
        return {_text(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return _text(value) if isinstance(value, bytes) else value
