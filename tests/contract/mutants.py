"""Clients and servers that are deliberately wrong, each in one way.

``MUTANTS`` names for each the promise that it is made to break, and the neighbours that fall
with it. ``python -c "import mutants; mutants.main()" [NAME…]``, in this folder and with
CHATRPC_URL set, puts every mutant to every promise and prints where the table is wrong.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import ssl
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from typing import Any

from chatrpc import (
    BrokerRefused,
    Busy,
    CallTimeout,
    ClientClosed,
    InvalidRequest,
    NoWorker,
    RemoteError,
    RpcClient,
    RpcError,
    RpcServer,
    TooLarge,
    topology,
)
from chatrpc import server as server_module
from chatrpc.confirms import Outcome
from chatrpc.deadline import Deadline
from chatrpc.link import Arrival
from chatrpc.messages import Message, Reply, Request
from chatrpc.settings import Settings
from chatrpc.topology import (
    DEAD,
    REQUESTS,
    Binding,
    Queue,
    dead_queue,
    for_client,
    reply_queue,
    request_queue,
)
from chatrpc.transport import Delivery, Transport


@contextlib.contextmanager
def transport(url: str | None = None) -> Iterator[Transport]:
    """A connection for what a mutant does behind the library's back."""
    link = Transport(Settings.from_env(url=url).addresses[0], lost=lambda error: None)
    link.open()
    try:
        yield link
    finally:
        link.close()


# Clients that are wrapped


class EmptyIsNothing(RpcClient):
    """Takes an empty answer for none."""

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Return what is true, else None."""
        return super().call(method, *args, timeout=timeout, **params) or None


class _WaitsOn(RpcClient):
    """Waits on where it should say at once that the request was not taken."""

    not_taken: type[RpcError]
    excuse = "no answer"

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Wait on."""
        try:
            return super().call(method, *args, timeout=timeout, **params)
        except self.not_taken:
            time.sleep(timeout or 2.0)
            raise CallTimeout(self.excuse) from None


class WaitsForNobody(_WaitsOn):
    """Does not notice that there is no queue."""

    not_taken = NoWorker
    excuse = "no answer: nobody listens"


class GivesNoReason(RpcClient):
    """Does not say that nobody listens."""

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Say less."""
        try:
            return super().call(method, *args, timeout=timeout, **params)
        except CallTimeout:
            raise CallTimeout("no answer") from None


class Endless(RpcClient):
    """Has no deadline."""

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Wait for ever, or nearly."""
        return super().call(method, *args, timeout=30, **params)


class Hoarder(RpcClient):
    """Keeps what it no longer needs of each call that failed."""

    kept: list[object] = []  # noqa: RUF012 - that it is shared and grows is what is wrong

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Keep the error."""
        try:
            return super().call(method, *args, timeout=timeout, **params)
        except CallTimeout as error:
            self.kept.append(error)
            raise


class BlamesTheMethod(RpcClient):
    """Takes every error of the server for one of the method."""

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Raise the wrong kind."""
        try:
            return super().call(method, *args, timeout=timeout, **params)
        except InvalidRequest as error:
            raise RemoteError(type(error).__name__, str(error)) from None


class Fragile(RpcClient):
    """Ends every call when its connection ends."""

    def __init__(self, service: str, *, url: str | None = None, timeout: float = 10) -> None:
        super().__init__(service, url=url, timeout=timeout, safe=False)


class ShowsPassword(RpcClient):
    """Has the whole address in its error."""

    def __init__(self, service: str, *, url: str | None = None, timeout: float = 10) -> None:
        try:
            super().__init__(service, url=url, timeout=timeout)
        except BrokerRefused:
            raise BrokerRefused(f"cannot open {url}") from None


class TrustsAtFirstSight(RpcClient):
    """Takes whatever certificate is shown for the right one."""

    def __init__(self, service: str, *, url: str | None = None, timeout: float = 10) -> None:
        address = Settings.from_env(url=url).addresses[0]
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            if address.tls:
                file.write(ssl.get_server_certificate((address.host, address.port)))
                file.flush()
                os.environ["CHATRPC_CA"] = file.name
            super().__init__(service, url=url, timeout=timeout)


class NeverCloses(RpcClient):
    """Leaves everything behind."""

    def close(self) -> None:
        """Do nothing."""


