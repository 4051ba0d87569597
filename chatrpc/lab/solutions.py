"""The solutions of a lesson's exercises: ``solutions/NN_name.py`` beside the notebooks.

A solution begins at ``# %%`` and its exercise's number; the comments above its code are its why.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXERCISE = re.compile(r'^@lab\.exercise\("([0-9.]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Solution:
    """One solution: the ``why`` in words, and the ``code``."""

    why: str
    code: str


def solution(id: str) -> Solution | None:
    """Return an exercise's solution, from beside the notebook or from the kit; None if none is."""
    lesson = id.partition(".")[0]
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2] / "notebooks"):
        for file in sorted((folder / "solutions").glob(f"{lesson}_*.py")):
            try:
                found = solutions(folder / f"{file.stem}.ipynb").get(id)
            except (OSError, ValueError):
                continue
            if found is not None:
                return _told(found)
    return None


def _told(source: str) -> Solution:
    """Part a solution into the comments above its code, and the code."""
    lines = source.strip("\n").split("\n")
    above = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    why = " ".join(line.lstrip("# ").strip() for line in lines[:above])
    code = "\n".join(re.sub(r"  # noqa\b.*$", "", line) for line in lines[above:])
    return Solution(why, code.strip("\n"))


def solutions(path: Path) -> dict[str, str]:
    """Return the solutions of the notebook at this path, by exercise; none without their file."""
    file = path.parent / "solutions" / f"{path.stem}.py"
    if not file.is_file():
        return {}
    _, *parts = _parts(file)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def exercises(notebook: Any) -> dict[str, Any]:
    """Return a notebook's exercise cells, by the number of the exercise."""
    return {
        match[1]: cell
        for cell in notebook.cells
        if cell.cell_type == "code" and (match := EXERCISE.search(cell.source))
    }


def solved(notebook: Any, path: Path) -> Any:
    """Return the notebook with each exercise cell replaced by its solution, if it has one."""
    whole = copy.deepcopy(notebook)
    found = solutions(path)
    for id, cell in exercises(whole).items():
        if id in found:
            head, *_ = _parts(path.parent / "solutions" / f"{path.stem}.py")
            cell.source = head + found[id]
    return whole


def _parts(file: Path) -> list[str]:
    return re.split(r"^# %% ([0-9.]+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
