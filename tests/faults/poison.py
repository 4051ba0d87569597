"""Every kind of message that is no request, as bytes that no AMQP library would send."""

from __future__ import annotations

import json
import struct
import threading
from typing import Any

import amqpstorm

from chatrpc.settings import Address
from chatrpc.topology import REQUESTS, reply_queue, request_queue

# The bits of the properties that are present, in the order in which their values follow.
HEADERS, CORRELATION_ID, REPLY_TO = 1 << 13, 1 << 10, 1 << 9
TIMESTAMP, USER_ID = 1 << 6, 1 << 4
NESTED = 1500
ASK = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "work", "params": []}).encode()


def short(value: bytes) -> bytes:
    """Return AMQP's short string."""
    return bytes([len(value)]) + value


def long(value: bytes) -> bytes:
    """Return what AMQP sends with its length in four bytes: a table, a long string."""
    return struct.pack(">I", len(value)) + value


def nested(depth: int) -> bytes:
    """Return a table in a table in a table."""
    table = b""
    for _ in range(depth):
        table = short(b"t") + b"F" + long(table)
    return long(table)


def kinds(service: str, user: str) -> dict[str, tuple[int, bytes, bytes]]:
    """Return the poisons: which properties are present, the properties, the body."""
    replies = short(reply_queue(user, "nobody").encode())
    fine = REPLY_TO | USER_ID, replies + short(user.encode())
    other = short(reply_queue("somebody", "else").encode())
    own = short(request_queue(service).encode())
    huge = b'{"jsonrpc":"2.0","id":1,"method":"work","params":[%b]}'
    return {
        "correlation id": (CORRELATION_ID, short(b"\xff\xfe"), ASK),
        "reply_to": (REPLY_TO, short(b"\xff\xfe"), ASK),
        "header's key": (HEADERS, long(short(b"\xff\xfe") + b"t\x01"), ASK),
        "timestamp": (TIMESTAMP, struct.pack(">Q", 2**63), ASK),
        "nested headers": (HEADERS, nested(NESTED), ASK),
        "another user's queue": (REPLY_TO | USER_ID, other + short(user.encode()), ASK),
        "a service's queue": (REPLY_TO | USER_ID, own + short(user.encode()), ASK),
        "no sender": (REPLY_TO, replies, ASK),
        "no JSON": (*fine, b"{this is no JSON"),
        "deep JSON": (*fine, b"[" * 100_000 + b"]" * 100_000),
        "long number": (*fine, huge % (b"9" * 5000)),
        "NaN": (*fine, huge % b"NaN"),
        "a key twice": (*fine, b'{"jsonrpc":"2.0","id":1,"id":2,"method":"work","params":[]}'),
        "no UTF-8": (*fine, huge % b'"\xff"'),
    }


def send(url: str, service: str) -> int:
    """Send one of each to a service, and see the broker confirm them all; return how many."""
    at = Address.parse(url)
    with amqpstorm.Connection(at.host, at.user, at.password, port=at.port) as connection:
        channel = connection.channel()
        channel.confirm_deliveries()
        found = kinds(service, at.user)
        done = _all_confirmed(channel, len(found))
        frames = [_publish(int(channel), service, *kind) for kind in found.values()]
        connection._io.write_to_socket(b"".join(frames))
        # A channel that is closed earlier takes unconfirmed messages with it.
        assert done.wait(10.0), "the broker does not confirm the poison"
    return len(found)


def _all_confirmed(channel: amqpstorm.Channel, count: int) -> threading.Event:
    """Return an event that is set when so many publishes are confirmed.

    AMQPStorm itself takes the first confirm for everybody's.
    """
    done, waiting, on_frame = threading.Event(), set(range(1, count + 1)), channel.on_frame

    def heard(frame: Any) -> None:
        if frame.name != "Basic.Ack":
            on_frame(frame)
            return
        tag = frame.delivery_tag
        waiting.difference_update(range(1, tag + 1) if frame.multiple else {tag})
        if not waiting:
            done.set()

    channel.on_frame = heard
    return done


def _publish(channel: int, service: str, flags: int, properties: bytes, body: bytes) -> bytes:
    method = b"\x00\x3c\x00\x28\x00\x00" + short(REQUESTS.encode()) + short(service.encode())
    header = b"\x00\x3c\x00\x00" + struct.pack(">QH", len(body), flags) + properties
    pieces = [(1, method + b"\x00"), (2, header)]
    pieces += [(3, body[at : at + 100_000]) for at in range(0, len(body), 100_000)]
    return b"".join(
        struct.pack(">BHI", kind, channel, len(piece)) + piece + b"\xce" for kind, piece in pieces
    )
