"""Four calls without an answer, each for a reason of its own; what the caller sees is the same.

four = lab.silences()
four                    # four ladders, covered: all that the client knows
four.uncover()          # what really happened

Each happens by schedule, on the real broker: one request is lost, one worker is slow, one dies
with the request in its hands, and one reply is lost.
"""

from __future__ import annotations

import contextlib
import queue
import random
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from html import escape

from .. import topology
from ..deadline import Deadline
from ..messages import Message, Reply, Request
from ..server import RpcServer
from ..settings import Settings
from ..transport import Delivery, Transport
from . import points
from .crew import Crew
from .firehose import connect
from .ladder import Covered, Ladder, trace
from .problem import LabProblem
from .services import service as own_service

PATIENCE = 0.4  # seconds that each caller waits
LETTERS = "ABCD"
ASKER = "Ana"
CAUSES = ("lost", "slow", "dead", "reply lost")
WORDS = {
    "lost": "the request was lost: no queue took it",
    "slow": "the worker was slow: its answer came when nobody listened any more",
    "dead": "the worker died with the request in its hands",
    "reply lost": "the reply was lost: the worker answered, and the queue of replies had gone",
}


class Silences:
    """Four silences, A to D; covered, each is only what its caller saw."""

    def __init__(self, ladders: Mapping[str, tuple[str, Ladder]], *, covered: bool = True) -> None:
        self._ladders = dict(ladders)
        self._covered = covered

    @property
    def causes(self) -> dict[str, str]:
        """What was behind each letter: lost, slow, dead or reply lost."""
        return {letter: cause for letter, (cause, _) in self._ladders.items()}

    @property
    def seen_by_the_client(self) -> dict[str, str]:
        """What the client saw of each, as text."""
        return {letter: ladder.cover(ASKER).text for letter, (_, ladder) in self._ladders.items()}

    def uncover(self) -> Silences:
        """Return the same four, whole."""
        return Silences(self._ladders, covered=False)

    def right(self, guesses: Mapping[str, object]) -> int:
        """Return how many of the guesses are right."""
        said = {letter: str(guess).strip().lower() for letter, guess in guesses.items()}
        return sum(said.get(letter) == cause for letter, cause in self.causes.items())

    def _parts(self) -> list[tuple[str, Ladder | Covered]]:
        if self._covered:
            return [(letter, ladder.cover(ASKER)) for letter, (_, ladder) in self._ladders.items()]
        return [
            (f"{letter}: {WORDS[cause]}", ladder)
            for letter, (cause, ladder) in self._ladders.items()
        ]

    def __repr__(self) -> str:
        return "\n\n".join(f"{head}\n{ladder.text}" for head, ladder in self._parts())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        shown = "".join(
            f'<div style="margin:10px 0"><b>{escape(head)}</b><br>{ladder.svg}</div>'
            for head, ladder in self._parts()
        )
        return {"text/html": shown, "text/plain": repr(self)}


def silences(*, seed: int = 0) -> Silences:
    """Make four calls that get no answer, and return what happened, covered.

    ``seed`` decides which letter stands for which cause.

    Raises:
        LabProblem: the broker is away, or shows nothing of its messages.
    """
    causes = list(CAUSES)
    random.Random(seed).shuffle(causes)
    scenes = {"lost": _lost, "slow": _slow, "dead": _dead, "reply lost": _reply_lost}
    return Silences(
        {
            letter: (cause, scenes[cause](f"kitchen-{letter}"))
            for letter, cause in zip(LETTERS, causes, strict=True)
        }
    )


# The four scenes


@contextlib.contextmanager
def _scene(service: str) -> Iterator[tuple[_Asker, Ladder]]:
    with _Asker(service) as ana, trace(service, names={ASKER: ana.connection}) as ladder:
        yield ana, ladder


def _lost(label: str) -> Ladder:
    with _scene(own_service(label)) as (ana, ladder):
        ana.ask()
        ana.wait()
    return ladder


def _slow(label: str) -> Ladder:
    service = own_service(label)
    with _Answerer(service) as worker, _scene(service) as (ana, ladder):
        ana.ask()
        asked = worker.take()
        ana.wait()
        ana.give_up()
        worker.reply(asked)
    return ladder


def _dead(label: str) -> Ladder:
    service = own_service(label)
    crew = Crew(service, RpcServer, coffee, workers=1, dies=_DEATH)
    with crew, _scene(service) as (ana, ladder):
        ana.ask()
        ana.wait()
    return ladder


def _reply_lost(label: str) -> Ladder:
    service = own_service(label)
    with _Answerer(service) as worker, _scene(service) as (ana, ladder):
        ana.ask()
        asked = worker.take()
        ana.lose_replies()
        worker.reply(asked)
        ana.wait()
    return ladder


_DEATH = "before pouring"


def coffee() -> int:
    """Pour a cup, or rather die before it."""
    points.point(_DEATH)
    return 1


class _Party:
    """Somebody with a connection of their own, closed at the end of the scene."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._transport: Transport = connect()
        self._channel = self._transport.channel()

    @property
    def connection(self) -> object:
        """What a ladder knows this party by."""
        return self._channel

    def _send(self, message: Message, *, exchange: str, key: str) -> None:
        self._channel.publish(
            message.correlation_id, message, exchange=exchange, key=key, mandatory=False
        )

    def _end(self) -> None:
        """What is to be done before the connection is closed."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._end()
        finally:
            self._transport.close()


class _Asker(_Party):
    """A client that knows nothing but what it sends and what comes."""

    def __enter__(self) -> _Asker:
        self._came = threading.Event()
        self._queue = topology.reply_queue(self._transport.address.user, secrets.token_hex(8))
        for what in (*topology.for_client(), *topology.for_reply(self._queue, replicated=False)):
            self._transport.declare(what)
        self._channel.on_delivery = lambda delivery: self._came.set()
        self._transport.consume(self._channel, self._queue, prefetch=0, no_ack=True)
        return self

    def ask(self) -> None:
        id = f"{secrets.token_hex(4)}-1"
        request = Request("coffee", [], id, Deadline.after(PATIENCE, time.monotonic()))
        user = self._transport.address.user
        message = Message(
            request.encode(), correlation_id=id, message_id=id, reply_to=self._queue, user_id=user
        )
        self._send(message, exchange=topology.REQUESTS, key=self._service)

    def wait(self) -> None:
        if self._came.wait(PATIENCE):
            raise LabProblem("An answer came where none should: run the cell again.")

    def give_up(self) -> None:
        self._transport.stop_consuming(self._channel, timeout=2.0)

    def lose_replies(self) -> None:
        self._transport.delete(self._queue)

    def _end(self) -> None:
        self.lose_replies()


class _Answerer(_Party):
    """A worker that does each step when it is told to."""

    def __enter__(self) -> _Answerer:
        self._inbox: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        for what in topology.for_server(self._service, limit=Settings.from_env().queue_limit):
            self._transport.declare(what)
        self._channel.on_delivery = self._inbox.put
        self._transport.consume(
            self._channel, topology.request_queue(self._service), prefetch=1, no_ack=True
        )
        return self

    def take(self) -> Delivery:
        try:
            return self._inbox.get(timeout=3.0)
        except queue.Empty:
            raise LabProblem("The request did not come within 3 s: run the cell again.") from None

    def reply(self, asked: Delivery) -> None:
        id = asked.message.correlation_id
        reply = Reply.result(id, 1)
        self._send(Message(reply.body, correlation_id=id), exchange="", key=asked.message.reply_to)
