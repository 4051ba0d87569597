"""The chat with the polling client of AMQPStorm's Flask example in the place of chatrpc's.

    python -m benchmarks.peers.polling [--port 0]

As in the example, a background thread fills a table of answers, and every request of the web
server looks into it, and sleeps 0.1 s between two looks. All else is the chat's own: the page, the
server and its threads, the worker and JSON-RPC.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import Any

import amqpstorm

import app as chat
from chatrpc import CallTimeout, RemoteError, topology, web

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

    def submit(self, method: str, *args: Any, message_id: str) -> Answer:
        """Send the request."""
        call = {"jsonrpc": "2.0", "method": method, "params": args, "id": message_id}
        request = amqpstorm.Message.create(self.channel, json.dumps(call))
        request.message_id = message_id
        request.reply_to = self.replies
        self.answers[request.correlation_id] = None
        request.publish(self.queue)
        return Answer(self, request.correlation_id)

    def consumers(self) -> int:
        """Nobody asks it."""
        return 0

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()


class Answer:
    """What ``submit`` returns: the answer, once it is looked for."""

    worker = ""

    def __init__(self, client: RpcClient, name: str) -> None:
        """Remember which one."""
        self.client, self.name = client, name

    def result(self, timeout: float) -> Any:
        """Look for the answer until it is there."""
        end = time.monotonic() + timeout
        while (answer := self.client.answers[self.name]) is None:
            if time.monotonic() > end:
                raise CallTimeout("no answer")
            time.sleep(LOOK_EVERY)
        del self.client.answers[self.name]
        if "error" in answer:
            raise RemoteError("Error", answer["error"]["message"])
        return answer["result"]


def main() -> int:
    """Serve it."""
    parser = argparse.ArgumentParser(description="The chat with a client that polls.")
    parser.add_argument("--port", type=int, default=5000)
    port = parser.parse_args().port
    settings = web.settings()
    shared = web.SharedClient(settings.service, timeout=settings.timeout, make=RpcClient)
    app = chat.create_app()
    app.extensions["chatrpc"] = shared
    return web.serve(app, shared, host="127.0.0.1", port=port)


if __name__ == "__main__":
    sys.exit(main())
