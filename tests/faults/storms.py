"""The faults of the suite: what each breaks, and for how long, always shorter than a call waits."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import poison

from chatrpc import BrokerRefused, RpcClient
from chatrpc.broker import Node
from chatrpc.lab import faults
from chatrpc.lab.firehose import connect
from chatrpc.topology import request_queue

if TYPE_CHECKING:
    from scene import Scene

SIDES = ("client", "server", "both")
ELECTION = 3.0
"""Seconds in which a cluster that has lost a node must have elected a leader, and serve again."""
Act = Callable[["Scene", Random], None]


@contextmanager
def nothing(scene: Scene) -> Iterator[None]:
    """Prepare nothing."""
    yield


@dataclass(frozen=True)
class Storm:
    """One fault.

    ``act`` breaks something and mends it, and returns when all is whole again. ``around``
    prepares the scene. ``age`` is how many seconds the queues have existed by then, at least.
    ``breaks_links`` tells whether connections end, so that copies may come; ``spills``, whether
    what waits in the request queue is destroyed. ``recovery`` is within how many seconds after
    the fault's end calls must be answered again.
    """

    act: Act
    sides: tuple[str, ...] = SIDES
    workers: tuple[int, ...] = (1, 2)
    timeout: float = 12.0
    threads: int = 4
    large: float = 0.0
    seconds: float = 0.005
    age: float = 0.0
    breaks_links: bool = True
    spills: bool = False
    recovery: float = 1.0
    around: Callable[[Scene], AbstractContextManager[None]] = nothing


# The wire


def delayed(scene: Scene, chance: Random) -> None:
    for wire in scene.wires:
        wire.delay(0.15)
    time.sleep(2)
    _mend(scene)


def stalled(*, to_broker: bool = True, to_client: bool = True, most: float = 3.5) -> Act:
    """Let nothing through for some seconds, and tell nobody."""

    def act(scene: Scene, chance: Random) -> None:
        with scene.losing():
            for wire in scene.wires:
                wire.stall(to_broker=to_broker, to_client=to_client)
            time.sleep(most - 1.5 * chance.random())
            _mend(scene)

    return act


def cut(scene: Scene, chance: Random) -> None:
    _cut(scene)


def reset(scene: Scene, chance: Random) -> None:
    scene.lose()
    for wire in scene.wires:
        wire.reset()


def refused(scene: Scene, chance: Random) -> None:
    for wire in scene.wires:
        wire.refuse()
    _cut(scene)
    time.sleep(2)
    _mend(scene)


def cut_in_mid_frame(scene: Scene, chance: Random) -> None:
    """Three times: let a few bytes more through, to either side, and cut."""
    for to_broker in (True, False, True):
        with scene.losing():
            for wire in scene.wires:
                wire.cut(after=chance.randrange(1, 300), to_broker=to_broker)
            time.sleep(0.4)
    _mend(scene)


def held_and_lost(**way: bool) -> Act:
    """Hold what goes one way, and then lose it with the connection."""

    def act(scene: Scene, chance: Random) -> None:
        with scene.losing():
            for wire in scene.wires:
                wire.stall(**way)
            time.sleep(0.5 + chance.random())
            _cut(scene)
        _mend(scene)

    return act


def flapping(scene: Scene, chance: Random) -> None:
    for _ in range(10):
        _cut(scene)
        time.sleep(0.3)


def hundred_reconnects(scene: Scene, chance: Random) -> None:
    for _ in range(100):
        _cut(scene)
        scene.wait_for_answer()


def _cut(scene: Scene) -> None:
    scene.lose()
    for wire in scene.wires:
        wire.cut()


def _mend(scene: Scene) -> None:
    for wire in scene.wires:
        wire.mend()


@contextmanager
def silent_server(scene: Scene) -> Iterator[None]:
    """Put a server that accepts and says nothing among the addresses."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        scene.also.append(f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/")
        yield


# The node


def killed(scene: Scene, chance: Random) -> None:
    scene.lose()
    faults.restart_broker(scene.node, hard=True)


def terminated(scene: Scene, chance: Random) -> None:
    with scene.losing():
        faults.restart_broker(scene.node)


def restarted(scene: Scene, chance: Random) -> None:
    with scene.losing():
        scene.node.ctl("stop_app")
    scene.node.ctl("start_app", timeout=60.0)


def frozen(seconds: float) -> Act:
    """Stop the broker's process with SIGSTOP, and let it go on."""

    def act(scene: Scene, chance: Random) -> None:
        with scene.losing():
            scene.node.pause()
            time.sleep(seconds)
            scene.node.resume()

    return act


def memory_alarm(scene: Scene, chance: Random) -> None:
    with scene.losing():
        scene.node.ctl("set_vm_memory_high_watermark", "0.0001")
        try:
            time.sleep(1.5)
        finally:
            scene.node.ctl("set_vm_memory_high_watermark", "0.4")


def connections_closed(scene: Scene, chance: Random) -> None:
    with scene.losing():
        scene.node.ctl("close_all_connections", "fault")


def request_queue_deleted(scene: Scene, chance: Random) -> None:
    scene.lose()
    faults.delete_queue(scene.service, url=scene.node.url)


def reply_queue_deleted(scene: Scene, chance: Random) -> None:
    queues = scene.reply_queues()
    assert queues, "there is no reply queue to delete"
    scene.lose()
    transport = connect(scene.node.url)
    try:
        for queue in queues:
            transport.delete(queue)
    finally:
        transport.close()


# The cluster: its fault is over with the election; what was down comes back meanwhile


def leader_killed(scene: Scene, chance: Random) -> None:
    _bring_down(scene, scene.cluster.leader(request_queue(scene.service)), Node.kill)


