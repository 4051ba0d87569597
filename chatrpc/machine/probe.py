"""Who answers at a broker's address: one bounded AMQP 0-9-1 login, spoken by hand.

The library's own link heals itself and retries; here a program only wants to know, within a
second or two, what is there. Nothing is declared or published.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from enum import Enum

from ..errors import BrokerRefused
from ..settings import DEFAULT_URL, Address, Settings

__all__ = ["DEFAULT_URL", "Answer", "Found", "probe"]

_START, _START_OK, _TUNE, _TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
_OPEN, _OPEN_OK, _CLOSE = (10, 40), (10, 41), (10, 50)


class Answer(Enum):
    """What a probe found."""

    SERVES = "serves"
    REFUSES = "refuses"
    NOT_AMQP = "is not RabbitMQ"
    NOBODY = "does not answer"
    BAD_URL = "is not a broker's address"


@dataclass(frozen=True)
class Found:
    """A probe's result: ``detail`` is for a person and holds no secret."""

    answer: Answer
    detail: str = ""
    version: str = ""

    @property
    def serves(self) -> bool:
        """Whether the login worked."""
        return self.answer is Answer.SERVES


class _Refused(Exception):
    pass


def probe(url: str, *, timeout: float = 2.0) -> Found:
    """Log in at ``url`` and leave again; a silent stranger costs ``timeout`` seconds.

    Of several addresses, one that serves is enough.
    """
    settings = Settings.from_env(url=url)
    try:
        addresses = settings.addresses
    except BrokerRefused as error:
        return Found(Answer.BAD_URL, str(error))
    for address in addresses:
        found = _probe(address, settings.ca, time.monotonic() + timeout)
        if found.serves:
            break
    return found


def _probe(address: Address, ca: str | None, deadline: float) -> Found:
    where, version = str(address), ""
    try:
        with socket.create_connection((address.host, address.port), _left(deadline)) as plain:
            wire = _Wire(_tls(plain, address.host, ca) if address.tls else plain, deadline)
            wire.send_raw(b"AMQP\x00\x00\x09\x01")
            greeting = wire.expect(_START)
            if match := re.search(rb"\x07versionS\x00\x00\x00(.)", greeting, re.DOTALL):
                version = greeting[match.end() :][: match[1][0]].decode(errors="replace")
            try:
                _log_in(wire, address)
            except _NotAmqp:
                return Found(Answer.REFUSES, f"{where} hung up on the login", version)
    except _Refused as refusal:
        return Found(Answer.REFUSES, f"{where} says {refusal}", version)
    except ssl.SSLError as error:
        return Found(Answer.REFUSES, f"{where}: no secure connection, {error.reason}", version)
    except _NotAmqp:
        return Found(Answer.NOT_AMQP, f"{where} speaks something else")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Found(Answer.NOBODY, f"{where}: {why}")
    return Found(Answer.SERVES, where, version)


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())


class _NotAmqp(Exception):
    pass


def _tls(plain: socket.socket, host: str, ca: str | None) -> socket.socket:
    return ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=host)


def _short(text: str) -> bytes:
    data = text.encode()[:255]
    return bytes([len(data)]) + data


def _long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _log_in(wire: _Wire, address: Address) -> None:
    # With this capability a refusal comes as a readable Close instead of a cut.
    can = _short("authentication_failure_close") + b"t\x01"
    properties = _long(_short("capabilities") + b"F" + _long(can))
    secret = _long(f"\0{address.user}\0{address.password}".encode())
    wire.send(_START_OK, properties + _short("PLAIN") + secret + _short("en_US"))
    tune = wire.expect(_TUNE)
    wire.send(_TUNE_OK, tune[4:10] + b"\x00\x00")
    wire.send(_OPEN, _short(address.vhost) + b"\x00\x00")
    wire.expect(_OPEN_OK)
    wire.send(_CLOSE, struct.pack(">H", 200) + _short("bye") + b"\x00\x00\x00\x00")


class _Wire:
    """Method frames on channel 0, each wait bounded by one deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def send_raw(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def send(self, method: tuple[int, int], arguments: bytes) -> None:
        payload = struct.pack(">HH", *method) + arguments
        self.send_raw(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce")

    def expect(self, method: tuple[int, int]) -> bytes:
        """The payload of the next method frame, which must be ``method``."""
        kind, channel, size = struct.unpack(">BHI", self._read(7))
        if (kind, channel) != (1, 0) or not 4 <= size <= 65536:
            raise _NotAmqp
        payload = self._read(size + 1)
        came = struct.unpack(">HH", payload[:4])
        if came == _CLOSE:
            text = payload[7 : 7 + payload[6]].decode(errors="replace")
            raise _Refused("".join(c for c in text if c.isprintable()))
        if came != method:
            raise _NotAmqp
        return payload[:-1]

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if time.monotonic() >= self._deadline:
                raise _NotAmqp
            self._sock.settimeout(_left(self._deadline))
            try:
                more = self._sock.recv(size - len(data))
            except (TimeoutError, ConnectionResetError):
                raise _NotAmqp from None
            if not more:
                raise _NotAmqp
            data += more
        return data
