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


@pytest.mark.parametrize("path", LESSONS[:3], ids=lambda path: path.stem)
def test_a_lesson_leaves_no_queue_behind(path: Path, node: broker.Node) -> None:
    before = _queues(node)
    sync.run(path)
    end = time.monotonic() + 20
    while left := _queues(node) - before:
        assert time.monotonic() < end, left
        time.sleep(0.5)


def _queues(node: broker.Node) -> set[str]:
    """All queues but those of replies, which outlive their client by a minute, for its return."""
    names = node.ctl("list_queues", "name", "--quiet").splitlines()[1:]
    return {name for name in names if not name.startswith(topology.REPLIES)}
