"""Request and reply: their JSON-RPC 2.0 form, and the bounds of what is accepted.

::

    request  {"jsonrpc": "2.0", "id": "1f0c-7", "method": "shout", "params": ["hola"]}
    reply    {"jsonrpc": "2.0", "id": "1f0c-7", "result": "HOLA"}
    or       {"jsonrpc": "2.0", "id": "1f0c-7", "error": {"code": -32601, "message": …}}

Both travel as the body of a ``Message``, whose other fields are AMQP properties. So a
client in any language can call in: jsonrpc.org/specification and an AMQP library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from . import errors
from .deadline import Deadline
from .errors import InvalidParams, InvalidRequest, Ran, RemoteError, RpcError, TooLarge

LARGEST = 1024 * 1024
"""Bytes of the largest request or reply."""

LONGEST_ID = 200
"""Characters of the longest message id; AMQP's short strings end at 255 bytes."""

_PARSE_ERROR = -32700


class Undecodable(InvalidRequest):
    """The body is not JSON within the bounds."""

    code = _PARSE_ERROR


@dataclass(slots=True)
class Message:
    """A body and the AMQP properties that an RPC uses.

    ``expiration`` is in milliseconds. ``correlation_id`` names this call among its
    client's calls; ``message_id`` names the intention, and stays when it is sent again.
    A ``persistent`` message is kept on disk, if its queue is.
    """

    body: bytes
    correlation_id: str = ""
    message_id: str = ""
    reply_to: str = ""
    user_id: str = ""
    expiration: int | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    persistent: bool = True


def encode(value: object) -> bytes:
    """Return a value as JSON in UTF-8.

    Raises:
        InvalidParams: it has no JSON form: a set, an object, NaN.
        TooLarge: it is over ``LARGEST`` bytes.
    """
    try:
        data = _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParams(f"this has no JSON form: {error}") from None
    if len(data) > LARGEST:
        raise TooLarge(f"the message has {len(data):,} bytes, the limit is {LARGEST:,}")
    return data


