"""The laboratory's live instruments in JupyterLab, in a real browser, by mouse and by keyboard."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect
from test_browser import jupyter, page, run_all_cells  # noqa: F401 - fixtures

pytestmark = pytest.mark.browser

CELLS = [
    """
import time
from chatrpc import RpcClient, lab
service = lab.service("look")
worker = lab.worker(service)
chat = RpcClient(service, timeout=20)
[chat.call("echo", "x") for _ in range(3)]
worker
""",
    """
with lab.trace(service, exchanges=True) as ladder:
    chat.call("say", "hola")
    chat.submit("slow", 1, timeout=0.2).exception()
    for name in ("Ana", "Bo"):
        chat.call("echo", "<b>" + name + "</b>")
ladder
""",
    "ladder.cover()",
    """
gauges = lab.Gauges(service).start()
gauges
""",
    """
coffee = lab.Coffee(service)
chat.call("coffee")
coffee
""",
    """
drill = lab.Drill(timeout=20)
drill
""",
    """
ana = lab.ChatPanel(chat, name="Ana")
bo = lab.ChatPanel(RpcClient("nobody-is-there", timeout=5), name="Bo")
ana.say("hola")
bo.say("Is anybody there?")
lab.beside(ana, bo)
""",
    "gauges.samples[-1].consumers",
]
DARK = "() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
SHOTS = os.environ.get("LAB_SHOTS", "")
"""A folder for pictures of everything, for whoever wants to look."""


@pytest.fixture
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook with each live instrument."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source.strip()) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    path = tmp_path_factory.mktemp("instruments") / "instruments.ipynb"
    nbformat.write(notebook, path)
    return path


def shoot(tab: Page, name: str) -> None:
    """Take a picture of each output, if somebody wants to look."""
    if not SHOTS:
        return
    for number, output in enumerate(tab.locator(".jp-Cell-outputArea").all()):
        output.scroll_into_view_if_needed()
        output.screenshot(path=f"{SHOTS}/{name}-{number}.png")


def test_the_instruments_live(jupyter: str, page: Page) -> None:  # noqa: F811
    run_all_cells(jupyter, page)
    expect(page.locator(".jp-OutputArea-output[data-mime-type*=stderr]")).to_have_count(0)

    # A worker's card counts.
    card = page.locator(".chatrpc-worker").first
    expect(card).to_contain_text(re.compile(r"alive · process \d+ · idle · served \d+"))

    # A rung opens by mouse and by keyboard, and shows its message, escaped.
    whole = page.locator(".chatrpc-ladder").first
    whole.scroll_into_view_if_needed()
    rungs = whole.locator("details.chatrpc-rung")
    rungs.first.locator("summary").click()
    expect(rungs.first.locator("table")).to_contain_text("correlation id")
    rungs.nth(1).locator("summary").focus()
    page.keyboard.press("Enter")
    expect(rungs.nth(1).locator("table")).to_be_visible()
    expect(whole).to_contain_text("<b>Ana</b>")
    expect(whole).to_contain_text("no reply was sent")
    shoot(page, "open")
    page.keyboard.press("Enter")
    expect(rungs.nth(1).locator("table")).to_be_hidden()

    # Covered, and the whole again, by the buttons.
    cover = page.locator(".chatrpc-ladder-cover").first
    cover.get_by_role("button", name="only client 1").click()
    covered = page.locator(".chatrpc-ladder").first
    expect(covered).to_contain_text("nothing came")
    expect(covered).not_to_contain_text("worker 1")
    cover.get_by_role("button", name="everything").click()
    expect(page.locator(".chatrpc-ladder").first).to_contain_text("worker 1")
    second = page.locator(".chatrpc-ladder").nth(1)
    expect(second).to_contain_text("covered")
    expect(second).not_to_contain_text("worker 1")

    # The gauges move, the coffee counts.
    plot = page.locator(".chatrpc-gauges svg").first
    length = plot.locator("text").nth(3).text_content()
    expect(plot.locator("text").nth(3)).not_to_have_text(length or "")
    expect(page.locator(".chatrpc-coffee")).to_contain_text("poured 1")

    # The panel breaks things, says what to watch, counts, and undoes.
    panel = page.locator(".chatrpc-break")
    panel.scroll_into_view_if_needed()
    panel.locator(".chatrpc-break-order").click()
    panel.locator(".chatrpc-break-cut").click()
    expect(panel.locator(".chatrpc-watch")).to_contain_text("Watch: the client dials again")
    answered = panel.locator("tr", has_text="answered").locator("td.n")
    expect(answered).to_have_text("20")
    panel.locator(".chatrpc-break-kill-the-leader").click()
    expect(panel.locator(".chatrpc-watch")).not_to_contain_text("Watch")
    panel.locator(".chatrpc-break-undo").click()
    expect(panel.locator(".chatrpc-watch")).to_contain_text("is mended")

    # Two chat panels side by side: one has a worker, the other has nobody.
    panels = page.locator(".chatrpc-beside .chatrpc-panel")
    expect(panels).to_have_count(2)
    expect(panels.nth(0).locator(".chatrpc-light")).to_contain_text("1 worker listens")
    expect(panels.nth(1).locator(".chatrpc-light")).to_contain_text("nobody listens")
    expect(panels.nth(1).locator(".chatrpc-error")).to_contain_text("nobody serves")
    left, right = (panels.nth(n).bounding_box() for n in (0, 1))
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"]
    card.locator(".chatrpc-worker-stop").click()
    expect(panels.nth(0).locator(".chatrpc-light")).to_contain_text("nobody listens")
    shoot(page, "light")

    # The page's theme is followed, live.
    paper = "e => getComputedStyle(e).backgroundColor"
    light = whole.evaluate(paper)
    page.evaluate(DARK)
    page.wait_for_selector("[data-jp-theme-light=false]", state="attached")
    assert whole.evaluate(paper) != light
    shoot(page, "dark")
    page.set_viewport_size({"width": 1024, "height": 768})
    page.evaluate(DARK.replace("Dark", "Light"))
    page.wait_for_selector("[data-jp-theme-light=true]", state="attached")
    for box in page.locator(".chatrpc-ladder").all():
        assert box.evaluate("e => e.getBoundingClientRect().right <= window.innerWidth")
        assert box.evaluate("e => getComputedStyle(e).overflowX") == "auto"
    worker = whole.locator("text", has_text=re.compile("^worker 1$"))
    worker.scroll_into_view_if_needed()
    expect(worker).to_be_in_viewport()
    shoot(page, "projector")
