"""The worker as a process: it serves, it stops without losing work, it says what is wrong."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from chatrpc import RemoteError, RpcClient, RpcServer
from chatrpc.settings import Settings
from tests.programs import ROOT, Program, consumer
from worker.ledger import Ledger


def test_it_answers_and_says_so(service: str, tmp_path: Path) -> None:
    """Started from a strange folder it serves all methods; its words hold no password."""
    path = str(ROOT / "worker" / "consumer.py")
    ledger = str(tmp_path / "cups")
    with (
        Program(path, cwd=tmp_path, CHATRPC_SERVICE=service, CHATRPC_LEDGER=ledger) as worker,
        RpcClient(service, timeout=10) as chat,
    ):
        line = worker.wait_for("serves")
        port = Settings(url=os.environ["CHATRPC_URL"]).addresses[0].port
        assert repr(service) in line
        assert f"guest@localhost:{port}" in line
        worker.wait_for("Ctrl-C stops it")
        assert "guest:guest" not in worker.output
        assert chat.call("say", "hola").startswith("¡Hola!")
        assert chat.call("echo", "") == ""
        assert chat.call("shout", text="hola") == "HOLA"
        assert chat.call("fib", 30) == 832_040
        assert chat.call("slow", 0) == 0
        with pytest.raises(RemoteError, match="RuntimeError: on purpose"):
            chat.call("fail", "on purpose")
        worker.wait_for("RuntimeError: on purpose")
        assert chat.call("coffee") == {"cup": 1, "poured": 1, "fresh": True}
        assert chat.call("coffee", key="k")["fresh"] is True
        assert chat.call("coffee", key="k")["fresh"] is False
        future = chat.submit("time")
        assert future.result().startswith("20")
        assert str(worker.process.pid) in future.worker
        assert Ledger(ledger).cups()[0].worker == future.worker


def test_it_runs_as_a_module(service: str) -> None:
    """``python -m worker.consumer`` is the same program."""
    with (
        Program("-m", "worker.consumer", CHATRPC_SERVICE=service) as worker,
        RpcClient(service, timeout=10) as chat,
    ):
        worker.wait_for("serves")
        assert chat.call("echo", "ñ") == "ñ"
        assert worker.stop() == 0


def test_its_threads_share_one_heap(service: str) -> None:
    """Else what it remembers keeps sixteen of them from shrinking, and it grows for long."""
    with consumer(service) as worker, RpcClient(service, timeout=20) as chat:
        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(lambda n: chat.call("echo", "x" * 1000), range(400)))
        calls = [chat.submit("say", "/slow 0.2") for _ in range(8)]
        assert all(call.result().startswith("Done") for call in calls)
        assert _heaps(worker.process.pid) == 0


def _heaps(pid: int) -> int:
    """How many heaps besides the first a process has: each begins at a multiple of its most."""
    most = 64 * 1024 * 1024
    spans = [
        tuple(int(at, 16) for at in line.split()[0].split("-"))
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        if len(line.split()) == 5  # of no file
    ]
    found = 0
    for (start, middle), (goes_on, end) in pairwise(spans):
        found += start % most == 0 and middle == goes_on and end - start == most
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_the_work_in_hand(service: str, number: signal.Signals) -> None:
    """A signal in the middle of a slow answer: the answer comes, then the worker leaves."""
    with consumer(service) as worker, RpcClient(service, timeout=20) as chat:
        began = time.monotonic()
        slow = chat.submit("say", "/slow 2")
        assert chat.call("echo", "it has begun") == "it has begun"
        worker.send(number)
        assert slow.result(timeout=20).startswith("Done")
        assert time.monotonic() - began >= 2
        assert worker.wait() == 0
        assert time.monotonic() - began < 8
        assert "Stopped; the work in hand is done." in worker.output
        assert "Traceback" not in worker.output


def test_a_call_after_the_signal_waits_for_another_worker(service: str) -> None:
    """What a leaving worker has not begun is not lost: the next worker answers it."""
    with consumer(service) as leaving, RpcClient(service, timeout=30) as chat:
        slow = chat.submit("slow", 2)
        chat.call("echo", "it has begun")
        leaving.send(signal.SIGTERM)
        time.sleep(0.5)
        late = chat.submit("echo", "for the next")
        with consumer(service) as following:
            assert late.result(timeout=30) == "for the next"
            assert str(following.process.pid) in late.worker
            assert slow.result(timeout=20) == 2
            assert leaving.wait() == 0


def one_sentence(program: Program) -> str:
    """The output of a program that must have failed with a line, and no traceback."""
    assert program.wait() == 1
    output = program.output
    assert "Traceback" not in output
    assert len(output.splitlines()) == 1, output
    return output


def test_a_wrong_password_is_one_sentence(service: str, url: str) -> None:
    """It says what to correct, and not what the password was."""
    wrong = url.replace("guest:guest@", "guest:hunter2-secret@")
    with Program("worker/consumer.py", CHATRPC_SERVICE=service, CHATRPC_URL=wrong) as worker:
        said = one_sentence(worker)
    assert "CHATRPC_URL" in said
    assert "hunter2" not in said


def test_no_broker_is_one_sentence(service: str) -> None:
    """Nobody at the address that CHATRPC_URL names."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and not listening
        address = f"amqp://guest:guest@127.0.0.1:{nobody.getsockname()[1]}/"
        with Program("worker/consumer.py", CHATRPC_SERVICE=service, CHATRPC_URL=address) as worker:
            assert "CHATRPC_URL" in one_sentence(worker)


def test_a_service_that_is_no_name_is_one_sentence() -> None:
    """It says which characters go."""
    with Program("worker/consumer.py", CHATRPC_SERVICE="my chat!") as worker:
        assert "use 1 to 100 letters" in one_sentence(worker)


def test_a_queue_of_another_kind_is_one_sentence(service: str) -> None:
    """The service's queue is there with another limit: the broker refuses, the worker says so."""
    with RpcServer(service):
        pass
    with Program("worker/consumer.py", CHATRPC_SERVICE=service, CHATRPC_QUEUE_LIMIT="5") as worker:
        assert "x-max-length" in one_sentence(worker)
