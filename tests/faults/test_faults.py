"""The laboratory's break-it buttons, and what ``storms.py`` has no fault for: real, and short."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatrpc import CallTimeout, NoWorker, Ran, RpcClient, RpcServer
from chatrpc.broker import Node
from chatrpc.lab import faults
from chatrpc.lab.firehose import connect
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.wire import Wire
from chatrpc.topology import dead_queue, request_queue

CALLERS = 16
WORKER = textwrap.dedent(
    """
    import os, sys, time
    from chatrpc import RpcServer
    server = RpcServer(sys.argv[1])
    @server.method
    def work(text: str, seconds: float) -> list:
        with open(sys.argv[2], "a") as log:
            log.write(f"{os.getpid()} {text}\\n")
        time.sleep(seconds)
        return [text, os.getpid()]
    server.start()
    print("ready", flush=True)
    time.sleep(120)
    """
)


@contextlib.contextmanager
def worker(service: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process that writes down what it begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, service, str(log)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Callers:
    """Threads that call all the time, and write down what each call came to."""

    def __init__(self, client: RpcClient, *, timeout: float = 10.0) -> None:
        """Start them."""
        self.answered = 0
        self.problems: list[str] = []
        self._client, self._timeout = client, timeout
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(name,)) for name in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, name: int) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            wanted, start = f"{name}.{number}", time.monotonic()
            problem = ""
            try:
                answer = self._client.call("echo", wanted, timeout=self._timeout)
                if answer != wanted:
                    problem = f"wrong: {wanted} got {answer}"
            except Exception as error:  # noqa: BLE001 - every failure is counted
                problem = f"lost: {wanted}: {error!r}"
            late = time.monotonic() - start - self._timeout
            if late > 0.5:
                problem = f"late by {late:.1f} s: {wanted}"
            with self._lock:
                if problem:
                    self.problems.append(problem)
                else:
                    self.answered += 1
            time.sleep(0.01)

    def answer_again(self, seconds: float = 6.0) -> float:
        """Wait until calls are answered that were sent from now on; return how long it took."""
        start, goal = time.monotonic(), self.answered + 2 * CALLERS
        while self.answered < goal:
            assert time.monotonic() - start < seconds, f"no answers again: {self.problems[:3]}"
            time.sleep(0.01)
        return time.monotonic() - start

    def end(self) -> None:
        """Let each finish its call."""
        self._ended.set()
        for thread in self._threads:
            thread.join(self._timeout + 2)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"


@contextlib.contextmanager
def callers(client: RpcClient, *, timeout: float = 10.0) -> Iterator[Callers]:
    """Callers around a fault."""
    made = Callers(client, timeout=timeout)
    try:
        made.answer_again()
        yield made
    finally:
        made.end()


class EchoServer(RpcServer):
    """A server that writes down what it runs."""

    ran: list[str]


def echo_server(service: str) -> EchoServer:
    """A server with echo."""
    server = EchoServer(service)
    server.ran = []

    @server.method
    def echo(text: str) -> str:
        server.ran.append(text)
        return text

    return server


FAULTS: dict[str, Callable[[Wire], faults.Fault]] = {
    "cut and refused": lambda wire: faults.cut(wire, refuse=True),
    "reset": faults.reset,
    "stalled": faults.stall,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_wire_loses_no_call(fault: str, service: str, url: str) -> None:
    """Sixteen callers, one worker: none lost, none wrong, none late, none run twice."""
    with (
        Wire(url) as wire,
        echo_server(service) as server,
        RpcClient(service, url=wire.url) as client,
        callers(client) as crowd,
    ):
        with FAULTS[fault](wire):
            time.sleep(0.4)
        crowd.answer_again()
    assert crowd.problems == []
    assert len(server.ran) == len(set(server.ran)) == crowd.answered


def test_a_delay_costs_time_and_nothing_else(service: str, url: str) -> None:
    """There and back is two delays at least."""
    with echo_server(service), Wire(url) as wire, RpcClient(service, url=wire.url) as client:
        client.call("echo", "x")
        with faults.delay(wire, 0.1):
            start = time.monotonic()
            assert client.call("echo", "slow") == "slow"
            assert 0.2 <= time.monotonic() - start < 1.5


def test_a_worker_killed_in_mid_call_is_replaced_by_the_other(service: str, tmp_path: Path) -> None:
    """Whoever it was: the call is answered, by the other."""
    log = tmp_path / "log"
    log.touch()
    with (
        worker(service, log) as one,
        worker(service, log) as two,
        RpcClient(service, timeout=10) as client,
    ):
        future = client.submit("work", "hola", 0.5)
        end = time.monotonic() + 5
        while not (lines := log.read_text().splitlines()) and time.monotonic() < end:
            time.sleep(0.01)
        first = int(lines[0].split()[0])
        fault = faults.kill(first)
        assert "another worker gets it" in repr(fault)
        with pytest.raises(LabProblem, match="cannot be undone"):
            fault.undo()
        assert future.result() == ["hola", {one.pid: two.pid, two.pid: one.pid}[first]]
    assert len(log.read_text().splitlines()) == 2


def test_a_deleted_queue_comes_back(service: str) -> None:
    """The worker declares it again, and calls that come meanwhile wait for it."""
    with echo_server(service), RpcClient(service) as client:
        client.call("echo", "before")
        faults.delete_queue(service)
        assert client.call("echo", "after") == "after"


def test_poison_ends_among_the_dead_letters_and_harms_nobody(service: str, url: str) -> None:
    """Neighbours are answered, and only the poison is dead."""
    with echo_server(service), RpcClient(service) as client, callers(client) as crowd:
        for _ in range(3):
            faults.poison(service)
        crowd.answer_again()
        transport = connect(url)
        end = time.monotonic() + 3
        while transport.look(dead_queue(service))[0] < 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert transport.look(dead_queue(service))[0] == 3
        assert transport.look(request_queue(service))[1] == 1
        transport.close()
    assert crowd.problems == []


@pytest.mark.parametrize("after", [0.0, 0.3], ids=["duplicate", "late"])
def test_copies_of_replies_reach_no_other_call(after: float, service: str) -> None:
    """Every reply comes twice, and every caller gets its own."""
    with echo_server(service), RpcClient(service) as client:
        with faults.repeat_replies(service, after=after), callers(client) as crowd:
            time.sleep(after + 0.5)
            crowd.answer_again()
        assert crowd.problems == []
        assert client.call("echo", "still well") == "still well"


def test_a_timeout_during_a_stall_says_maybe(service: str, url: str) -> None:
    """The deadline holds even if nothing is heard of the broker."""
    with echo_server(service), Wire(url) as wire, RpcClient(service, url=wire.url) as client:
        client.call("echo", "x")
        with faults.stall(wire):
            start = time.monotonic()
            with pytest.raises(CallTimeout) as caught:
                client.call("echo", "into the void", timeout=0.5)
            assert 0.45 < time.monotonic() - start < 1.0
            assert caught.value.ran is Ran.MAYBE
        assert client.call("echo", "again") == "again"


def test_bad_input_is_a_sentence(service: str, node: Node, tmp_path: Path) -> None:
    """Not a process, not ours, not there."""
    for what in (0, 1, -5, os.getpid(), "x", None, True, 2**22 + 7):
        with pytest.raises(LabProblem, match=r"no worker|no process"):
            faults.kill(what)
    with pytest.raises(LabProblem, match="does not run"):
        faults.restart_broker(Node(tmp_path / "none"))
    faults.delete_queue(service)
    with RpcClient(service) as client, pytest.raises(NoWorker):
        client.call("echo", "x")
