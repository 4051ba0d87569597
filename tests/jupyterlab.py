"""A JupyterLab of the tests' own, and what a person does in it, in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Page, expect, sync_playwright

from chatrpc import running
from chatrpc.lab.sync import KERNEL
from tests.programs import CHROMIUM_FLAGS

PATIENCE = 60_000  # milliseconds
IDLE = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
QUIET = {"fetchNews": "false", "checkForUpdates": False}
RUN_ALL = """async () => {
    await jupyterapp.shell.currentWidget.sessionContext.ready;
    window.ran = false;
    jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.ran = true; });
}"""


# What View > Appearance > Presentation Mode does to the type.
LARGE = """() => { for (const [name, size] of Object.entries({0: 16, 1: 19.2, 2: 23, 3: 27.6}))
    document.documentElement.style.setProperty(`--jp-content-font-size${name}`, `${size}px`); }"""


@contextmanager
def serving(folder: Path, *, theme: str = "JupyterLab Light") -> Iterator[str]:
    """Serve a folder with a JupyterLab; a file's name goes into the address, for ``{}``."""
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    environment = os.environ | running.jupyter_folders(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    log = folder / "jupyter.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api?token=t", server, log)
        yield f"{address}/lab/tree/{{}}?token=t"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder / "settings", ignore_errors=True)


@contextmanager
def browsing(chromium: str, *, width: int, height: int) -> Iterator[Page]:
    """Start a real browser, and yield a page of it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, locale="en-US")
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)


def notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of these cells of code."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    for cell in made.cells:
        # One that fails does not keep the next from running.
        cell.metadata["tags"] = ["raises-exception"]
    made.metadata["kernelspec"] = KERNEL  # or JupyterLab asks for one
    nbformat.write(made, path)
    return path


def open_notebook(page: Page, address: str, name: str) -> None:
    """Open a notebook, with nothing beside it."""
    page.goto(address.format(name))
    page.wait_for_selector(IDLE)
    page.evaluate(
        "async () => { await jupyterapp.shell.currentWidget.sessionContext.ready;"
        " jupyterapp.shell.collapseLeft(); }"
    )


PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of what the tests see, for whoever wants to look at them."""


def picture(page: Page, name: str) -> None:
    """Keep what is to be seen now, if somebody has asked for it."""
    if PICTURES:
        light = page.evaluate("document.body.dataset.jpThemeLight") == "true"
        page.screenshot(path=f"{PICTURES}/{name}-{'light' if light else 'dark'}.png")


def present(page: Page) -> None:
    """Show the page as a projector does."""
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.evaluate("jupyterapp.commands.execute('application:toggle-presentation-mode')")
    page.evaluate(LARGE)


def run_all(page: Page, *, wait: bool = True) -> None:
    """Run all cells; unless ``wait``, come back while they run."""
    page.evaluate(RUN_ALL)
    if wait:
        page.wait_for_function("window.ran")
        page.wait_for_selector(IDLE)
