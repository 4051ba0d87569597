"""Worker processes made of a notebook's classes and functions, which die where they are told to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatrpc import CallTimeout, RpcClient
from chatrpc.lab import workers
from chatrpc.lab.ladder import trace
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.workers import State, worker
from tests.waiting import within

Cell = Callable[[str], dict[str, Any]]

SERVER = """
import json
import threading
import amqpstorm
from chatrpc.settings import Settings

WORD = "{word}"

class MyServer:
    '''A student's server: it acknowledges {ack}.'''

    def __init__(self, service):
        self.service, self.queue = service, "chatrpc.req." + service
        self.methods = {{}}

    def method(self, function):
        self.methods[function.__name__] = function
        return function

    def start(self):
        port = Settings.from_env().addresses[0].port
        self.connection = amqpstorm.Connection("localhost", "guest", "guest", port=port)
        self.channel = self.connection.channel()
        self.channel.exchange.declare("chatrpc.req", "direct", durable=True)
        self.channel.queue.declare(self.queue, durable=True)
        self.channel.queue.bind(self.queue, "chatrpc.req", self.service)
        self.channel.basic.consume(self.serve, self.queue)
        threading.Thread(target=self.channel.start_consuming, daemon=True).start()

    def serve(self, message):
        if "{ack}" == "early":
            message.ack()
        request = json.loads(message.body)
        answer = {{"jsonrpc": "2.0", "id": request["id"],
                  "result": WORD + self.methods[request["method"]](*request["params"])}}
        self.channel.basic.publish(json.dumps(answer), message.reply_to,
                                   properties={{"correlation_id": message.correlation_id}})
        if "{ack}" == "late":
            message.ack()

    def close(self):
        self.connection.close()
"""


pytestmark = pytest.mark.usefixtures("no_worker_left")


def test_functions_of_the_notebook_are_served_by_another_process(cell: Cell, service: str) -> None:
    """What they use comes along; the card counts, and tells of a function that has changed."""
    names = cell(
        "import os\nGREETING = '¡hola, {}!'\n"
        "def greet(name):\n    return GREETING.format(name)\n"
        "def where():\n    return os.getpid()"
    )
    card = worker(service, methods=[names["greet"], names["where"]], name="Bo")
    with RpcClient(service) as client:
        future = client.submit("greet", "Ana")
        assert future.result() == "¡hola, Ana!"
        assert future.worker == f"Bo-{card.pid}"
        assert client.call("where") == card.pid != os.getpid()
    assert within(5, lambda: (card.served, card.busy) == (2, 0))
    assert within(5, lambda: "idle · served 2" in card._face.value)
    assert repr(card) == "Bo: alive"
    cell("def greet(name):\n    return GREETING.format(name)")  # run again: the same
    assert card.outdated == ""
    cell("def greet(name):\n    return 'changed'")
    assert card.outdated == "greet"
    assert within(5, lambda: "greet has changed" in card._face.value)
    assert repr(card) == (
        "Bo: alive\n⚠ greet has changed; this worker still runs the old one: run its cell again."
    )
    assert repr(worker(service, methods=[cell("")["greet"]], name="Bo")) == "Bo: alive"
    assert not card.alive


def test_a_students_class_serves_and_is_seen_to_be_old(cell: Cell, service: str) -> None:
    names = cell(SERVER.format(word="one ", ack="late"))
    card = worker(service, names["MyServer"], methods=[str_upper])
    with RpcClient(service, safe=True) as client:
        assert client.call("str_upper", "hola") == "one HOLA"
        cell("WORD = 'two '")  # what the class uses counts, too, once its own cell was run again
        names = cell(SERVER.format(word="two ", ack="late"))
        assert card.outdated == "MyServer"
        worker(service, names["MyServer"], methods=[str_upper])
        assert client.call("str_upper", "hola") == "two HOLA"
    assert not card.alive


def str_upper(text: str) -> str:
    """A method from a file, under another name than its own."""
    return text.upper()


@pytest.mark.parametrize(
    ("ack", "point", "answered"),
    [
        ("late", "before work", True),
        ("late", "after work", True),
        ("late", "before ack", True),
        ("early", "before work", False),
        ("early", "after work", False),
        ("early", "before ack", True),
    ],
)
def test_a_students_worker_dies_at_the_point(
    cell: Cell, service: str, ack: str, point: str, answered: bool
) -> None:
    """Late ack: another worker gets it again. Early: lost, unless it died before that."""
    names = cell(SERVER.format(word="", ack=ack))
    first = worker(service, names["MyServer"], methods=[str_upper], name="first", dies=point)
    with RpcClient(service) as client:
        future = client.submit("str_upper", "hola", timeout=20 if answered else 2)
        assert first.wait().state is State.KILLED
        assert repr(first) == f"first: killed {point}"
        second = worker(service, names["MyServer"], methods=[str_upper], name="second")
        if answered:
            assert future.result() == "HOLA"
        else:
            with pytest.raises(CallTimeout):
                future.result()
            assert second.served == 0
        again = first.start()  # once started again, it lives
        second.stop()
        assert client.call("str_upper", "again") == "AGAIN"
        assert again.alive


@pytest.mark.parametrize("point", ["before work", "after work", "before ack"])
def test_the_shipped_worker_dies_at_the_point_and_the_call_is_answered(
    service: str, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the ledger shows whether it ran twice: it did, unless it died before the work."""
    monkeypatch.setenv("CHATRPC_LEDGER", str(tmp_path / "cups"))
    from worker.ledger import Ledger

    first = worker(service, name="first", dies=point)
    with trace(service) as ladder, RpcClient(service) as client:
        future = client.submit("coffee", timeout=30)
        first.wait()
        worker(service, name="second")
        future.result()
    assert Ledger().poured() == (1 if point == "before work" else 2)
    assert "deliver again" in ladder.text


