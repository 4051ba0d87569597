"""What is refused: too many requests, too large ones, and replies to strangers: C15, C17."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from ...errors import Busy, CallTimeout, Ran, TooLarge
from ...messages import LARGEST, Message
from ...topology import DIRECT_REPLY, REQUESTS, Queue, reply_queue, request_queue
from ...transport import Channel, Transport
from ..firehose import Firehose, connect
from ..trial import Broken, Caller, Hung, Trial, check, environment, short, told
from .registry import echo, promise, ran, timed

LIMIT = 10
ROOM = 4.0
"""Seconds in which a server that comes to a full queue has made room in it."""

CROWD = 60
"""Calls that meet a queue of ``LIMIT``: many more, since the broker's own limit is a soft one."""


@promise(
    "C15",
    "08",
    hints=(
        "What happens to the message that is one too many, or far too large?",
        "Give the queue x-max-length and reject-publish, and ask its depth when it nacks; "
        "measure a request before you send it.",
        "A nack while the queue is full is Busy, any other is sent again; a body over 1 MiB "
        "raises TooLarge before it is published.",
    ),
    seconds=15.0,
)
def refused_early(trial: Trial) -> None:
    """A full queue: Busy, ran no; a request over 1 MiB is refused before it is sent."""
    with environment(CHATRPC_QUEUE_LIMIT=str(LIMIT)):
        server = trial.server(echo)
        client = trial.client()
        client.greet("echo", "hola")
        trial.stop(server)
        crowd = _Crowd(client)
        error, seconds = timed(lambda: client.fails(Busy, "echo", "one too many", timeout=1.5))
        ran(error, Ran.NO)
        check(seconds < 1.0, f"Busy came only after {seconds:.1f} s")
        crowd.end()
        trial.server(echo)
        got = _let_in(client, "room again")
        check(got == "room again", f"with room in the queue, the answer was {short(got)}")
    _too_large(trial, client)


def _let_in(client: Caller, text: str) -> Any:
    """Return the answer of a call, which may find the queue still full for a moment."""
    end = time.monotonic() + ROOM
    while True:
        try:
            return client.call("echo", text, timeout=4.0)
        except Busy:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class _Crowd:
    """Callers who fill a queue, and whom nobody answers."""

    def __init__(self, client: Caller) -> None:
        self._outcomes: list[BaseException | Any] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(client,), daemon=True, name="judged")
            for _ in range(CROWD)
        ]
        for thread in self._threads:
            thread.start()
        time.sleep(0.3)  # what they sent has reached the queue

    def _ask(self, client: Caller) -> None:
        try:
            self._outcomes.append(client.call("echo", "", timeout=2.0))
        except Exception as error:  # noqa: BLE001 - whatever a judged class raises
            self._outcomes.append(error)

    def end(self) -> None:
        """Wait for them; they must have been told that it is full, or that nobody answers."""
        for thread in self._threads:
            thread.join(4.0)
        check(len(self._outcomes) == CROWD, "a call to a full queue hangs")
        for outcome in self._outcomes:
            if isinstance(outcome, Broken):
                raise outcome
            if isinstance(outcome, Busy):
                ran(outcome, Ran.NO)
            elif not isinstance(outcome, CallTimeout):
                what = told(outcome) if isinstance(outcome, Exception) else short(outcome)
                raise Broken(f"a call to a full queue came to {what}")


def _too_large(trial: Trial, client: Caller) -> None:
    mark = secrets.token_hex(8)
    with Firehose(url=trial.url) as firehose:
        error = client.fails(TooLarge, "echo", mark + "x" * LARGEST)
        ran(error, Ran.NO)
        firehose.settle()
        sent = any(mark in hop.body_text for hop in firehose.hops)
    check(not sent, "the request of over 1 MiB was sent all the same")
    most = "x" * (LARGEST - 1024)
    got = client.call("echo", most, timeout=4.0)
    check(got == most, f"a request of nearly 1 MiB was answered with {short(got)}")


