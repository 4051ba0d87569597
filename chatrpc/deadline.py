"""An end in time: how long is left, whether it has passed, and how it travels."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which nobody waits any more.

    ``at`` is in seconds of the caller's monotonic clock; every method is told what time
    it is, so that a deadline can be tested, and taught, without waiting.
    """

    at: float

    @classmethod
    def after(cls, seconds: float, now: float) -> Deadline:
        """Return the moment ``seconds`` from ``now``."""
        return cls(now + seconds)

    def left(self, now: float) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self.at - now)

    def passed(self, now: float) -> bool:
        """Return whether nothing is left."""
        return now >= self.at

    def to_wire(self, now: float, wall: float) -> tuple[int, int]:
        """Return the same moment as (milliseconds left, milliseconds since 1970).

        Two forms, since each fails alone: time left does not shrink while a message
        travels, and a time of day is wrong where a clock is.
        """
        left = self.left(now)
        return int(left * 1000), int((wall + left) * 1000)

    @classmethod
    def from_wire(
        cls, left_ms: int | None, at_ms: int | None, now: float, wall: float
    ) -> Deadline | None:
        """Return the earlier of both forms on this machine's clock; None if there is neither."""
        if left_ms is None and at_ms is None:
            return None
        by_left = math.inf if left_ms is None else now + left_ms / 1000
        by_time = math.inf if at_ms is None else now + at_ms / 1000 - wall
        return cls(min(by_left, by_time))
