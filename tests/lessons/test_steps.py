"""The wrong versions on the way break what their lesson says that they break, and keep the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from committed import LESSONS

from chatrpc.lab import sync
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.steps import main, steps, wrong


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_step_of_a_lesson_is_as_it_says(path: Path, url: str) -> None:
    mistakes = [m for step in steps(path) for m in wrong(step, step.judged(url=url))]
    assert not mistakes, "\n".join(mistakes)


BEFORE = """
%matplotlib_is_no_magic_of_ours
import time as clock
from chatrpc import CallTimeout, RpcClient, RpcServer
PATIENCE = dict(short=0.05)
raise SystemExit("a cell is read, and not run")
"""
HELPER = '''
def slept(seconds):
    clock.sleep(seconds)


class Numbered(RpcServer):
    """Numbers its answers, so no plain client gets what it asked for."""

    def method(self, function):
        def numbered(*args, **params):
            return [1, function(*args, **params)]
        numbered.__name__ = function.__name__
        return super().method(numbered)
'''
DEAF = '''
class Client(RpcClient):
    """Takes an empty answer for none, and keeps waiting."""

    def call(self, method, /, *args, timeout=None, **params):
        slept(PATIENCE["short"])
        answer = super().call(method, *args, timeout=timeout, **params)
        if not answer:
            raise CallTimeout("nothing came")
        return answer
'''
UNPACKS = """
class Client(RpcClient):
    def call(self, method, /, *args, timeout=None, **params):
        return super().call(method, *args, timeout=timeout, **params)[1]
"""
LATER = "class Client(RpcClient):\n    pass\n\n\ndef slept(seconds):\n    raise ValueError\n"


def notebook(folder: Path, *cells: tuple[str, list[str]], lesson: str = "04") -> Path:
    """A notebook of these cells, the tagged ones after the two that they use."""
    made = nbformat.v4.new_notebook()
    for source, tags in [(BEFORE, []), (HELPER, []), *cells, (LATER, [])]:
        metadata: dict[str, Any] = {"tags": tags} if tags else {}
        made.cells.append(nbformat.v4.new_code_cell(source, metadata=metadata))
    path = folder / f"{lesson}_made.ipynb"
    sync.write(made, path)
    return path


def test_a_step_that_is_as_it_says(tmp_path: Path, url: str) -> None:
    """With what it uses of the cells before, and nothing of those after."""
    path = notebook(tmp_path, (DEAF, ["step", "breaks=C01", "keeps=C02", "keeps=C09"]))
    (step,) = steps(path)
    report = step.judged(url=url)
    assert (report.broken, report.kept) == (["C01"], ["C02", "C09"]), report.text
    assert wrong(step, report) == []


def test_a_step_that_is_otherwise(tmp_path: Path, url: str) -> None:
    """What is said to break and holds is told, and what is said to hold and breaks."""
    path = notebook(tmp_path, (DEAF, ["step", "breaks=C02", "keeps=C01"]))
    (step,) = steps(path)
    kept, broken = sorted(wrong(step, step.judged(url=url)), key=lambda told: "C01" in told)
    assert kept == "04_made.ipynb, code cell 3 breaks C02, it says, and it is kept"
    assert "keeps C01, it says, and it is broken: " in broken


def test_a_client_and_the_server_that_it_belongs_to(tmp_path: Path, url: str) -> None:
    """Alone it is judged with chatrpc's own server, whose answers it takes apart."""
    tags = ["step", "breaks=C09", "keeps=C02"]
    together = steps(notebook(tmp_path, (UNPACKS, [*tags, "with=Numbered"])))[0]
    assert together.judged(url=url).kept == ["C02"]
    alone = steps(notebook(tmp_path, (UNPACKS, tags)))[0]
    assert "C02" in alone.judged(url=url).broken


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (["step"], "breaks nothing"),
        (["step", "keeps=C01"], "breaks nothing"),
        (["step", "breaks=C99"], "names a promise 'C99'"),
        (["step", "breaks=C05"], "C05, which is reached in lesson 05 only"),
        (["step", "breaks=C01", "keeps=C02", "keeps=C01"], "both breaks and keeps C01"),
        (["step", "breaks=C01", "with=Nobody"], "with Nobody, which no cell defines"),
    ],
)
@pytest.mark.no_broker
def test_tags_that_cannot_be(tags: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(sync.Drift, match=says):
        steps(notebook(tmp_path, (DEAF, tags)))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1", "defines no class"),
        ("class Odd:\n    pass", "no class with call or submit"),
        ("class Client(RpcClient):\n    patience = 1 / 0", "cannot be run: ZeroDivisionError"),
    ],
)
def test_a_step_that_cannot_be_judged(source: str, says: str, tmp_path: Path, url: str) -> None:
    with pytest.raises((sync.Drift, LabProblem), match=says):
        steps(notebook(tmp_path, (source, ["step", "breaks=C01"])))[0].judged(url=url)


def test_the_program_tells_of_each_step(
    tmp_path: Path,
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0 if all are as they say, 1 if not."""
    monkeypatch.setattr("chatrpc.broker.use", lambda **_: url)
    right = notebook(tmp_path, (DEAF, ["step", "breaks=C01", "keeps=C09"]))
    assert main([str(right)]) == 0
    assert "code cell 3: as it says" in capsys.readouterr().out
    wrongly = notebook(tmp_path, (DEAF, ["step", "breaks=C09"]))
    assert main([str(wrongly)]) == 1
    assert "breaks C09, it says, and it is kept" in capsys.readouterr().out
