"""What the lessons leave in my_chatrpc.py keeps its promises: to the judge and in the chat."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from committed import LESSONS, ROOT

from chatrpc import NoWorker, RpcClient
from chatrpc.lab import sync
from chatrpc.lab.catchup import catch_up
from chatrpc.lab.contract import judge_file
from chatrpc.web.own import OwnClient, client_class

NUMBERS = [path.name[:2] for path in LESSONS] + ["09"]
# C03 is reached in lesson 03 and again in 07; kills of brokers and of workers are judged elsewhere.
QUICK = "C01 C02 C04 C06 C08 C09 C17"


@pytest.mark.parametrize("number", sorted(set(NUMBERS)))
def test_what_the_lessons_before_leave_keeps_its_promises(
    number: str, tmp_path: Path, url: str
) -> None:
    """The judge finds the classes in the file, and the chat of that lesson works with them."""
    file = tmp_path / "my_chatrpc.py"
    catch_up(number, file)
    upto = f"{max(0, int(number) - 1):02}"
    report = judge_file(file, upto=upto, only=QUICK, url=url)
    assert report.broken == [], report.text


def test_in_the_end_both_classes_are_the_students(tmp_path: Path, url: str) -> None:
    """Seen from the result file, too; nothing of chatrpc stands in for a class of theirs."""
    file = tmp_path / "my_chatrpc.py"
    catch_up("10", file)
    report = judge_file(file, only="C01 C05 C10 C11 C12 C18", url=url)
    assert report.broken == [], report.text
    assert report.own == (True, True)


def test_the_chat_takes_the_module(
    tmp_path: Path, url: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CHATRPC_CLIENT=my_chatrpc:RpcClient, from the folder where it lies."""
    catch_up("10", tmp_path / "my_chatrpc.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("CHATRPC_CLIENT", "my_chatrpc:RpcClient")
    client = client_class()(service, timeout=2.0)
    try:
        assert isinstance(client, OwnClient)
        assert type(client._inner) is not RpcClient
        with pytest.raises(NoWorker):
            client.submit("say", "hola", message_id="1").result(5)
    finally:
        client.close()
        sys.modules.pop("my_chatrpc", None)


CELLS = [
    "from chatrpc import RpcClient as Shipped, lab",
    "class RpcClient(Shipped):\n    mine = True",
    "lab.save(RpcClient)",
]


def test_running_a_lesson_for_its_outputs_leaves_a_students_file_alone(
    tmp_path: Path, url: str
) -> None:
    """``sync --run`` and nbval run the lesson's own classes, and save them elsewhere."""
    mine = tmp_path / "my_chatrpc.py"
    mine.write_text("class RpcClient:\n    pass\n")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    path = tmp_path / "03_made.ipynb"
    sync.write(nbformat.v4.new_notebook(cells=cells), path)
    ran = sync.run(path)
    assert ran.cells[-1].outputs[0].data["text/plain"] == "RpcClient is in my_chatrpc.py"
    assert mine.read_text() == "class RpcClient:\n    pass\n"
    sync.write(ran, path)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-c"]
    command += [str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", str(path)]
    checked = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stdout
    assert mine.read_text() == "class RpcClient:\n    pass\n"
