"""Waiting for what comes by itself, and not for longer than it may take."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, holds: Callable[[], object]) -> bool:
    """Return whether something comes to hold in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def wait_until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds, or fail."""
    assert within(seconds, holds), "it never came to pass"
