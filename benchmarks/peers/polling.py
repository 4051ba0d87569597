"""The polling client of AMQPStorm's Flask example, as the chat can use it.

    CHATRPC_CLIENT=benchmarks.peers.polling:RpcClient python app.py

A background thread fills a table of answers; every caller looks into it, and sleeps 0.1 s between
two looks. It speaks to the chat's own worker, in JSON-RPC.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import amqpstorm

from chatrpc import CallTimeout, RemoteError, topology

LOOK_EVERY = 0.1  # seconds, as in the example


class RpcClient:
    """One connection for all threads."""

    def __init__(self, service: str, timeout: float = 10) -> None:
        """Connect, and start the thread that takes replies."""
        self.queue = topology.request_queue(service)
        self.timeout = timeout
        self.answers: dict[str, dict[str, Any] | None] = {}
        url = os.environ["CHATRPC_URL"].partition("?")[0].rstrip("/")
        self.connection = amqpstorm.UriConnection(f"{url}/%2F" if url.count("/") < 3 else url)
        self.channel = self.connection.channel()
        self.replies = self.channel.queue.declare(exclusive=True)["queue"]
        self.channel.basic.consume(self.on_reply, self.replies, no_ack=True)
        threading.Thread(target=self.channel.start_consuming, daemon=True).start()

    def on_reply(self, reply: amqpstorm.Message) -> None:
        """Put the reply into the table."""
        self.answers[reply.correlation_id] = json.loads(reply.body)

    def call(self, method: str, *args: Any, message_id: str) -> Any:
        """Send the request, and look for its answer until it is there."""
        call = {"jsonrpc": "2.0", "method": method, "params": args, "id": message_id}
        request = amqpstorm.Message.create(self.channel, json.dumps(call))
        request.message_id = message_id
        request.reply_to = self.replies
        name = request.correlation_id
        self.answers[name] = None
        request.publish(self.queue)
        end = time.monotonic() + self.timeout
        while (answer := self.answers[name]) is None:
            if time.monotonic() > end:
                raise CallTimeout("no answer")
            time.sleep(LOOK_EVERY)
        del self.answers[name]
        if "error" in answer:
            raise RemoteError("Error", answer["error"]["message"])
        return answer["result"]

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()
