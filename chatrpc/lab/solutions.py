"""The solutions of a lesson's exercises: ``solutions/NN_name.py`` beside the notebooks.

A solution begins at ``# %%`` and its exercise's number; the comments above its code are its why.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

EXERCISE = re.compile(r'^@lab\.exercise\("([0-9.]+)"', re.MULTILINE)


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