def decode(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        Undecodable: it is too large, too deep, no UTF-8, no JSON, has NaN, 1e999 or a key twice.
    """
    if len(body) > LARGEST:
        raise Undecodable(f"the message has {len(body):,} bytes, the limit is {LARGEST:,}")
    try:
        return _decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"the message is not JSON: {error}") from None


def _sayable(text: str) -> str:
    """Return what UTF-8 can carry of a text; a question mark stands for the rest."""
    return text.encode(errors="replace").decode()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is beyond what a number can be")
    return number


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


# Made once: json.dumps and json.loads with options make one for every call.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(
    parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_no_key_twice
).decode


@dataclass(slots=True)
class Request:
    """One call, as its method may see it.

    ``message_id`` names the caller's intention, and can serve as a key.
    ``redelivered`` says that the broker has handed it out before: perhaps it ran.
    ``left`` is how many seconds the caller still waits.
    """

    method: str
    params: list[Any] | dict[str, Any]
    message_id: str
    deadline: Deadline
    id: str | int = ""
    redelivered: bool = False
    clock: Callable[[], float] = field(default=lambda: 0.0, repr=False)

    @property
    def left(self) -> float:
        """Seconds until nobody waits for the answer any more."""
        return self.deadline.left(self.clock())

    def encode(self) -> bytes:
        """Return the JSON-RPC request.

        Raises:
            InvalidParams, TooLarge: as ``encode``.
        """
        return encode(
            {
                "jsonrpc": "2.0",
                "id": self.id or self.message_id,
                "method": self.method,
                "params": self.params,
            }
        )

    @classmethod
    def decode(
        cls,
        message: Message,
        *,
        redelivered: bool,
        clock: Callable[[], float],
        wall: float,
        patience: float,
    ) -> Request:
        """Return the request in a message; one that names no deadline gets ``patience`` seconds.

        Raises:
            Undecodable: the body is no JSON.
            InvalidRequest: it is JSON, but no JSON-RPC 2.0 request.
        """
        found = decode(message.body)
        if not isinstance(found, dict) or found.get("jsonrpc") != "2.0":
            raise InvalidRequest("this is no JSON-RPC 2.0 request")
        method, params, id = found.get("method"), found.get("params", []), found.get("id")
        if not isinstance(method, str) or not isinstance(params, (list, dict)):
            raise InvalidRequest("a request needs a method's name, and params as list or object")
        if not isinstance(id, (str, int)) or isinstance(id, bool) or len(str(id)) > LONGEST_ID:
            raise InvalidRequest("a request needs an id: a string or a whole number")
        if isinstance(id, str) and not id.isascii() and _sayable(id) != id:
            raise InvalidRequest("a request's id is text that UTF-8 can carry")
        now = clock()
        at = message.headers.get("deadline")
        at = at if isinstance(at, int) and not isinstance(at, bool) else None
        deadline = Deadline.from_wire(message.expiration, at, now, wall)
        if deadline is None:
            deadline = Deadline.after(patience, now)
        named = message.message_id or message.correlation_id or str(id)
        return cls(method, params, named, deadline, id, redelivered, clock)


def key(message: Message) -> tuple[str, str, bytes]:
    """Return what makes two deliveries the same request.

    The digest is there for plain clients that count 1, 2, 3: after a restart their next
    "1" is another question, and must not get the old one's answer.
    """
    id = message.message_id or message.correlation_id
    return id, message.reply_to, blake2b(message.body, digest_size=16).digest()


@dataclass(slots=True)
class Reply:
    """One answer: its JSON-RPC body, who gave it, and the seconds its method took."""

    body: bytes
    worker: str = ""
    took: float = 0.0

    @classmethod
    def result(cls, id: object, result: object, *, worker: str = "", took: float = 0.0) -> Reply:
        """Return the reply that carries a result; if it can't travel, an error that says so."""
        try:
            body = encode({"jsonrpc": "2.0", "id": id, "result": result})
        except RpcError as error:
            told = RemoteError(type(error).__name__, f"the method's answer: {error}")
            return cls.error(id, told, worker=worker, took=took)
        return cls(body, worker, took)

    @classmethod
    def error(cls, id: object, error: RpcError, *, worker: str = "", took: float = 0.0) -> Reply:
        """Return the reply that carries an error: data, not a traceback."""
        told: dict[str, Any] = {"code": error.code, "message": _sayable(str(error))[:4000]}
        if isinstance(error, RemoteError):
            told["message"] = _sayable(error.message)[:4000]
            told["data"] = {"type": _sayable(error.type)[:200]}
        return cls(encode({"jsonrpc": "2.0", "id": id, "error": told}), worker, took)

    def headers(self) -> dict[str, Any]:
        """Return the AMQP headers that say who answered, and in how many microseconds."""
        return {"worker": self.worker, "took": int(self.took * 1_000_000)}

    @classmethod
    def of(cls, message: Message) -> Reply:
        """Return the reply in a message; odd headers are no reason to lose an answer."""
        worker, took = message.headers.get("worker", ""), message.headers.get("took", 0)
        seconds = took / 1_000_000 if isinstance(took, int) and not isinstance(took, bool) else 0.0
        return cls(message.body, worker if isinstance(worker, str) else "", seconds)

    def value(self) -> Any:
        """Return the result.

        Raises:
            RpcError: the error that the reply carries; a reply that is none is a RemoteError.
        """
        try:
            found = decode(self.body)
        except Undecodable as error:
            raise RemoteError("BadReply", str(error)) from None
        if isinstance(found, dict) and "result" in found:
            return found["result"]
        told = found.get("error") if isinstance(found, dict) else None
        if not isinstance(told, dict):
            raise RemoteError("BadReply", "the worker's reply is no JSON-RPC 2.0 response")
        raise _error(told)


def _error(told: dict[str, Any]) -> RpcError:
    code, message, data = told.get("code"), str(told.get("message", "")), told.get("data")
    for kind in (errors.MethodNotFound, errors.InvalidParams, InvalidRequest, Undecodable):
        if kind.code == code:
            return kind(message, ran=Ran.NO)
    name = data.get("type") if isinstance(data, dict) else None
    return RemoteError(name if isinstance(name, str) else "Error", message)
