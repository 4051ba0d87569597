"""RpcClient: call a method of a service, and get its answer or an error that says what is known."""

from __future__ import annotations

import itertools
import secrets
import socket
import time
from types import TracebackType
from typing import Any

from . import topology
from .agenda import Agenda
from .calls import Call, CallFuture, Expiry, Wakes
from .confirms import Outcome
from .deadline import Deadline
from .errors import (
    BrokerError,
    CallTimeout,
    ClientClosed,
    InvalidParams,
    NoWorker,
    Ran,
    RpcError,
)
from .link import Arrival, Link
from .messages import LONGEST_ID, Reply, Request
from .outbox import Outbox
from .pending import PendingCalls
from .settings import Settings

_LONGEST_TIMEOUT = 86_400.0


class RpcClient:
    """Calls the methods of one service, from any number of threads. (C01 to C06)

    Args:
        service: whose methods to call.
        url: the broker, ``amqp://user:password@host:port/vhost``; several, with commas,
            for a cluster. None: CHATRPC_URL, else the default account on localhost.
        timeout: seconds that a call waits, if it names no others.
        safe: True survives a lost connection: requests are confirmed, replies are kept in
            a queue of the client's own and acknowledged. False is faster, and gives that
            up: every call in flight ends when the connection does, a request dies with its
            worker, and what the broker drops is not noticed.

    Raises:
        BrokerRefused: wrong user, password, virtual host or certificate. (C16)
        BrokerError: nobody answers at that address.
        ValueError: the name or the timeout is none.
    """

    def __init__(
        self, service: str, *, url: str | None = None, timeout: float = 10, safe: bool = True
    ) -> None:
        self.service = topology.check_service(service)
        self._timeout, self._safe = _seconds(timeout), safe
        settings = Settings.from_env(url=url)
        user = settings.addresses[0].user
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._pending: PendingCalls[Call] = PendingCalls()
        self._wakes = Wakes(lambda: self._link.flush())
        self._closed = False
        declarations = topology.for_client()
        self._reply_queue = topology.DIRECT_REPLY
        several = len(settings.addresses) > 1
        if safe:
            own = f"{socket.gethostname()[:40]}-{self._prefix}"
            self._reply_queue = topology.reply_queue(user, own)
            # First, since the broker makes it while it is asked for the rest.
            declarations[:0] = topology.for_reply(self._reply_queue, replicated=several)
        self._agenda = Agenda(f"chatrpc-client-{self._prefix}-agenda")
        self._expiry = Expiry(self._agenda, self._pending, self._expire)
        self._link = Link(
            settings,
            self,
            name=f"chatrpc-client-{self._prefix}-link",
            declarations=declarations,
            queues=[self._reply_queue],
            safe=safe,
            read=self._wakes.next,
        )
        self._outbox = Outbox(
            self._link,
            self._agenda,
            self._pending,
            self._fail,
            service=service,
            limit=settings.queue_limit,
            user=user,
            reply_queue=self._reply_queue,
            safe=safe,
            several=several,
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
        call = self._made(method, args, params, timeout, message_id)
        try:
            self._begin(call)
            if not self._awaited(call) and not call.over():
                self._expire(call)
        except BaseException:  # Ctrl-C, perhaps where this caller was waking another
            self._put_right()
            raise
        finally:
            call.left = True
            self._forget(call)
            self._wakes.next()
        return call.result()

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
        call = self._made(method, args, params, timeout, message_id, future)
        try:
            self._begin(call)
        except BaseException:
            self._forget(call)
            raise
        if (turns := self._link.turns) is not None:
            turns.call_back()
        self._expiry.watch(call.deadline.at)
        return future

    def consumers(self) -> int:
        """Return how many workers listen now.

        Raises:
            NoWorker: the broker has no queue for this service.
            BrokerError: the broker is away.
        """
        return self._look(timeout=2.0)

    def close(self) -> None:
        """End the client within 2 seconds; calls in flight raise ClientClosed at once. (C18)"""
        if self._closed:
            return
        self._closed = True
        for id in self._pending.ids():
            self._fail(id, ClientClosed("the client was closed while the call was under way"))
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

    def _made(
        self,
        method: str,
        args: tuple[Any, ...],
        params: dict[str, Any],
        timeout: float | None,
        message_id: str | None,
        future: CallFuture | None = None,
    ) -> Call:
        if args and params:
            raise InvalidParams("give a call's parameters by position or by name, not both")
        if message_id is not None and not _is_id(message_id):
            raise ValueError(f"a message id is text of 1 to {LONGEST_ID} bytes")
        seconds = self._timeout if timeout is None else _seconds(timeout)
        id = f"{self._prefix}-{next(self._numbers)}"
        deadline = Deadline.after(seconds, time.monotonic())
        request = Request(method, params or list(args), message_id or id, deadline)
        return Call(id, request.message_id, request.encode(), deadline, future)

    def _begin(self, call: Call) -> None:
        self._pending.add(call.id, call)
        if self._closed:
            raise ClientClosed("the client is closed", ran=Ran.NO)
        self._outbox.send(call, soon=False)
        self._wakes.sent()

    def _awaited(self, call: Call) -> bool:
        turns = self._link.turns
        if turns is not None and len(self._pending) > 1:
            turns.call_back()
        elif turns is not None:  # who waits for the only answer reads it: to be woken takes longer
            turns.read_until(call.over, call.deadline.left(time.monotonic()))
            if call.over():
                return True
        return call.wait(call.deadline.left(time.monotonic()))

    def delivered(self, arrival: Arrival) -> None:
        """Give a reply to the call that it names; drop one that nobody waits for. (C06)"""
        message = arrival.delivery.message
        call = None if arrival.delivery.problem else self._pending.get(message.correlation_id)
        if call is not None:
            # Whoever reads may be interrupted by Ctrl-C anywhere. What that leaves undone is in the
            # table, where the next delivery, the interrupted caller or the deadline finds it.
            call.settle(Reply.of(message))
            if call.future is None:
                self._wakes.add(call)
            else:
                self._leave(call)
        self._outbox.answered()
        self._link.ack(arrival, soon=False)

    def settled(self, id: str, outcome: Outcome) -> None:
        """Learn what became of a request's publish."""
        self._outbox.settled(id, outcome)

    def up(self, *, emptied: bool) -> None:
        """Send what waits for the link; and all calls again whose answers may be lost."""
        if emptied and self._safe:  # who has answered already answers from its memory
            for id in self._pending.ids():
                self._outbox.settled(id, Outcome.LOST)
        self._outbox.send_all()

    def down(self, error: RpcError) -> None:
        """End every call in flight, if nothing was promised for this case."""
        if not self._safe:
            for id in self._pending.ids():
                self._fail(id, BrokerError(str(error)))

    def _expire(self, *calls: Call) -> None:
        late = calls[0].deadline.at < time.monotonic() - 0.25  # then without the question
        why = "" if late or not any(call.sends for call in calls) else self._why()
        for call in calls:
            error: RpcError = BrokerError("the broker was away until the deadline")
            if call.sends:
                error = CallTimeout(f"no answer from {self.service!r} in time{why}")
            self._fail(call.id, error)

    def _why(self) -> str:
        try:
            return "" if self._look(timeout=0.2) else ": nobody listens"
        except RpcError:
            return ""

    def _look(self, *, timeout: float) -> int:
        try:
            return self._link.look(topology.request_queue(self.service), timeout=timeout)[1]
        except NoWorker:
            raise NoWorker(f"nobody serves {self.service!r}") from None

    def _fail(self, id: str, error: RpcError) -> None:
        if (call := self._pending.get(id)) is None:
            return
        if not call.sends:
            error.ran = Ran.NO
        elif call.doubtful and error.ran is Ran.NO:
            error.ran = Ran.MAYBE
        call.end(error)
        if call.future is not None:
            self._leave(call)
        if (turns := self._link.turns) is not None:
            turns.look_up()

    def _leave(self, call: Call) -> None:
        """Take a future's call out of the table; one that is waited for, its caller takes out."""
        self._forget(call)  # the callbacks are user code: not on the thread that reads
        self._agenda.soon(call.tell)

    def _put_right(self) -> None:
        """Do what interrupted callers have left undone."""
        for id in self._pending.ids():
            if (call := self._pending.get(id)) is None:
                continue
            if call.left:
                self._forget(call)
            elif call.over():
                call.wake()

    def _forget(self, call: Call) -> None:
        self._pending.take(call.id)
        self._outbox.forget(call.id)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.encode("utf-8", "replace")) <= LONGEST_ID


def _seconds(timeout: float) -> float:
    if not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ValueError(f"a timeout is a number of seconds, from above 0 to {_LONGEST_TIMEOUT:g}")
    return float(timeout)
