"""The scene of a trial: client and worker processes, each perhaps behind a wire, on one node."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from crowd import Crowd

from chatrpc import NoWorker
from chatrpc.broker import Cluster, Node
from chatrpc.calls import Call
from chatrpc.lab import faults
from chatrpc.lab.firehose import connect
from chatrpc.lab.wire import Wire
from chatrpc.topology import dead_queue, queues, request_queue

HERE = Path(__file__).parent
PROGRAM = HERE / "labourer.py"
REPLIES = "chatrpc.reply."


class Labourer:
    """One worker process, which can be killed and started again."""

    def __init__(
        self, service: str, log: Path, *, url: str, threads: int, broken: str = ""
    ) -> None:
        self._command = [sys.executable, str(PROGRAM), service, str(log), str(threads), broken]
        self._environment = {**os.environ, "CHATRPC_URL": url}
        self._said = log.with_name("said")
        self._process: subprocess.Popen[bytes] | None = None
        self.deaths = 0

    @property
    def pid(self) -> int:
        """The id of its process now."""
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start it."""
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=said
            )

    def wait_until_ready(self) -> None:
        """Wait until it serves."""
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "a worker did not start"

    def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        faults.kill(self.pid)
        self._process.wait()
        self._close()
        self.deaths += 1

    def stop(self) -> int:
        """Have it finish its work, and return its exit code; -9 if that took too long."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._close()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


@dataclass(frozen=True)
class Remains:
    """What could be left behind: in this process, or in a worker's."""

    threads: int
    sockets: int
    calls: int = 0

    @classmethod
    def here(cls) -> Remains:
        """Count in this process."""
        gc.collect()
        calls = sum(type(thing) is Call for thing in gc.get_objects())
        return cls(threading.active_count(), _sockets("self"), calls)

    @classmethod
    def of(cls, pid: int) -> Remains:
        """Count in another process."""
        return cls(len(os.listdir(f"/proc/{pid}/task")), _sockets(str(pid)))

    def __le__(self, other: Remains) -> bool:
        """Return whether nothing has grown."""
        grown = self.threads > other.threads or self.sockets > other.sockets
        return not grown and self.calls <= other.calls


def _sockets(process: str) -> int:
    folder, found = Path(f"/proc/{process}/fd"), 0
    for entry in list(folder.iterdir()):
        try:
            found += os.readlink(entry).startswith("socket:")
        except OSError:
            continue  # the one that lists the folder is gone by now
    return found


class Scene:
    """Everything that a trial needs, and where its fault finds what it breaks.

    ``wires`` are those on the faulty sides. A fault calls ``lose`` or ``losing`` for each link
    that it breaks. ``also`` holds addresses that clients and workers are given before the node's.
    ``known`` are other clients' reply queues.
    """

    crowd: Crowd

    def __init__(
        self, node: Node | Cluster, folder: Path, *, side: str, known: frozenset[str] = frozenset()
    ) -> None:
        self.broker, self.known = node, known
        self.service = f"storm-{uuid.uuid4().hex[:8]}"
        self.log = folder / "executions"
        self.also: list[str] = []
        self.wires: list[Wire] = []
        self.workers: list[Labourer] = []
        self.losses: list[tuple[float, float]] = []
        self.end: float | None = None
        self.dead = 0  # how many dead letters there must be
        self.side = side
        self._undo = ExitStack()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._undo.close()

    @property
    def node(self) -> Node:
        """The node, where there is one."""
        assert isinstance(self.broker, Node)
        return self.broker

    @property
    def cluster(self) -> Cluster:
        """The cluster, where there is one."""
        assert isinstance(self.broker, Cluster)
        return self.broker

    def url(self, side: str) -> str:
        """The broker's address for one side: through a wire of its own if that is faulty."""
        url = self.broker.url
        if self.side in (side, "both"):
            wire = self._undo.enter_context(Wire(url))
            self.wires.append(wire)
            url = wire.url
        return ",".join([*self.also, url])

    def hire(self, count: int, *, threads: int, broken: str = "") -> None:
        """Start worker processes, and wait until all serve."""
        url = self.url("server")
        for _ in range(count):
            worker = Labourer(self.service, self.log, url=url, threads=threads, broken=broken)
            self._undo.callback(worker.stop)
            self.workers.append(worker)
            worker.launch()
        for worker in self.workers:
            worker.wait_until_ready()

    def lose(self) -> None:
        """Note that a link is lost now."""
        self.losses.append((time.monotonic(), time.monotonic()))

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Note that a link may be lost at any moment meanwhile."""
        began = time.monotonic()
        yield
        self.losses.append((began, time.monotonic()))

    def whole_again(self) -> None:
        """Note that calls must be answered from now on, though the fault goes on."""
        self.end = time.monotonic()

    def ask(self, seconds: float) -> None:
        """Have one more call made, which takes so long."""
        self.crowd.ask(seconds)

    def wait_for_answer(self) -> None:
        """Wait until one more call is answered."""
        self.crowd.until_answered(self.crowd.answered + 1, 15.0)

    # What is left at the end

    def remains(self) -> dict[str, Remains]:
        """What is here now, and in each worker that has lived through it all."""
        found = {"callers": replace(Remains.here(), calls=0)}  # those in flight are no remains
        for number, worker in enumerate(self.workers, 1):
            if not worker.deaths:
                found[f"worker {number}"] = Remains.of(worker.pid)
        return found

    def reply_queues(self) -> frozenset[str]:
        """The names of our clients' reply queues."""
        return reply_queues(self.broker) - self.known

    def waiting(self) -> tuple[int, int]:
        """How many requests wait in the queue, and how many dead letters there are."""
        transport = connect(self.broker.url)
        try:
            return (
                transport.look(request_queue(self.service))[0],
                transport.look(dead_queue(self.service))[0],
            )
        except NoWorker:
            return 0, 0
        finally:
            transport.close()

    def delete_queues(self) -> None:
        """Remove the service from the broker."""
        transport = connect(self.broker.url)
        try:
            for queue in queues(self.service):
                transport.delete(queue, timeout=15.0)  # a cluster takes its time
        finally:
            transport.close()


def grown(now: dict[str, Remains], then: dict[str, Remains]) -> str:
    """Where there is more than there was, and how much; '' if nowhere."""
    lived = {who: had for who, had in then.items() if who in now}
    more = [f"{who} {had} to {now[who]}" for who, had in lived.items() if not now[who] <= had]
    return ", ".join(more)


def reply_queues(node: Node | Cluster) -> frozenset[str]:
    """The names of all clients' reply queues on a node."""
    names = node.ctl("list_queues", "name", "--no-table-headers").split()
    return frozenset(name for name in names if name.startswith(REPLIES))


def until(true: Callable[[], bool], seconds: float = 3.0) -> bool:
    """Wait until it is true; False if it does not become so."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
