"""chatrpc as a peer: one client shared by all caller threads, one server of four threads.

Modes: plain and safe are its default, fast is safe=False.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from chatrpc import RpcClient, RpcServer


def body(size: int) -> str:
    """Return a payload; chatrpc carries JSON, so it is text."""
    return "x" * size


def worker(url: str, queue: str, mode: str, ready: Callable[[], None]) -> None:
    """Serve echo, for ever."""
    server = RpcServer(queue, url=url)

    @server.method
    def echo(value: Any) -> Any:
        return value

    with server:
        ready()
        threading.Event().wait()


class Client:
    """One client for all threads."""

    model = "threads"

    def __init__(self, client: RpcClient) -> None:
        """Keep the client."""
        self._client = client

    @classmethod
    def open(cls, url: str, queue: str, mode: str) -> Client:
        """Connect."""
        return cls(RpcClient(queue, url=url, timeout=30, safe=mode != "fast"))

    def call(self, value: Any) -> Any:
        """Call echo."""
        return self._client.call("echo", value)
