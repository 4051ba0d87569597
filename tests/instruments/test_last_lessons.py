"""What lessons 09 and 10 use: a broker of a kernel's own, the student's module, five riddles."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from chatrpc import RpcClient, lab
from chatrpc.lab.catchup import catch_up
from chatrpc.lab.problem import LabProblem

OWN = """
import os, sys
from chatrpc import lab
node = lab.own_broker()
assert os.environ["CHATRPC_URL"] == node.url and lab.own_broker().url == node.url
print(node.folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_kernels_own_broker_goes_with_it(end: str) -> None:
    """However the kernel ends: no process and no folder is left."""
    with subprocess.Popen(
        [sys.executable, "-c", OWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as kernel:
        assert kernel.stdout is not None
        folder = Path(kernel.stdout.readline().strip())
        assert (folder / "node.json").is_file()
        getattr(kernel, end)()
    limit = time.monotonic() + 30
    while folder.exists():
        assert time.monotonic() < limit, list(folder.iterdir())
        time.sleep(0.2)


def test_the_students_module_is_filled_in_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    file = tmp_path / "my_chatrpc.py"
    monkeypatch.setenv("CHATRPC_MODULE", str(file))
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = lab.mine()
    try:
        assert "lacked something" in repr(found)
        assert found.RpcClient is not RpcClient
        assert "as you have left them" in repr(lab.mine())
        file.write_text(f"{file.read_text()}\n\nclass RpcClient(RpcClient):\n    own = True\n")
        assert lab.mine().RpcClient.own  # type: ignore[attr-defined]
        file.write_text(f"{file.read_text()}\n1 / 0\n")
        with pytest.raises(LabProblem, match=r"my_chatrpc.py cannot be run \(ZeroDivisionError"):
            lab.mine()
    finally:
        sys.modules.pop("my_chatrpc", None)


def test_catch_up_for_the_last_lesson_is_what_mine_gives(tmp_path: Path) -> None:
    file = tmp_path / "my_chatrpc.py"
    assert catch_up("10", file).written
    assert not catch_up("10", file).written


def test_the_riddles_are_the_same_each_time(url: str) -> None:
    first, second = lab.riddles(), lab.riddles()
    assert repr(first) == repr(second)
    sides = [first[letter].text for letter in "ABCDE"]
    assert len(set(sides)) == 5
    assert all(side.startswith("covered: only what Ana") for side in sides)
    assert "nothing came" in sides[1]
    assert "(again)" in sides[2]
    assert "given back" in sides[3]
    assert "worker 2" in first["E"].uncover().text
