"""What this notebook's ends of the wires know: returns and acks, and all of it without a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..topology import DIRECT_REPLY, REQUESTS, request_queue
from ..transport.witness import Seen
from .firehose import Hop

SETTLING = ("ack", "nack", "reject")


@dataclass
class _Channel:
    """What was said on one channel so far."""

    open: dict[int, Hop] = field(default_factory=dict)
    """Deliveries that want an ack, by their tag; and those of which that is not known."""
    unsure: set[int] = field(default_factory=set)
    acks: bool = False
    consumers: dict[str, Seen] = field(default_factory=dict)
    asked: list[Seen] = field(default_factory=list)
    got: list[Seen] = field(default_factory=list)

    def ordered_by(self, seen: Seen) -> Seen | None:
        """The consume or the get of which a delivery came."""
        return self.consumers.get(seen.consumer) if seen.consumer else _popped(self.got)


def about(hops: Sequence[Hop], seen: Iterable[Seen]) -> list[Hop]:
    """Return a hop for each return, ack and missing ack, about the hop that it belongs to."""
    pool: dict[tuple[object, ...], list[Hop]] = {}
    for hop in hops:
        if hop.kind in ("publish", "deliver"):
            pool.setdefault((hop.kind, hop.port, *hop.identity), []).append(hop)
    found: list[Hop] = []
    mandatory: dict[tuple[object, ...], list[Hop]] = {}
    channels: dict[tuple[int, int], _Channel] = {}
    for one in seen:
        channel = channels.setdefault((one.port, one.channel), _Channel())
        if one.kind == "publish":
            if (hop := _popped(pool.get(_key(one), []))) and one.mandatory:
                mandatory.setdefault(_key(one), []).append(hop)
        elif one.kind == "return":
            if hop := _popped(mandatory.get(("publish", *_key(one)[1:]), [])):
                found.append(_about(hop, "return", one.reason))
        elif one.kind == "deliver":
            order = channel.ordered_by(one)
            if (hop := _popped(pool.get(_key(one), []))) and not (order and order.no_ack):
                channel.open[one.tag] = hop
                if order is None:
                    channel.unsure.add(one.tag)
        elif one.out and one.kind in SETTLING:
            channel.acks = True
            found += _settled(channel, one)
        else:
            _ordered(channel, one)
    for channel in channels.values():
        for tag, hop in channel.open.items():
            if channel.acks or tag not in channel.unsure:
                found.append(_about(hop, "no ack"))
    return found


def _settled(channel: _Channel, one: Seen) -> Iterator[Hop]:
    kind = "ack" if one.kind == "ack" else "requeue" if one.requeue else "reject"
    for tag in [t for t in channel.open if t == one.tag or (one.multiple and not 0 < one.tag < t)]:
        yield _about(channel.open.pop(tag), kind)


def _ordered(channel: _Channel, one: Seen) -> None:
    if one.kind == "consume":
        channel.asked.append(one)
    elif one.kind == "consuming":
        if order := _popped(channel.asked):
            channel.consumers[one.consumer] = order
    elif one.kind == "get":
        channel.got[:] = [one]  # an empty answer leaves none behind


def alone(seen: Iterable[Seen]) -> list[Hop]:
    """Return what was said and heard as hops, as far as one end can know where it went."""
    channels: dict[tuple[int, int], _Channel] = {}
    hops: list[Hop] = []
    for one in seen:
        channel = channels.setdefault((one.port, one.channel), _Channel())
        if one.kind == "publish":
            queue = request_queue(one.key) if one.exchange == REQUESTS else one.key
            known = one.exchange in ("", REQUESTS)
            hops.append(_hop(one, routed=(queue,) if known else ()))
        elif one.kind == "deliver":
            order = channel.ordered_by(one)
            hops.append(_hop(one, queue=order.queue if order and order.queue else one.key))
        else:
            _ordered(channel, one)
    return hops


def _hop(one: Seen, *, queue: str = "", routed: tuple[str, ...] = ()) -> Hop:
    return Hop(
        kind=one.kind,
        time=one.time,
        exchange=one.exchange,
        routing_key=one.key,
        queue=queue,
        routed=routed,
        connection=f"here:{one.port}",
        user="",
        redelivered=one.redelivered,
        properties=one.properties,
        body=one.body,
        size=one.size,
    )


def _about(hop: Hop, kind: str, reason: str = "") -> Hop:
    return Hop(
        kind=kind,
        time=hop.time,
        exchange=hop.exchange,
        routing_key=hop.routing_key,
        queue=hop.queue,
        routed=(),
        connection=hop.connection,
        user=hop.user,
        redelivered=hop.redelivered,
        properties=hop.properties,
        body=hop.body,
        size=hop.size,
        reason=reason,
        about=hop,
    )


def _key(one: Seen) -> tuple[object, ...]:
    ids = [str(one.properties.get(p) or "") for p in ("correlation_id", "message_id", "reply_to")]
    if ids[2].startswith(DIRECT_REPLY):
        ids[2] = DIRECT_REPLY
    return (one.kind, one.port, one.exchange, one.key, *ids, one.size, one.body)


def _popped(queue: list[Hop] | list[Seen]) -> Any:
    return queue.pop(0) if queue else None
