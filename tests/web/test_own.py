"""A client class of one's own: CHATRPC_CLIENT, and one sentence if it will not do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

from app import create_app
from tests.programs import ROOT, Program
from worker.ledger import Ledger

# What a student may have after the lessons: call and a table, and an error of chatrpc's.
STUDENT = """
    import json, os, threading, uuid
    import amqpstorm
    from chatrpc import CallTimeout

    class RpcClient:
        def __init__(self, service):
            self.queue = f"chatrpc.req.{service}"
            self.pending = {}
            url = os.environ["CHATRPC_URL"]
            self.channel = amqpstorm.UriConnection(url.rstrip("/") + "/%2F").channel()
            self.replies = self.channel.queue.declare(exclusive=True)["queue"]
            self.channel.basic.consume(self.on_reply, self.replies, no_ack=True)
            threading.Thread(target=self.channel.start_consuming, daemon=True).start()

        def on_reply(self, reply):
            waiting = self.pending[reply.correlation_id]
            waiting.append(json.loads(reply.body)["result"])
            waiting[0].set()

        def call(self, method, *args, message_id):
            body = {"jsonrpc": "2.0", "method": method, "params": args, "id": message_id}
            request = amqpstorm.Message.create(self.channel, json.dumps(body))
            request.message_id, request.reply_to = message_id, self.replies
            waiting = self.pending[request.correlation_id] = [threading.Event()]
            request.publish(self.queue)
            if not waiting[0].wait(5):
                raise CallTimeout("I waited five seconds")
            return waiting[1]
"""


def module(folder: Path, source: str, name: str = "my_chatrpc") -> None:
    """Leave a module as a student does."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(source))


def post(site: str, text: str, id: str) -> dict:
    """Send a message."""
    request = urllib.request.Request(
        f"{site}api/messages",
        data=json.dumps({"text": text, "id": id}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.parametrize("folder", [".", "notebooks"])
def test_a_students_client_serves_the_page(
    service: str, worker: Program, tmp_path: Path, folder: str
) -> None:
    """Raw AMQPStorm and a table, beside app.py or among the notebooks: it is all that it takes."""
    home = tmp_path / "home"
    home.mkdir()
    module(home / folder, STUDENT)
    with Program(
        str(ROOT / "app.py"),
        *("--port", "0"),
        cwd=home,
        CHATRPC_SERVICE=service,
        CHATRPC_CLIENT="my_chatrpc:RpcClient",
    ) as program:
        site = re.search(r"http://\S+/", program.wait_for("The chat is at"))[0]
        assert "¡Hola!" in post(site, "hola", "message-0")["answer"]
        assert "number 1" in post(site, "/coffee", "message-1")["answer"]
        assert "number 1" in post(site, "/coffee", "message-1")["answer"]
        with urllib.request.urlopen(f"{site}api/presence", timeout=30) as answer:
            assert json.load(answer) == {"broker": True, "workers": 1}
        assert program.stop() == 0
        assert "Traceback" not in program.output
    assert Ledger(tmp_path / "ledger.sqlite3").poured() == 1


@pytest.mark.parametrize(
    ("source", "where", "says"),
    [
        ("class C: pass", "{m}", "write module:Class"),
        ("class C: pass", "{m}.py", "write module:Class"),
        ("class C: pass", "no_such_thing:C", "there is no no_such_thing.py here"),
        ("class C: pass", "{m}:D", "has no class D"),
        ("C = 5", "{m}:C", "that is no class"),
        ("class C: pass", "{m}:C", "lacks a method call or submit"),
        ("class C:\n def call(self, method, *args): pass", "{m}:C", "takes no message_id"),
        ("class C:\n def submit(self, method, **params): pass", "{m}:C", "takes no message_id"),
        (
            "class C:\n def __init__(self, host, user): pass\n def call(self, m, message_id): pass",
            "{m}:C",
            "cannot be made from a service's name: missing a required argument: 'user'",
        ),
        ("import no_such_library", "{m}:C", "raised ModuleNotFoundError: No module named"),
        ("class C(:", "{m}:C", "raised SyntaxError"),
        ("1 / 0", "{m}:C", "raised ZeroDivisionError"),
    ],
)
def test_a_class_that_will_not_do_is_one_sentence(
    source: str,
    where: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """It names what is missing."""
    name = f"own_{abs(hash(request.node.name))}"
    module(tmp_path, source, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("CHATRPC_CLIENT", where.format(m=name))
    with pytest.raises(SystemExit) as ended:
        create_app()
    sentence = str(ended.value)
    assert says in sentence
    assert sentence.startswith("CHATRPC_CLIENT is ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_it_is_said_in_the_terminal() -> None:
    """No traceback, and a status that is not 0; before any broker is asked."""
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "CHATRPC_CLIENT": "json:JSONDecoder"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "CHATRPC_CLIENT is json:JSONDecoder: the class lacks a method call or submit."
    ]


class Odd:
    """A student's client that fails in every way."""

    def __init__(self, service: str) -> None:
        self.service = service

    def call(self, method: str, text: str, *, message_id: str) -> object:
        """Do what the text says."""
        if text == "hang":
            time.sleep(8)
        if text == "raise":
            raise KeyError("amqp://guest:hunter2@somewhere")
        return text


def test_a_client_that_hangs_or_raises(
    service: str, worker: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that hangs is a 504 soon after its time; one that raises is a 500 without its words."""
    monkeypatch.setenv("CHATRPC_CLIENT", f"{__name__}:Odd")
    app = create_app(service=service, timeout=0.5)
    http = app.test_client()
    try:
        began = time.monotonic()
        late = http.post("/api/messages", json={"text": "hang"})
        assert 1.5 <= time.monotonic() - began < 4
        assert late.status_code == 504
        assert json.loads(late.data)["ran"] == "maybe"
        broken = http.post("/api/messages", json={"text": "raise"})
        assert broken.status_code == 500
        assert "hunter2" not in broken.get_data(as_text=True)
        assert "KeyError" in caplog.text
        assert http.post("/api/messages", json={"text": "go on"}).json["answer"] == "go on"
    finally:
        app.extensions["chatrpc"].close()


def test_a_class_that_cannot_connect_is_503(
    service: str, worker: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is for the log, and the next message tries again."""
    tries = []

    def connect(self: Odd, service: str) -> None:
        tries.append(service)
        raise OSError("nobody at 10.9.8.7")

    monkeypatch.setattr(Odd, "__init__", connect)
    monkeypatch.setenv("CHATRPC_CLIENT", f"{__name__}:Odd")
    app = create_app(service=service, timeout=2)
    answer = app.test_client().post("/api/messages", json={"text": "hola"})
    assert answer.status_code == 503
    assert "10.9.8.7" not in answer.get_data(as_text=True)
    assert "10.9.8.7" in caplog.text
    assert tries == [service]
