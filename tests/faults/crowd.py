"""The callers: threads that call all the time, and probes, and what each of them wrote down."""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import Any

from judge import GRACE, Called

from chatrpc import RpcClient, RpcError

CALLERS = 16
PAUSE = 0.03  # seconds between two calls of one caller
PROBE = 0.1  # seconds between two probes

Params = tuple[str, float, int, str]


class Crowd:
    """Sixteen callers with one client, and a prober that sends without waiting for answers.

    A caller that waits sends nothing: only the prober's calls tell when answers come again.

    Args:
        timeout: seconds that each call waits.
        large: which share of the callers' calls carries up to 700 KiB there and back.
        seconds: the longest that a method takes.
    """

    def __init__(
        self,
        client: RpcClient,
        *,
        seed: int,
        timeout: float,
        large: float = 0.0,
        seconds: float = 0.005,
    ) -> None:
        self.calls: list[Called] = []
        self._client, self._timeout = client, timeout
        self._large, self._seconds, self._seed = large, seconds, seed
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(name,), daemon=True)
            for name in range(CALLERS)
        ]
        self._threads.append(threading.Thread(target=self._probe, daemon=True))

    @property
    def answered(self) -> int:
        """How many calls have brought their answer until now."""
        return sum(call.right for call in list(self.calls))

    def start(self) -> None:
        """Begin to call."""
        for thread in self._threads:
            thread.start()

    def until_answered(self, count: int, seconds: float) -> bool:
        """Wait until so many calls have been answered; False if that takes longer."""
        end = time.monotonic() + seconds
        while self.answered < count:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def ask(self, seconds: float) -> None:
        """Send one call more, which takes so long, and do not wait for it."""
        sent = time.monotonic()
        noted = Called(f"asked.{len(self.calls)}", sent, sent + self._timeout)
        self.calls.append(noted)
        self._submit(noted, (noted.text, seconds, 0, ""))

    def end(self) -> None:
        """Let each call end; whoever still waits after its deadline hangs, and is left."""
        self._ended.set()
        for thread in self._threads:
            thread.join(self._timeout + 2 * GRACE)
        end = time.monotonic() + self._timeout + 2 * GRACE  # for the probes
        while any(call.over is None for call in self.calls) and time.monotonic() < end:
            time.sleep(0.02)

    def _call(self, name: int) -> None:
        chance = random.Random(f"{self._seed} {name}")
        for number in itertools.count():
            if self._ended.wait(PAUSE * 2 * chance.random()):
                return
            noted, params = self._next(f"{name}.{number}", chance)
            try:
                answer = self._client.call("work", *params, timeout=self._timeout)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is written down
                _failed(noted, error)
            else:
                _answered(noted, answer, params[2])

    def _probe(self) -> None:
        chance = random.Random(f"{self._seed} probe")
        for number in itertools.count():
            if self._ended.wait(PROBE):
                return
            self._submit(*self._next(f"probe.{number}", chance))

    def _submit(self, noted: Called, params: Params) -> None:
        try:
            future = self._client.submit("work", *params, timeout=self._timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is written down
            _failed(noted, error)
        else:
            future.add_done_callback(lambda done: _done(noted, done, params[2]))

    def _next(self, text: str, chance: random.Random) -> tuple[Called, Params]:
        size = 0
        if not text.startswith("probe") and chance.random() < self._large:
            size = chance.randrange(200 * 1024, 700 * 1024)
        sent = time.monotonic()
        noted = Called(text, sent, sent + self._timeout)
        self.calls.append(noted)
        return noted, (text, chance.random() * self._seconds, size, "x" * size)


def _answered(noted: Called, answer: Any, size: int) -> None:
    noted.over = time.monotonic()
    text, load = answer
    noted.answer = text if len(load) == size else f"{text}, but {len(load)} bytes for {size}"


def _failed(noted: Called, error: BaseException) -> None:
    noted.over = time.monotonic()
    noted.error, noted.why = type(error).__name__, str(error)
    noted.ran = error.ran.value if isinstance(error, RpcError) else ""


def _done(noted: Called, future: Any, size: int) -> None:
    if (error := future.exception()) is not None:
        _failed(noted, error)
    else:
        _answered(noted, future.result(), size)
