"""From calls to the lanes and arrows of a ladder: who stands there, and what went between them.

A party is named by its part in the play, ``client 1``, ``worker 2``, a call by its number: never
by a port, a process or a random id. Arrows are sorted by cause.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..topology import DEAD, DIRECT_REPLY, REQUESTS, request_queue
from .firehose import Hop
from .story import RANDOM, Call, Sent, shorten


class Kind(Enum):
    """What an arrow is; the word is what the reader sees."""

    PUBLISH = "publish"
    RETRY = "publish again"
    ROUTE = "route"
    DELIVER = "deliver"
    AGAIN = "deliver again"
    ACK = "ack"
    REJECT = "reject"
    REPLY = "reply"
    STRAY = "reply with a strange id"
    RETURNED = "returned"
    DEAD = "dead letter"
    WAITS = "waits"
    UNACKED = "no ack"
    MISSING = "missing"
    SENT = "sent"
    RECEIVED = "received"
    GIVEN_BACK = "given back"


STUBS = (Kind.MISSING, Kind.WAITS, Kind.UNACKED)
"""What leads to no other lane."""


@dataclass(frozen=True)
class Lane:
    """One party or place: ``kind`` is client, exchange, queue or worker."""

    name: str
    kind: str


@dataclass(frozen=True)
class Arrow:
    """One line of the ladder: from a lane to a lane, or into nothing (``target`` is empty).

    ``facts`` are the message's properties, for whoever looks closer; they differ from run to run.
    """

    number: int
    source: str
    target: str
    kind: Kind
    label: str
    more: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    hop: Hop | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class View:
    """What a ladder knows besides the hops.

    ``missing`` are queues that do not exist, ``empty`` those in which nothing waits now;
    ``names`` are lanes' names by port, queue or exchange; ``all_exchanges`` gives the default
    exchange and our own a lane too; ``acks`` draws acknowledgements. ``one_end``: the hops are
    what this kernel itself sent and received, so what is not there may have been elsewhere.
    """

    missing: Collection[str] = ()
    empty: Collection[str] = ()
    names: Mapping[int | str, str] = field(default_factory=dict)
    all_exchanges: bool = False
    acks: bool = False
    one_end: bool = False


def rungs(calls: Sequence[Call], view: View | None = None) -> tuple[list[Lane], list[Arrow]]:
    """Return the lanes from left to right, and the arrows between them, sorted by cause."""
    scribe = _Scribe(calls, view or View())
    arrows = [arrow for call in calls for arrow in scribe.call(call)]
    return scribe.lanes.ordered(arrows), arrows


PARTS = {frozenset({"sends"}): "sender", frozenset({"reads"}): "reader"}


class _Lanes:
    """The names of the parties and places."""

    def __init__(self, calls: Sequence[Call], view: View) -> None:
        self._view = view
        self._places: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._reply_queues = {m.first.reply_to for c in calls for m in c.requests} - {""}
        self.returning = {
            m.first.exchange
            for c in calls
            for m in [*c.requests, *(r for r, _ in c.replies)]
            if m.returned
        }
        roles: dict[str, list[str]] = {}
        for connection, role in _roles(calls):
            roles.setdefault(connection, []).append(role)
        counts: dict[str, int] = {}
        self._parties: dict[str, str] = {}
        for connection, had in roles.items():
            part = _part(had)
            name = view.names.get(_port(connection))
            if name is None:
                counts[part] = counts.get(part, 0) + 1
                name = f"{part} {counts[part]}"
            self._parties[connection] = name
            side = "worker" if part in ("worker", "reader") else "client"
            self._kinds.setdefault(name, side)

    def party(self, connection: str) -> str:
        """The one at the other end of a connection."""
        return self._parties[connection]

    def queue(self, name: str) -> str:
        """A queue's own name, or what it is for where the name is random."""
        if name not in self._places:
            if name in self._view.names:
                shown = self._view.names[name]
            elif name in self._reply_queues and RANDOM.search(name):
                shown = "replies"
            elif RANDOM.search(name):
                shown = f"queue {1 + sum(s.startswith('queue ') for s in self._places.values())}"
            else:
                shown = name.removeprefix(request_queue(""))
            self._place(name, shown, "queue")
        return self._places[name]

    def exchange(self, name: str) -> str:
        """The exchange's lane, or nothing if it has none."""
        hidden = name in ("", REQUESTS) and not self._view.all_exchanges
        if (hidden and name not in self.returning) or name == DEAD:
            return ""
        key = f"exchange {name}"
        if key not in self._places:
            shown = self._view.names.get(name) if name else None
            self._place(key, shown or name or "default exchange", "exchange")
        return self._places[key]

    def grave(self, exchange: str) -> str:
        """The lane of a dead-letter exchange."""
        key = f"exchange {exchange}"
        if key not in self._places:
            own = "dead letters" if exchange == DEAD else exchange
            self._place(key, self._view.names.get(exchange, own), "exchange")
        return self._places[key]

    def _place(self, key: str, shown: str, kind: str) -> None:
        # Two lanes must not share a name; several reply queues may share a lane.
        if shown != "replies" and self._kinds.get(shown, kind) != kind:
            shown = f"{shown} ({kind})"
        self._places[key] = shown
        self._kinds.setdefault(shown, kind)

    def ordered(self, arrows: Iterable[Arrow]) -> list[Lane]:
        """Each lane that an arrow touches, from left to right."""
        touched = {end for a in arrows for end in (a.source, a.target)}
        named = [Lane(n, k) for n, k in self._kinds.items() if n in touched]
        order = ("client", "exchange", "queue", "worker")
        return sorted(named, key=lambda lane: order.index(lane.kind))