@promise(
    "C17",
    "08",
    hints=(
        "May a stranger tell your worker to write into any queue?",
        "Reply only to a queue that carries the name of the user whom the broker verified, to "
        "a server-named one (amq.gen-…) or to a direct one.",
        "Compare reply_to with the reply queues of message.user_id before the method runs; if "
        "it fits none, reject the request.",
    ),
)
def replies_go_home(trial: Trial) -> None:
    """No reply goes to a queue of another user or of a service; server-named and direct replies of
    plain clients are served."""
    trial.server(echo)
    transport = connect(trial.url)
    try:
        user = transport.address.user
        own = secrets.token_hex(4)
        forged = {
            "another user's queue": (user, reply_queue("somebody", own)),
            "the queue of a user whose name begins alike": (user, reply_queue(f"{user}2", own)),
            "the queue of a user whom the sender did not prove to be": ("", reply_queue(user, own)),
            "a service's queue": (user, request_queue(trial.new_service())),
        }
        plain = _Plain(transport, trial.service)
        for sender, place in forged.values():
            transport.declare(Queue(place, {"x-expires": 60_000}))
            plain.send("forged", reply_to=place, user_id=sender)
        patience = trial.patience.call
        _is_served(plain, patience, "a direct reply", plain.listen_directly)
        _is_served(plain, patience, "a reply to a server-named queue", plain.listen)
        time.sleep(0.3)  # a reply that is under way gets there
        for whose, (_, place) in forged.items():
            check(not transport.look(place)[0], f"a reply went to {whose}")
        for _, place in forged.values():
            transport.delete(place)
    finally:
        transport.close()


def _is_served(plain: _Plain, patience: float, what: str, listens: Callable[[], str]) -> None:
    place = listens()
    for id in ("1", "2"):  # plain clients count
        plain.send(f"plain {id}", reply_to=place, id=id)
        came, body = plain.next(patience)
        if not came:
            raise Hung(f"a plain client that asked for {what} got none within {patience:g} s")
        check(came == id, f"a plain client that asked for {what} got the answer to another call")
        check(body.get("result") == f"plain {id}", f"a plain client's answer was {short(body)}")


class _Plain:
    """A client that knows AMQP and JSON-RPC, and nothing of chatrpc."""

    def __init__(self, transport: Transport, service: str) -> None:
        self._transport, self._service = transport, service
        self._channel: Channel = transport.channel()
        self._came: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen_directly(self) -> str:
        """Have replies delivered without a queue; return where to."""
        self._listen_on(self._channel)
        self._channel.basic.consume(queue=DIRECT_REPLY, no_ack=True)
        return DIRECT_REPLY

    def listen(self) -> str:
        """Have replies delivered to a queue that the broker names; return its name."""
        channel = self._transport.channel()
        self._listen_on(channel)
        name = str(channel.queue.declare(exclusive=True)["queue"])
        channel.basic.consume(queue=name, no_ack=True)
        return name

    def _listen_on(self, channel: Channel) -> None:
        channel.on_delivery = lambda delivery: self._came.put(delivery.message)

    def send(self, text: str, *, reply_to: str, user_id: str = "", id: str = "") -> None:
        """Ask for an echo."""
        asked = {"jsonrpc": "2.0", "id": id or text, "method": "echo", "params": [text]}
        message = Message(
            json.dumps(asked).encode(),
            correlation_id=id,
            message_id=id,
            reply_to=reply_to,
            user_id=user_id,
        )
        self._channel.publish(id, message, exchange=REQUESTS, key=self._service, mandatory=False)

    def next(self, seconds: float) -> tuple[str, dict[str, Any]]:
        """Return the correlation id and the body of the next reply, or nothing."""
        try:
            message = self._came.get(timeout=seconds)
        except queue.Empty:
            return "", {}
        return message.correlation_id, dict(json.loads(message.body))
