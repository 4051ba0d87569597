"""The notebooks and the package are one: rewriting, comparing, cleaning."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from chatrpc.lab import sync

TURN = "chatrpc.lab.problem.LabProblem"
TAUGHT = {"chatrpc.lab.problem": "03"}


def lesson(folder: Path, name: str, *cells: tuple[str, str]) -> Path:
    """Write a notebook of code cells, each with its tag."""
    notebook = nbformat.v4.new_notebook()
    for tag, source in cells:
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {})
        notebook.cells.append(cell)
    path = folder / name
    nbformat.write(notebook, path)
    return path


def test_a_cell_that_equals_the_package_is_no_drift(tmp_path: Path) -> None:
    source = "# a comment and other spacing do not count\n\n" + sync.shipped(TURN)
    lesson(tmp_path, "03_x.ipynb", ("", "1 + 1"), (f"ships:{TURN}", source))
    assert sync.drifts(tmp_path, taught=TAUGHT) == []


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([], "exactly one cell tagged ships:chatrpc.lab.problem.LabProblem is wanted, there are 0"),
        ([(f"ships:{TURN}", "class LabProblem: pass")], "differs from the package"),
        ([(f"ships:{TURN}", "class LabProblem(:")], "differs from the package"),
        ([(f"ships:{TURN}", None), (f"ships:{TURN}", None)], "there are 2"),
        ([("ships:chatrpc.lab.problem.Nobody", "x = 1")], "has no class 'Nobody'"),
        ([("ships:chatrpc.nothing.Nobody", "x = 1")], "has no module 'chatrpc.nothing'"),
        ([("ships:", "x = 1")], "has no module ''"),
    ],
)
def test_each_drift_is_a_sentence(tmp_path: Path, cells: list, sentence: str) -> None:
    filled = [(tag, sync.shipped(TURN) if source is None else source) for tag, source in cells]
    lesson(tmp_path, "03_x.ipynb", *filled)
    assert any(sentence in drift for drift in sync.drifts(tmp_path, taught=TAUGHT))


def test_several_small_classes_may_share_a_cell(tmp_path: Path) -> None:
    names = ["chatrpc.errors.NoWorker", "chatrpc.errors.Busy"]
    path = lesson(tmp_path, "05_x.ipynb", ("", "class Busy: pass"))
    notebook = sync.read(path)
    notebook.cells[0].metadata["tags"] = [f"ships:{name}" for name in names]
    sync.write(notebook, path)
    assert any(f"its cell of {', '.join(names)} differs" in d for d in sync.drifts(tmp_path))
    assert sync.rewrite(path) == names
    assert sync.read(path).cells[0].source == "\n\n\n".join(map(sync.shipped, names))
    assert not any("differs" in drift for drift in sync.drifts(tmp_path))


def test_a_class_in_the_wrong_lesson_is_a_drift(tmp_path: Path) -> None:
    lesson(tmp_path, "02_x.ipynb", (f"ships:{TURN}", sync.shipped(TURN)))
    assert "belongs to lesson 03" in sync.drifts(tmp_path, taught=TAUGHT)[0]


def test_a_lesson_that_is_not_written_yet_is_not_asked(tmp_path: Path) -> None:
    lesson(tmp_path, "00_x.ipynb", ("", "1 + 1"))
    assert sync.drifts(tmp_path, taught=TAUGHT) == []


def test_a_class_of_its_own_lesson_leaves_its_modules(tmp_path: Path) -> None:
    whole = sync.wanted({"chatrpc.lab.turns": "09", "chatrpc.lab.turns.Turn": "08"})
    assert whole["chatrpc.lab.turns.Turn"] == "08"
    assert whole["chatrpc.lab.turns.State"] == "09"


def test_the_table_of_taught_modules_names_the_package() -> None:
    for name in sync.TAUGHT:
        module, _, cls = name.rpartition(".")
        assert sync.classes(name) or cls in sync.classes(module), name


def test_rewriting_mends_what_the_check_finds(tmp_path: Path) -> None:
    path = lesson(tmp_path, "03_x.ipynb", (f"ships:{TURN}", "class LabProblem: pass"), ("", "2"))
    notebook = sync.read(path)
    for cell in notebook.cells:
        cell.outputs = [nbformat.v4.new_output("stream", text="of the old one")]
    sync.write(notebook, path)
    assert sync.main(["--check", str(path)]) == 1
    assert sync.main([str(path)]) == 0
    assert sync.read(path).cells[0].source == sync.shipped(TURN)
    assert sync.read(path).cells[1].source == "2"
    assert [len(cell.outputs) for cell in sync.read(path).cells] == [0, 1]
    before = path.read_bytes()
    assert sync.main([str(path)]) == 0
    assert path.read_bytes() == before


def test_what_cannot_be_read_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "03_x.ipynb"
    broken.write_text("{")
    assert sync.main([str(broken)]) == 1
    assert "03_x.ipynb is no readable notebook" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        sync.main([str(tmp_path / "none.ipynb")])
    assert "no such notebook" in capsys.readouterr().err


def test_cleaning_leaves_what_is_true_everywhere() -> None:
    notebook = nbformat.v4.new_notebook(
        metadata={"widgets": {}, "language_info": {"name": "python"}}
    )
    cell = nbformat.v4.new_code_cell(
        "panel", metadata={"execution": {"t": "1"}, "tags": ["exercise"]}, execution_count=1
    )
    cell.outputs = [
        nbformat.v4.new_output(
            "execute_result",
            {"text/plain": "Ana  hola", sync.WIDGETS: {"model_id": "x"}},
            execution_count=1,
            metadata={"isolated": True},
        )
    ]
    notebook.cells.append(cell)
    sync.clean(notebook)
    assert set(notebook.metadata) == {"kernelspec"}
    assert cell.metadata == {"tags": ["exercise"]}
    assert dict(cell.outputs[0].data) == {"text/plain": "Ana  hola"}
    assert cell.outputs[0].metadata == {}
