"""The private node, on real processes: one broker for many, replaced when dead, gone when told."""

from __future__ import annotations

import json
import os
import pwd
import socket
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import amqpstorm
import pytest

from chatrpc import broker
from chatrpc.broker import BrokerProblem, Node
from chatrpc.machine import node as node_module
from chatrpc.machine import processes


def connected(node: Node) -> amqpstorm.Connection:
    port = int(node.url.rsplit(":", 1)[1].strip("/"))
    return amqpstorm.Connection("localhost", "guest", "guest", port=port)


def listening(port: int) -> set[str]:
    """The local addresses, in the kernel's notation, on which somebody listens at a port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, hexadecimal = local.rpartition(":")
            if state == "0A" and int(hexadecimal, 16) == port:
                found.add(address)
    return found


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A state folder that an ordinary user can get to, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="ñandú y más ") as name:
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(name, nobody.pw_uid, nobody.pw_gid)
        yield Path(name)
        Node(Path(name) / "broker").stop()


def as_an_ordinary_user(home: Path) -> tuple[int, int]:
    """Ask for the private node in a process of its own; its pid, and where it reports.

    A fork, because this interpreter may be in a folder that other users cannot read.
    """
    read, write = os.pipe()
    if child := os.fork():
        os.close(write)
        return child, read
    try:
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
        os.chdir("/")
        os.environ["CHATRPC_HOME"] = str(home)
        del os.environ["CHATRPC_URL"]
        os.write(write, f"{os.getuid() != 0} {broker.use(private=True)}".encode())
    except BaseException:  # noqa: BLE001 - a child of a fork must not come back from here
        os.write(write, traceback.format_exc().encode())
    finally:
        os._exit(0)


def test_four_ordinary_users_programs_at_once_share_one_broker(home: Path) -> None:
    reports = set()
    for child, pipe in [as_an_ordinary_user(home) for _ in range(4)]:
        with os.fdopen(pipe) as reader:
            reports.add(reader.read())
        os.waitpid(child, 0)
    node = Node(home / "broker")
    assert reports == {f"True {node.url}"}
    assert node.running


def test_only_loopback_reaches_it(home: Path) -> None:
    facts = json.loads((home / "broker" / "node.json").read_text())
    loopback = {"0100007F", "00000000000000000000000001000000"}
    for name in ("port", "dist_port", "epmd_port"):
        addresses = listening(facts[name])
        assert addresses, f"nobody listens on the {name}"
        assert addresses <= loopback, f"the {name} can be reached from outside: {addresses}"


def test_rabbitmq_and_its_helpers_can_use_a_folder_with_spaces_and_accents(home: Path) -> None:
    node = Node(home / "broker")
    node.ctl("await_startup")
    log = node.log.read_text()
    assert "Server startup complete" in log
    assert "disk space monitor encountered an error" not in log
    assert next((home / "broker").glob("data-*")).is_dir()


def test_tracing_is_on_from_the_start(home: Path) -> None:
    node = Node(home / "broker")
    with connected(node) as link, link.channel() as channel:
        queue = channel.queue.declare("", exclusive=True)["queue"]
        channel.queue.bind(queue, "amq.rabbitmq.trace", "#")
        channel.basic.publish("x", "nowhere")
        traced = channel.basic.get(queue, no_ack=True)
        for _ in range(50):
            traced = traced or channel.basic.get(queue, no_ack=True)
    assert traced is not None
    assert traced.method["routing_key"] == "publish."


def test_a_killed_node_is_noticed_and_comes_back_with_its_port_and_its_queues(home: Path) -> None:
    node = Node(home / "broker")
    before = node.url
    with connected(node) as link, link.channel() as channel:
        channel.confirm_deliveries()
        channel.queue.declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic.publish("still here", "kept", properties={"delivery_mode": 2})
    time.sleep(3)  # a quorum queue younger than a second or two does not survive a kill -9
    node.kill()
    assert not node.running
    assert node.process is None
    Node(home / "broker").start()
    assert node.running
    assert node.url == before
    with connected(node) as link, link.channel() as channel:
        message = channel.basic.get("kept", no_ack=True)
    assert message is not None
    assert message.body == "still here"


def test_stopped_wholly_and_a_stale_folder_is_no_obstacle(home: Path) -> None:
    said: list[str] = []
    node = Node(home / "broker", say=said.append)
    facts_file = home / "broker" / "node.json"
    process = node.process
    node.stop()
    facts = json.loads(facts_file.read_text())
    assert process is not None
    assert not process.alive
    assert not any(listening(facts[name]) for name in ("port", "dist_port", "epmd_port"))
    links = [path for path in Path(tempfile.gettempdir()).glob("chatrpc-*") if path.is_symlink()]
    assert str(home / "broker") not in [os.readlink(link) for link in links]

    # A power cut, later: the pid is somebody else's, the port too, and the data is broken.
    facts_file.write_text(json.dumps(facts | {"pid": os.getpid(), "born": "long ago"}))
    database = next((home / "broker").glob("data-*")) / node.name
    for file in [path for path in database.rglob("*") if path.is_file()]:
        file.write_bytes(b"\xff" * 100)
    with socket.create_server(("127.0.0.1", facts["port"])):
        assert node.process is None
        node.start()
        assert node.running
        assert f":{facts['port']}/" not in node.url
    assert any("no longer free" in line for line in said)
    assert any("starts empty" in line for line in said)


def test_a_folder_that_cannot_be_written_is_one_sentence() -> None:
    with pytest.raises(BrokerProblem, match=r"cannot be written.*CHATRPC_HOME"):
        Node("/proc/chatrpc/broker").start()


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "ROOM", 2**62)
    with pytest.raises(BrokerProblem, match=r"Only \d+ MB are free"):
        Node(tmp_path / "broker").start()


def test_a_machine_without_localhost_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BrokerProblem, match="/etc/hosts"):
        Node(tmp_path / "broker").start()


def test_a_start_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "sbin"
    scripts.mkdir()
    server = scripts / "rabbitmq-server"
    server.write_text("#!/bin/sh\necho the cookie is stale >&2\nexit 3\n")
    server.chmod(0o755)
    monkeypatch.setenv("RABBITMQ_BIN", str(scripts))
    node = Node(tmp_path / "broker")
    with pytest.raises(BrokerProblem, match="did not start: the cookie is stale"):
        node.start()
    assert node.process is None


def test_a_process_is_known_by_its_birth_not_by_its_pid_alone(tmp_path: Path) -> None:
    process = processes.launch(["sleep", "60"], output=tmp_path / "out")
    record = tmp_path / "record.json"
    processes.remember(record, process, what="sleeper")
    assert processes.recall(record) == process
    stranger = processes.Process(process.pid, "another time")
    stranger.end()
    stranger.kill()
    assert process.alive
    process.end()
    assert not process.alive
    assert processes.recall(record) is None
