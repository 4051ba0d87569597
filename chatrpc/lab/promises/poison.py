"""Messages that harm whoever takes them: C14."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator

from ...errors import CallTimeout, RemoteError
from ...messages import Message
from ...topology import REQUESTS, dead_queue, request_queue
from ...transport import Transport
from .. import raw
from ..firehose import connect, exists
from ..trial import Caller, Trial, check, short, told
from .processes import workers
from .registry import echo, promise

BODIES = {
    "a text that is no JSON": b"{this is no JSON",
    "nothing": b"",
    "bytes that are no UTF-8": b"\xff\xfe\xfd",
    "JSON nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
}

CORRELATION_ID, TIMESTAMP, HEADERS = 0x0400, 0x0040, 0x2000
_deep = b""
for _ in range(1500):
    _deep = b"\x01aF" + struct.pack(">I", len(_deep)) + _deep
PROPERTIES = {
    "a correlation id that is no UTF-8": struct.pack(">HB", CORRELATION_ID, 3) + b"\xff\xfe\xfd",
    "a time stamp beyond all time": struct.pack(">HQ", TIMESTAMP, 2**63),
    "headers nested 1,500 deep": struct.pack(">HI", HEADERS, len(_deep)) + _deep,
}

CRASHING = """
import importlib, os, sys, time
module, name, service = sys.argv[1:]
cls = getattr(importlib.import_module(module), name)
def serve(parent):
    server = cls(service)
    @server.method
    def crash(text: str) -> None:
        os._exit(1)
    @server.method
    def work(text: str) -> str:
        time.sleep(0.02)
        return text
    server.start()
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(0)
print("here", "ready", sep="\\n", flush=True)
while True:  # whoever dies is replaced
    if not (child := os.fork()):
        serve(os.getppid())
    os.waitpid(child, 0)
"""

INNOCENTS = 12


@promise(
    "C14",
    "08",
    hints=(
        "How often may one message kill a worker, and who else pays for it?",
        "Reject what you cannot read, without requeue; give the queue a delivery limit and a "
        "dead-letter exchange that lets the merely expired go.",
        "A quorum queue with x-delivery-limit and x-dead-letter-exchange; basic.reject with "
        "requeue=False for what cannot be decoded; a small prefetch, so that few neighbours "
        "share a crash.",
    ),
    seconds=40.0,
)
def poison_is_put_away(trial: Trial) -> None:
    """A message that cannot be decoded, or that kills its workers again and again, ends in the
    dead-letter queue, which holds nothing else; innocent neighbours do not, and are answered."""

    def fail() -> None:
        raise ValueError("on purpose")

    server = trial.server(echo, fail)
    client = trial.client(timeout=5.0)
    transport = connect(trial.url)
    try:
        client.greet("echo", "hola")
        dead = _DeadLetters(transport, trial.service)
        _send_undecodable(transport, trial.service)
        for turn in range(1, 9):
            got = client.call("echo", turn)
            check(got == turn, f"beside poison, echo({turn}) answered {short(got)}")
        client.fails(RemoteError, "fail")  # a method that fails is no poison
        dead.are(len(BODIES) + len(PROPERTIES), 4.0)
        trial.stop(server)
        with contextlib.suppress(CallTimeout):
            client.call("echo", "expires", timeout=0.2)  # neither is who waited too long
        _is_gone(transport, request_queue(trial.service))
        with _crash(trial, client):
            dead.are(len(BODIES) + len(PROPERTIES) + 1, 10.0)
        waiting = _left(transport, request_queue(trial.service))
        check(waiting == 0, "among the dead letters is one that was none: a poison still waits")
        dead.are(len(BODIES) + len(PROPERTIES) + 1, 0.0)
    finally:
        transport.close()


class _DeadLetters:
    """What the service gave up."""

    def __init__(self, transport: Transport, service: str) -> None:
        self._transport, self._queue = transport, dead_queue(service)
        check(exists(transport, self._queue), f"there is no dead-letter queue {self._queue}")

    def are(self, wanted: int, seconds: float) -> None:
        """Check that so many come within ``seconds``, and no more."""
        _wait(lambda: self._count() >= wanted, seconds)
        time.sleep(0.2)  # one too many would be here by now
        found = self._count()
        check(found == wanted, f"{wanted} messages were poison, and {found} are dead letters")

    def _count(self) -> int:
        return self._transport.look(self._queue)[0]


def _wait(holds: Callable[[], bool], seconds: float) -> None:
    """Ask the broker until something holds, at most so long: it tells nobody of its queues."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)


def _is_gone(transport: Transport, queue: str) -> None:
    """Let a queue become empty by itself: what a worker would meet there would not expire there."""
    _wait(lambda: not transport.look(queue)[0], 3.0)  # if its client names no end, it stays


def _left(transport: Transport, queue: str) -> int:
    """Return how many messages a queue has when its last worker is gone."""
    _wait(lambda: not transport.look(queue)[1], 5.0)
    time.sleep(0.2)  # what that worker had in hand is back by now
    return transport.look(queue)[0]


def _send_undecodable(transport: Transport, service: str) -> None:
    for properties in PROPERTIES.values():
        raw.publish(transport.address, REQUESTS, service, properties=properties, body=b"[]")
    channel = transport.channel()
    for what, body in BODIES.items():
        channel.publish(what, Message(body), exchange=REQUESTS, key=service, mandatory=False)


@contextlib.contextmanager
def _crash(trial: Trial, client: Caller) -> Iterator[None]:
    """Have workers die of one request, before, with and after innocent ones; and go on."""
    crowd = [_Asker(client, "work", f"innocent {n}") for n in range(INNOCENTS)]
    # The poison must not expire while it kills: a machine may be slow.
    crowd.insert(INNOCENTS // 2, _Asker(client, "crash", "poison", timeout=60.0))
    for asker in crowd:
        asker.start()
        time.sleep(0.02)  # in this order
    with workers(trial, CRASHING):
        for asker in crowd:
            if asker.method == "work":
                asker.is_answered()
        yield


class _Asker(threading.Thread):
    """One call."""

    def __init__(self, client: Caller, method: str, text: str, *, timeout: float = 12.0) -> None:
        super().__init__(name="judged", daemon=True)
        self.method = method
        self._client, self._text, self._timeout = client, text, timeout
        self._came: object = None

    def run(self) -> None:
        """Make it."""
        try:
            self._came = self._client.call(self.method, self._text, timeout=self._timeout)
        except Exception as error:  # noqa: BLE001 - whatever a judged class raises
            self._came = error

    def is_answered(self) -> None:
        """Check its answer."""
        self.join(14.0)
        came = told(self._came) if isinstance(self._came, Exception) else short(self._came)
        check(
            self._came == self._text,
            f"while workers died of another request, work({self._text!r}) came to {came}",
        )
