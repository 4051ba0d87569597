"""From hops to the story they tell: which reply belongs to which request, and what is missing.

    hops  ──tell()──►  calls  ──rows()──►  lanes and arrows

Everything is sorted by cause, a reply after its request, and named by its part in the play:
``client 1``, ``worker 2``, ``#3``. The same code gives the same story, whatever the clock,
the ports and the random ids were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ..topology import DIRECT_REPLY, REQUESTS, request_queue
from .firehose import Hop

RANDOM = re.compile(r"amq\.gen-|[0-9a-fA-F]{8}|\d{5}")
"""A name with such a part was made up by a program."""


class Kind(Enum):
    """What an arrow is; the word is what the reader sees."""

    PUBLISH = "publish"
    DELIVER = "deliver"
    AGAIN = "deliver again"
    REPLY = "reply"
    STRAY = "reply with a strange id"
    RETRY = "publish again"
    MISSING = "missing"


@dataclass(eq=False)
class Sent:
    """One message that was published, and how often it was delivered."""

    publish: Hop | None
    deliveries: list[Hop] = field(default_factory=list)

    @property
    def first(self) -> Hop:
        """The hop that shows the message."""
        return self.publish or self.deliveries[0]


@dataclass(eq=False)
class Call:
    """One request with all that followed from it; a message without reply_to is one too."""

    number: int
    requests: list[Sent] = field(default_factory=list)
    replies: list[tuple[Sent, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Arrow:
    """One line of the ladder: from a lane to a lane, or into nothing (``target`` is empty)."""

    number: int
    source: str
    target: str
    kind: Kind
    label: str
    more: str = ""


# From hops to calls


def tell(hops: Iterable[Hop]) -> list[Call]:
    """Put each delivery to its publish and each reply to its request."""
    sent = _pair(hops)
    calls: dict[tuple[str, ...], Call] = {}
    last: dict[str, Call] = {}
    asked: set[str] = set()

    def call(*key: str) -> Call:
        return calls.setdefault(key, Call(len(calls) + 1))

    for number, message in enumerate(sent):
        hop = message.first
        name = hop.correlation_id or hop.message_id
        if hop.reply_to:
            asked.add(hop.reply_to)
            at = call(hop.reply_to, name or str(number))
            at.requests.append(message)
        elif (hop.routing_key, name) in calls:
            at = calls[hop.routing_key, name]
            at.replies.append((message, True))
        elif hop.routing_key in asked and hop.connection in last:
            at = last[hop.connection]
            at.replies.append((message, False))
        else:
            at = call("", str(number))
            at.requests.append(message)
        if not (at.replies and at.replies[-1][0] is message):
            for delivery in message.deliveries:
                last[delivery.connection] = at
    return list(calls.values())


def _pair(hops: Iterable[Hop]) -> list[Sent]:
    sent: list[Sent] = []
    waiting: dict[tuple[object, ...], list[Sent]] = {}
    for hop in hops:
        same = waiting.setdefault(hop.identity, [])
        if hop.kind == "publish":
            message = Sent(hop)
        else:
            message = _publish_of(hop, same) or Sent(None)
            message.deliveries.append(hop)
        if message not in same:
            same.append(message)
            sent.append(message)
    return sent


def _publish_of(hop: Hop, same: Sequence[Sent]) -> Sent | None:
    def had(message: Sent) -> bool:
        return any(d.queue == hop.queue for d in message.deliveries)

    fitting = [m for m in same if had(m) == hop.redelivered]
    return fitting[0] if fitting else (same[-1] if same else None)


# From calls to arrows


class _Lanes:
    """The names of the parties: by part and by order of appearance, never by port or random id."""

    def __init__(self, calls: Sequence[Call], missing_queues: frozenset[str]) -> None:
        self.names: dict[str, str] = {}
        self.queues: dict[str, str] = {}
        self.reply_queues = {
            m.first.reply_to for c in calls for m in c.requests if m.first.reply_to
        }
        counts = {"client": 0, "worker": 0}

        def meet(connection: str, part: str) -> None:
            if connection and connection not in self.names:
                counts[part] += 1
                self.names[connection] = f"{part} {counts[part]}"

        for c in calls:
            for message in c.requests:
                if message.publish:
                    meet(message.publish.connection, "client")
                for delivery in message.deliveries:
                    meet(delivery.connection, "worker")
            for message, _ in c.replies:
                if message.publish:
                    meet(message.publish.connection, "worker")
                for delivery in message.deliveries:
                    meet(delivery.connection, "client")
        messages = [m for c in calls for m in c.requests]
        messages += [m for c in calls for m, _ in c.replies]
        for message in messages:
            for queue in _queues_of(message):
                if queue not in missing_queues:
                    self.queue(queue)

    def queue(self, name: str) -> str:
        """A queue's own name, or what it is for where the name is random."""
        if name not in self.queues:
            if name in self.reply_queues and RANDOM.search(name):
                shown = "replies"
            elif RANDOM.search(name):
                shown = f"queue {1 + sum(s.startswith('queue ') for s in self.queues.values())}"
            else:
                shown = name.removeprefix(request_queue(""))
            self.queues[name] = shown
        return self.queues[name]

    def ordered(self) -> list[tuple[str, str]]:
        """Each lane's name and kind, from left to right."""
        named = list(self.names.values())
        return [
            *((n, "client") for n in named if n.startswith("client")),
            *((q, "queue") for q in dict.fromkeys(self.queues.values())),
            *((n, "worker") for n in named if n.startswith("worker")),
        ]


