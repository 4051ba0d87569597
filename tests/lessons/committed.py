"""What the tests of the lessons know about notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from chatrpc.lab import sync
from chatrpc.lab.solutions import EXERCISE

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SECTIONS = [
    "The question",
    "What you will be able to do",
    "Predict",
    "Run",
    "Explain",
    "Build",
    "Break",
    "Mend",
    "Exercises",
    "What now ships",
    "Words",
]
PLACE = re.compile(r'<span class="at-(client|worker|laboratory)">\S+ \*\*\1\*\*</span>\Z')
TAGS = re.compile(r"exercise|step|(breaks|keeps)=C\d\d|with=\w+|raises-exception|ships:.+")
LONGEST_CODE = 25  # lines; a version on the way may have more, and a class that ships
LONGEST_STEP = 60
LONGEST_SHIPPED = 120
LONGEST_TEXT = 1600  # characters
# The chat's own address, http://127.0.0.1:5000/, is the same on every machine.
ELSEWHERE = re.compile(
    r"/tmp/|/home/|/root/|/work/|\b127\.0\.0\.1:(?!5000/)\d|localhost:\d|0x[0-9a-f]{6,}"
)


def flaws(notebook: Any) -> list[str]:
    """Return a sentence for everything that a committed notebook must not have, or lacks."""
    return [*_form(notebook), *_outputs(notebook)]


def _form(notebook: Any) -> list[str]:
    found = []
    if set(notebook.metadata) != {"kernelspec"} or notebook.metadata.kernelspec.name != "python3":
        found.append("its metadata is not the python3 kernelspec alone")
    cells = notebook.cells
    headings = re.findall(r"^## (.+)$", "\n".join(_texts(cells)), re.MULTILINE)
    if headings != SECTIONS:
        found.append(f"its sections are {headings}")
    for number, cell in enumerate(cells):
        where = f"cell {number}"
        tags = cell.metadata.get("tags", [])
        if set(cell.metadata) - {"tags"}:
            found.append(f"{where} has metadata {sorted(cell.metadata)}")
        found += [f"{where} has the unknown tag {t}" for t in tags if not TAGS.fullmatch(t)]
        if cell.cell_type == "code":
            before = cells[number - 1] if number else None
            if before is None or before.cell_type != "markdown" or not PLACE.search(before.source):
                found.append(f"{where} has no text before it that ends with its place")
            if len(cell.source.splitlines()) > _longest(tags):
                found.append(f"{where} is too long")
            if EXERCISE.search(cell.source) and "exercise" not in tags:
                found.append(f"{where} has an exercise and no tag that says so")
        elif len(cell.source) > LONGEST_TEXT:
            found.append(f"{where} is too long")
    return found


def _longest(tags: list[str]) -> int:
    if any(tag.startswith(sync.SHIPS) for tag in tags):
        return LONGEST_SHIPPED
    return LONGEST_STEP if "step" in tags else LONGEST_CODE


def _outputs(notebook: Any) -> list[str]:
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        where = f"In [{number}]"
        if cell.execution_count != number:
            found.append(f"{where} was run as {cell.execution_count}")
        raising = "raises-exception" in cell.metadata.get("tags", [])
        if raising and not (number < len(code) and "assert" in code[number].source):
            found.append(f"{where} raises, and no cell after it asserts what")
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed != raising:
            found.append(f"{where} raised" if failed else f"{where} should raise and did not")
        for output in cell.outputs:
            if output.get("name") == "stderr":
                found.append(f"{where} wrote to stderr")
            if any("widget" in kind for kind in output.get("data", {})):
                found.append(f"{where} stores a widget")
            if output.get("data") and "text/plain" not in output.data:
                found.append(f"{where} has an output without text")
            if ELSEWHERE.search(str(output)):
                found.append(f"{where} tells of one machine")
    if sum(bool(cell.outputs) for cell in code) < len(code) / 2:
        found.append("most of its cells show nothing, so nothing is compared")
    return found


def _texts(cells: list[Any]) -> list[str]:
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


def told(cell: Any) -> str:
    """Return the text of what a cell has shown."""
    return "\n".join(output.data["text/plain"] for output in cell.outputs if "data" in output)
