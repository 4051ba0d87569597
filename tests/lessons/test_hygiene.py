"""What the committed notebooks must be: run, whole, quiet, and true on every machine."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from committed import FOLDER, LESSONS, flaws

from chatrpc.lab import sync
from chatrpc.lab.solutions import exercises, solutions

pytestmark = pytest.mark.no_broker


def test_there_are_lessons() -> None:
    assert LESSONS


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_committed_notebook_has_no_flaw(path: Path) -> None:
    assert flaws(sync.read(path)) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_exercise_has_its_solution(path: Path) -> None:
    assert set(exercises(sync.read(path))) == set(solutions(path)) != set()


def test_no_cell_has_drifted_from_the_package() -> None:
    assert sync.drifts(FOLDER) == []


def _code(notebook: Any, number: int) -> Any:
    return [cell for cell in notebook.cells if cell.cell_type == "code"][number - 1]


def _stderr(notebook: Any) -> None:
    _code(notebook, 1).outputs.append(nbformat.v4.new_output("stream", name="stderr", text="!"))


def _error(notebook: Any) -> None:
    _code(notebook, 2).outputs.append(
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    )


def _widget(notebook: Any) -> None:
    _code(notebook, 3).outputs[0].data[sync.WIDGETS] = {"model_id": "x"}


def _machine(notebook: Any) -> None:
    _code(notebook, 3).outputs[0].data["text/plain"] = "see /tmp/log"


def _wordless(notebook: Any) -> None:
    del _code(notebook, 3).outputs[0].data["text/plain"]


def _silent(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []


def _unasserted(notebook: Any) -> None:
    _code(notebook, 2).metadata["tags"] = ["raises-exception"]
    _error(notebook)


def _placeless(notebook: Any) -> None:
    for cell in notebook.cells:
        cell.source = cell.source.replace("at-worker", "at-home")


def _sectionless(notebook: Any) -> None:
    notebook.cells = [cell for cell in notebook.cells if "## Mend" not in cell.source]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda n: _code(n, 2).update(execution_count=None), "In [2] was run as None"),
        (lambda n: _code(n, 2).update(execution_count=9), "In [2] was run as 9"),
        (_stderr, "wrote to stderr"),
        (_error, "In [2] raised"),
        (_unasserted, "no cell after it asserts"),
        (lambda n: _code(n, 2).metadata.update(tags=["raises-exception"]), "should raise"),
        (_widget, "stores a widget"),
        (_machine, "tells of one machine"),
        (_wordless, "without text"),
        (_silent, "nothing is compared"),
        (_placeless, "ends with its place"),
        (_sectionless, "its sections are"),
        (lambda n: n.metadata.update(widgets={}), "kernelspec alone"),
        (lambda n: _code(n, 1).metadata.update(execution={}), "has metadata"),
        (lambda n: _code(n, 1).metadata.update(tags=["odd"]), "unknown tag odd"),
        (lambda n: _code(n, 1).update(source="x\n" * 26), "too long"),
        (lambda n: n.cells[0].update(source="x" * 1601), "too long"),
        (lambda n: [c.metadata.pop("tags", None) for c in n.cells], "no tag that says so"),
    ],
)
def test_each_flaw_is_found(spoil: Callable[[Any], object], sentence: str) -> None:
    notebook = copy.deepcopy(sync.read(LESSONS[0]))
    spoil(notebook)
    assert any(sentence in flaw for flaw in flaws(notebook)), flaws(notebook)
