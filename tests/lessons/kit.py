"""A copy of the kit in a folder of its own, there to be broken, and nbval's word on its lessons."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from committed import FOLDER, ROOT

FAILED = re.compile(r"^FAILED (?:.*/)?(\w+)\.ipynb::Cell (\d+)", re.MULTILINE)


def copy_of_the_kit(folder: Path) -> None:
    """Copy what a lesson needs, but for the lessons themselves."""
    for name in ("chatrpc", "worker"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    (folder / "notebooks").mkdir()
    for name in ("app.py", "templates", "static"):  # what lesson 07 shows
        whole = ROOT / name
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, folder / name)
    (folder / "pytest.ini").write_text("[pytest]\n")


def lesson(number: str) -> Path:
    """Where the lesson of this number lies in the clone."""
    return next(FOLDER.glob(f"{number}_*.ipynb"))


def nbval(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the copy's notebooks with the copy's package, on the tests' own broker."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-vv", "-rA"]
    command += ["--nbval-cell-timeout=60", "-p", "no:cacheprovider", "--color=no"]
    command += ["notebooks"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
