"""``pytest --nbval`` is worth something: a worker that answers wrongly turns a lesson red."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from committed import ROOT

WRONG = """

def _wrong(text: str) -> str:
    return "hola" + text


METHODS["say"] = _wrong
"""


def copy_of_the_kit(folder: Path, *, answers: str = "") -> None:
    """Copy what a lesson needs, and append to what the worker answers."""
    for name in ("chatrpc", "worker"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "00_first_chat.ipynb", folder / "notebooks")
    with (folder / "worker" / "answers.py").open("a", encoding="utf-8") as file:
        file.write(answers)


def nbval(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the copy's notebooks with the copy's package, on the tests' own broker."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-rA"]
    command += ["--nbval-cell-timeout=60", "-p", "no:cacheprovider", "--color=no", "notebooks"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180
    )


def test_a_worker_that_answers_wrongly_is_caught(url: str, tmp_path: Path) -> None:
    copy_of_the_kit(tmp_path, answers=WRONG)
    found = nbval(tmp_path)
    failed = [line for line in found.stdout.splitlines() if line.startswith("FAILED")]
    assert found.returncode == 1, found.stdout + found.stderr
    # The two calls, the panel, the trace and the late answer; nothing else is touched.
    assert re.findall(r"Cell (\d+)", "\n".join(failed)) == ["3", "4", "5", "12"], found.stdout
