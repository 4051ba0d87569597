"""Names and arguments of every queue and exchange, in one place.

::

    client ──▶ chatrpc.req ──(service)──▶ chatrpc.req.chat ──▶ server
    client ◀── chatrpc.reply.guest.laptop-1f0c… ◀──(default exchange)── server
                 chatrpc.req.chat ──▶ chatrpc.dead ──▶ chatrpc.dead.chat
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

REQUESTS = "chatrpc.req"
REPLIES = "chatrpc.reply."
DEAD = "chatrpc.dead"
DIRECT_REPLY = "amq.rabbitmq.reply-to"
_NOT_GUESSED = (f"{DIRECT_REPLY}.", "amq.gen-")

FAST = "/fast"
"""What the routing key of a request of the fast mode ends with."""

DELIVERY_LIMIT = 10
"""How often a request may come back before it is given up.

Every return counts, also that of a request which was only prefetched.
"""

REPLY_EXPIRES = 60_000
"""Milliseconds that replies are kept for a client that has gone."""

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

Argument = str | int | bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange to declare; all of ours are durable."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to declare; all of ours are durable."""

    name: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """A route from an exchange to a queue."""

    exchange: str
    queue: str
    key: str = ""
    arguments: Mapping[str, Argument] = field(default_factory=dict)


Declaration = Exchange | Queue | Binding


def check_service(service: str) -> str:
    """Return the name of a service if it is one.

    Raises:
        ValueError: it is not 1 to 100 letters, digits, dots, dashes or underscores.
    """
    if not isinstance(service, str) or not _SERVICE.fullmatch(service):
        raise ValueError(
            f"{service!r} is no name for a service: use 1 to 100 letters, digits, '.', '-' or '_'"
        )
    return service


def request_queue(service: str) -> str:
    """Return the name of the queue that keeps a service's requests."""
    return f"{REQUESTS}.{service}"


def fast_queue(service: str) -> str:
    """Return the name of the queue that keeps a service's requests of the fast mode.

    No service is called that, since a name has no stroke.
    """
    return f"{REQUESTS}.{service}{FAST}"


def dead_queue(service: str) -> str:
    """Return the name of the queue that keeps the requests a service gave up."""
    return f"{DEAD}.{service}"


def queues(service: str) -> tuple[str, str, str]:
    """Return the names of all queues of a service: who deletes it deletes these."""
    return request_queue(service), fast_queue(service), dead_queue(service)


def reply_queue(user: str, name: str) -> str:
    """Return the name of a client's own reply queue: the user's name guards it.

    A dot in the user's name is escaped, or "ann" could pose as "ann.lee".
    """
    return f"{REPLIES}{_guarded(user)}.{_guarded(name)}"


def _guarded(text: str) -> str:
    # As in a URL, with a stroke for the percent sign, which AMQPStorm takes in no queue's name.
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "/")


def for_client() -> list[Declaration]:
    """Return what must exist before a client can send."""
    return [Exchange(REQUESTS, "direct")]


def for_reply(queue: str, *, replicated: bool) -> list[Declaration]:
    """Return a client's reply queue: it outlives a lost connection, not a lost client.

    ``replicated`` makes it a quorum queue, for a broker of several nodes.
    """
    return [Queue(queue, {"x-queue-type": _kind(replicated), "x-expires": REPLY_EXPIRES})]


def _kind(replicated: bool) -> str:
    return "quorum" if replicated else "classic"


def for_server(service: str, *, limit: int, replicated: bool = False) -> list[Declaration]:
    """Return what a server needs: its queues of at most ``limit`` requests, and the dead letters.

    ``replicated`` makes that of the fast mode a quorum queue too: a classic one is away
    with its node, and nobody could declare it then.

    The dead-letter queue keeps what was rejected or came back too often; what merely
    expired finds no binding and is gone, as it should.
    """
    requests, fast, dead = request_queue(service), fast_queue(service), dead_queue(service)
    from_requests = {"x-match": "all-with-x", "x-first-death-queue": requests}
    from_fast = {"x-match": "all-with-x", "x-first-death-queue": fast}
    full: dict[str, Argument] = {
        "x-max-length": limit,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": DEAD,
    }
    return [
        Exchange(REQUESTS, "direct"),
        Exchange(DEAD, "headers"),
        Queue(dead, {"x-queue-type": "quorum"}),
        Binding(DEAD, dead, arguments={**from_requests, "x-first-death-reason": "rejected"}),
        Binding(DEAD, dead, arguments={**from_requests, "x-first-death-reason": "delivery_limit"}),
        Binding(DEAD, dead, arguments={**from_fast, "x-first-death-reason": "rejected"}),
        Queue(requests, {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT, **full}),
        Binding(REQUESTS, requests, key=service),
        Queue(fast, {"x-queue-type": _kind(replicated), **full}),
        Binding(REQUESTS, fast, key=service + FAST),
    ]


def returns(headers: Mapping[str, object]) -> int:
    """Return how often a request has come back to its queue, as the broker counts it."""
    count = headers.get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0


def may_reply(reply_to: str, user: str) -> bool:
    """Return whether a reply may go to this queue.

    Direct and server-named reply queues cannot be guessed or belong to somebody else's
    service; a named one must carry the name of the user that the broker verified as the
    sender.
    """
    if reply_to.startswith(_NOT_GUESSED):
        return True
    return bool(user) and reply_to.startswith(_own_queues(user))


@lru_cache(maxsize=1024)
def _own_queues(user: str) -> str:
    return reply_queue(user, "")
