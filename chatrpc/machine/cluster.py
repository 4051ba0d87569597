"""Several RabbitMQ nodes on this machine that are one broker, which outlives a node's death.

Each node keeps a copy of every quorum queue. One copy leads: what is published and delivered
goes through it. When its node dies the others elect another, if more than half are left.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from . import folder as files
from . import processes, rabbitmq
from .node import PORTS, Node, PortTaken, Say, checked, log
from .ports import end_epmd, free_ports, is_free
from .problem import BrokerProblem
from .processes import Process

SIZES = (3, 5, 7)  # an even number bears no more deaths than the odd one before it


class Member(Node):
    """One node of a cluster: killed, paused, stopped and started like any other.

    It serves only while more than half of the cluster runs. While one is paused, no queue can be
    declared; after 45 s the others give it up, and it must be killed and started again. Its
    ports, cookie and port mapper are the cluster's to choose.
    """

    def __init__(self, home: Path, name: str, *, everybody: Sequence[str], say: Say) -> None:
        """Name a node of the cluster in the folder ``home``; nothing is started or written."""
        super().__init__(home / name, name=name, say=say)
        self._home, self._everybody = home, everybody

    def assign(self, ports: dict[str, int]) -> None:
        """Tell it which ports to use."""
        files.save(files.made(self.folder) / self._facts_file.name, ports)

    def launch(self, installed: rabbitmq.RabbitMQ) -> Process:
        """Start its process and wait for nothing. Raises PortTaken, BrokerProblem."""
        ports = self._ports()
        if not is_free(ports["port"]) or not is_free(ports["dist_port"]):
            raise PortTaken(self.name)
        peers = [
            f"cluster_formation.classic_config.nodes.{number} = {name}@localhost\n"
            for number, name in enumerate(self._everybody, 1)
        ]
        with files.writing(self.folder):
            (self.folder / "rabbitmq.conf").write_text(
                "cluster_formation.peer_discovery_backend = classic_config\n"
                f"{''.join(peers)}"
                "cluster_partition_handling = pause_minority\n"
            )
        return self._launch(ports, installed)

    def follow(
        self, process: Process, installed: rabbitmq.RabbitMQ, began: float, timeout: float
    ) -> None:
        """Wait until it serves, until ``timeout`` s after ``began``. Raises as ``launch``."""
        self._until_it_serves(process, installed, began, timeout)

    def start(self, *, timeout: float = 90.0) -> None:
        """Start it again; nothing happens if it serves already. Raises BrokerProblem."""
        if not self._ports():
            raise BrokerProblem("The cluster has not been started yet.", "Start that first.")
        super().start(timeout=timeout)

    def _start(self, installed: rabbitmq.RabbitMQ, timeout: float) -> None:
        # Never on other ports, which its clients do not know; never with empty data, since the
        # others count on what it has promised to keep.
        self._say(f"Starting {self.name} again …")
        began = time.monotonic()
        with ExitStack() as undo:
            process = self.launch(installed)
            undo.callback(process.kill)
            self.follow(process, installed, began, timeout)
            undo.pop_all()

    def _leave(self, ports: dict[str, int]) -> None:
        """Leave the port mapper to the others."""

    def _alone(self, timeout: float) -> AbstractContextManager[None]:
        return _alone(self._home, timeout, self._say)


class Cluster:
    """Three RabbitMQ nodes, or more, in one folder, which lasts as long as the cluster does.

    ``nodes`` are killed, paused and started again one by one. While more than half of them run,
    quorum queues lose nothing that was confirmed.
    """

    def __init__(
        self, folder: Path | str, *, nodes: int | None = None, say: Say = log.info
    ) -> None:
        """Name a cluster; nothing is started or written.

        ``nodes`` is how many: 3, 5 or 7; None is as many as were started in that folder, else 3.
        """
        self.folder = Path(folder).absolute()
        self._facts_file = self.folder / "cluster.json"
        self._say = say
        there = files.load(self._facts_file).get("nodes", SIZES[0])
        count = there if nodes is None else nodes
        if not isinstance(count, int) or count not in SIZES:
            raise ValueError(f"A cluster has 3, 5 or 7 nodes, not {count}.")
        names = [f"n{number}" for number in range(1, count + 1)]
        self.nodes = tuple(Member(self.folder, name, everybody=names, say=say) for name in names)

    # -- what it is -------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its nodes' addresses, with commas, as CHATRPC_URL takes them.

        Raises BrokerProblem before the first start.
        """
        return ",".join(node.url for node in self.nodes)

    @property
    def running(self) -> bool:
        """Whether every node runs and serves."""
        return all(node.running for node in self.nodes)

    @property
    def whole(self) -> bool:
        """Whether every node serves, and all see one another; about a second."""
        if not self.running:
            return False
        status = json.loads(self.ctl("cluster_status", "--formatter", "json"))
        seen = set(status["running_nodes"])
        return seen == {node.name for node in self.nodes} and not status.get("partitions")

    def leader(self, queue: str, *, timeout: float = 10.0) -> Member:
        """The node that leads a quorum queue; about a second.

        Raises BrokerProblem if none leads within ``timeout`` seconds, as during an election.
        """
        deadline = time.monotonic() + timeout
        while True:
            name = self._copies(queue).get("leader")
            for node in self.nodes:
                if node.name == name and node.process is not None:
                    return node
            if time.monotonic() > deadline:
                raise BrokerProblem(f"No node leads the queue {queue!r}.", "Is it a quorum queue?")

    def copies(self, queue: str) -> list[Member]:
        """The nodes that keep a copy of a quorum queue and are up; about a second."""
        online = self._copies(queue).get("online") or ()
        return [node for node in self.nodes if node.name in online]

    def ctl(self, *arguments: str, timeout: float = 30.0) -> str:
        """What ``rabbitmqctl`` says to these arguments, asked of a node that serves.

        Raises BrokerProblem.
        """
        for node in self.nodes:
            if node.running:
                return node.ctl(*arguments, timeout=timeout)
        raise BrokerProblem("No node of the cluster serves.", "Start it, or a dead node again.")

    # -- what it does -----------------------------------------------------------------------

    def start(self, *, timeout: float = 120.0) -> None:
        """Start the nodes that do not run, together, and wait until they are one cluster.

        Raises BrokerProblem, with what to do, if that takes longer than ``timeout`` seconds;
        nothing that it started runs on then.
        """
        with _alone(self.folder, timeout, self._say):
            facts = files.load(self._facts_file)
            if not facts.get("formed"):
                return self._form(timeout)
            if facts["nodes"] != len(self.nodes):
                raise BrokerProblem(
                    f"A cluster of {facts['nodes']} nodes is there already.", "Stop that first."
                )
            if missing := [node for node in self.nodes if not node.running]:
                self._boot(missing, checked(self.folder, self._say), timeout)

    def stop(self) -> None:
        """End every node and their port mapper (epmd), and remove the folder with all queues."""
        if not self.folder.exists():
            return
        with _alone(self.folder, 90.0, self._say):
            self._end()
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait_until_whole(self, *, timeout: float = 60.0) -> None:
        """Wait until every node serves and sees all others. Raises BrokerProblem if that fails."""
        deadline = time.monotonic() + timeout
        while not self.whole:
            if time.monotonic() > deadline:
                absent = [node.name for node in self.nodes if not node.running]
                why = f"{', '.join(absent)} does not serve" if absent else "its nodes are parted"
                raise BrokerProblem(f"The cluster is not whole after {timeout:.0f} s: {why}.")
            time.sleep(0.1)

    # -- how --------------------------------------------------------------------------------

    def _copies(self, queue: str) -> dict[str, Any]:
        columns = ("name", "leader", "online")
        rows = json.loads(self.ctl("list_queues", "--formatter", "json", *columns))
        return next((row for row in rows if row["name"] == queue), {})

    def _form(self, timeout: float) -> None:
        """Start all nodes with empty data, whatever an earlier start has left."""
        installed = checked(self.folder, self._say)
        for _ in range(3):
            self._end()
            self._clear()
            self._assign()
            with ExitStack() as undo:
                undo.callback(self._end)
                try:
                    self._boot(self.nodes, installed, timeout)
                except PortTaken:
                    continue
                undo.pop_all()
            files.save(self._facts_file, files.load(self._facts_file) | {"formed": True})
            return
        raise BrokerProblem("RabbitMQ found its ports taken three times.", "Try again.")

    def _assign(self) -> None:
        epmd, *others = free_ports(1 + 2 * len(self.nodes))
        # The port mapper's is written first: whoever stops the cluster must find it.
        files.save(self._facts_file, {"nodes": len(self.nodes), "epmd_port": epmd})
        for node, *own in zip(self.nodes, others[::2], others[1::2], strict=True):
            node.assign(dict(zip(PORTS, [*own, epmd], strict=True)))
        cookie = self.folder / ".erlang.cookie"
        with files.writing(self.folder):
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(16))
            cookie.chmod(0o400)

    def _boot(self, nodes: Sequence[Member], installed: rabbitmq.RabbitMQ, timeout: float) -> None:
        self._say(
            f"Starting {len(nodes)} nodes of RabbitMQ {installed.version}, "
            "which takes about 20 seconds …"
        )
        began = time.monotonic()
        with ExitStack() as undo:
            launched = []
            for node in nodes:  # all at once: they wait for each other
                launched.append((node, node.launch(installed)))
                undo.callback(node.kill)
            for node, process in launched:
                node.follow(process, installed, began, timeout)
            self.wait_until_whole(timeout=max(began + timeout - time.monotonic(), 1.0))
            undo.pop_all()
        self._say(f"The cluster serves after {time.monotonic() - began:.1f} s.")

    def _end(self) -> None:
        """End what runs in the folder, also if a start that was cut short has left it."""
        for record in self.folder.glob("*/node.json"):
            if (process := processes.recall(record)) is not None:
                process.kill()
        facts = files.load(self._facts_file)
        if isinstance(epmd := facts.get("epmd_port"), int):
            end_epmd(epmd, awaited=0.0 if facts.get("formed") else 1.5)
        files.forget_plain(self.folder)

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "lock":
                path.unlink()


def _alone(folder: Path, timeout: float, say: Say) -> AbstractContextManager[None]:
    busy = "Another program is starting or stopping the cluster: waiting …"
    return files.alone(folder, timeout, lambda: say(busy))
