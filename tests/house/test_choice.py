"""Which broker a program gets, and one clear sentence when it gets none."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from chatrpc import broker
from chatrpc.broker import BrokerProblem
from chatrpc.machine import rabbitmq
from chatrpc.machine.probe import Answer, probe
from tests.waiting import within


def test_a_broker_that_serves_tells_its_version(url: str) -> None:
    found = probe(url)
    assert found.serves
    assert found.version.count(".") == 2


def test_a_wrong_password_is_refused_and_never_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = url.replace("guest:guest", "guest:s3cret%2Fpa55")
    assert probe(wrong).answer is Answer.REFUSES
    monkeypatch.setenv("CHATRPC_URL", wrong)
    with pytest.raises(BrokerProblem, match="refuses the login") as caught:
        broker.use()
    assert "s3cret" not in repr(caught.value)
    assert "pa55" not in str(caught.value)


def test_a_vhost_that_does_not_exist_is_refused(url: str) -> None:
    found = probe(f"{url}nowhere")
    assert found.answer is Answer.REFUSES
    assert "nowhere" in found.detail


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01" * 4096])
def test_something_else_on_the_port_is_told_within_a_bounded_time(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/"

        def answer() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(ConnectionError):
                peer.sendall(greeting)
                peer.settimeout(5)
                while peer.recv(100):  # a silent one keeps the line open
                    pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        began = time.monotonic()
        monkeypatch.setenv("CHATRPC_URL", url)
        with pytest.raises(BrokerProblem, match="is not RabbitMQ"):
            broker.use()
        assert time.monotonic() - began < 3
        thread.join(5)


@pytest.mark.parametrize("url", ["http://localhost/", "nonsense", "amqp://guest:hush@host:99999/"])
def test_an_address_that_is_none_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATRPC_URL", url)
    with pytest.raises(BrokerProblem, match="cannot be understood") as caught:
        broker.use()
    assert "hush" not in str(caught.value)


def test_nobody_at_the_address_is_told_and_no_other_broker_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHATRPC_URL", "amqp://guest:guest@127.0.0.1:1/")
    with pytest.raises(BrokerProblem, match="No broker answers where CHATRPC_URL points"):
        broker.use()


def test_the_address_that_a_person_demands_is_used(url: str) -> None:
    assert broker.use() == broker.use(private=True) == url


def test_what_was_chosen_is_chosen_anew_and_the_private_node_goes_first(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests' node is the private node of the tests' state folder.
    monkeypatch.setenv("CHATRPC_URL", "amqp://guest:guest@127.0.0.1:1/")
    monkeypatch.setenv(broker.CHOSEN, "amqp://guest:guest@127.0.0.1:1/")
    assert broker.use(start=False) == url
    assert os.environ["CHATRPC_URL"] == os.environ[broker.CHOSEN] == url


def test_without_a_broker_and_without_leave_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHATRPC_URL")
    monkeypatch.setenv("CHATRPC_HOME", str(tmp_path))
    with pytest.raises(BrokerProblem, match="No broker runs"):
        broker.use(private=True, start=False)


def script(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    file = folder / "rabbitmq-server"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return folder


def test_rabbitmq_bin_wins_and_must_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_BIN", str(tmp_path))
    with pytest.raises(BrokerProblem, match="RABBITMQ_BIN"):
        rabbitmq.find()
    scripts = script(tmp_path / "rabbitmq_server-9.9.9" / "sbin", "exit 0")
    (scripts.parent / "plugins" / "rabbit-9.9.9").mkdir(parents=True)
    monkeypatch.setenv("RABBITMQ_BIN", str(scripts))
    assert rabbitmq.find() == rabbitmq.RabbitMQ(scripts, "9.9.9")
    assert not rabbitmq.find().old
    assert rabbitmq.RabbitMQ(scripts, "3.9.27").old


def test_who_is_asked_for_a_version_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of scripts without a RabbitMQ around it: then rabbitmqctl has to say it."""
    real = rabbitmq.find()
    for name in ("rabbitmq-server", "rabbitmqctl"):
        file = tmp_path / name
        file.write_text(f'#!/bin/sh\nexec "{real.scripts / name}" "$@"\n')
        file.chmod(0o755)
    monkeypatch.setenv("CHATRPC_MARK", mark := f"mark-{os.getpid()}-{time.time_ns()}")
    assert rabbitmq.version(tmp_path) == real.version
    assert within(5, lambda: not marked(mark))


def marked(mark: str) -> list[str]:
    """Return the processes that were started with this mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"CHATRPC_MARK={mark}".encode() in (process / "environ").read_bytes():
                found.append(process.name)
    return found


def test_a_wrapper_that_wants_root_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = script(tmp_path / "usr", "if [ `id -u` = `id -u rabbitmq` ]; then exit 1; fi")
    real = script(tmp_path / "lib", "exit 0")
    monkeypatch.delenv("RABBITMQ_BIN", raising=False)
    monkeypatch.setattr(rabbitmq, "_places", lambda: iter([wrapper, real]))
    assert rabbitmq.find().scripts == real


def test_no_rabbitmq_tells_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RABBITMQ_BIN", raising=False)
    monkeypatch.setattr(rabbitmq, "_places", lambda: iter([]))
    with pytest.raises(BrokerProblem, match=r"not installed.*[Tt]ype"):
        rabbitmq.find()