def _roles(calls: Sequence[Call]) -> Iterator[tuple[str, str]]:
    """What each connection did, in the order of the story."""
    for call in calls:
        asks = call.asks
        for message in call.requests:
            if message.publish:
                yield message.publish.connection, "asks" if asks else "sends"
            for _, delivery in _sorted_deliveries(message):
                serves = asks and delivery.queue in message.queues
                yield delivery.connection, "serves" if serves else "reads"
        for message, _ in call.replies:
            if message.publish:
                yield message.publish.connection, "serves"
            for delivery in message.deliveries:
                yield delivery.connection, "asks"


def _part(roles: Sequence[str]) -> str:
    for role in roles:
        if role in ("asks", "serves"):
            return "client" if role == "asks" else "worker"
    return PARTS.get(frozenset(roles), "client")


def _port(connection: str) -> int:
    end = connection.partition(" ")[0].rpartition(":")[2]
    return int(end) if end.isdecimal() else 0


def _sorted_deliveries(message: Sent) -> list[tuple[int, Hop]]:
    """The deliveries by queue: a broker serves several queues in no order."""
    order = message.queues
    found = list(enumerate(message.deliveries))
    return sorted(
        found, key=lambda one: order.index(one[1].queue) if one[1].queue in order else len(order)
    )


