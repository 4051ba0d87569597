"""What the checks of raw AMQP code work with: connections and queues that are gone afterwards."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import trial
from ..exercises import Broken, NotYet
from ..services import queue as own_name

T = TypeVar("T")
GUARD = 3.0  # seconds that an answer may take, where waiting for ever is the usual mistake
ROUTED = 1.0  # seconds within which what was sent or given back lies in its queue


class Desk:
    """``with Desk(connect) as desk``: ``connect`` opens a connection, as in the notebook.

    The laboratory itself does not import AMQPStorm: the student's cells do.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._connections: list[Any] = []
        self._queues: list[str] = []
        self._exchanges: list[str] = []

    def __enter__(self) -> Desk:
        """Open the check's own connection."""
        self._own = self.connection().channel()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Delete what was declared, and close what was opened."""
        with contextlib.suppress(Exception), self._connect() as connection:
            channel = connection.channel()
            for exchange in self._exchanges:
                channel.exchange.delete(exchange)
        for connection in self._connections:
            with contextlib.suppress(Exception):
                connection.close()
        # Last, since an exclusive queue is another connection's until that is closed.
        with contextlib.suppress(Exception), self._connect() as connection:
            for queue in self._queues:
                with contextlib.suppress(Exception):
                    connection.channel().queue.delete(queue)

    def connection(self) -> Any:
        """Open a connection, which is closed at the end."""
        connection = self._connect()
        self._connections.append(connection)
        return connection

    def queue(self, label: str, texts: Sequence[str] = ()) -> str:
        """Declare a queue in which these texts wait, and nothing else; return its name."""
        name = self.missing(label)
        self._own.queue.declare(name, durable=True)
        self._own.queue.purge(name)
        for text in texts:
            self._own.basic.publish(text, name)
        self.count(name)
        return name

    def missing(self, label: str) -> str:
        """Return the name of a queue that nobody has declared."""
        name = own_name(f"check-{label}")
        self.forget(name)
        return name

    def fanout(self, label: str, *queues: str) -> str:
        """Declare an exchange that copies into these queues; return its name."""
        name = own_name(f"check-{label}")
        self._exchanges.append(name)
        self._own.exchange.declare(name, "fanout")
        for queue in queues:
            self._own.queue.bind(queue, name)
        return name

    def exists(self, queue: str) -> bool:
        """Say whether the broker has this queue."""
        try:
            self.connection().channel().queue.declare(queue, passive=True)
        except Exception:  # noqa: BLE001 - AMQPStorm's, which is not imported here
            return False
        return True

    def forget(self, queue: str) -> None:
        """Delete this queue at the end."""
        if queue not in self._queues:
            self._queues.append(queue)

    def publish(self, text: str, key: str = "", *, exchange: str = "", **more: Any) -> None:
        """Publish, and return once the broker has put it where it belongs."""
        self._own.basic.publish(text, key, exchange=exchange, properties=more)
        self._own.basic.qos(0)  # answered only after all that came before it on this channel

    def count(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        told = self._own.queue.declare(queue, passive=True)
        return int(told["message_count"])

    def left(self, queue: str, expected: int) -> int:
        """Return how many wait, giving the broker a moment if it is not what was expected."""
        end = time.monotonic() + ROUTED
        while (found := self.count(queue)) != expected and time.monotonic() < end:
            time.sleep(0.02)
        return found


def run(what: str, act: Callable[[], T], hang: str) -> T:
    """Run an answer in bounded time; return what it returned.

    Raises:
        NotYet: it is the stub.
        Broken: it hung, and ``hang`` says what that might come from.
    """
    try:
        value = trial.within(GUARD, what, act)
    except trial.Broken:
        raise Broken(f"{what} was still running after {GUARD:g} seconds. {hang}") from None
    if value is ...:
        raise NotYet
    return value


def told(error: BaseException) -> str:
    """An error in one sentence: its type, and the first that it says."""
    text = re.sub(r"Channel \d+ was closed by remote server: ", "", trial.told(error))
    return f"{text.partition('. ')[0].rstrip('.')}."
