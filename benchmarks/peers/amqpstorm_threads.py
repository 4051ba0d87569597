"""AMQPStorm as its threaded web example uses it: a table of answers, and callers who look into it.

A background thread runs start_consuming() and fills the table; every caller sleeps 0.1 s
between two looks. The worker is that of amqpstorm_simple.
"""

from __future__ import annotations

import threading
import time

import amqpstorm
from peers.amqpstorm_simple import body, worker

__all__ = ["Client", "body", "worker"]


class Client:
    """One connection for all threads."""

    model = "threads"

    @classmethod
    def open(cls, url: str, queue: str, mode: str) -> Client:
        """Connect, and start the thread that takes replies."""
        self = cls()
        self.queue = queue
        self.answers: dict[str, str | None] = {}
        self.channel = amqpstorm.UriConnection(f"{url.rstrip('/')}/%2F").channel()
        self.replies = self.channel.queue.declare(exclusive=True)["queue"]
        self.channel.basic.consume(self.on_reply, self.replies, no_ack=True)
        threading.Thread(target=self.channel.start_consuming, daemon=True).start()
        return self

    def on_reply(self, reply: amqpstorm.Message) -> None:
        """Put the reply into the table."""
        self.answers[reply.correlation_id] = reply.body

    def call(self, value: str) -> str | None:
        """Call echo."""
        request = amqpstorm.Message.create(self.channel, value)
        request.reply_to = self.replies
        name = request.correlation_id
        self.answers[name] = None
        request.publish(self.queue)
        end = time.monotonic() + 30
        while self.answers[name] is None:
            if time.monotonic() > end:
                raise TimeoutError("no answer")
            time.sleep(0.1)
        return self.answers.pop(name)