class _Scribe:
    """Writes down the arrows."""

    def __init__(self, calls: Sequence[Call], view: View) -> None:
        self.view = view
        self.lanes = _Lanes(calls, view)
        self._number = 0

    def call(self, call: Call) -> Iterator[Arrow]:
        self._number = call.number
        for place, message in enumerate(call.requests):
            yield from self._message(call, message, Kind.RETRY if place else Kind.PUBLISH)
        taken = [d for m in call.requests for d in m.deliveries if d.queue in m.queues]
        asker = call.requests[0].publish
        if self.view.one_end and call.asks and asker and not call.replies:
            client = self.lanes.party(asker.connection)
            yield self._stub(client, Kind.MISSING, "no answer came", asker)
        elif call.asks and taken and not call.replies:
            worker = self.lanes.party(taken[-1].connection)
            yield self._stub(worker, Kind.MISSING, "no reply was sent", taken[-1])
        for message, expected in call.replies:
            yield from self._message(call, message, Kind.REPLY if expected else Kind.STRAY)

    def _message(self, call: Call, message: Sent, kind: Kind) -> Iterator[Arrow]:
        if message.publish is not None:
            yield from self._publish(call, message, message.publish, kind)
        deliveries = _sorted_deliveries(message)
        home = [one for one in deliveries if one[1].queue in message.queues]
        for at, delivery in home:
            yield from self._delivery(call, message, at, delivery)
        delivered = {d.queue for d in message.deliveries}
        left = {d.queue for d in message.dead}
        for dead in message.dead:
            grave = self.lanes.grave(dead.exchange)
            yield self._arrow(self.lanes.queue(dead.queue), grave, Kind.DEAD, dead.reason, dead)
        for at, delivery in deliveries:
            if (at, delivery) not in home:
                yield from self._delivery(call, message, at, delivery)
        for queue in () if self.view.one_end else message.queues:
            if queue not in delivered | left and queue not in self.view.missing:
                lane, hop = self.lanes.queue(queue), message.first
                if queue in self.view.empty:
                    gone = "nobody took it, and it is there no longer"
                    yield self._stub(lane, Kind.MISSING, gone, hop)
                else:
                    yield self._stub(lane, Kind.WAITS, "nobody took it", hop)

    def _publish(self, call: Call, message: Sent, hop: Hop, kind: Kind) -> Iterator[Arrow]:
        source, label = self.lanes.party(hop.connection), shorten(hop)
        if hop.routing_key.startswith(DIRECT_REPLY):  # no queue: the broker hands it over itself
            asker = call.requests[0].publish
            if asker is not None:
                yield self._arrow(source, self.lanes.party(asker.connection), kind, label, hop)
            return
        found = [q for q in message.queues if q not in self.view.missing]
        lost = [q for q in message.queues if q in self.view.missing]
        if exchange := self.lanes.exchange(hop.exchange):
            key = f"  key {json.dumps(hop.routing_key, ensure_ascii=False)}"
            shown = f"{label}{key if hop.exchange and hop.routing_key else ''}"
            yield self._arrow(source, exchange, kind, shown, hop)
            for queue in found:
                yield self._arrow(exchange, self.lanes.queue(queue), Kind.ROUTE, "", hop)
            start, said = exchange, ""
        else:
            for queue in found:
                yield self._arrow(source, self.lanes.queue(queue), kind, label, hop)
            start, said = source, f"{kind.value} {label}: "
        for queue in lost:
            name = self.view.names.get(queue, queue if hop.exchange == "" else "")
            name = self.lanes.queue(name) if name else "that it could go to"
            yield self._stub(start, Kind.MISSING, f"{said}there is no queue {name}", hop)
        if not message.queues and not self.view.one_end:
            yield self._stub(start, Kind.MISSING, f"{said}no queue takes it", hop)
        if message.returned is not None:
            reason = message.returned.reason
            yield self._arrow(start, source, Kind.RETURNED, reason, message.returned)

    def _delivery(self, call: Call, message: Sent, at: int, hop: Hop) -> Iterator[Arrow]:
        queue, party = self.lanes.queue(hop.queue), self.lanes.party(hop.connection)
        notes = []
        if message.publish is None and at == 0:
            before = "" if self.view.one_end else " (sent before the trace began)"
            notes.append(f"{shorten(hop)}{before}")
        asker = call.requests[0].publish
        is_reply = any(message is reply for reply, _ in call.replies)
        if is_reply and asker is not None and self.lanes.party(asker.connection) != party:
            notes.append(f"meant for {self.lanes.party(asker.connection)}")
        kind = Kind.AGAIN if message.again(at) else Kind.DELIVER
        yield self._arrow(queue, party, kind, ", ".join(notes), hop)
        settled = message.settled.get(at)
        if settled is not None and self.view.acks:
            if settled.kind == "no ack":
                yield self._stub(party, Kind.UNACKED, "the broker keeps its copy", hop)
            else:
                kind = Kind.ACK if settled.kind == "ack" else Kind.REJECT
                back = "back to the queue" if settled.kind == "requeue" else ""
                yield self._arrow(party, queue, kind, back, hop)

    def _arrow(self, source: str, target: str, kind: Kind, label: str, hop: Hop) -> Arrow:
        body = _body(hop, self._number) if label and kind not in (Kind.DELIVER, Kind.AGAIN) else ""
        return Arrow(self._number, source, target, kind, label, body, facts(hop), hop)

    def _stub(self, source: str, kind: Kind, label: str, hop: Hop) -> Arrow:
        return Arrow(self._number, source, "", kind, label, "", facts(hop), hop)


def _body(hop: Hop, number: int) -> str:
    """The body to look at; where its id is random, the call's number stands for it."""
    text = hop.body_text
    for id in (hop.correlation_id, hop.message_id):
        if RANDOM.search(id):
            text = text.replace(json.dumps(id), f'"#{number}"')
    return text


def facts(hop: Hop) -> dict[str, str]:
    """Return all that is known of a message at this hop, by the names of its properties."""
    known: dict[str, object] = {
        "exchange": hop.exchange or "(default)",
        "routing key": hop.routing_key,
        "queue": hop.queue or ", ".join(hop.routed),
        "connection": hop.connection,
        "redelivered": "yes" if hop.redelivered else "",
        "reason": hop.reason,
        **{name.replace("_", " "): value for name, value in hop.properties.items()},
        "size": f"{hop.size} bytes",
        "body": hop.body_text[:1000],
    }
    return {name: str(value) for name, value in known.items() if value not in ("", None, {})}
