"""The chat's page in a notebook, and from there for the room: the web app as a process.

It ends with the kernel, however it ends. The page lets itself be framed by the JupyterLab that
this kernel belongs to, and by nobody else.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import ipywidgets as widgets  # type: ignore[import-untyped]
from jupyter_server.serverapp import list_running_servers

from . import services
from .carry import carry
from .problem import LabProblem

READY = 30.0  # seconds within which the page must be served; a broker may have to start for it
LEAVE = 5.0  # seconds that it gets to end
POLL = 0.03  # seconds between two looks
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_APP = Path(__file__).resolve().parents[2] / "app.py"
_pages: dict[str, ChatPage] = {}


def chat_page(
    service: str, *, client: type | None = None, lan: bool = False, height: int = 560
) -> ChatPage:
    """Serve the chat's page for a service, and show it below the cell.

    Args:
        service: whom its messages are for.
        client: a client class, of the notebook's own perhaps; without one, chatrpc's.
        lan: serve it to the phones in the room too; the button in its corner shows the QR code.
        height: of the page, in pixels.

    Raises:
        LabProblem: there is no app.py, the class lacks something, or the page is not there in time.
    """
    if not _APP.is_file():
        raise LabProblem("The chat is not in the installed package: run this from a clone.")
    if (before := _pages.pop(service, None)) is not None:
        before.close()
    page = ChatPage(service, client=client, lan=lan, height=height)
    _pages[service] = page
    return page


class ChatPage:
    """A web server with the page, at ``address``, and the frame that shows it."""

    def __init__(self, service: str, *, client: type | None, lan: bool, height: int) -> None:
        """Start the process, and wait until it serves. Raises LabProblem."""
        self._height = height
        self._folder: Path | None = None
        self._log: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        options = ["--port", "0", *(["--lan"] if lan else [])]
        variables = {
            "CHATRPC_SERVICE": service,
            "CHATRPC_FRAME_ANCESTORS": " ".join(laboratory()) or "'none'",
            "CHATRPC_CLIENT": "",
            "PYTHONUNBUFFERED": "1",
        }
        if client is not None:
            self._folder = services.folder("page")
            variables["CHATRPC_CLIENT"] = ":".join(carry(client, self._folder))
            paths = [str(self._folder), *map(os.path.abspath, sys.path)]
            variables["PYTHONPATH"] = os.pathsep.join(paths)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chatrpc.lab.runner", str(_APP), *options],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
            start_new_session=True,  # the kernel's own interrupt must not reach it
        )
        try:
            self.address = self._served()
        except LabProblem:
            self.close()
            raise

    def _served(self) -> str:
        end = time.monotonic() + READY
        while True:
            ended = self._process.poll() is not None
            if found := re.search(r"The chat is at (http://\S+:\d+/)", self.log):
                return found[1]
            if ended:
                lines = [line.strip() for line in self.log.splitlines() if line.strip()]
                raise LabProblem(
                    lines[-1] if lines else "The chat's server died, and said nothing."
                )
            if time.monotonic() > end:
                raise LabProblem(f"The chat's page is not there after {READY:.0f} seconds.")
            time.sleep(POLL)

    @property
    def log(self) -> str:
        """What the server has written, at most the last 20,000 bytes."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - 20_000)
        return os.pread(self._log.fileno(), size - start, start).decode(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it is served."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server; who has the page open is told that it is away."""
        self._process.terminate()
        try:
            self._process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(LEAVE)
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __repr__(self) -> str:
        return "the chat's page" if self.alive else "the chat's page, closed"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        address = escape(self.address)
        frame = widgets.HTML(
            f'<iframe src="{address}" title="The chat" width="100%" height="{self._height:d}"'
            ' style="border:1px solid var(--jp-border-color1,#bdbdbd);border-radius:14px"></iframe>'
            "<p>In a tab of its own: "
            f'<a href="{address}" target="_blank" rel="noopener">{address}</a></p>',
            layout={"max_width": "60em"},
        )
        frame.add_class("chatrpc-page")
        bundle = dict(frame._repr_mimebundle_())
        # What stays in the notebook names no port: it is another one the next time.
        bundle["text/html"] = "<div>The chat's page, while its kernel runs.</div>"
        bundle["text/plain"] = repr(self)
        return bundle


def laboratory() -> list[str]:
    """The origins of the Jupyter server that this kernel belongs to; none, if there is none."""
    parent = os.environ.get("JPY_PARENT_PID")
    for server in list_running_servers():
        if str(server["pid"]) == parent:
            at = urlsplit(server["url"])
            names = LOOPBACK[:2] if at.hostname in LOOPBACK else (at.hostname,)
            return [f"{at.scheme}://{name}:{at.port}" for name in names]
    return []


@atexit.register
def _at_exit() -> None:
    for page in _pages.values():
        with contextlib.suppress(Exception):
            page.close()
