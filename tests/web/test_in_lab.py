"""The chat's page within JupyterLab, as ``make lab`` starts it, in a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import ConsoleMessage, FrameLocator, Page, expect

from tests import jupyterlab
from tests.programs import ROOT, Program, consumer

pytestmark = pytest.mark.browser

KIT = ("app.py", "chatrpc", "worker", "templates", "static")


@pytest.fixture
def laboratory(service: str, tmp_path: Path) -> Iterator[str]:
    """``make lab`` in a clone with a notebook that shows the page; the notebook's address."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in KIT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, clone / name)
    cells = [
        "from chatrpc import lab",
        f"page = lab.chat_page({service!r})\npage",
        "print(page.address)",
    ]
    notebook = nbformat.v4.new_notebook(
        cells=list(map(nbformat.v4.new_code_cell, cells)),
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, clone / "page.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    command = ("-m", "chatrpc", "lab", "--no-browser", f"--port={port}")
    command += ("--LabApp.expose_app_in_browser=True",)
    with consumer(service), Program(*command, cwd=clone, PYTHONPATH=str(clone)) as program:
        line = program.wait_for("token=", timeout=120)
        site, token = re.search(r"(http://[^/]+)/\S*token=(\w+)", line).groups()
        try:
            yield f"{site}/lab/tree/page.ipynb?token={token}"
        finally:
            program.stop()


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    """A page of a real browser."""
    with jupyterlab.browsing(chromium, width=1280, height=1000) as page:
        yield page


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A stranger's web server on this machine: its folder, with its address in ``address``."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    (folder / "address").write_text(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def run(page: Page, notebook: str) -> FrameLocator:
    """Open the notebook and run it; the frame that it shows."""
    page.goto(notebook)
    page.wait_for_selector(jupyterlab.IDLE)
    jupyterlab.run_all(page, wait=False)
    frame = page.frame_locator(".chatrpc-page iframe")
    expect(frame.locator("#presence")).to_have_text(
        "1 worker is listening", timeout=jupyterlab.PATIENCE
    )
    return frame


def test_the_page_chats_in_the_notebook_and_nowhere_else(
    laboratory: str, page: Page, elsewhere: Path
) -> None:
    """In JupyterLab one writes and is answered; another site's frame of it stays empty."""
    frame = run(page, laboratory)
    focused = page.evaluate("document.activeElement.tagName")
    assert focused != "IFRAME", "who runs cells must not be taken away from them"
    frame.locator("#text").fill("/echo from the notebook")
    frame.locator("#text").press("Enter")
    expect(frame.locator(".answer .said")).to_have_text(
        "from the notebook", timeout=jupyterlab.PATIENCE
    )
    address = page.locator(".chatrpc-page a").inner_text()
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text(
        address, timeout=jupyterlab.PATIENCE
    )

    (elsewhere / "index.html").write_text(f"<iframe src={json.dumps(address)}></iframe>")
    refused: list[str] = []

    def note(said: ConsoleMessage) -> None:
        if "frame-ancestors" in said.text:
            refused.append(said.text)

    assert page.context.browser is not None
    stranger = page.context.browser.new_page()
    stranger.on("console", note)
    stranger.goto((elsewhere / "address").read_text())
    stranger.wait_for_timeout(500)
    assert refused
    assert stranger.frame_locator("iframe").locator("#text").count() == 0
    stranger.goto(address)
    expect(stranger.locator("#text")).to_be_focused()

    run(page, laboratory.replace("127.0.0.1", "localhost"))
