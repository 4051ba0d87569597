"""Check many answers, and say which threads that leaves: ``python leftovers.py URL``.

In a process of its own, since an earlier test's answer may still run, and open what it likes.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from test_lesson_answers import LESSONS, given, name

from chatrpc.lab.exercises import judge_answer
from tests.waiting import within


def left() -> list[str]:
    """Return the names of the threads that there are beside this one."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name != "MainThread")


def main(url: str) -> None:
    """Print what is left a while after the last check, as JSON."""
    for lesson in LESSONS:
        for id, answer, *_ in [*lesson.RIGHT, *lesson.STUBS, *lesson.WRONG[::3]]:
            if hasattr(answer, "opens"):
                continue  # what an answer opens for itself is its own affair
            judge_answer(id, answer, **given(lesson, id, url))
            sys.stderr.write(f"{id} {name(answer)}: {left()}\n")
    within(60, lambda: not left())
    sys.stdout.write(json.dumps(left()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