def replies_leader_killed(scene: Scene, chance: Random) -> None:
    """Kill the node that leads the client's reply queue."""
    _bring_down(scene, scene.cluster.leader(min(scene.reply_queues())), Node.kill)


def node_stopped(scene: Scene, chance: Random) -> None:
    """Stop any node, in good order."""
    _bring_down(scene, chance.choice(scene.cluster.nodes), Node.stop)


def leader_frozen(scene: Scene, chance: Random) -> None:
    """Stop the leader's process with SIGSTOP, and let it go on after some seconds."""
    leader = scene.cluster.leader(request_queue(scene.service))
    with scene.losing():
        leader.pause()
        time.sleep(5.0)
        leader.resume()
    scene.cluster.wait_until_whole()


def _bring_down(scene: Scene, node: Node, how: Callable[[Node], None]) -> None:
    with scene.losing():
        how(node)
    scene.whole_again()
    time.sleep(3.0)
    node.start()
    scene.cluster.wait_until_whole()


# The worker


def worker_killed(scene: Scene, chance: Random) -> None:
    """Kill one in mid-call; if it was the only one, start it again."""
    worker = scene.workers[0]
    scene.lose()
    worker.kill()
    if len(scene.workers) == 1:
        worker.launch()
        worker.wait_until_ready()


def slow_worker(scene: Scene, chance: Random) -> None:
    """Have one call take longer than the broker waits for an ack, so that it ends the consumer."""
    before = _connections(scene)
    with scene.losing():
        scene.ask(4.0)
        time.sleep(5.0)
    # RabbitMQ 4.3 only cancels the consumer and logs nothing: but the worker dials again.
    assert before - _connections(scene), "the broker was patient"


def _connections(scene: Scene) -> set[str]:
    return set(scene.node.ctl("list_connections", "name", "--silent").splitlines())


@contextmanager
def impatient_broker(scene: Scene) -> Iterator[None]:
    """Let the broker wait 1.5 s for an ack, and look every half second."""
    _configure(scene, consumer_timeout=1500, channel_tick_interval=500)
    try:
        yield
    finally:
        _configure(scene, consumer_timeout=1_800_000, channel_tick_interval=60_000)


def _configure(scene: Scene, **values: int) -> None:
    settings = [f"application:set_env(rabbit, {name}, {value})" for name, value in values.items()]
    scene.node.ctl("eval", ", ".join(settings) + ".")


def poisoned(scene: Scene, chance: Random) -> None:
    for _ in range(3):
        scene.dead += poison.send(scene.node.url, scene.service)
        time.sleep(0.3)


def wrong_password(scene: Scene, chance: Random) -> None:
    """Another client knocks with a wrong password: one clear error, at once, no secret."""
    began = time.monotonic()
    with contextlib.suppress(BrokerRefused):
        try:
            url = scene.node.url.replace("guest:guest@", "guest:s3cret-w0rd@")
            RpcClient(scene.service, url=url).close()
            raise AssertionError("a wrong password was let in")
        except BrokerRefused as error:
            assert "s3cret-w0rd" not in f"{error} {error!r} {error.advice}", "a secret is shown"
            assert time.monotonic() - began < 2.0, "a wrong password was refused late"


NODE, CLUSTER = ("node",), ("cluster",)
STORMS: dict[str, Storm] = {
    "delay": Storm(delayed, breaks_links=False),
    "stall": Storm(stalled()),
    "stall to broker": Storm(stalled(to_client=False)),
    "stall to client": Storm(stalled(to_broker=False)),
    "long stall": Storm(stalled(most=9.0), timeout=20.0),
    "large on stall": Storm(stalled(), large=0.1, timeout=20.0),
    "large on long stall": Storm(stalled(most=9.0), large=0.1, timeout=25.0),
    "cut": Storm(cut),
    "reset": Storm(reset),
    "refuse": Storm(refused),
    "cut in mid-frame": Storm(cut_in_mid_frame, large=0.05),
    "flapping": Storm(flapping),
    "held to client, lost": Storm(held_and_lost(to_broker=False)),
    "held to broker, lost": Storm(held_and_lost(to_client=False)),
    "silent server": Storm(cut, around=silent_server),
    "100 reconnects": Storm(hundred_reconnects, timeout=30.0),
    "kill -9": Storm(killed, sides=NODE, age=3.0, timeout=40.0),
    "SIGTERM": Storm(terminated, sides=NODE, age=3.0, timeout=40.0),
    "restart": Storm(restarted, sides=NODE, age=3.0, timeout=40.0),
    "freeze": Storm(frozen(3.0), sides=NODE),
    "long freeze": Storm(frozen(9.0), sides=NODE, timeout=20.0),
    "memory alarm": Storm(memory_alarm, sides=NODE),
    "connections closed": Storm(connections_closed, sides=NODE),
    "request queue deleted": Storm(request_queue_deleted, sides=NODE, threads=16, spills=True),
    "reply queue deleted": Storm(reply_queue_deleted, sides=NODE),
    "leader killed": Storm(leader_killed, sides=CLUSTER, timeout=40.0, recovery=ELECTION),
    "replies' leader killed": Storm(
        replies_leader_killed, sides=CLUSTER, timeout=40.0, recovery=ELECTION
    ),
    "node stopped": Storm(node_stopped, sides=CLUSTER, timeout=40.0, recovery=ELECTION),
    "leader frozen": Storm(leader_frozen, sides=CLUSTER, timeout=40.0),
    "worker killed": Storm(worker_killed, sides=NODE, seconds=0.05, breaks_links=False),
    "slow worker": Storm(slow_worker, sides=NODE, around=impatient_broker),
    "poison": Storm(poisoned, sides=NODE, breaks_links=False),
    "wrong password": Storm(wrong_password, sides=NODE, breaks_links=False),
}
