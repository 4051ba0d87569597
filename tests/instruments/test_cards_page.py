"""Exercise cards, differences and saved classes in JupyterLab, opened with mouse and keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chatrpc.lab.checks.lesson_00 import EXERCISES
from tests import jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.no_broker]

CELLS = [
    'from chatrpc import lab\n\n\n@lab.exercise("00.1")\ndef hops():\n    return ...',
    '@lab.exercise("00.1")\ndef hops():\n    return "ABCDEF"',
    'for _ in range(3):\n    lab.exercise("00.1")(hops)',
    '@lab.exercise("00.1")\ndef hops():\n    return "DCFAEB"',
    '''class Table:
    """Which call waits under which id."""

    def __init__(self):
        self.calls = {}

    def add(self, id, call):
        self.calls[id] = call

    def take(self, id):
        return self.calls[id]

    def __len__(self):
        return len(self.calls)


Before = Table''',
    '''class Table:
    """Which call waits under which id."""

    def __init__(self):
        self.calls = {}

    def add(self, id, call):
        self.calls[id] = call

    def take(self, id):
        return self.calls.pop(id, None)  # <b>once</b>

    def __len__(self):
        return len(self.calls)


lab.diff(Before, Table)''',
    "lab.save(Table)",
    "for odd in [object()]:\n    pass\n\n\nclass Tied:\n    def f(self):\n        return odd\n\n\n"
    "lab.save(Tied)",
]


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def page(
    chromium: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Page]:
    """A page of a real browser with the notebook open, in either theme."""
    monkeypatch.delenv("CHATRPC_MODULE", raising=False)
    jupyterlab.notebook(tmp_path / "cards.ipynb", *CELLS)
    with (
        jupyterlab.browsing(chromium, width=1400, height=2400) as page,
        jupyterlab.serving(tmp_path, theme=request.param) as address,
    ):
        jupyterlab.open_notebook(page, address, "cards.ipynb")
        yield page


def test_hints_the_solution_a_difference_and_a_saved_class(page: Page, tmp_path: Path) -> None:
    jupyterlab.run_all(page)
    cells = page.locator(".jp-CodeCell")
    stub, wrong, again, right = (cells.nth(n).locator(".jp-OutputArea") for n in range(4))
    first, second, third = EXERCISES[0].hints
    expect(stub).to_contain_text("○ 00.1 not yet")
    expect(stub.locator("details")).to_have_count(0)

    expect(wrong).to_contain_text("✗ 00.1 it broke")
    expect(wrong).to_contain_text(f"Hint: {first}")
    folds = wrong.locator("details")
    for number, words in enumerate((second, third, 'return "DCFAEB"')):
        expect(wrong.get_by_text(words)).to_be_hidden()
        folds.nth(number).locator("> summary").focus()
        page.keyboard.press("Enter")
        expect(wrong.get_by_text(words)).to_be_visible()
    expect(wrong.get_by_text("D first: nothing is on its way")).to_be_visible()

    last = again.locator(".jp-OutputArea-child").last
    expect(last).not_to_contain_text("Hint:")
    expect(last.locator("summary")).to_have_text("the solution, and why")
    expect(right).to_contain_text("✓ 00.1 passed")
    expect(right.locator("summary")).to_have_text("our solution")

    step = cells.nth(5).locator(".chatrpc-diff")
    text = step.inner_text()
    assert "-         return self.calls[id]\n" in text
    assert "+         return self.calls.pop(id, None)  # <b>once</b>\n" in text
    expect(step.locator("b", has_text="once")).to_have_count(0)
    fold = step.locator("details").first
    expect(fold.get_by_text("class Table:")).to_be_hidden()
    fold.locator("summary").click()
    expect(fold.get_by_text("class Table:")).to_be_visible()

    expect(cells.nth(6)).to_contain_text("✓ Table is in my_chatrpc.py")
    assert "self.calls.pop(id, None)  # <b>once</b>" in (tmp_path / "my_chatrpc.py").read_text()
    said = cells.nth(7).locator(".jp-OutputArea-output")
    expect(said).to_have_text(re.compile(r"^Tied uses odd, which no other process can have: .+\.$"))
    expect(page.locator(".jp-OutputArea-output[data-mime-type*=stderr]")).to_have_count(1)

    jupyterlab.picture(page, "cards")
    jupyterlab.present(page)
    wrong.scroll_into_view_if_needed()
    jupyterlab.picture(page, "cards-projector")
    step.scroll_into_view_if_needed()
    jupyterlab.picture(page, "diff-projector")
