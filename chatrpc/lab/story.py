"""From hops to the story they tell: which reply belongs to which request.

    hops  ──tell()──►  calls  ──rungs()──►  lanes and arrows

Everything is sorted by cause, a reply after its request. The same code gives the same story,
whatever the clock, the ports and the random ids were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .firehose import Hop

RANDOM = re.compile(r"amq\.gen-|[0-9a-fA-F]{8}|\d{5}")
"""A name with such a part was made up by a program."""


@dataclass(eq=False)
class Sent:
    """One message that was published, and all that became of it."""

    publish: Hop | None
    deliveries: list[Hop] = field(default_factory=list)
    dead: list[Hop] = field(default_factory=list)
    returned: Hop | None = None
    settled: dict[int, Hop] = field(default_factory=dict)
    """What became of a delivery, by its place among the deliveries."""

    @property
    def first(self) -> Hop:
        """The hop that shows the message."""
        return self.publish or (self.deliveries or self.dead)[0]

    def again(self, at: int) -> bool:
        """Whether a delivery, by its place, was not the first from its queue.

        RabbitMQ 4.3 marks a message that was rejected as redelivered also where it comes to as
        a dead letter; so the mark counts there only if we cannot know better.
        """
        hop = self.deliveries[at]
        known = hop.moved and self.publish is not None
        first = all(other.queue != hop.queue for other in self.deliveries[:at])
        return hop.redelivered and not (known and first)

    @property
    def queues(self) -> list[str]:
        """The queues that it was routed to, in the order of their names."""
        if self.publish is None:
            return list(dict.fromkeys(d.queue for d in self.deliveries))
        return sorted(self.publish.routed)


@dataclass(eq=False)
class Call:
    """One request with all that followed from it; a message without reply_to is one too."""

    number: int
    requests: list[Sent] = field(default_factory=list)
    replies: list[tuple[Sent, bool]] = field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether somebody wants an answer."""
        return any(m.first.reply_to for m in self.requests)

    @property
    def name(self) -> str:
        """The id by which its caller knows it, or nothing."""
        return _name(self.requests[0].first)


def tell(hops: Iterable[Hop]) -> list[Call]:
    """Put each delivery to its publish and each reply to its request."""
    calls: list[Call] = []
    named: dict[tuple[str, str], list[Call]] = {}
    handed: dict[str, list[tuple[float, Call]]] = {}
    asked: set[str] = set()
    for message in _pair(hops):
        hop = message.first
        same = named.get((hop.reply_to or hop.routing_key, _name(hop)), [])
        if hop.reply_to:
            asked.add(hop.reply_to)
            call = _sent_again(message, same)
        else:
            same = same if _name(hop) else []
            call = _next(same) or _astray(hop, handed)
            if call is None and hop.routing_key in asked:
                call = _cause(hop, handed)
            if call is not None:
                call.replies.append((message, _name(hop) == call.name or not call.name))
                continue
        if call is None:
            call = Call(len(calls) + 1)
            calls.append(call)
            if hop.reply_to:
                named.setdefault((hop.reply_to, _name(hop)), []).append(call)
        call.requests.append(message)
        for delivery in message.deliveries:
            handed.setdefault(delivery.connection, []).append((delivery.time, call))
    return calls


def _name(hop: Hop) -> str:
    return hop.correlation_id or hop.message_id


def _sent_again(message: Sent, same: Sequence[Call]) -> Call | None:
    """The call of which this is another try: the same id alone may be a careless caller's."""
    hop = message.first
    for call in same:
        first = call.requests[0].first
        if _name(hop) and (
            hop.body == first.body or 0 < len(hop.message_id) == len(first.message_id)
        ):
            return call
    return None


def _next(calls: Sequence[Call]) -> Call | None:
    """The first call that has no reply yet, else the last."""
    return next((c for c in calls if not c.replies), calls[-1] if calls else None)


def _astray(reply: Hop, handed: dict[str, list[tuple[float, Call]]]) -> Call | None:
    """The request that a reply with the right id answers, wherever it goes."""
    took = [call for _, call in handed.get(reply.connection, []) if call.asks]
    return _next([call for call in took if call.name and call.name == _name(reply)])


def _cause(reply: Hop, handed: dict[str, list[tuple[float, Call]]]) -> Call | None:
    """The request that a reply without a known id answers: whoever sent it took it before."""
    before = [c for at, c in handed.get(reply.connection, []) if at <= reply.time and c.asks]
    return _next(before)


def _pair(hops: Iterable[Hop]) -> list[Sent]:
    sent: list[Sent] = []
    waiting: dict[tuple[object, ...], list[Sent]] = {}
    home: dict[int, Sent] = {}

    def new(message: Sent, identity: tuple[object, ...]) -> Sent:
        sent.append(message)
        waiting.setdefault(identity, []).append(message)
        return message

    for hop in hops:
        if hop.about is not None:
            _attach(hop, home.get(id(hop.about)))
        elif hop.kind == "publish":
            message = _early(hop, waiting.get(hop.identity, ())) or new(Sent(None), hop.identity)
            message.publish = hop
            home[id(hop)] = message
        else:
            same = waiting.get(hop.identity) or waiting.get(hop.origin) or []
            if hop.kind == "dead":
                message = next((m for m in same if not m.dead), None) or new(Sent(None), hop.origin)
                message.dead.append(hop)
            else:
                message = _publish_of(hop, same) or new(Sent(None), hop.origin)
                message.deliveries.append(hop)
                home[id(hop)] = message
    return sent


def _attach(hop: Hop, message: Sent | None) -> None:
    """Put to a message what an end of a wire knows of it."""
    if message is None:
        return
    if hop.kind == "return":
        message.returned = hop
    else:
        at = next(i for i, d in enumerate(message.deliveries) if d is hop.about)
        message.settled[at] = hop


EARLY = 0.2
"""Seconds by which a delivery may be heard of before its publish: they come by two ways."""


def _early(hop: Hop, same: Sequence[Sent]) -> Sent | None:
    for message in same:
        if message.publish is None and message.deliveries:
            first = message.deliveries[0]
            if not first.redelivered and hop.time - first.time < EARLY:
                return message
    return None


def _publish_of(hop: Hop, same: Sequence[Sent]) -> Sent | None:
    def had(message: Sent) -> bool:
        return any(d.queue == hop.queue for d in message.deliveries)

    def may(message: Sent) -> bool:
        return not message.publish or hop.moved or hop.queue in message.publish.routed

    again = hop.redelivered and not hop.moved  # RabbitMQ 4.3 marks what was rejected elsewhere, too
    fitting = [m for m in same if had(m) == again and may(m)]
    return fitting[0] if fitting else (same[-1] if same else None)


def shorten(hop: Hop, width: int = 48) -> str:
    """A message in one short line: a JSON-RPC call or answer as such, else its text."""
    text = hop.body_text
    try:
        told = _json_rpc(json.loads(text))
    except (ValueError, RecursionError):
        told = None
    line = " ".join((told if told is not None else text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _json_rpc(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("method"), str):
        params = value.get("params", [])
        if isinstance(params, dict):
            inner = ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in params.items())
        elif isinstance(params, list):
            inner = ", ".join(json.dumps(v, ensure_ascii=False) for v in params)
        else:
            inner = "…"
        return f"{value['method']}({inner})"
    if isinstance(error := value.get("error"), dict):
        if isinstance(data := error.get("data"), dict) and "type" in data:
            return f"error {data['type']}: {error.get('message')}"
        return f"error {error.get('code')}: {error.get('message')}"
    if "result" in value:
        return json.dumps(value["result"], ensure_ascii=False)
    return None