def test_the_nth_request_kills_it_and_no_other(service: str) -> None:
    card = worker(service, dies="after work", nth=3)
    with RpcClient(service) as client:
        assert [client.call("echo", text) for text in "ab"] == ["a", "b"]
        client.submit("echo", "c", timeout=2)
        assert card.wait().state is State.KILLED


def test_it_is_slower_and_quick_again(service: str) -> None:
    card = worker(service, slow=0.4)
    with RpcClient(service) as client:
        start = time.monotonic()
        future = client.submit("echo", "x")
        assert within(5, lambda: card.busy == 1)
        future.result()
        assert time.monotonic() - start >= 0.4
        card.slow(0)
        start = time.monotonic()
        client.call("echo", "x")
        assert time.monotonic() - start < 0.4


LOOP = """
import amqpstorm
from chatrpc.settings import Settings

def serve(queue):
    port = Settings.from_env().addresses[0].port
    with amqpstorm.Connection("localhost", "guest", "guest", port=port) as link:
        channel = link.channel()
        channel.queue.declare(queue, durable=True)
        channel.basic.qos(1)
        def work(message):
            channel.basic.publish(message.body.upper(), message.reply_to)
            message.ack()
        channel.basic.consume(work, queue)
        channel.start_consuming()
"""


def test_a_function_that_serves_by_itself_is_a_worker_too(cell: Cell, service: str) -> None:
    """Bare AMQPStorm in a function: counted by its wire, and killed with a message in its hands."""
    from amqpstorm import Connection

    from chatrpc.settings import Settings

    names = cell(LOOP)
    card = worker(service, names["serve"], name="loop")
    address = Settings.from_env().addresses[0]
    with Connection("localhost", address.user, address.password, port=address.port) as link:
        channel = link.channel()
        answers = channel.queue.declare("", exclusive=True)["queue"]

        def ask(text: str) -> None:
            channel.basic.publish(text, service, properties={"reply_to": answers})

        def answer() -> str:
            assert within(10, lambda: channel.queue.declare(answers, passive=True)["message_count"])
            return str(channel.basic.get(answers).body)

        ask("hola")
        assert answer() == "HOLA"
        assert within(5, lambda: card.served == 1)
        for point in ("before work", "after work", "before ack"):
            card.die(point)
            ask(point)
            assert card.wait().state is State.KILLED
            card.start()
            assert answer() == point.upper()
            if point == "before ack":
                assert answer() == point.upper()  # the reply was out before: it came twice
        channel.queue.delete(service)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("class Bad:\n    def start(self): pass", "Bad lacks method and close: a worker's class"),
        (
            "class Bad:\n    def __init__(self, s): raise RuntimeError('no\\nbeans')\n"
            "    def start(self): ...\n    def method(self, f): ...\n    def close(self): ...",
            "The worker died at its start: RuntimeError: no beans",
        ),
        (
            "class Bad:\n    def __init__(self, s): ...\n"
            "    def start(self): missing_name()\n    def method(self, f): ...\n"
            "    def close(self): ...",
            "The worker died at its start: NameError: name 'missing_name' is not defined",
        ),
    ],
)
def test_a_class_that_cannot_serve_is_one_sentence(
    cell: Cell, service: str, code: str, words: str
) -> None:
    names = cell(code)
    with pytest.raises(LabProblem, match=words) as caught:
        worker(service, names["Bad"], methods=[])
    assert "\n" not in str(caught.value)


def test_what_cannot_leave_the_notebook_is_named_before_anything_is_stopped(
    cell: Cell, service: str
) -> None:
    names = cell("def count():\n    return next(ids)")
    names["ids"] = iter(())
    running = worker(service)
    with pytest.raises(LabProblem, match="count uses ids"):
        worker(service, methods=[names["count"]])
    for wrong, words in (
        ({"server": 3}, "3 is neither"),
        ({"dies": "at noon"}, "'at noon' is none"),
        ({"slow": -1}, "0 to 600 seconds"),
    ):
        with pytest.raises(LabProblem, match=words):
            worker(service, name="other", **wrong)  # type: ignore[arg-type]
    assert running.alive


def test_nothing_stays_on_the_disk(service: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    card = worker(service)
    assert [path.name[:15] for path in tmp_path.iterdir()] == ["chatrpc-worker-"]
    card.kill().wait()
    assert within(5, lambda: not list(tmp_path.iterdir()))  # the kernel may be killed next
    card.start()
    assert len(list(tmp_path.iterdir())) == 1
    workers.stop_all()
    assert list(tmp_path.iterdir()) == []
