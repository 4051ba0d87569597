"""Publishes what no library would: a message whose properties are any bytes at all.

A few frames of AMQP 0-9-1 by hand, enough to log in and to publish. The broker looks at
little of a message's properties; a consumer's library looks at all of them.
"""

from __future__ import annotations

import socket
import struct

from ..settings import Address

METHOD, HEADER, BODY, END = 1, 2, 3, b"\xce"
PIECE = 100_000  # bytes of a frame, fewer than the broker's most
TIMEOUT = 5.0  # seconds for each answer of the broker


def publish(address: Address, exchange: str, key: str, *, properties: bytes, body: bytes) -> None:
    """Publish one message; ``properties`` are two bytes of flags and what they announce.

    Raises:
        OSError: the broker is away, or hangs up.
    """
    with socket.create_connection((address.host, address.port), timeout=TIMEOUT) as wire:
        _log_in(wire, address)
        _send(wire, 1, struct.pack(">HH", 20, 10) + _short(""))  # channel.open
        _expect(wire, 20, 11)
        publishing = struct.pack(">HHH", 60, 40, 0) + _short(exchange) + _short(key) + b"\0"
        _send(wire, 1, publishing)
        _send(wire, 1, struct.pack(">HHQ", 60, 0, len(body)) + properties, kind=HEADER)
        for at in range(0, len(body), PIECE):
            _send(wire, 1, body[at : at + PIECE], kind=BODY)
        _send(wire, 1, struct.pack(">HHH", 20, 40, 200) + _short("") + bytes(4))  # channel.close
        _expect(wire, 20, 41)  # so the broker has seen all that came before


def _log_in(wire: socket.socket, address: Address) -> None:
    wire.sendall(b"AMQP\0\0\x09\x01")
    _expect(wire, 10, 10)
    answer = f"\0{address.user}\0{address.password}".encode()
    _send(wire, 0, struct.pack(">HHI", 10, 11, 0) + _short("PLAIN") + _long(answer) + _short("C"))
    _expect(wire, 10, 30)
    _send(wire, 0, struct.pack(">HHHIH", 10, 31, 1, 131_072, 0))  # tune-ok: one channel
    _send(wire, 0, struct.pack(">HH", 10, 40) + _short(address.vhost) + b"\0\0")
    _expect(wire, 10, 41)


def _send(wire: socket.socket, channel: int, payload: bytes, *, kind: int = METHOD) -> None:
    wire.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + END)


def _expect(wire: socket.socket, group: int, method: int) -> None:
    while True:
        _, _, size = struct.unpack(">BHI", _read(wire, 7))
        payload = _read(wire, size + 1)
        if struct.unpack_from(">HH", payload) == (group, method):
            return


def _read(wire: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := wire.recv(size - len(data))):
            raise ConnectionResetError("the broker hung up")
        data += more
    return data


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def _long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
