"""What a promise is, the table of them all, and what their tests have in common."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import Ran, RpcError
from ..trial import Trial, check


@dataclass(frozen=True)
class Promise:
    """One promise: its id, its lesson, its sentence, hints from slight to plain, and its test."""

    id: str
    lesson: str
    sentence: str
    hints: tuple[str, ...]
    seconds: float
    test: Callable[[Trial], None]
    scales: bool = False
    spare: bool = False


registered: dict[str, Promise] = {}


def promise(
    id: str,
    lesson: str,
    *,
    hints: tuple[str, ...],
    seconds: float = 8.0,
    scales: bool = False,
    spare: bool = False,
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Register a test.

    Args:
        hints: from the slightest to the plainest.
        seconds: how long it may take at scale 0.01.
        scales: whether it takes longer with a larger scale.
        spare: whether it wants a broker that may be killed.
    """

    def register(test: Callable[[Trial], None]) -> Callable[[Trial], None]:
        sentence = " ".join((test.__doc__ or "").split()).rstrip(".")
        registered[id] = Promise(id, lesson, sentence, hints, seconds, test, scales, spare)
        return test

    return register


def echo(value: Any) -> Any:
    """Answer with what came."""
    return value


def ran(error: RpcError, *expected: Ran) -> None:
    """Check what an error says of whether the method ran."""
    names = " or ".join(r.value for r in expected)
    check(
        error.ran in expected,
        f"{type(error).__name__} says ran {getattr(error.ran, 'value', error.ran)}, not {names}",
    )


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """Return what it returns, and the seconds that it took."""
    start = time.monotonic()
    return act(), time.monotonic() - start


@contextlib.contextmanager
def later(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Do it that much later, while the block runs; its error is the block's.

    A block that has failed waits for nothing more.
    """
    errors: list[BaseException] = []

    def run() -> None:
        time.sleep(seconds)
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="judged")
    thread.start()
    yield
    thread.join(5.0)
    if errors:
        raise errors[0]
