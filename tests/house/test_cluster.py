"""Three real nodes that are one broker: what a node's death costs, and that nothing is left."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatrpc import RpcClient, RpcServer
from chatrpc.broker import BrokerProblem, Cluster
from chatrpc.lab import faults
from chatrpc.lab.problem import LabProblem
from chatrpc.machine.ports import is_free
from chatrpc.topology import request_queue
from tests.waiting import wait_until

THREADS = 8


def processes_in(folder: Path) -> list[str]:
    """The programs that were started to work in a folder, by what their environment names."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if os.fsencode(folder) in environ.read_bytes():
                found.append((environ.parent / "comm").read_text().strip())
        except OSError:
            continue  # it has ended
    return found


def ports_of(cluster: Cluster) -> set[int]:
    """The ports of its nodes and of their port mapper."""
    names = ("port", "dist_port", "epmd_port")
    files = [node.folder / "node.json" for node in cluster.nodes]
    return {json.loads(file.read_text())[name] for file in files for name in names}


@contextmanager
def echoing(url: str, service: str = "") -> Iterator[str]:
    """A service, of a fresh name if none is given, whose server takes 20 ms a call."""
    service = service or f"test-{uuid.uuid4().hex[:8]}"
    server = RpcServer(service, url=url)

    @server.method
    def echo(number: int) -> int:
        time.sleep(0.02)
        return number

    with server:
        yield service


class Crowd:
    """Eight threads that call until told to stop, and keep what came of it."""

    def __init__(self, client: RpcClient) -> None:
        """Start them."""
        self.answered = 0
        self.begun: set[int] = set()
        self.problems: list[str] = []
        self._client = client
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS)
        for _ in range(THREADS):
            self._pool.submit(self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                number = next(self._numbers)
                self.begun.add(number)
            try:
                answer = self._client.call("echo", number)
                problem = "" if answer == number else f"{number} got {answer}"
            except Exception as error:  # noqa: BLE001 - every failure is counted
                problem = f"{number}: {error!r}"
            with self._lock:
                self.begun.discard(number)
                self.answered += not problem
                self.problems += [problem] if problem else []

    def more(self, count: int) -> None:
        """Wait for so many further answers."""
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal or self.problems, 30)

    def end(self) -> None:
        """Let each thread finish its call."""
        self._ended.set()
        self._pool.shutdown()


def test_three_nodes_know_one_another_and_each_keeps_a_copy_of_a_queue(cluster: Cluster) -> None:
    assert len(cluster.nodes) == len(set(cluster.url.split(","))) == 3
    assert cluster.whole
    names = {f"n{number}@localhost" for number in (1, 2, 3)}
    for node in cluster.nodes:
        status = json.loads(node.ctl("cluster_status", "--formatter", "json"))
        assert set(status["running_nodes"]) == names
    with echoing(cluster.url) as service:
        queue = request_queue(service)
        assert cluster.copies(queue) == list(cluster.nodes)
        assert cluster.leader(queue) in cluster.nodes
    with pytest.raises(BrokerProblem, match="No node leads the queue 'none'"):
        cluster.leader("none", timeout=0.1)


def test_a_killed_leader_costs_no_call_and_comes_back_as_a_member(cluster: Cluster) -> None:
    with echoing(cluster.url) as service:
        queue = request_queue(service)
        with RpcClient(service, url=cluster.url, timeout=30) as client:
            crowd = Crowd(client)
            crowd.more(100)
            fault = faults.kill_leader(service, cluster)
            in_flight = len(crowd.begun)
            killed = next(node for node in cluster.nodes if node.process is None)
            assert killed.name in fault.what
            crowd.more(100)  # eight of them at most were under way before
            leader = cluster.leader(queue)
            crowd.end()
        assert in_flight == THREADS
        assert crowd.problems == []
        assert leader is not killed

    fault.undo()
    assert cluster.whole
    wait_until(lambda: killed in cluster.copies(queue), 10)
    # With the third one silent, nothing is confirmed unless the one that came back counts.
    # Nobody is connected to the third: RabbitMQ takes many seconds to part with such consumers.
    leader = cluster.leader(queue)
    third = next(node for node in cluster.nodes if node not in (killed, leader))
    others = f"{leader.url},{killed.url}"
    with echoing(others, service), RpcClient(service, url=others, timeout=20) as client:
        third.pause()
        try:
            assert not third.running
            assert [client.call("echo", number) for number in range(20)] == list(range(20))
        finally:
            third.resume()
    wait_until(lambda: third.running, 10)


def test_a_start_that_takes_too_long_leaves_nothing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "slow")
    with pytest.raises(BrokerProblem, match=r"does not serve after 2 s.*rabbitmq\.log"):
        cluster.start(timeout=2)
    wait_until(lambda: processes_in(cluster.folder) == [], 2)
    assert all(map(is_free, ports_of(cluster)))


def test_a_start_whose_program_is_killed_can_be_stopped(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "orphan")
    begin = "import sys; from chatrpc.broker import Cluster; Cluster(sys.argv[1]).start()"
    with subprocess.Popen([sys.executable, "-c", begin, str(cluster.folder)]) as starter:
        wait_until(lambda: all(node.process for node in cluster.nodes), 20)
        starter.send_signal(signal.SIGKILL)
    wait_until(lambda: "epmd" in processes_in(cluster.folder), 20)
    ports = ports_of(cluster)
    cluster.stop()
    assert processes_in(cluster.folder) == []
    assert all(map(is_free, ports))
    assert not cluster.folder.exists()


def test_mistakes_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="3, 5 or 7 nodes, not 2"):
        Cluster(tmp_path, nodes=2)
    cluster = Cluster(tmp_path / "cluster")
    with pytest.raises(BrokerProblem, match="not been started"):
        cluster.nodes[0].start()
    with pytest.raises(LabProblem, match="No node of the cluster serves"):
        faults.kill_leader("chat", cluster)
    scripts = tmp_path / "sbin"
    scripts.mkdir()
    monkeypatch.setenv("RABBITMQ_BIN", str(scripts))
    with pytest.raises(BrokerProblem, match="holds no rabbitmq-server"):
        cluster.start()
    server = scripts / "rabbitmq-server"
    server.write_text("#!/bin/sh\necho the cookie is stale >&2\nexit 3\n")
    server.chmod(0o755)
    with pytest.raises(BrokerProblem, match="did not start: the cookie is stale"):
        cluster.start()
    cluster.stop()
    assert not cluster.folder.exists()


def test_stopped_wholly(cluster: Cluster) -> None:
    ports = ports_of(cluster)
    assert len(ports) == 7
    assert processes_in(cluster.folder).count("beam.smp") == 3
    cluster.stop()
    assert processes_in(cluster.folder) == []
    assert all(map(is_free, ports))
    assert not cluster.folder.exists()
    cluster.stop()