class SoonGivesUp(RpcClient):
    """Does not dial for longer than two seconds."""

    def down(self, error: Any) -> None:
        """Wait a little, and no more."""
        super().down(error)
        threading.Timer(2.0, self.look).start()

    def look(self) -> None:
        """Close the client unless the link stands again."""
        if not self._link.stands:
            self.close()


class WaitsForRoom(_WaitsOn):
    """Does not say that the queue is full."""

    not_taken = Busy


class SendsFirst(RpcClient):
    """Lets the other side find out that a request is too large."""

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Send it, and then look at its size."""
        try:
            return super().call(method, *args, timeout=timeout, **params)
        except TooLarge:
            body = f"{method} {args}".encode()
            with transport() as link:
                link.channel().publish(
                    "", Message(body), exchange=REQUESTS, key=self.service, mandatory=False
                )
            raise


# Clients made of the transport alone


class Plain:
    """A small client without a fault, but for what it does not promise: it dials only once."""

    def __init__(self, service: str, *, url: str | None = None, timeout: float = 10) -> None:
        self.service, self.timeout = service, timeout
        address = Settings.from_env(url=url).addresses[0]
        self.user = address.user
        self.waiting: dict[str, list[Any]] = {}
        self.numbers = itertools.count(1)
        self.closed = False
        self.transport = Transport(address, lost=lambda error: None)
        self.transport.open()
        self.queue = reply_queue(address.user, self.queue_name())
        for what in [*for_client(), Queue(self.queue, {"x-expires": 60_000})]:
            self.transport.declare(what)
        self.channel = self.transport.channel()
        self.channel.on_delivery = self.delivered
        self.channel.on_outcome = self.settled
        self.transport.consume(self.channel, self.queue, prefetch=0, no_ack=True)

    def queue_name(self) -> str:
        """Return a name that no other client has."""
        return f"{id(self)}-{time.time_ns()}"

    def call(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = None,
        message_id: str | None = None,
        **params: Any,
    ) -> Any:
        """Return the answer."""
        number = str(next(self.numbers))
        seconds = timeout or self.timeout
        request = Request(method, params or list(args), message_id or number, Deadline(0))
        message = Message(
            request.encode(),
            correlation_id=number,
            message_id=message_id or f"{self.queue}-{number}",
            reply_to=self.queue,
            user_id=self.user,
            expiration=int(seconds * 1000),
            headers={"deadline": int((time.time() + seconds) * 1000)},
        )
        self.waiting[number] = [threading.Event(), None]
        try:
            self.channel.publish(
                number, message, exchange=REQUESTS, key=self.service, mandatory=True
            )
            return self.wait(number, seconds)
        finally:
            self.forget(number)

    def wait(self, number: str, seconds: float) -> Any:
        """Return what comes for this call."""
        came, _ = self.waiting[number]
        if not came.wait(seconds):
            raise CallTimeout(f"no answer{self.why()}")
        outcome = self.waiting[number][1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.value()

    def why(self) -> str:
        """Say whether somebody listens."""
        listening = self.transport.look(request_queue(self.service))[1]
        return "" if listening else ": nobody listens"

    def forget(self, number: str) -> None:
        """Nobody waits for this call any more."""
        self.waiting.pop(number, None)

    def end(self, number: str, outcome: object) -> None:
        """Wake whoever waits."""
        if entry := self.waiting.get(number):
            entry[1] = outcome
            entry[0].set()

    def delivered(self, delivery: Delivery) -> None:
        """Take a reply."""
        self.end(delivery.message.correlation_id, Reply.of(delivery.message))

    def settled(self, number: str, outcome: Outcome) -> None:
        """Take a return."""
        if outcome is Outcome.RETURNED:
            self.end(number, NoWorker(f"nobody serves {self.service!r}"))

    def close(self) -> None:
        """End it."""
        if self.closed:
            return
        self.closed = True
        for number in list(self.waiting):
            self.end(number, ClientClosed("closed"))
        self.transport.delete(self.queue)
        self.transport.close()


class SharedReplies(Plain):
    """Shares its reply queue with every client of the service."""

    def queue_name(self) -> str:
        """Return a name that all have."""
        return f"all-of-{self.service}"


class NextReply(Plain):
    """Takes the next reply for the answer of the oldest call that waits."""

    def delivered(self, delivery: Delivery) -> None:
        """Do not look at the id."""
        for number in list(self.waiting):
            if not self.waiting[number][0].is_set():
                self.end(number, Reply.of(delivery.message))
                return


class DiesOfALateReply(Plain):
    """Takes for granted that somebody waits."""

    def delivered(self, delivery: Delivery) -> None:
        """Fail on the inbound thread."""
        entry = self.waiting[delivery.message.correlation_id]
        entry[1] = Reply.of(delivery.message)
        entry[0].set()


# Servers


class IgnoresDeadlines(RpcServer):
    """Begins whatever it gets."""

    def delivered(self, arrival: Arrival) -> None:
        """Lose the deadline."""
        message = replace(arrival.delivery.message, expiration=None, headers={})
        super().delivered(replace(arrival, delivery=replace(arrival.delivery, message=message)))


class SendsTracebacks(RpcServer):
    """Tells strangers where its files are."""

    def method(self, function: Callable[..., Any], /) -> Callable[..., Any]:  # type: ignore[override]
        """Wrap the function."""

        @wraps(function)
        def wrapped(*args: Any, **params: Any) -> Any:
            try:
                return function(*args, **params)
            except ValueError:
                raise ValueError(traceback.format_exc()) from None

        return super().method(wrapped)


class EndsOnError(RpcServer):
    """Is gone as soon as a method raises."""

    def method(self, function: Callable[..., Any], /) -> Callable[..., Any]:  # type: ignore[override]
        """Wrap the function."""

        @wraps(function)
        def wrapped(*args: Any, **params: Any) -> Any:
            try:
                return function(*args, **params)
            except ValueError:
                threading.Timer(0.0, self.close).start()
                raise

        return super().method(wrapped)


class TakesAnything(RpcServer):
    """Loses the signatures, so that wrong parameters are seen only when the method runs."""

    def method(self, function: Callable[..., Any], /) -> Callable[..., Any]:  # type: ignore[override]
        """Wrap the function, without its signature."""

        def wrapped(*args: Any, **params: Any) -> Any:
            return function(*args, **params)

        wrapped.__name__ = function.__name__
        return super().method(wrapped)


class AcksEarly(RpcServer):
    """Acknowledges before the work."""

    def _work(self, arrival: Arrival) -> None:
        """Acknowledge now, and never again; on this thread, so that it is out before the work."""
        assert self._link is not None
        self._link.ack(arrival)
        super()._work(replace(arrival, generation=-1))


class Forgetful(RpcServer):
    """Does not know a request again."""

    def delivered(self, arrival: Arrival) -> None:
        """Give each delivery an id of its own."""
        message = replace(arrival.delivery.message, message_id=f"{time.time_ns()}")
        super().delivered(replace(arrival, delivery=replace(arrival.delivery, message=message)))


class GivesUp(RpcServer):
    """Ends when its connection ends."""

    def down(self, error: Exception) -> None:
        """Stop for good."""
        if self._link is not None:
            self._link._closing.set()


class DropsPoison(RpcServer):
    """Is rid of what it cannot read, and so is everybody else."""

    def delivered(self, arrival: Arrival) -> None:
        """Acknowledge it."""
        if arrival.delivery.problem or not arrival.delivery.message.body.startswith(b'{"'):
            assert self._link is not None
            self._link.ack(arrival)
        else:
            super().delivered(arrival)


class KeepsExpired(RpcServer):
    """Has what merely expired among its dead letters."""

    def __init__(self, service: str, *, url: str | None = None) -> None:
        self.url = url
        super().__init__(service, url=url)

    def start(self) -> None:
        """Bind the dead-letter queue for one reason more."""
        super().start()
        because = {
            "x-match": "all-with-x",
            "x-first-death-queue": request_queue(self.service),
            "x-first-death-reason": "expired",
        }
        with transport(self.url) as link:
            link.declare(Binding(DEAD, dead_queue(self.service), arguments=because))


class NeverWary(RpcServer):
    """Takes many at a time at once, whatever its predecessor may have died of."""

    def start(self) -> None:
        """Trust everybody."""
        make = server_module.Link
        server_module.Link = lambda *given, **named: make(*given, **{**named, "wary": False})
        try:
            super().start()
        finally:
            server_module.Link = make


class Unlimited(RpcServer):
    """Lets its queue grow."""

    def __init__(self, service: str, *, url: str | None = None) -> None:
        os.environ.pop("CHATRPC_QUEUE_LIMIT", None)
        super().__init__(service, url=url)


class RepliesAnywhere(RpcServer):
    """Writes its replies wherever a stranger says."""

    def start(self) -> None:
        """Allow everything; this process has no other server."""
        topology.may_reply = lambda reply_to, user: True
        super().start()


class LikesTheName(RpcServer):
    """Takes a queue for a user's own whose name merely begins like it."""

    def start(self) -> None:
        """Compare without the dot."""
        before = topology.may_reply
        topology.may_reply = lambda reply_to, user: (
            before(reply_to, user) or (bool(user) and reply_to.startswith(f"chatrpc.reply.{user}"))
        )
        super().start()


