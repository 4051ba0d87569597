"""``pytest --nbval`` is worth something: a worker that answers wrongly turns a lesson red."""

from __future__ import annotations

import shutil
from pathlib import Path

from kit import FAILED, copy_of_the_kit, lesson, nbval

WRONG = """

def _wrong(text: str) -> str:
    return "hola" + text


METHODS["say"] = _wrong
"""


def test_a_worker_that_answers_wrongly_is_caught(url: str, tmp_path: Path) -> None:
    copy_of_the_kit(tmp_path)
    shutil.copy(lesson("00"), tmp_path / "notebooks")
    with (tmp_path / "worker" / "answers.py").open("a", encoding="utf-8") as file:
        file.write(WRONG)
    found = nbval(tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    # The two calls, the panel, the trace and the late answer; nothing else is touched.
    cells = [cell for _, cell in FAILED.findall(found.stdout)]
    assert cells == ["3", "4", "5", "12"], found.stdout
