"""Break a client or a worker in one promise, and the lesson that teaches the promise turns red.

Either nbval says so: of the lesson's cells, up to the one that looks at the promise, each shows
what is committed, and that one does not. Or the check of an exercise does, when the solution is
put in and breaks it. Unbroken, by the same way, all cells show what is committed, and the check
passes. Kernels run two side by side, since each of them mostly waits.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import nbformat
import pytest
from committed import told
from kit import FAILED, copy_of_the_kit, lesson, nbval
from proofs import PROOFS, SUBMIT, WAITS, Proof, mutants
from test_promises import REACHED

from chatrpc.lab import sync

# The same classes with other names: what stands in the place of chatrpc's own breaks nothing yet.
HONEST = '''

class RpcClient(RpcClient):
    """Breaks nothing."""


class RpcServer(RpcServer):
    """Breaks nothing."""
'''
UNBROKEN = "unbroken"
TWO = BoundedSemaphore(2)
NAMED = {f"{id}-{proof.lesson}": (id, proof) for id in PROOFS for proof in PROOFS[id]}
BY_NBVAL = {name: proof for name, (_, proof) in NAMED.items() if not proof.is_an_exercise}
BY_A_CHECK = {name: proof for name, (_, proof) in NAMED.items() if proof.is_an_exercise}


@pytest.mark.no_broker
def test_each_promise_is_broken_in_its_lessons() -> None:
    """In those that the map of the course names for it, and in no other."""
    assert {id: [proof.lesson for proof in proofs] for id, proofs in PROOFS.items()} == REACHED


@pytest.mark.no_broker
@pytest.mark.parametrize("name", NAMED)
def test_a_wrong_class_is_wrong_in_this_promise(name: str) -> None:
    """As the judge has found, promise by promise."""
    id, proof = NAMED[name]
    if isinstance(proof.broken, type):
        assert mutants.MUTANTS[proof.broken][0] == id


@pytest.fixture(scope="module")
def heard(
    request: pytest.FixtureRequest, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """What nbval says of a copy; those that will be asked for are looked at side by side."""
    asked = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(2) as pool:
        said: dict[str, Future[str]] = {}
        for name in [*BY_NBVAL, UNBROKEN]:
            if name in asked or name == UNBROKEN:
                said[name] = pool.submit(_looked_at, name, tmp_path_factory.mktemp(name))
        yield lambda name: said[name].result()


def _looked_at(name: str, folder: Path) -> str:
    copy_of_the_kit(folder)
    _unbroken(folder) if name == UNBROKEN else _broken(name, folder)
    with TWO:
        found = nbval(folder)
    return found.stdout + found.stderr


@pytest.mark.parametrize("name", BY_NBVAL)
def test_broken_it_turns_the_lesson_red(name: str, heard: Callable[[str], str]) -> None:
    """At the cell that looks at the promise, and not before."""
    proof, said = BY_NBVAL[name], heard(name)
    last = len(proof.code()) - 1
    assert FAILED.findall(said) == [(proof.file, str(last))], said
    assert f"{last + 1} items" in said.replace("item ", "items "), said
    assert re.search(proof.says, said), said


def test_unbroken_the_lessons_are_green(heard: Callable[[str], str]) -> None:
    """The same cells, with classes in the place of chatrpc's own that break nothing."""
    said = heard(UNBROKEN)
    assert not FAILED.findall(said), said
    assert re.search(r"^=+ \d+ passed in", said, re.MULTILINE), said


@pytest.mark.parametrize("name", BY_A_CHECK)
def test_broken_the_check_of_its_exercise_says_so(name: str, url: str) -> None:
    proof = BY_A_CHECK[name]
    words = card(proof, proof.broken_code())
    assert " broke" in words.splitlines()[0], words
    assert re.search(proof.says, words), words


@pytest.mark.parametrize("cell", [WAITS, SUBMIT])
def test_unbroken_the_check_passes(cell: str, url: str) -> None:
    proof = next(proof for proof in BY_A_CHECK.values() if proof.cell == cell)
    words = card(proof, proof.code())
    assert " passed" in words.splitlines()[0], words


@pytest.mark.no_broker
@pytest.mark.parametrize("name", BY_NBVAL)
def test_unbroken_the_cell_does_not_say_so(name: str) -> None:
    """What shall be seen of the breaking is not what is committed."""
    proof = BY_NBVAL[name]
    assert not re.search(proof.says, str(proof.code()[-1].outputs))


def _broken(name: str, folder: Path) -> None:
    proof = BY_NBVAL[name]
    if isinstance(proof.broken, type):
        replaced = "RpcServer" if hasattr(proof.broken, "start") else "RpcClient"
        _instead(folder, f"\nfrom mutants import {proof.broken.__name__} as {replaced}\n")
    _write(proof, proof.broken_code(), folder)


def _unbroken(folder: Path) -> None:
    """Write of each lesson the cells that any of its proofs runs."""
    _instead(folder, HONEST)
    whole: dict[str, dict[int, Any]] = {}
    for proof in BY_NBVAL.values():
        run = whole.setdefault(proof.lesson, {})
        run |= {cell.execution_count: cell for cell in proof.code()}
        _write(proof, [run[count] for count in sorted(run)], folder)


def _instead(folder: Path, classes: str) -> None:
    """Have each process that imports the copy's chatrpc find these classes in it."""
    (folder / "mutants.py").write_text(inspect.getsource(mutants), encoding="utf-8")
    with (folder / "chatrpc" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write(classes)


def _write(proof: Proof, cells: list[Any], folder: Path) -> None:
    sync.write(notebook(cells), folder / "notebooks" / f"{proof.file}.ipynb")


def notebook(cells: list[Any]) -> Any:
    """A notebook of these cells alone."""
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": sync.KERNEL})


def card(proof: Proof, cells: list[Any]) -> str:
    """Run cells of which the last is an exercise, and return what its check says."""
    run = notebook(cells)
    with TWO:
        sync.execute(run, lesson(proof.lesson))
    return told(run.cells[-1])
