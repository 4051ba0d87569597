"""How fast one may go: a table with one number for each who asks."""

from __future__ import annotations

import threading


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
