"""How fast one may go, and how many at once."""

from __future__ import annotations

import collections
import threading
import time


class Places:
    """So many may be in at once; who has waited longest is next.

    One waits only while places change hands, which they do where answers are quick: at most
    ``moment`` seconds after the last change, and at most ``most`` seconds in all. Where all are
    taken for long, that is said at once.
    """

    def __init__(self, count: int, *, moment: float, most: float) -> None:
        self._free = count
        self._moment, self._most = moment, most
        self._changed_at = 0.0
        self._queue: collections.deque[threading.Lock] = collections.deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a place, perhaps after a wait; False if there is none."""
        end = time.monotonic() + self._most
        with self._lock:
            if self._free:
                self._free -= 1
                self._changed_at = time.monotonic()
                return True
            if not self._quick():
                return False
            mine = threading.Lock()
            mine.acquire()
            self._queue.append(mine)
        while not mine.acquire(timeout=self._moment):
            if self._quick() and time.monotonic() < end:
                continue
            with self._lock:
                if mine in self._queue:
                    self._queue.remove(mine)
                    return False
        return True

    def leave(self) -> None:
        """Give the place to who is next."""
        with self._lock:
            self._changed_at = time.monotonic()
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1

    def _quick(self) -> bool:
        return time.monotonic() - self._changed_at < self._moment


class Rates:
    """Lets each key go ``rate`` times a second, and ``burst`` times at once.

    It keeps for each key only the time at which all that it has done is paid for. That may lie
    ahead, but no further than a burst takes. Keys whose time is past are forgotten; the table
    holds at most ``keys`` of them, and who comes when it is full must wait.
    """

    def __init__(self, rate: float, burst: int, *, keys: int = 10_000) -> None:
        self.rate = rate
        self._ahead = burst / rate
        self._keys = keys
        self._paid: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, key: str, now: float) -> float:
        """Count one more of this key and return 0.0; or the seconds until it may, uncounted."""
        with self._lock:
            if key not in self._paid and len(self._paid) >= self._keys:
                self._paid = {name: paid for name, paid in self._paid.items() if paid > now}
                if len(self._paid) >= self._keys:
                    return self._ahead
            paid = max(self._paid.get(key, now), now) + 1 / self.rate
            if (over := paid - now - self._ahead) > 1e-9:
                return over
            self._paid[key] = paid
            return 0.0

    def __len__(self) -> int:
        return len(self._paid)