class KnowsOnlyItsOwn(RpcServer):
    """Serves no plain client."""

    def start(self) -> None:
        """Allow named reply queues alone."""
        topology.may_reply = lambda reply_to, user: reply_to.startswith(reply_queue(user, ""))
        super().start()


MUTANTS: dict[type, tuple[str, set[str]]] = {
    EmptyIsNothing: ("C01", set()),
    SharedReplies: ("C02", {"C12", "C13", "C15"}),
    NextReply: ("C03", {"C06", "C12", "C13", "C15", "C14"}),
    WaitsForNobody: ("C04", set()),
    GivesNoReason: ("C04", set()),
    Endless: ("C05", {"C04", "C06", "C07", "C15", "C14"}),
    Hoarder: ("C05", set()),
    DiesOfALateReply: ("C06", {"C05", "C12", "C13", "C15"}),
    IgnoresDeadlines: ("C07", set()),
    SendsTracebacks: ("C08", set()),
    EndsOnError: ("C08", set()),
    BlamesTheMethod: ("C09", {"C15"}),
    TakesAnything: ("C09", {"C10"}),
    AcksEarly: ("C10", {"C13", "C14"}),  # and C12, if the cut meets a request in hand: by chance
    Forgetful: ("C11", set()),
    Fragile: ("C12", {"C13", "C15"}),
    GivesUp: ("C12", {"C13"}),
    SoonGivesUp: ("C13", set()),
    DropsPoison: ("C14", set()),
    KeepsExpired: ("C14", set()),
    NeverWary: ("C14", set()),
    WaitsForRoom: ("C15", set()),
    SendsFirst: ("C15", set()),
    Unlimited: ("C15", set()),
    ShowsPassword: ("C16", set()),
    TrustsAtFirstSight: ("C16", set()),
    RepliesAnywhere: ("C17", set()),
    LikesTheName: ("C17", set()),
    KnowsOnlyItsOwn: ("C17", set()),
    NeverCloses: ("C18", set()),
}
"""Each mutant, the promise that it breaks, and the neighbours that fall with it."""


