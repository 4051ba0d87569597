"""Named points in a worker's code, at which its process can be ordered to die.

    cup = pour()
    lab.point("after pouring")

A point does nothing, unless a crew (crew.py) has given the order to die there: the first
process that passes it then takes the order, and ends as by kill -9. So a death comes by
schedule, in a real process, and of several workers exactly one dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

ORDER = "CHATRPC_LAB_ORDER"
"""The variable that names the file in which the order is written."""


def point(name: str) -> None:
    """Die here, with nothing finished and nobody told, if that is what was ordered."""
    if order := os.environ.get(ORDER):
        _obey(Path(order), name)


def _obey(order: Path, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if order.read_text(encoding="utf-8") == name:
            order.unlink()  # of two that pass at the same time, one gets it
            os.kill(os.getpid(), signal.SIGKILL)


def give(order: Path, name: str) -> None:
    """Order the next process that passes this point to die there."""
    draft = order.with_suffix(".draft")
    draft.write_text(name, encoding="utf-8")
    draft.rename(order)  # whole at once: a worker never reads half a name
