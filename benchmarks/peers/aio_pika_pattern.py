"""aio-pika's own RPC pattern, in one event loop on each side; many calls are many tasks.

It pickles its messages and waits for the confirm of each publish, which is its default.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aio_pika
from aio_pika.patterns import RPC


def body(size: int) -> bytes:
    """Return a payload."""
    return b"x" * size


async def _pattern(url: str) -> Any:
    connection = await aio_pika.connect_robust(url)
    return await RPC.create(await connection.channel())


def worker(url: str, queue: str, mode: str, ready: Callable[[], None]) -> None:
    """Serve echo, for ever."""

    async def echo(value: bytes) -> bytes:
        return value

    async def serve() -> None:
        rpc = await _pattern(url)
        await rpc.register(queue, echo, auto_delete=True)
        ready()
        await asyncio.Event().wait()

    asyncio.run(serve())


class Client:
    """One connection; the event loop runs while somebody calls."""

    def __init__(self) -> None:
        """Have an event loop."""
        self._loop = asyncio.new_event_loop()

    @classmethod
    def open(cls, url: str, queue: str, mode: str) -> Client:
        """Connect."""
        self = cls()
        self._queue = queue
        self._rpc = self._run(_pattern(url))
        return self

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def crowd(self, value: bytes, callers: int, stop: float) -> list[list[float]]:
        """Call echo from so many tasks until the clock says ``stop``; return what each took."""

        async def one() -> list[float]:
            took: list[float] = []
            now = time.perf_counter()
            while now < stop:
                if await self._rpc.call(self._queue, {"value": value}) != value:
                    raise RuntimeError("a wrong answer")
                then, now = now, time.perf_counter()
                took.append(now - then)
            return took

        async def every() -> list[list[float]]:
            return list(await asyncio.gather(*[one() for _ in range(callers)]))

        found: list[list[float]] = self._run(every())
        return found
