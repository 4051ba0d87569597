"""Every kind of message that is no request, as bytes that no AMQP library would send."""

from __future__ import annotations

import struct
import threading
from typing import Any

import amqpstorm

from chatrpc.lab.poisons import kinds
from chatrpc.settings import Address
from chatrpc.topology import REQUESTS


def short(value: bytes) -> bytes:
    """Return AMQP's short string."""
    return bytes([len(value)]) + value


def send(url: str, service: str) -> int:
    """Send one of each to a service, and see the broker confirm them all; return how many."""
    at = Address.parse(url)
    with amqpstorm.Connection(at.host, at.user, at.password, port=at.port) as connection:
        channel = connection.channel()
        channel.confirm_deliveries()
        found = kinds(service, at.user)
        done = _all_confirmed(channel, len(found))
        frames = [
            _publish(int(channel), service, p.flags, p.values, p.body) for p in found.values()
        ]
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
