"""Every kind of message that is no request, as bytes that no AMQP library would send."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from ..topology import reply_queue, request_queue

# The bits of the properties that are present, in the order in which their values follow.
HEADERS, CORRELATION_ID, REPLY_TO = 1 << 13, 1 << 10, 1 << 9
TIMESTAMP, USER_ID = 1 << 6, 1 << 4
NESTED = 1500
ASK = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "echo", "params": ["poison"]}).encode()


@dataclass(frozen=True)
class Poison:
    """One such message: which properties are present, the properties, the body."""

    flags: int
    values: bytes
    body: bytes

    @property
    def properties(self) -> bytes:
        """The properties as they go over the wire."""
        return struct.pack(">H", self.flags) + self.values


def kinds(service: str, user: str) -> dict[str, Poison]:
    """Return the poisons for a service, sent by this user, by name."""
    replies = _short(reply_queue(user, "nobody").encode())
    fine = REPLY_TO | USER_ID, replies + _short(user.encode())
    other = _short(reply_queue("somebody", "else").encode())
    own = _short(request_queue(service).encode())
    huge = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[%b]}'
    return {
        "no JSON": Poison(*fine, b"{this is no JSON"),
        "no UTF-8": Poison(*fine, huge % b'"\xff"'),
        "deep JSON": Poison(*fine, b"[" * 100_000 + b"]" * 100_000),
        "long number": Poison(*fine, huge % (b"9" * 5000)),
        "NaN": Poison(*fine, huge % b"NaN"),
        "a key twice": Poison(
            *fine, b'{"jsonrpc":"2.0","id":1,"id":2,"method":"echo","params":[]}'
        ),
        "no sender": Poison(REPLY_TO, replies, ASK),
        "another user's queue": Poison(REPLY_TO | USER_ID, other + _short(user.encode()), ASK),
        "a service's queue": Poison(REPLY_TO | USER_ID, own + _short(user.encode()), ASK),
        "correlation id": Poison(CORRELATION_ID, _short(b"\xff\xfe"), ASK),
        "reply_to": Poison(REPLY_TO, _short(b"\xff\xfe"), ASK),
        "header's key": Poison(HEADERS, _long(_short(b"\xff\xfe") + b"t\x01"), ASK),
        "timestamp": Poison(TIMESTAMP, struct.pack(">Q", 2**63), ASK),
        "nested headers": Poison(HEADERS, _nested(NESTED), ASK),
    }


def _short(value: bytes) -> bytes:
    """AMQP's short string."""
    return bytes([len(value)]) + value


def _long(value: bytes) -> bytes:
    """What AMQP sends with its length in four bytes: a table, a long string."""
    return struct.pack(">I", len(value)) + value


def _nested(depth: int) -> bytes:
    """A table in a table in a table."""
    table = b""
    for _ in range(depth):
        table = _short(b"t") + b"F" + _long(table)
    return _long(table)


NAMES = tuple(kinds("any", "guest"))
