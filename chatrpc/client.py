"""RpcClient: call a method of a service, and get its answer or an error that says what is known."""

from __future__ import annotations

import itertools
import secrets
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from . import topology
from .agenda import Agenda
from .confirms import Outcome
from .deadline import Deadline
from .errors import (
    BrokerError,
    Busy,
    CallTimeout,
    ClientClosed,
    InvalidParams,
    NoWorker,
    Ran,
    RpcError,
)
from .link import Arrival, Link
from .messages import LONGEST_ID, Message, Reply, Request
from .pending import PendingCalls
from .settings import Settings

_LONGEST_TIMEOUT = 86_400.0
_COMES_BACK = 2.0  # seconds that a queue which has been there may be missing
_AGAIN = 0.05  # seconds before a refused request is sent again


class CallFuture(Future[Any]):
    """The answer of a call, some day before its deadline.

    ``worker`` is who served it, ``took`` the seconds that its method took; both are known
    when the answer is.
    """

    worker: str = ""
    took: float = 0.0


@dataclass(slots=True, eq=False)
class _Call:
    """One call in flight; whoever takes it from the table ends it."""

    id: str
    message_id: str
    body: bytes
    deadline: Deadline
    future: CallFuture | None = None
    sends: int = 0
    doubtful: bool = False  # a send was lost: perhaps it ran, whatever a later send tells
    missing_since: float | None = None
    outcome: Reply | RpcError | None = None
    arrival: Arrival | None = None
    ended: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.ended.acquire()  # a bare lock wakes its waiter faster than an Event

    def end(self, outcome: Reply | RpcError, arrival: Arrival | None = None) -> None:
        """Give the call its outcome, and wake whoever waits for it."""
        self.outcome, self.arrival = outcome, arrival
        self.ended.release()


