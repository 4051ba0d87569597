"""Waiting for what another thread brings about, without looking for it again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_AT_LEAST = 0.25  # seconds between two looks: AMQPStorm notes some errors without any news


class News(threading.Event):
    """Set by whoever has changed something that others may wait for."""

    def until(self, holds: Callable[[], object], timeout: float, check: Callable[[], None]) -> bool:
        """Return whether something holds within ``timeout`` seconds.

        Raises whatever ``check`` does, which is asked each time that it does not hold yet.
        """
        end = time.monotonic() + timeout
        while True:
            self.clear()  # first, so that what comes while we look is not missed
            if holds():
                return True
            check()
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.wait(min(left, _AT_LEAST))
