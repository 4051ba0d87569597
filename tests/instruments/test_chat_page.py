"""The chat's page from a kernel: served, framed by nobody unasked, and gone with its kernel."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from chatrpc import RpcClient
from chatrpc.lab import page
from chatrpc.lab.page import chat_page
from chatrpc.lab.problem import LabProblem
from tests.programs import Program, consumer


@pytest.fixture(autouse=True)
def _no_page_left() -> Iterator[None]:
    yield
    page._at_exit()
    page._pages.clear()


@pytest.fixture
def worker(service: str) -> Iterator[Program]:
    with consumer(service) as program:
        yield program


class Loud:
    """A student's client."""

    def __init__(self, service: str, timeout: float = 10) -> None:
        self.inner = RpcClient(service, timeout=timeout)

    def call(self, method: str, *args: Any, message_id: str | None = None) -> Any:
        return self.inner.call(method, *args, message_id=message_id).upper()

    def close(self) -> None:
        self.inner.close()


class Keyless:
    """A student's client that knows no message id."""

    def call(self, method: str, *args: Any) -> Any:
        return None


def say(address: str, text: str) -> str:
    """Send a message to the page's server; the answer."""
    body = json.dumps({"text": text}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}api/messages", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["answer"]


def served(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}healthz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_it_serves_the_service_and_lets_nobody_frame_it(service: str, worker: Program) -> None:
    """Outside Jupyter there is no laboratory, so nobody may."""
    shown = chat_page(service)
    assert say(shown.address, "/echo hola") == "hola"
    with urllib.request.urlopen(shown.address, timeout=5) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'none'")
    assert shown.address.startswith("http://127.0.0.1:")


def test_what_stays_in_the_notebook_names_no_port(service: str) -> None:
    shown = chat_page(service)
    bundle = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "the chat's page"
    assert not re.search(r"\d", bundle["text/html"])


def test_a_cell_run_again_serves_it_anew(service: str) -> None:
    before = chat_page(service)
    after = chat_page(service)
    assert not before.alive
    assert not served(before.address)
    assert served(after.address)


def test_closed_it_is_gone(service: str) -> None:
    shown = chat_page(service)
    shown.close()
    assert not served(shown.address)
    assert repr(shown) == "the chat's page, closed"
    shown.close()


def test_a_class_of_the_notebooks_own(service: str, worker: Program) -> None:
    shown = chat_page(service, client=Loud)
    assert say(shown.address, "/echo hola") == "HOLA"


def test_a_class_that_lacks_something_is_one_sentence(service: str) -> None:
    with pytest.raises(LabProblem, match="takes no message_id") as caught:
        chat_page(service, client=Keyless)
    assert "\n" not in str(caught.value)


def test_the_room_is_let_in_only_if_asked(service: str) -> None:
    """A server on every address shows the way in; one on loopback has none."""
    assert "0.0.0.0" not in listening(chat_page(service))
    assert "0.0.0.0" in listening(chat_page(service, lan=True))


def listening(shown: page.ChatPage) -> str:
    """The addresses on which it listens."""
    port = shown.address.rstrip("/").rpartition(":")[2]
    table = open("/proc/net/tcp").read()  # noqa: SIM115
    hosts = re.findall(rf"^ *\d+: ([0-9A-F]{{8}}):{int(port):04X} 0+:0+ 0A", table, re.MULTILINE)
    return " ".join(".".join(str(n) for n in bytes.fromhex(host)[::-1]) for host in hosts)


def test_it_ends_with_its_kernel(service: str) -> None:
    """Also by kill -9."""
    script = textwrap.dedent("""
        import sys, time
        from chatrpc.lab.page import chat_page
        print(chat_page(sys.argv[1]).address, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, service],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as kernel:
        assert kernel.stdout is not None
        address = kernel.stdout.readline().strip()
        assert served(address)
        kernel.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while served(address):
        assert time.monotonic() < end
        time.sleep(0.1)
