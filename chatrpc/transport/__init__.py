"""AMQPStorm as we need it: event-driven, prompt to notice a loss, bounded in every wait.

The only package that knows AMQPStorm, and the only one that relies on its inside; proven
on the version that ``PROVEN_ON`` names. It changes six things:

1. Frames are put together by the thread that reads and handed over at once; AMQPStorm's own
   consumers look for them every 10 ms, its synchronous calls for their answers, and its dial
   for the end of the greetings.
2. A dead socket is noticed when the operating system says so. ``Connection.open`` gives
   the inbound thread one list of errors and looks into another; here it is one list, and
   it calls us.
3. TCP_NODELAY, without which a reply and its ack wait 40 ms for each other.
4. Confirms and returns are handed over by delivery tag, not by the name of their frame.
5. What cannot be decoded arrives as a delivery with a ``problem``, and not as the end of
   the connection.
6. A caller who waits for the only answer reads it itself, and need not be woken.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence

from amqpstorm.exception import AMQPError

from .. import topology
from ..errors import BrokerError, NoWorker
from ..frames import Delivery
from ..settings import Address
from . import tls
from .channel import Channel
from .connection import Connection
from .told import told, translated
from .turns import Turns

__all__ = ["PROVEN_ON", "Channel", "Delivery", "Transport", "Turns"]

log = logging.getLogger("chatrpc.transport")
logging.getLogger("amqpstorm").setLevel(logging.CRITICAL)  # it logs a traceback for every loss

PROVEN_ON = "3.1.4"
"""The version of AMQPStorm whose inside this package knows."""

_DECLARED = 10.0  # seconds in which a broker has declared all of a link's


class Transport:
    """One connection to the broker, and what can be asked over it.

    Args:
        address: whom to dial, and as whom.
        lost: called when the connection has ended, for whatever reason; on any thread, and
            perhaps twice.
        read: called on the thread that reads, when it has handed over all that it read.
        heartbeat: seconds of silence between signs of life; a stall shows after 1.5 of them.
        dial: seconds that the dial may take in all.
        ca: file of the authority that signed the broker's certificate.
    """

    def __init__(
        self,
        address: Address,
        *,
        lost: Callable[[Exception], None],
        read: Callable[[], None] | None = None,
        heartbeat: int = 4,
        dial: float = 5.0,
        ca: str | None = None,
    ) -> None:
        self.address = address
        self._dial = dial
        options = tls.options(address, ca) if address.tls else {}
        self._connection = Connection(
            address,
            lost=lambda error: lost(told(address, error)),
            read=read,
            heartbeat=heartbeat,
            timeout=dial,
            ssl_options=options,
        )
        self._asking: Channel | None = None
        self._ask_lock = threading.Lock()

    def _open(self) -> None:
        with translated(self.address), _guard(self._dial, self._connection.abort):
            self._connection.open()

    def open(self) -> None:
        """Dial.

        Raises:
            BrokerRefused: wrong user, password, virtual host or certificate.
            BrokerError: nobody answers, or not in time, or it is no RabbitMQ.
        """
        try:
            self._open()
        except BrokerError as error:
            if self.address.tls or not self.reached or self.version or "AMQP" in str(error):
                raise
            # The broker's port for TLS hangs up when it hears plain AMQP.
            what = f"{self.address} gives no greeting of a broker: is its port one for amqps://?"
            raise BrokerError(what) from None

    @property
    def reached(self) -> bool:
        """Whether anybody took the dial, a broker or not."""
        return self._connection.reached

    @property
    def version(self) -> str:
        """The broker's version, as it greeted us; empty before ``open``."""
        return str(self._connection.server_properties.get("version", ""))

    def channel(self) -> Channel:
        """Open a channel, or hand over the one that got an answer to all that it asked."""
        with self._ask_lock:
            channel, self._asking = self._asking, None
        with translated(self.address):
            return channel or self._connection.channel()

    def declare(self, what: topology.Declaration) -> None:
        """Make sure that an exchange, a queue or a binding exists.

        Raises:
            BrokerRefused: it exists with other arguments, or this user may not make it.
        """
        if isinstance(what, topology.Exchange):
            self._declare_exchange(what)
            return
        with self._question() as channel:
            channel.declare(what, wait=True)

    def exists(self, what: topology.Exchange | topology.Queue) -> bool:
        """Whether the broker has an exchange or a queue; a question, which changes nothing."""
        try:
            with self._question() as channel:
                if isinstance(what, topology.Exchange):
                    channel.exchange.declare(what.name, what.kind, passive=True)
                else:
                    channel.queue.declare(what.name, passive=True)
        except NoWorker:
            return False
        return True

    def provide(
        self, channel: Channel, declarations: Sequence[topology.Declaration], *, again: bool
    ) -> set[str]:
        """See to it that all of this exists, and return the names of what had gone.

        ``again``, after a redial, it is declared only if something is missing: while a
        cluster's node is away, the others answer questions, and may take no declaration.
        Queues and bindings are declared on the channel, which does not wait for the broker:
        its next question, like ``consume``, does, and raises what is refused.

        Raises:
            BrokerRefused: as ``declare``.
        """
        gone = set()
        if again:
            kept = [what for what in declarations if not isinstance(what, topology.Binding)]
            gone = {what.name for what in kept if not self.exists(what)}
        if gone or not again:
            channel.patience(_DECLARED)
            for what in declarations:
                if isinstance(what, topology.Exchange):
                    self._declare_exchange(what)
                else:
                    with translated(self.address):  # perhaps of the refusal of one before
                        channel.declare(what, wait=False)
        return gone

    def _declare_exchange(self, what: topology.Exchange) -> None:
        # A user with few rights may use an exchange that it may not declare.
        if not self.exists(what):
            with self._question() as channel:
                channel.exchange.declare(what.name, what.kind, durable=True)

    def consume(
        self, channel: Channel, queue: str, *, tag: str = "", prefetch: int, no_ack: bool
    ) -> None:
        """Have a queue's messages delivered to a channel, ``prefetch`` at a time (0: all).

        ``tag`` names the consumer, for this channel; empty: the broker names it.

        Raises:
            NoWorker: there is no such queue.
        """
        with translated(self.address):
            if prefetch:
                channel.basic.qos(prefetch)
            channel.acknowledges |= not no_ack
            channel.basic.consume(queue=queue, consumer_tag=tag, no_ack=no_ack)

    def consume_anew(
        self, channel: Channel, old: str, queue: str, *, tag: str, prefetch: int
    ) -> None:
        """End the consumer ``old`` and have its queue's messages delivered as ``consume`` says.

        In one go, so that the queue is not seen without a consumer. What the old one has
        in hand can still be acknowledged.
        """
        with translated(self.address):
            channel.basic.qos(prefetch)
            channel.cancel_unasked(old)
            channel.basic.consume(queue=queue, consumer_tag=tag)

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
            with translated(self.address):
                channel = self._asking or self._connection.channel(rpc_timeout=timeout)
                channel.patience(timeout)
                self._asking = None
                yield channel
                self._asking = channel
        finally:
            self._ask_lock.release()

    @property
    def turns(self) -> Turns | None:
        """Who reads; None before the dial, and with TLS: then it is the inbound thread, always."""
        return self._connection.turns

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
        finally:
            self._connection.writer.close()
            if self.turns is not None:
                self.turns.close()


@contextlib.contextmanager
def _guard(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