def as_pair(mutant: type) -> tuple[type, type]:
    """The mutant with its honest counterpart: a client class and a server class."""
    return (RpcClient, mutant) if hasattr(mutant, "start") else (mutant, RpcServer)


def main() -> None:
    """Put mutants to every promise, and print where they fall and the table does not say so."""
    from chatrpc.lab.contract import PROMISES, judge
    from chatrpc.lab.spare import SpareBroker

    names = sys.argv[1:]
    chosen = [m for m in MUTANTS if not names or m.__name__ in names]
    with SpareBroker() as spare, ThreadPoolExecutor(3) as pool:
        quick = set(PROMISES) - {"C13"}  # which kills the broker that C16 uses
        boards = list(pool.map(lambda m: judge(*as_pair(m), only=quick, spare=spare), chosen))
        for mutant, board in zip(chosen, boards, strict=True):
            board.rows += judge(*as_pair(mutant), only="C13", spare=spare).rows
            own, neighbours = MUTANTS[mutant]
            expected, found = {own, *neighbours}, set(board.broken)
            sys.stdout.write(f"{mutant.__name__}: {' '.join(board.broken)}\n")
            for row in board.rows:
                if row.promise.id in expected ^ found:
                    what = "is not expected" if row.promise.id in found else "should fall"
                    sys.stdout.write(f"    {row.promise.id} {what}: {row.reason or 'kept'}\n")
            sys.stdout.flush()
