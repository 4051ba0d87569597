"""RpcServer: serves methods, so that each request is answered and no copy of it runs again."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar, overload

from . import topology
from .agenda import Agenda
from .answers import Answers, Seen
from .caution import Caution
from .confirms import Outcome
from .crew import Crew
from .errors import InvalidRequest, RpcError
from .link import Arrival, Link
from .messages import Message, Reply, Request, Undecodable, key
from .methods import Handler, Methods
from .replies import Replies
from .settings import Settings

log = logging.getLogger("chatrpc.server")

Function = TypeVar("Function", bound=Callable[..., Any])

_PATIENCE = 60.0  # seconds for a request that names no deadline
_QUICK = 0.001  # seconds that a method may take for others' replies to wait for it


class RpcServer:
    """Serves the methods of one service, on several threads. (C08 to C11, C14, C17)

    The order is what makes it safe: run the method, send the reply, wait until the broker
    has the reply, and only then acknowledge the request. Whoever dies on the way leaves a
    request that the broker hands to another worker.

    Args:
        service: the name that clients call.
        url: the broker, as for ``RpcClient``.
        threads: how many methods run at a time.
        name: what replies say of who answered; None: the host's name and the process id.

    Raises:
        ValueError: the service's name is none.
    """

    def __init__(
        self, service: str, *, url: str | None = None, threads: int = 16, name: str | None = None
    ) -> None:
        self.service = topology.check_service(service)
        self._fast_queue = topology.fast_queue(service)
        self.name = name or f"{socket.gethostname()[:40]}-{os.getpid()}"
        self.methods = Methods()
        self._settings = Settings.from_env(url=url)
        self._handler = Handler(self.methods, self.name)
        self._threads_wanted = threads
        self._quick: set[str] = set()  # the methods that were when they ran last
        self._answers: Answers[tuple[Arrival, float]] = Answers()  # with when its asker gives up
        self._link: Link | None = None

    @overload
    def method(self, function: Function, /) -> Function: ...
    @overload
    def method(self, name: str, /) -> Callable[[Function], Function]: ...
    def method(self, what: Any, /) -> Any:
        """Serve a function: ``@server.method``, or ``@server.method("another.name")``.

        Raises:
            ValueError: the name is none.
        """
        if isinstance(what, str):
            return lambda function: self._add(what, function)
        return self._add(what.__name__, what)

    def _add(self, name: str, function: Function) -> Function:
        self.methods.add(name, function)
        return function

    def start(self) -> None:
        """Begin to serve, in the background.

        Raises:
            BrokerRefused, BrokerError: the broker does not let us in, or is away.
            RuntimeError: it serves already.
        """
        if self._link is not None:
            raise RuntimeError("the server serves already")
        name = f"chatrpc-server-{self.service}"
        self._agenda = Agenda(f"{name}-agenda")
        link = Link(
            self._settings,
            self,
            name=f"{name}-link",
            declarations=topology.for_server(
                self.service,
                limit=self._settings.queue_limit,
                replicated=len(self._settings.addresses) > 1,
            ),
            queues=[topology.request_queue(self.service), self._fast_queue],
            prefetch=2 * self._threads_wanted,
            wary=True,
            named_by="message_id",
        )
        self._link = link
        self._crew = Crew(self._work, rest=link.flush, threads=self._threads_wanted, name=name)
        self._replies = Replies(link, self._agenda, name=self.name)
        self._caution = Caution(link, self._agenda, queue=topology.request_queue(self.service))
        try:
            link.open()
        except RpcError:
            self._link = None
            raise
        self._crew.start()
        self._agenda.start()

    def serve_forever(self, *, drain: float = 30.0) -> None:
        """Serve until SIGINT or SIGTERM; then finish the work in hand, and return.

        A server that was started before goes on; else it starts.
        A second signal does what it always did. Args: ``drain``, the seconds that the
        work in hand may take. Raises as ``start``.
        """
        told = threading.Event()
        before: dict[signal.Signals, Any] = {}

        def leave(number: int, frame: FrameType | None) -> None:
            for kind, handler in before.items():
                signal.signal(kind, handler)
            told.set()

        if threading.current_thread() is threading.main_thread():
            for kind in (signal.SIGINT, signal.SIGTERM):
                before[kind] = signal.signal(kind, leave)
        try:
            if self._link is None:
                self.start()
            # Not for ever: another thread may get the signal, and then nothing wakes this one.
            while not told.wait(0.5):
                pass
        finally:
            self.close(drain=drain)
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def close(self, *, drain: float = 1.0) -> None:
        """Take no new requests, give those in hand ``drain`` seconds, and end. (C18)

        What is not finished then stays with the broker, for another worker.
        """
        link = self._link
        if link is None:
            return
        end = time.monotonic() + drain
        link.stop_reading()
        self._crew.close(max(0.0, end - time.monotonic()))
        self._replies.drain(max(0.0, end - time.monotonic()))
        self._agenda.close()  # before the link: it may still owe an acknowledgement
        link.close()
        self._link = None

    def __enter__(self) -> RpcServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def delivered(self, arrival: Arrival) -> None:
        """Take a request from the link."""
        self._caution.came(arrival)
        self._crew.put(arrival)  # what is dropped is not acknowledged: another worker gets it

    def settled(self, id: str, outcome: Outcome) -> None:
        """Learn what became of a reply's publish."""
        self._replies.settled(id, outcome)

    def up(self, *, emptied: bool) -> None:
        """Answer once more what the broker cannot deliver again; it does so with all else."""
        self._replies.up(emptied=emptied)

    def down(self, error: RpcError) -> None:
        """Have nothing to do: what runs now is answered when it is done."""

    def _work(self, arrival: Arrival) -> None:
        try:
            self._take(arrival)
        except Exception:
            log.exception("a request could not be handled")
            if (link := self._link) is not None:
                link.reject(arrival)

    def _take(self, arrival: Arrival) -> None:
        link, delivery = self._link, arrival.delivery
        message = delivery.message
        if link is None:
            return
        if delivery.problem or not topology.may_reply(message.reply_to, message.user_id):
            log.warning("rejected: %s", delivery.problem or "its reply may not go where it says")
            link.reject(arrival)
            return
        now = time.monotonic()
        try:
            request = Request.decode(
                message,
                redelivered=delivery.redelivered,
                clock=time.monotonic,
                wall=time.time(),
                patience=_PATIENCE,
            )
        except InvalidRequest as error:
            done = link.reject if isinstance(error, Undecodable) else self._done
            reply = Reply.error(None, error, worker=self.name)
            self._reply(arrival, reply, until=now + _PATIENCE, done=done)
            return
        if request.deadline.passed(now):
            self._done(arrival)
        elif delivery.consumer == self._fast_queue:
            self._answer_fast(link, arrival, request)
        else:
            self._answer(link, arrival, request)

    def _answer_fast(self, link: Link, arrival: Arrival, request: Request) -> None:
        """Answer at most once: what comes again has perhaps run, and nothing remembers it."""
        if request.redelivered:
            link.ack(arrival)
            return
        reply = self._handled(link, request)
        asked = arrival.delivery.message
        message = Message(
            reply.body, asked.correlation_id, headers=reply.headers(), persistent=False
        )
        link.answer(arrival, message, queue=asked.reply_to)

    def _answer(self, link: Link, arrival: Arrival, request: Request) -> None:
        about, until = key(arrival.delivery.message), request.deadline.at
        seen, reply = self._answers.begin(about, (arrival, until), request.deadline)
        if seen is Seen.NEW:
            reply = self._handled(link, request)
            for waiting, its_until in self._answers.finish(about, reply, time.monotonic()):
                self._reply(waiting, reply, until=its_until)
        elif reply is not None:
            self._reply(arrival, reply, until=until)

    def _handled(self, link: Link, request: Request) -> Reply:
        if request.method not in self._quick:  # the replies before its own go now
            link.flush()
        reply = self._handler.handle(request)
        if 0 < reply.took < _QUICK:
            self._quick.add(request.method)
        else:
            self._quick.discard(request.method)
        return reply

    def _reply(
        self,
        arrival: Arrival,
        reply: Reply,
        *,
        until: float,
        done: Callable[[Arrival], None] | None = None,
    ) -> None:
        self._replies.send(
            self._message(arrival, reply, until),
            queue=arrival.delivery.message.reply_to,
            until=until,
            arrival=arrival,
            done=done or self._done,
        )

    def _done(self, arrival: Arrival) -> None:
        if self._link is not None:
            self._caution.done(arrival)

    @staticmethod
    def _message(arrival: Arrival, reply: Reply, until: float) -> Message:
        asked = arrival.delivery.message
        return Message(
            body=reply.body,
            correlation_id=asked.correlation_id,
            message_id=asked.message_id,
            expiration=max(1, int((until - time.monotonic()) * 1000)),
            headers=reply.headers(),
        )
