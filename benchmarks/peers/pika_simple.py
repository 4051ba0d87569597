"""pika as its RPC tutorial uses it: one call at a time over a BlockingConnection.

An exclusive reply queue, process_data_events() until the answer is there; the worker has
prefetch 1 and acknowledges.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pika


def body(size: int) -> bytes:
    """Return a payload."""
    return b"x" * size


def _channel(url: str) -> Any:
    return pika.BlockingConnection(pika.URLParameters(f"{url.rstrip('/')}/%2F")).channel()


def worker(url: str, queue: str, mode: str, ready: Callable[[], None]) -> None:
    """Serve echo, for ever."""
    channel = _channel(url)
    channel.queue_declare(queue, exclusive=True)

    def on_request(channel: Any, method: Any, asked: Any, body: bytes) -> None:
        answer = pika.BasicProperties(correlation_id=asked.correlation_id)
        channel.basic_publish("", asked.reply_to, body, answer)
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, on_request)
    ready()
    channel.start_consuming()


class Client:
    """One connection, one call at a time."""

    max_in_flight = 1

    @classmethod
    def open(cls, url: str, queue: str, mode: str) -> Client:
        """Connect."""
        self = cls()
        self.queue, self.channel = queue, _channel(url)
        self.replies = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.basic_consume(self.replies, self.on_reply, auto_ack=True)
        return self

    def on_reply(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """Take the reply if it is ours."""
        if properties.correlation_id == self.wanted:
            self.answer = body

    def call(self, value: bytes) -> bytes:
        """Call echo."""
        self.answer: bytes | None = None
        self.wanted = str(uuid.uuid4())
        asked = pika.BasicProperties(reply_to=self.replies, correlation_id=self.wanted)
        self.channel.basic_publish("", self.queue, value, asked)
        while self.answer is None:
            self.channel.connection.process_data_events(time_limit=30)
        return self.answer
