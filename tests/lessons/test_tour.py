"""The tour of the laboratory: run, quiet, true on every machine, and complete."""

from __future__ import annotations

import re

from committed import FOLDER, PLACE, _outputs, _texts

from chatrpc import lab
from chatrpc.lab import sync

TOUR = FOLDER / "lab_tour.ipynb"
ELSEWHERE = {"Cups", "chat_page", "legend", "mine", "own_broker", "riddles", "save"}
"""What is no instrument: the page, a legend, a file that a student writes, what Crew and Coffee
show already, and what lessons 09 and 10 alone can use."""


def test_it_is_committed_as_it_was_run() -> None:
    notebook = sync.read(TOUR)
    assert _outputs(notebook) == []
    assert set(notebook.metadata) == {"kernelspec"}


def test_each_cell_of_code_says_where_it_runs() -> None:
    cells = sync.read(TOUR).cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            assert PLACE.search(cells[number - 1].source), cell.source
    assert len(_texts(cells)) > 10


def test_each_instrument_is_shown() -> None:
    source = "\n".join(c.source for c in sync.read(TOUR).cells if c.cell_type == "code")
    shown = set(re.findall(r"\blab\.(\w+)", source))
    assert set(lab.__all__) - ELSEWHERE <= shown, set(lab.__all__) - shown
