"""One self-healing link to the broker: dial, declare, consume, publish, dial again.

It knows no calls and no methods. Its thread alone dials. What it hands over comes on the
thread that reads, which is the connection's or that of a caller who waits; except ``up`` and
``down``, which come on its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from . import topology
from .backoff import Backoff
from .confirms import Outcome
from .errors import BrokerError, BrokerRefused, RpcError
from .messages import Message
from .settings import Address, Settings
from .transport import Channel, Delivery, Transport, Turns

log = logging.getLogger("chatrpc.link")

WARY = "/wary"
"""What the tag of a consumer that takes one delivery at a time ends with."""

_NACKS_IN_A_ROW = 3
"""After so many the connection is given up: a channel can be nacked for good."""


@dataclass(slots=True)
class Arrival:
    """A delivery, and the generation of the link that it came by."""

    delivery: Delivery
    generation: int


class Party(Protocol):
    """Who uses a link: a client or a server.

    ``delivered`` and ``settled`` run on the thread that reads: quick, and never raising.
    """

    def delivered(self, arrival: Arrival) -> None:
        """Take a message that came."""

    def settled(self, id: str, outcome: Outcome) -> None:
        """Take what became of a publish."""

    def up(self, *, emptied: bool) -> None:
        """Learn that the link stands, again; ``emptied`` if a queue, with all in it, had gone."""

    def down(self, error: RpcError) -> None:
        """Learn that the link is lost; what was unsettled was told as LOST before."""


@dataclass(slots=True)
class _Standing:
    transport: Transport
    reading: Channel
    publishing: Channel
    ended: threading.Event
    wary: bool


class Link:
    """A link that comes back by itself until it is closed. (C12, C13)

    Args:
        settings: the broker's addresses, the heartbeat.
        party: who is told of everything.
        name: of its thread.
        declarations: what must exist; looked at after each dial, and declared if it is not there.
        queues: what it consumes; a delivery's ``consumer`` begins with the name of its queue.
        prefetch: how many unacknowledged deliveries it takes of each; 0 is no limit.
        wary: whether it takes one delivery of its first queue at a time until ``trust``.
        safe: whether publishes are confirmed and deliveries acknowledged.
        named_by: which property of a message is the id that it is published under.
        read: called on the thread that reads, when it has handed over all that it read.
    """

    def __init__(
        self,
        settings: Settings,
        party: Party,
        *,
        name: str,
        declarations: Sequence[topology.Declaration],
        queues: Sequence[str],
        prefetch: int = 0,
        wary: bool = False,
        safe: bool = True,
        named_by: str = "correlation_id",
        read: Callable[[], None] | None = None,
    ) -> None:
        self._settings, self._party, self._safe = settings, party, safe
        self._declarations, self._queues, self._prefetch = declarations, queues, prefetch
        self._named_by, self._read = named_by, read
        self._wary, self._trusting = wary, threading.Lock()
        self._addresses = settings.addresses
        self._standing: _Standing | None = None
        self._dialing: Transport | None = None
        self._generation, self._nacks, self._emptied = 0, 0, False
        self._closing = threading.Event()
        self._tried, self._stands = threading.Event(), threading.Event()
        self._refusal: RpcError | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def open(self) -> None:
        """Dial for the first time, every address once.

        Raises:
            BrokerRefused, BrokerError: nobody let us in; the link is closed then. (C16)
        """
        self._thread.start()
        self._tried.wait()
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)

    @property
    def stands(self) -> bool:
        """Whether the link stands now."""
        return self._stands.is_set()

    @property
    def turns(self) -> Turns | None:
        """Who reads now; None while the link does not stand, or if it is always its own thread."""
        return None if (standing := self._standing) is None else standing.transport.turns

    def publish(
        self,
        id: str,
        message: Message,
        *,
        exchange: str,
        key: str,
        mandatory: bool,
        soon: bool = True,
    ) -> bool:
        """Send a message, of which ``settled`` will hear; False if the link does not stand.

        Not ``soon``: together with whatever is written next, or by ``flush``.
        """
        standing = self._standing
        return standing is not None and standing.publishing.publish(
            id, message, exchange=exchange, key=key, mandatory=mandatory, soon=soon
        )

    def flush(self) -> None:
        """Send what waits for the next write."""
        if (standing := self._standing) is not None:
            standing.publishing.flush()

    def ack(self, arrival: Arrival, *, soon: bool = True) -> None:
        """Acknowledge; a delivery of an earlier generation is the broker's again, not ours.

        Not ``soon``: together with whatever is written next.
        """
        if self._safe and (channel := self._reading(arrival)) is not None:
            channel.ack(arrival.delivery.tag, soon=soon)

    def answer(self, arrival: Arrival, message: Message, *, queue: str) -> None:
        """Send a message unconfirmed and acknowledge what it answers, with the next ``flush``."""
        if (channel := self._reading(arrival)) is not None:
            tag = arrival.delivery.tag
            channel.publish(
                "", message, exchange="", key=queue, mandatory=False, done=tag, soon=False
            )

    def reject(self, arrival: Arrival) -> None:
        """Send a delivery to the dead letters."""
        if (channel := self._reading(arrival)) is not None:
            channel.reject(arrival.delivery.tag)

    def trust(self) -> None:
        """Take as many deliveries as ``prefetch`` says from now on.

        While the one that it has now is in hand, the broker counts this consumer twice.
        """
        self._wary = False
        if (standing := self._standing) is not None:
            self._take_all(standing)

    def nacked(self) -> None:
        """Learn that a nack had no cause: after three in a row the link dials again."""
        self._nacks += 1
        standing = self._standing
        if self._nacks >= _NACKS_IN_A_ROW and standing is not None:
            standing.transport.abort()

    def look(self, queue: str, *, timeout: float = 2.0) -> tuple[int, int]:
        """Return how many messages wait in a queue, and how many consumers it has.

        Raises:
            NoWorker: there is no such queue.
            BrokerError: the link does not stand, or no answer came in time.
        """
        standing = self._standing
        if standing is None:
            raise BrokerError("the broker is away")
        return standing.transport.look(queue, timeout=timeout)

    def stop_reading(self) -> None:
        """Take no more deliveries; those in hand can still be acknowledged."""
        with self._trusting:
            if (standing := self._standing) is not None:
                standing.wary = False  # who stops has nobody to trust any more
                standing.transport.stop_consuming(standing.reading, timeout=0.9)

    def close(self, *, delete: str | None = None) -> None:
        """End the link within 2 seconds, deleting the queue ``delete`` if the broker hears us."""
        self._closing.set()
        end = time.monotonic() + 1.5
        standing, dialing = self._standing, self._dialing
        if standing is not None:
            if delete is not None:
                with contextlib.suppress(RpcError):
                    standing.transport.delete(delete, timeout=0.5)
            standing.ended.set()
        if dialing is not None:
            dialing.abort()
        if self._thread.is_alive():
            self._thread.join(max(0.1, end - time.monotonic()))

    def _reading(self, arrival: Arrival) -> Channel | None:
        standing = self._standing
        stale = arrival.generation != self._generation
        return None if standing is None or stale else standing.reading

    def _run(self) -> None:
        backoff = Backoff(self._addresses)
        untried = len(self._addresses)
        while not self._closing.is_set():
            address, wait = backoff.next()
            if self._closing.wait(wait):
                return
            try:
                standing = self._dial(address)
            except RpcError as error:
                log.info("%s", error)
                backoff.failed()
                untried -= 1
                if not self._tried.is_set() and (untried == 0 or isinstance(error, BrokerRefused)):
                    self._refusal = error
                    self._closing.set()
                    self._tried.set()
            else:
                backoff.succeeded()
                self._live(standing)

    def _dial(self, address: Address) -> _Standing:
        ended = threading.Event()
        transport = self._dialing = Transport(
            address,
            lost=lambda error: ended.set(),
            read=self._read,
            heartbeat=self._settings.heartbeat,
            ca=self._settings.ca,
        )
        try:
            transport.open()
            again = self._generation > 0
            reading = transport.channel()
            missing = transport.provide(reading, self._declarations, again=again)
            self._emptied |= again and self._queues[0] in missing | {topology.DIRECT_REPLY}
            direct = topology.DIRECT_REPLY in self._queues  # only on the channel that publishes
            publishing = reading if direct else transport.channel()
            if self._safe:
                publishing.confirm()
            standing = _Standing(transport, reading, publishing, ended, self._wary)
            self._connect(standing)
            return standing
        except Exception as error:  # whatever it is, this thread must dial again
            if self._standing is not None:
                self._fall(self._standing)
            transport.close()
            if isinstance(error, RpcError):
                raise
            raise BrokerError(f"no connection to the broker at {address}: {error!r}") from error
        finally:
            self._dialing = None

    def _connect(self, standing: _Standing) -> None:
        generation = self._generation + 1
        publishing, reading = standing.publishing, standing.reading
        publishing.on_outcome, publishing.named_by = self._settled, self._named_by
        publishing.on_end = reading.on_end = lambda error: self._ended(standing)
        reading.on_delivery = lambda delivery: self._party.delivered(Arrival(delivery, generation))
        self._generation, self._standing, self._nacks = generation, standing, 0
        for number, queue in enumerate(self._queues):
            wary = standing.wary and number == 0
            tag, prefetch = (queue + WARY, 1) if wary else (queue, self._prefetch)
            standing.transport.consume(
                reading, queue, tag=tag, prefetch=prefetch, no_ack=not self._safe
            )

    def _take_all(self, standing: _Standing) -> None:
        with self._trusting:
            if not standing.wary:
                return
            standing.wary, queue = False, self._queues[0]
            try:
                # Not under the same tag: RabbitMQ 3.10 ends a channel whose consumer comes
                # back under the tag of one that it has ended with a message in hand.
                standing.transport.consume_anew(
                    standing.reading, queue + WARY, queue, tag=queue, prefetch=self._prefetch
                )
            except RpcError as error:
                log.info("%s", error)
                standing.transport.abort()

    def _live(self, standing: _Standing) -> None:
        log.info("connected to %s", standing.transport.address)
        self._stands.set()
        if not self._wary:  # perhaps since a moment ago
            self._take_all(standing)
        emptied, self._emptied = self._emptied, False
        self._party.up(emptied=emptied)
        self._tried.set()
        standing.ended.wait()
        self._fall(standing)
        error = BrokerError(f"the connection to the broker at {standing.transport.address} is lost")
        if not self._closing.is_set():
            log.warning("%s", error)
        self._party.down(error)
        standing.transport.close()

    def _ended(self, standing: _Standing) -> None:
        if not self._closing.is_set():  # then it is our own queue that we deleted
            # Another worker may have made the queue anew by the time that we look for it.
            self._emptied |= standing.reading.cancelled
            standing.transport.abort()

    def _fall(self, standing: _Standing) -> None:
        self._stands.clear()
        self._standing = None
        for id in standing.publishing.lost():
            self._party.settled(id, Outcome.LOST)

    def _settled(self, id: str, outcome: Outcome) -> None:
        if outcome is Outcome.CONFIRMED:
            self._nacks = 0
        self._party.settled(id, outcome)
