"""AMQPStorm as its RPC example uses it: one call at a time, looking for the answer.

The client has an exclusive reply queue and asks process_data_events() for the reply until it
is there; the worker is start_consuming() with prefetch 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import amqpstorm


def body(size: int) -> str:
    """Return a payload."""
    return "x" * size


def worker(url: str, queue: str, mode: str, ready: Callable[[], None]) -> None:
    """Serve echo, for ever."""
    channel = amqpstorm.UriConnection(f"{url.rstrip('/')}/%2F").channel()
    channel.queue.declare(queue, exclusive=True)

    def on_request(request: amqpstorm.Message) -> None:
        properties = {"correlation_id": request.correlation_id}
        reply = amqpstorm.Message.create(channel, request.body, properties)
        reply.publish(request.reply_to)
        request.ack()

    channel.basic.qos(prefetch_count=1)
    channel.basic.consume(on_request, queue)
    ready()
    channel.start_consuming()


class Client:
    """One connection, one call at a time."""

    model = "threads"
    max_in_flight = 1

    @classmethod
    def open(cls, url: str, queue: str, mode: str) -> Client:
        """Connect."""
        self = cls()
        self.queue = queue
        self.channel = amqpstorm.UriConnection(f"{url.rstrip('/')}/%2F").channel()
        self.replies = self.channel.queue.declare(exclusive=True)["queue"]
        self.channel.basic.consume(self.on_reply, self.replies, no_ack=True)
        return self

    def on_reply(self, reply: amqpstorm.Message) -> None:
        """Take the reply if it is ours."""
        if reply.correlation_id == self.wanted:
            self.answer = reply.body

    def call(self, value: str) -> str:
        """Call echo."""
        self.answer: str | None = None
        request = amqpstorm.Message.create(self.channel, value)
        request.reply_to = self.replies
        self.wanted = request.correlation_id
        request.publish(self.queue)
        end = time.monotonic() + 30
        while self.answer is None:
            if time.monotonic() > end:
                raise TimeoutError("no answer")
            self.channel.process_data_events()
        return self.answer