def rows(
    calls: Sequence[Call], missing_queues: frozenset[str] = frozenset()
) -> tuple[list[tuple[str, str]], list[Arrow]]:
    """The lanes (name and kind) and the arrows between them, sorted by cause."""
    lanes = _Lanes(calls, missing_queues)
    ordered = lanes.ordered()
    arrows: list[Arrow] = []
    for call in calls:
        for place, message in enumerate(call.requests):
            kind = Kind.RETRY if place else Kind.PUBLISH
            arrows += _message(call, message, kind, lanes, missing_queues)
        asks = any(m.first.reply_to for m in call.requests)
        taken = [d for m in call.requests for d in m.deliveries]
        if asks and taken and not call.replies:
            worker = lanes.names.get(taken[-1].connection, "worker")
            arrows.append(Arrow(call.number, worker, "", Kind.MISSING, "no reply was sent"))
        for message, expected in call.replies:
            kind = Kind.REPLY if expected else Kind.STRAY
            arrows += _message(call, message, kind, lanes, missing_queues)
    return ordered, arrows


def _message(
    call: Call, message: Sent, kind: Kind, lanes: _Lanes, missing_queues: frozenset[str]
) -> Iterable[Arrow]:
    number, hop, queues = call.number, message.first, _queues_of(message)
    if message.publish is not None:
        source, label = lanes.names[hop.connection], shorten(hop)
        if hop.exchange not in ("", REQUESTS):
            label = f"{label} by exchange {hop.exchange}, key {hop.routing_key}".strip()
        if hop.routing_key.startswith(DIRECT_REPLY):  # no queue: the broker hands it over itself
            asker = lanes.names[call.requests[0].first.connection]
            yield Arrow(number, source, asker, kind, label, _body(hop, number))
        elif not queues:
            lost = f"{kind.value} {label}: no queue takes it"
            yield Arrow(number, source, "", Kind.MISSING, lost)
        for queue in queues:
            if queue in missing_queues:
                lost = f"{kind.value} {label}: there is no queue {lanes.queue(queue)}"
                yield Arrow(number, source, "", Kind.MISSING, lost)
            else:
                yield Arrow(number, source, lanes.queue(queue), kind, label, _body(hop, number))
    for delivery in message.deliveries:
        source, target = lanes.queue(delivery.queue), lanes.names[delivery.connection]
        again = Kind.AGAIN if delivery.redelivered else Kind.DELIVER
        note = "" if message.publish else f"{shorten(hop)} (sent before the trace began)"
        yield Arrow(number, source, target, again, note)
    delivered = {d.queue for d in message.deliveries}
    for queue in queues:
        if queue not in delivered and queue not in missing_queues:
            yield Arrow(number, lanes.queue(queue), "", Kind.MISSING, "nobody took it")


def _body(hop: Hop, number: int) -> str:
    """The body to look at; where its id is random, the call's number stands for it."""
    text = hop.body_text
    for id in (hop.correlation_id, hop.message_id):
        if RANDOM.search(id):
            text = text.replace(json.dumps(id), f'"#{number}"')
    return text


def _queues_of(message: Sent) -> list[str]:
    if message.publish is None:
        return list(dict.fromkeys(d.queue for d in message.deliveries))
    return list(message.publish.routed)


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
