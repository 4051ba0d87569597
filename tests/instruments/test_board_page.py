"""The contract board as a student meets it: in JupyterLab, verdict by verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import jupyterlab

pytestmark = pytest.mark.browser

CELLS = [
    """
import threading
from chatrpc import RpcClient, lab

gate = threading.Event()


class Mine(RpcClient):
    \"\"\"Takes an empty answer for none.\"\"\"

    def call(self, method, /, *args, timeout=None, **params):
        return super().call(method, *args, timeout=timeout, **params) or None
""",
    'report = lab.judge(Mine, upto="05", only="C01 C02 C03 C05 C08 C09 C10 C14")\nreport',
    "report",
    "lab.judge(int)",
    "class Half:\n    def method(self): ...\n\n\nlab.judge(Mine, Half)",
    "lab.judge(Mine, only='C01', url='amqp://guest:guest@localhost:1/')",
]

SENTENCES = {
    3: "int is no client class: it needs a method call or submit.",
    4: "Half is no server class: it needs start and close.",
    5: "localhost:1",
}


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def page(chromium: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A page of a real browser with the notebook open, in either theme."""
    jupyterlab.notebook(tmp_path / "board.ipynb", *CELLS)
    with (
        jupyterlab.browsing(chromium, width=1400, height=1500) as page,
        jupyterlab.serving(tmp_path, theme=request.param) as address,
    ):
        jupyterlab.open_notebook(page, address, "board.ipynb")
        yield page


def verdicts(board: Locator) -> dict[str | None, str]:
    """What the board says of each promise now, without its reasons."""
    return {
        row.get_attribute("data-promise"): row.locator("td").first.inner_text().strip()
        for row in board.locator("tr").all()
    }


def test_the_board_fills_while_it_is_judged(page: Page) -> None:
    """Each row is on trial, then has its verdict; hints and ladder open one after the other."""
    jupyterlab.run_all(page, wait=False)
    cells = page.locator(".jp-CodeCell")
    board = cells.nth(1).locator(".chatrpc-board")
    first, last = board.locator("tr").first, board.locator("tr[data-promise=C09]")
    expect(first).to_contain_text(re.compile("on trial|broken"))
    expect(last).to_contain_text("… waits")  # so it is shown before the end
    jupyterlab.picture(page, "board-live")
    page.wait_for_function("window.ran")
    page.wait_for_selector(jupyterlab.IDLE)

    expect(board).to_have_count(1)
    expect(board.locator(".chatrpc-board-verdict")).to_have_text(
        "Mine and chatrpc's RpcServer: 5 of 6 promises kept"
    )
    assert verdicts(board) == {
        "C01": "✗ broken",
        **dict.fromkeys(("C02", "C03", "C05", "C08", "C09"), "✓ kept"),
        **dict.fromkeys(("C10", "C14"), "· not reached"),
    }
    expect(first).to_contain_text("echo('') answered None")
    expect(board.locator("tr[data-promise=C14]")).to_contain_text("lesson 08")

    hints = first.locator(".chatrpc-board-hint")
    expect(hints).to_have_count(3)
    for number, words in enumerate(("take for no answer?", "whether it is true", "nowhere")):
        text = hints.nth(number).locator("> div")
        expect(text).to_be_hidden()
        hints.nth(number).locator("> summary").focus()
        page.keyboard.press("Enter")
        expect(text).to_contain_text(words)
    ladder = first.locator(".chatrpc-board-ladder")
    expect(ladder.locator("svg")).to_be_hidden()
    ladder.locator("summary").click()
    expect(ladder.locator("svg")).to_be_visible()
    assert 'echo("")' in ladder.locator("svg").evaluate(
        "e => e.outerHTML.replaceAll('&quot;','\"')"
    )
    jupyterlab.picture(page, "board")

    expect(cells.nth(2).locator(".chatrpc-board")).to_have_count(1)  # asked again, shown again
    for number, sentence in SENTENCES.items():
        said = cells.nth(number).locator(".jp-OutputArea-output")
        expect(said).to_contain_text(sentence)
        assert len(said.inner_text().strip().splitlines()) == 1
    expect(page.locator(".jp-OutputArea-output[data-mime-type*=stderr]")).to_have_count(
        len(SENTENCES)
    )

    jupyterlab.present(page)
    board.scroll_into_view_if_needed()
    jupyterlab.picture(page, "board-projector")
    box = board.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert box[0] <= box[1] + 1, "the board is cut off"


def test_stopped_it_keeps_what_it_has(page: Page) -> None:
    """The square button ends the judging, and the kernel goes on."""
    jupyterlab.run_all(page, wait=False)
    board = page.locator(".jp-CodeCell").nth(1).locator(".chatrpc-board")
    expect(board.locator("tr[data-promise=C02]")).to_contain_text("kept")
    had = {
        promise: verdict
        for promise, verdict in verdicts(board).items()
        if re.search("kept|broken", verdict)  # C01 has a lane of its own, and may be later
    }
    page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(board.locator("tr[data-promise=C09]")).to_contain_text("it was stopped")
    assert had["C02"] == "✓ kept"
    assert had.items() <= verdicts(board).items()
    page.wait_for_selector(jupyterlab.IDLE)
    expect(page.locator(".jp-CodeCell").nth(1)).not_to_contain_text("Traceback")
