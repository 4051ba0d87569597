"""A few numbers that a worker process and its card share, as fast as memory.

The process writes whether it is ready, how many calls it is at, and how many it has done; the
card writes how much slower it should be, and where it is to die.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_LAYOUT = struct.Struct("<qqqdqq")
_FIELDS = {
    name: 8 * at for at, name in enumerate(("ready", "busy", "served", "slow", "point", "nth"))
}

POINTS = ("", "before work", "after work", "before ack")
"""Where a worker can be killed: a request is in its hands; its method has returned and no reply
is sent; the reply is sent and the request not acknowledged."""


class Tally:
    """The numbers, in a file; each has one writer."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_LAYOUT.size))
        file = os.open(path, os.O_RDWR)
        try:
            self._memory = mmap.mmap(file, _LAYOUT.size)
        finally:
            os.close(file)

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self._get("ready") != 0

    @ready.setter
    def ready(self, value: bool) -> None:
        self._set("ready", int(value))

    @property
    def busy(self) -> int:
        """How many calls it is at."""
        return self._get("busy")

    @busy.setter
    def busy(self, value: int) -> None:
        self._set("busy", value)

    @property
    def served(self) -> int:
        """How many calls it has done, since it was started."""
        return self._get("served")

    @served.setter
    def served(self, value: int) -> None:
        self._set("served", value)

    @property
    def slow(self) -> float:
        """How many seconds longer each call takes."""
        found: float = struct.unpack_from("<d", self._memory, _FIELDS["slow"])[0]
        return found

    @slow.setter
    def slow(self, value: float) -> None:
        struct.pack_into("<d", self._memory, _FIELDS["slow"], value)

    @property
    def point(self) -> str:
        """Where it is to die, or nothing."""
        return POINTS[self._get("point")]

    def arm(self, point: str, nth: int = 1) -> None:
        """Have it die when it comes to that point for the n-th time from now."""
        self._set("nth", nth)
        self._set("point", POINTS.index(point))

    def passing(self, point: str) -> bool:
        """Say whether the process is to die here and now; it asks at each point that it passes."""
        if self.point != point:
            return False
        left = self._get("nth") - 1
        self._set("nth", left)
        return left <= 0

    def _get(self, name: str) -> int:
        found: int = struct.unpack_from("<q", self._memory, _FIELDS[name])[0]
        return found

    def _set(self, name: str, value: int) -> None:
        struct.pack_into("<q", self._memory, _FIELDS[name], value)
