"""What a missed lesson would have left: read from its notebook, and from the package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from chatrpc.cli import main
from chatrpc.lab import sync
from chatrpc.lab.catchup import catch_up
from chatrpc.lab.cells import definitions
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.solutions import solved
from chatrpc.lab.source import module_source

FIRST = """
class RpcClient:
    word = "of lesson 03"

    def call(self, method):
        return method
"""
SECOND = FIRST.replace("03", "04")
EXERCISE = '@lab.exercise("04.1")\nclass RpcServer:\n    word = ...\n'
SOLUTION = (
    '"""Solutions."""\n\n# %% 04.1\n\n\n@lab.exercise("04.1")\nclass RpcServer:\n    word = 4\n'
)
OWN = FIRST.replace("of lesson 03", "my own").lstrip()


def lesson(folder: Path, name: str, *cells: str) -> Path:
    """A notebook of these cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    sync.write(notebook, folder / name)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two lessons of which each leaves a client, the second one's server by an exercise."""
    made = tmp_path / "notebooks"
    (made / "solutions").mkdir(parents=True)
    lesson(made, "03_first.ipynb", FIRST, "lab.save(RpcClient)")
    second = ["from chatrpc import lab", SECOND, EXERCISE, "x = lab.save(RpcClient, RpcServer)"]
    lesson(made, "04_second.ipynb", *second, "raise SystemExit('never run')")
    (made / "solutions" / "04_second.py").write_text(SOLUTION)
    return made


def loaded(file: Path) -> dict[str, Any]:
    """The names of the module, as a process that imports it has them."""
    module = type(sys)("my_chatrpc")
    sys.modules["my_chatrpc"] = module  # as dataclasses want it
    try:
        exec(compile(file.read_text(), "my_chatrpc", "exec"), vars(module))
    finally:
        del sys.modules["my_chatrpc"]
    return vars(module)


def test_each_lesson_leaves_what_it_saves(folder: Path, tmp_path: Path) -> None:
    """The newest version of each, with the solution in the exercise's place."""
    file = tmp_path / "mine.py"
    account = catch_up("04", file, folder=folder)
    assert account.written[-1] == "PendingCalls"
    assert loaded(file)["RpcClient"].word == "of lesson 03"
    account = catch_up("05", file, folder=folder)
    assert loaded(file)["RpcClient"].word == "of lesson 04"
    assert loaded(file)["RpcServer"].word == 4
    assert account.left == []
    assert account.copy is not None
    assert loaded(account.copy)["RpcClient"].word == "of lesson 03"
    again = catch_up("05", file, folder=folder)
    assert (again.written, again.copy) == ([], None)
    assert "already has all" in str(again)


def test_what_is_the_students_own_stays(folder: Path, tmp_path: Path) -> None:
    """Unless one asks for the course's, and then a copy is kept."""
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    account = catch_up("05", file, folder=folder)
    assert loaded(file)["RpcClient"].word == "my own"
    assert loaded(file)["RpcServer"].word == 4
    assert account.left == ["RpcClient"]
    assert account.copy is None
    assert "since they are your own: RpcClient" in str(account)
    account = catch_up("05", file, folder=folder, replace=True)
    assert loaded(file)["RpcClient"].word == "of lesson 04"
    assert account.copy is not None
    assert loaded(account.copy)["RpcClient"].word == "my own"
    second = file.read_text().replace("of lesson 04", "my second")
    file.write_text(second)
    assert catch_up("05", file, folder=folder, replace=True).copy != account.copy


@pytest.mark.parametrize("number", [f"{n:02}" for n in range(11)])
def test_from_the_package_alone(number: str, tmp_path: Path) -> None:
    """Where there are no notebooks: each class that the course has ended, and no later one."""
    file = tmp_path / "mine.py"
    catch_up(number, file, folder=tmp_path / "none")
    names = loaded(file)
    for dotted, ends in sync.wanted(sync.TAUGHT).items():
        name = dotted.rpartition(".")[2]
        if ends < number:
            assert name in names, dotted
            module = getattr(names[name], "__module__", "my_chatrpc")
            assert module in ("my_chatrpc", dotted.rpartition(".")[0]), dotted
        elif name not in ("RpcClient", "RpcServer", "Request") and ends > number:
            own = name in names and names[name].__module__ == "my_chatrpc"
            assert not own, f"{dotted} is of lesson {ends}"
    assert isinstance(names["RpcClient"], type)
    assert isinstance(names["RpcServer"], type)
    catch_up("10", file, folder=tmp_path / "none")
    whole = tmp_path / "whole.py"
    catch_up("10", whole, folder=tmp_path / "none")
    ours = {n for n, v in loaded(file).items() if getattr(v, "__module__", "") == "my_chatrpc"}
    assert ours == {
        n for n, v in loaded(whole).items() if getattr(v, "__module__", "") == "my_chatrpc"
    }
    assert {"RpcClient", "RpcServer", "Link"} <= ours


def test_the_course_gives_each_name_to_one_thing() -> None:
    """All that is taught ends in one file; two helpers of one name must be the same one."""
    found: dict[str, set[str]] = {}
    for module in {name.rpartition(".")[0] for name in sync.wanted(sync.TAUGHT)}:
        for name, text in definitions([module_source(module) or ""]).items():
            if not text.startswith(("import ", "from ")) and name != "log":
                found.setdefault(name, set()).add(text.partition("  #")[0])
    assert {name: texts for name, texts in found.items() if len(texts) > 1} == {}


def test_a_lesson_that_saves_nothing_of_its_own(tmp_path: Path) -> None:
    lesson(tmp_path, "03_x.ipynb", "from chatrpc import RpcClient", "lab.save(RpcClient)")
    with pytest.raises(
        sync.Drift, match=r"03_x\.ipynb saves RpcClient, which no cell of it defines"
    ):
        catch_up("04", tmp_path / "mine.py", folder=tmp_path)
    assert not (tmp_path / "mine.py").exists()


def test_a_file_that_is_no_python_stays(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class (:\n")
    with pytest.raises(LabProblem, match=r"mine\.py is no Python"):
        catch_up("05", file, folder=folder)
    assert file.read_text() == "class (:\n"


def test_solutions_stand_in_the_exercises_places(folder: Path) -> None:
    path = folder / "04_second.ipynb"
    assert "word = 4" in solved(sync.read(path), path).cells[2].source


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`chatrpc catch-up 6 --to mine.py`, and what it says of bad input."""
    file = tmp_path / "mine.py"
    assert main(["catch-up", "6", "--to", str(file)]) == 0
    assert "now has T, PendingCalls" in capsys.readouterr().out
    assert "Deadline" in loaded(file)
    assert main(["catch-up", "seven"]) == 2
    assert capsys.readouterr().err == "'seven' is no lesson: say 06.\n"
    file.write_text("(")
    assert main(["catch-up", "06", "--to", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["catch-up", "06", "--to", str(tmp_path / "no" / "mine.py")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["catch-up", "--help"])
    assert "--replace" in capsys.readouterr().out
