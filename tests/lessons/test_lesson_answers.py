"""Exercises against what students really write: each wrong answer gets a sentence that helps.

A lesson's answers are in ``answers_NN.py``: RIGHT and STUBS are pairs of an exercise and an
answer; WRONG has also a part of what must be said; ``given(url)`` is what the cells hand over.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chatrpc import broker, topology
from chatrpc.lab.exercises import Outcome, judge_answer
from tests.waiting import within

LEFTOVERS = Path(__file__).with_name("leftovers.py")
LESSONS = [
    importlib.import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("answers_[0-9][0-9].py"))
]


def name(one: object) -> str:
    """What a test of this answer is called."""
    return getattr(one, "__name__", "")


def cases(kind: str) -> list[Any]:
    """Return all lessons' answers of a kind, each after its lesson."""
    return [
        pytest.param(lesson, *case, id=f"{case[0]}-{name(case[1])}")
        for lesson in LESSONS
        for case in getattr(lesson, kind)
    ]


@pytest.mark.parametrize(("lesson", "id", "answer"), cases("RIGHT"))
def test_what_is_right_passes(lesson: Any, id: str, answer: Any, url: str) -> None:
    card = judge_answer(id, answer, **given(lesson, id, url))
    assert card.outcome is Outcome.PASSED, card


@pytest.mark.parametrize(("lesson", "id", "answer", "sentence"), cases("WRONG"))
def test_what_is_wrong_is_told_why(
    lesson: Any, id: str, answer: Any, sentence: str, url: str
) -> None:
    card = judge_answer(id, answer, **given(lesson, id, url))
    assert card.outcome is Outcome.BROKE, card
    assert sentence in card.words, card
    assert card.hint or card.solution


@pytest.mark.parametrize(("lesson", "id", "answer"), cases("STUBS"))
def test_the_stub_is_not_yet(lesson: Any, id: str, answer: Any, url: str) -> None:
    assert judge_answer(id, answer, **given(lesson, id, url)).outcome is Outcome.NOT_YET


def test_the_checks_leave_nothing(url: str, node: broker.Node) -> None:
    before = _in_the_broker(node)
    ran = subprocess.run(
        [sys.executable, str(LEFTOVERS), url], capture_output=True, text=True, timeout=900
    )
    assert ran.stdout == "[]\n", ran.stdout + ran.stderr
    # A closed connection's own queues go soon, and to ask for them takes seconds.
    assert within(30, lambda: not _in_the_broker(node) - before), _in_the_broker(node) - before


def given(lesson: Any, id: str, url: str) -> dict[str, Any]:
    """Return what the cells of an exercise hand over to its check."""
    handed = lesson.given(url)  # by exercise; "" is for all
    return dict(handed.get(id) or handed[""])


def _in_the_broker(node: broker.Node) -> set[str]:
    """Return its queues and exchanges, but for what stays by intent.

    A client that was killed cannot delete its reply queue, which expires after a minute; and
    the kit's two exchanges are there for good.
    """
    said = [node.ctl(f"list_{what}", "name", "--quiet") for what in ("queues", "exchanges")]
    names = {line.strip() for text in said for line in text.splitlines()}
    kept = {name for name in names if name.startswith(topology.REPLIES)}
    return names - kept - {topology.REQUESTS, topology.DEAD}
