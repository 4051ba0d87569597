"""Every lesson as it is, where each exercise is not yet, and solved, where each has passed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from committed import LESSONS, told

from chatrpc import broker, topology
from chatrpc.lab import sync
from chatrpc.lab.solutions import exercises, solved


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_as_it_is_each_exercise_is_not_yet(path: Path) -> None:
    notebook = sync.run(path)
    assert {id: told(cell).splitlines()[0] for id, cell in exercises(notebook).items()} == {
        id: f"{id} not yet" for id in exercises(notebook)
    }


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_solved_each_exercise_has_passed(path: Path) -> None:
    notebook = solved(sync.read(path), path)
    sync.execute(notebook, path)
    for id, cell in exercises(notebook).items():
        assert told(cell).startswith(f"{id} passed"), told(cell)


def test_a_lesson_leaves_no_queue_behind(node: broker.Node) -> None:
    sync.run(LESSONS[0])
    end = time.monotonic() + 20
    while left := _lesson_queues(node):
        assert time.monotonic() < end, left
        time.sleep(0.5)


def _lesson_queues(node: broker.Node) -> list[str]:
    names = topology.request_queue("lesson-"), topology.dead_queue("lesson-")
    return [
        line.split()[0]
        for line in node.ctl("list_queues", "name", "--quiet").splitlines()
        if line.startswith(names)
    ]
