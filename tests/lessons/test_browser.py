"""The first lesson as a student meets it: in JupyterLab, in a real browser, with a keyboard."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from committed import FOLDER
from playwright.sync_api import Page, expect

from tests import jupyterlab

LESSON = "00_first_chat.ipynb"

pytestmark = pytest.mark.browser


@pytest.fixture
def lesson() -> Path:
    """The notebook that is opened."""
    return FOLDER / LESSON


@pytest.fixture
def jupyter(url: str, lesson: Path, tmp_path: Path) -> Iterator[str]:
    """A JupyterLab on a copy of the lesson, which writes nowhere else; its address."""
    shutil.copy(lesson, tmp_path)
    with jupyterlab.serving(tmp_path) as address:
        yield address.format(lesson.name)


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    """A page of a real browser."""
    with jupyterlab.browsing(chromium, width=1280, height=900) as page:
        yield page


def run_all_cells(jupyter: str, page: Page) -> None:
    """Open the lesson, run it, and wait until the last cell has run."""
    page.goto(jupyter)
    page.wait_for_selector(jupyterlab.IDLE)
    jupyterlab.run_all(page)


def test_all_cells_run_and_the_panel_answers_hola(jupyter: str, page: Page) -> None:
    run_all_cells(jupyter, page)
    panel = page.locator(".chatrpc-panel")
    mine, theirs = panel.locator(".chatrpc-mine"), panel.locator(".chatrpc-theirs")
    before = mine.count()
    expect(theirs).to_have_count(before)
    panel.locator(".chatrpc-text input").click()
    for number, message in enumerate(("hola", "hola", "<b>¿qué tal?</b>"), start=before + 1):
        page.keyboard.type(message, delay=10)
        page.keyboard.press("Enter")
        expect(mine).to_have_count(number)
        expect(mine.last).to_have_text(message)
        expect(theirs).to_have_count(number)
        expect(panel.locator(".chatrpc-text input")).to_have_value("")
        expect(panel.locator(".chatrpc-note").last).to_have_text(
            re.compile(r"^worker-.+ · \d+ ms$")
        )
    expect(theirs.nth(before)).to_contain_text("¡Hola!")

    page.keyboard.type("/fail")
    panel.locator(".chatrpc-send").click()
    expect(panel.locator(".chatrpc-error")).to_contain_text("It ran, and failed.")
    expect(page.locator(".jp-OutputArea-output[data-mime-type*=stderr]")).to_have_count(0)


def test_a_worker_is_stopped_and_started_on_its_card(jupyter: str, page: Page) -> None:
    run_all_cells(jupyter, page)
    card = page.locator(".chatrpc-worker").first
    card.locator(".chatrpc-worker-stop").click()
    expect(card).to_contain_text("stopped")
    page.locator(".chatrpc-text input").click()
    page.keyboard.type("hola")
    page.keyboard.press("Enter")
    expect(page.locator(".chatrpc-waiting")).to_have_count(1)
    card.locator(".chatrpc-worker-start").click()
    expect(card).to_contain_text("alive")
    expect(page.locator(".chatrpc-waiting")).to_have_count(0)
    expect(page.locator(".chatrpc-theirs").last).to_contain_text("¡Hola!")