class RpcClient:
    """Calls the methods of one service, from any number of threads. (C01 to C06)

    Args:
        service: whose methods to call.
        url: the broker, ``amqp://user:password@host:port/vhost``; several, with commas,
            for a cluster. None: CHATRPC_URL, else the default account on localhost.
        timeout: seconds that a call waits, if it names no others.
        safe: True survives a lost connection: requests are confirmed, replies are kept in
            a queue of the client's own and acknowledged. False is faster, and gives that
            up: every call in flight ends when the connection does.

    Raises:
        BrokerRefused: wrong user, password, virtual host or certificate. (C16)
        BrokerError: nobody answers at that address.
        ValueError: the name or the timeout is none.
    """

    def __init__(
        self, service: str, *, url: str | None = None, timeout: float = 10, safe: bool = True
    ) -> None:
        self.service = topology.check_service(service)
        self._queue = topology.request_queue(service)
        self._timeout = _seconds(timeout)
        settings = Settings.from_env(url=url)
        self._safe, self._user = safe, settings.addresses[0].user
        self._limit = settings.queue_limit
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._pending: PendingCalls[_Call] = PendingCalls()
        self._outbox: dict[str, _Call] = {}
        self._known = False
        self._closed = False
        name = f"chatrpc-client-{self._prefix}"
        self._agenda = Agenda(f"{name}-agenda")
        declarations = topology.for_client()
        self._reply_queue = topology.DIRECT_REPLY
        if safe:
            own = f"{socket.gethostname()[:40]}-{self._prefix}"
            self._reply_queue = topology.reply_queue(self._user, own)
            several = len(settings.addresses) > 1
            declarations += topology.for_reply(self._reply_queue, replicated=several)
        self._link = Link(
            settings,
            self,
            name=f"{name}-link",
            declarations=declarations,
            queue=self._reply_queue,
            safe=safe,
        )
        self._link.open()

    def call(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = None,
        message_id: str | None = None,
        **params: Any,
    ) -> Any:
        """Return the answer of a method, or raise, by the deadline and half a second.

        Args:
            method: its name.
            args, params: its parameters, by position or by name, not both.
            timeout: seconds to wait; None is the client's own.
            message_id: names the intention, and stays when the same is sent again; a
                method can use it as a key. None: a new one.

        Raises:
            NoWorker, Busy, InvalidRequest: it did not run.
            RemoteError: it ran and failed.
            CallTimeout: no answer in time.
            BrokerError, ClientClosed: the way to the worker ended.
            ValueError: the timeout or the message id is none.
        """
        call = self._begin(method, args, params, timeout, message_id, None)
        if not call.ended.acquire(timeout=call.deadline.left(time.monotonic())):
            self._expire(call.id)
            call.ended.acquire()
        if call.arrival is not None:
            self._link.ack(call.arrival)
        if isinstance(call.outcome, Reply):
            return call.outcome.value()
        assert call.outcome is not None
        raise call.outcome

    def submit(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = None,
        message_id: str | None = None,
        **params: Any,
    ) -> CallFuture:
        """Send a call, and return the future of its answer, which ends by the deadline.

        Args and errors as ``call``; the future raises what ``call`` would. Its callbacks
        run one after the other on a thread of the client's: they must be quick.
        """
        future = CallFuture()
        future.set_running_or_notify_cancel()
        call = self._begin(method, args, params, timeout, message_id, future)
        self._agenda.at(call.deadline.at, lambda: self._expire(call.id))
        return future

    def consumers(self) -> int:
        """Return how many workers listen now.

        Raises:
            NoWorker: the broker has no queue for this service.
            BrokerError: the broker is away.
        """
        try:
            return self._link.look(self._queue)[1]
        except NoWorker:
            raise NoWorker(f"nobody serves {self.service!r}") from None

    def close(self) -> None:
        """End the client within 2 seconds; calls in flight raise ClientClosed at once. (C18)"""
        if self._closed:
            return
        self._closed = True
        for id in self._pending.ids():
            self._end(id, ClientClosed("the client was closed while the call was under way"))
        self._link.close(delete=self._reply_queue if self._safe else None)
        self._agenda.close()

    def __enter__(self) -> RpcClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(
        self,
        method: str,
        args: tuple[Any, ...],
        params: dict[str, Any],
        timeout: float | None,
        message_id: str | None,
        future: CallFuture | None,
    ) -> _Call:
        if args and params:
            raise InvalidParams("give a call's parameters by position or by name, not both")
        if message_id is not None and not _is_id(message_id):
            raise ValueError(f"a message id is text of 1 to {LONGEST_ID} bytes")
        seconds = self._timeout if timeout is None else _seconds(timeout)
        id = f"{self._prefix}-{next(self._numbers)}"
        deadline = Deadline.after(seconds, time.monotonic())
        request = Request(method, params or list(args), message_id or id, deadline)
        call = _Call(id, request.message_id, request.encode(), deadline, future)
        self._pending.add(id, call)
        if self._closed:
            self._pending.take(id)
            raise ClientClosed("the client is closed", ran=Ran.NO)
        self._outbox[id] = call
        self._send(id)
        return call

    def _send(self, id: str) -> None:
        if (call := self._outbox.pop(id, None)) is None or self._pending.get(id) is None:
            return
        left, at = call.deadline.to_wire(time.monotonic(), time.time())
        message = Message(
            body=call.body,
            correlation_id=id,
            message_id=call.message_id,
            reply_to=self._reply_queue,
            user_id=self._user,
            expiration=max(left, 1),
            headers={"deadline": at},
        )
        call.sends += 1
        if not self._link.publish(
            id, message, exchange=topology.REQUESTS, key=self.service, mandatory=True
        ):
            call.sends -= 1
            self._outbox[id] = call
            if self._link.stands:  # it came up between the two lines above
                self._send(id)

    def delivered(self, arrival: Arrival) -> None:
        """Give a reply to the call that it names; drop one that nobody waits for. (C06)"""
        message = arrival.delivery.message
        call = self._pending.take(message.correlation_id)
        self._known = True
        if call is None or arrival.delivery.problem:
            self._agenda.soon(lambda: self._link.ack(arrival))
        else:
            self._finish(call, Reply.of(message), arrival)

    def settled(self, id: str, outcome: Outcome) -> None:
        """Learn what became of a request's publish."""
        call = self._pending.get(id)
        if call is None:
            return
        if outcome is Outcome.CONFIRMED:
            self._known = True
        elif outcome is Outcome.LOST:
            call.doubtful = True
            self._outbox[id] = call
        elif outcome is Outcome.RETURNED:
            self._returned(call)
        else:
            self._agenda.soon(lambda: self._nacked(call))

    def up(self) -> None:
        """Send what waits for the link."""
        for id in list(self._outbox):
            self._send(id)

    def down(self, error: RpcError) -> None:
        """End every call in flight, if nothing was promised for this case."""
        if not self._safe:
            for id in self._pending.ids():
                self._end(id, BrokerError(str(error)))

    def _returned(self, call: _Call) -> None:
        now = time.monotonic()
        if call.missing_since is None:
            call.missing_since = now
        if not self._known or now - call.missing_since > _COMES_BACK:
            self._end(call.id, NoWorker(f"nobody serves {self.service!r}", ran=Ran.NO))
        else:
            self._later(call)

    def _nacked(self, call: _Call) -> None:
        try:
            waiting, _ = self._link.look(self._queue, timeout=0.5)
        except RpcError:
            waiting = 0
        if waiting >= self._limit:
            self._end(call.id, Busy(f"the queue of {self.service!r} is full"))
        else:
            self._link.nacked()
            self._later(call)

    def _later(self, call: _Call) -> None:
        self._outbox[call.id] = call
        self._agenda.at(time.monotonic() + _AGAIN, lambda: self._send(call.id))

    def _expire(self, id: str) -> None:
        call = self._pending.get(id)
        if call is None:
            return
        if not call.sends:
            error: RpcError = BrokerError("the broker was away until the deadline", ran=Ran.NO)
        else:
            error = CallTimeout(f"no answer from {self.service!r} in time{self._why()}")
        self._end(id, error)

    def _why(self) -> str:
        try:
            listening = self._link.look(self._queue, timeout=0.25)[1]
        except RpcError:
            return ""
        return "" if listening else ": nobody listens"

    def _end(self, id: str, error: RpcError) -> None:
        if (call := self._pending.take(id)) is not None:
            self._outbox.pop(id, None)
            if not call.sends:
                error.ran = Ran.NO
            elif call.doubtful and error.ran is Ran.NO:
                error.ran = Ran.MAYBE
            self._finish(call, error)

    def _finish(
        self, call: _Call, outcome: Reply | RpcError, arrival: Arrival | None = None
    ) -> None:
        call.end(outcome, arrival)
        if call.future is not None:
            self._agenda.soon(lambda: self._tell(call))

    def _tell(self, call: _Call) -> None:
        future, outcome = call.future, call.outcome
        assert future is not None
        if call.arrival is not None:
            self._link.ack(call.arrival)
        try:
            if isinstance(outcome, Reply):
                future.worker, future.took = outcome.worker, outcome.took
                future.set_result(outcome.value())
            else:
                future.set_exception(outcome)
        except RpcError as error:
            future.set_exception(error)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.encode("utf-8", "replace")) <= LONGEST_ID


def _seconds(timeout: float) -> float:
    if not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ValueError(f"a timeout is a number of seconds, from above 0 to {_LONGEST_TIMEOUT:g}")
    return float(timeout)
