"""The first lesson as a student meets it: in JupyterLab, in a real browser, with a keyboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from committed import FOLDER
from playwright.sync_api import Page, expect, sync_playwright

from chatrpc import running
from tests.programs import CHROMIUM_FLAGS

PATIENCE = 60_000  # milliseconds
LESSON = "00_first_chat.ipynb"
IDLE = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
QUIET = {"fetchNews": "false", "checkForUpdates": False}
RUN_ALL = """async () => {
    await jupyterapp.shell.currentWidget.sessionContext.ready;
    window.ran = false;
    jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.ran = true; });
}"""

pytestmark = pytest.mark.browser


@pytest.fixture
def lesson() -> Path:
    """The notebook that is opened."""
    return FOLDER / LESSON


@pytest.fixture
def jupyter(url: str, lesson: Path, tmp_path: Path) -> Iterator[str]:
    """A JupyterLab on a copy of the lesson, which writes nowhere else; its address."""
    shutil.copy(lesson, tmp_path)
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    environment = os.environ | running.jupyter_folders(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={tmp_path}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    log = tmp_path / "jupyter.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api?token=t", server, log)
        yield f"{address}/lab/tree/{lesson.name}?token=t"
    finally:
        server.terminate()
        server.wait(20)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    """A page of a real browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def run_all_cells(jupyter: str, page: Page) -> None:
    """Open the lesson, run it, and wait until the last cell has run."""
    page.goto(jupyter)
    page.wait_for_selector(IDLE)
    page.evaluate(RUN_ALL)
    page.wait_for_function("window.ran")
    page.wait_for_selector(IDLE)


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
