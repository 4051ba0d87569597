"""Users with few rights: made by the very lines of PERMISSIONS.md, on a real broker."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import amqpstorm
import pytest

import chatrpc
from chatrpc import BrokerRefused, RpcClient, RpcServer, topology
from chatrpc.broker import Node
from chatrpc.settings import Address

DOCUMENT = Path(chatrpc.__file__).with_name("PERMISSIONS.md")
PASSWORD = "pass/w@rd"
NAMES = ("alice", "wally", "ann.lee")


def commands() -> list[list[str]]:
    """Return the document's commands, and those for ``ann.lee`` as it says to make them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for line in "".join(blocks).splitlines() if line.startswith("rabbitmqctl ")]
    theirs = [line for line in lines if " alice" in line]
    dotted = [
        line.replace(r"\.alice\.", r"\.ann/2Elee\.").replace("alice", "ann.lee") for line in theirs
    ]
    return [shlex.split(line)[1:] for line in lines + dotted]


@pytest.fixture(scope="module")
def addresses(node: Node) -> Iterator[dict[str, str]]:
    """Return the address of each user, by name."""
    for words in commands():
        node.ctl(*[PASSWORD if word == "PASSWORD" else word for word in words])
    port = Address.parse(node.url).port
    yield {name: f"amqp://{name}:pass%2Fw%40rd@localhost:{port}/" for name in NAMES}
    for name in NAMES:
        node.ctl("delete_user", name)


@pytest.fixture
def server(addresses: dict[str, str], service: str) -> Iterator[RpcServer]:
    """Serve as the worker's user."""
    server = RpcServer(service, url=addresses["wally"])
    server.method("echo")(lambda text: text)
    with server:
        yield server


def test_the_document_makes_a_client_and_a_worker() -> None:
    assert [words[:2] for words in commands()[:4]] == [
        ["add_user", "alice"],
        ["set_permissions", "alice"],
        ["add_user", "wally"],
        ["set_permissions", "wally"],
    ]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("safe", [True, False], ids=["safe", "fast"])
@pytest.mark.parametrize("name", ["alice", "ann.lee"])
def test_a_client_can_call(name: str, safe: bool, addresses: dict[str, str], service: str) -> None:
    with RpcClient(service, url=addresses[name], safe=safe, timeout=5) as client:
        assert client.call("echo", "hola") == "hola"
        assert client.consumers() == 1


def test_a_worker_makes_all_that_it_needs_on_a_new_broker(
    addresses: dict[str, str], service: str, node: Node
) -> None:
    with closing(link(node.url)) as connection, connection.channel() as channel:
        for exchange in (topology.REQUESTS, topology.DEAD):
            channel.exchange.delete(exchange)
    server = RpcServer(service, url=addresses["wally"])
    server.method("echo")(lambda text: text)
    with server, RpcClient(service, url=addresses["alice"]) as client:
        assert client.call("echo", "hola") == "hola"


def link(url: str) -> amqpstorm.Connection:
    """Return a connection of plain AMQPStorm."""
    at = Address.parse(url)
    return amqpstorm.Connection(at.host, at.user, at.password, port=at.port)


Deed = Callable[[amqpstorm.Channel, str], object]
TO_A_QUEUE: dict[str, Deed] = {
    "read": lambda channel, queue: channel.basic.get(queue, no_ack=True),
    "consume": lambda channel, queue: channel.basic.consume(queue=queue),
    "purge": lambda channel, queue: channel.queue.purge(queue),
    "delete": lambda channel, queue: channel.queue.delete(queue),
    "unbind": lambda channel, queue: channel.queue.unbind(queue, topology.REQUESTS, "x"),
    "write": lambda channel, queue: channel.basic.publish("forged", queue),
}
OTHERWISE: dict[str, Deed] = {
    "make a service": lambda channel, own: channel.queue.declare("chatrpc.req.mine", durable=True),
    "make a queue": lambda channel, own: channel.queue.declare("mine", durable=True),
    "make an exchange": lambda channel, own: channel.exchange.declare("mine"),
    "delete the exchange": lambda channel, own: channel.exchange.delete(topology.REQUESTS),
    "listen in": lambda channel, own: channel.queue.bind(own, topology.REQUESTS, "chat"),
    "trace": lambda channel, own: channel.queue.bind(own, "amq.rabbitmq.trace", "#"),
    "pose as another": lambda channel, own: channel.basic.publish(
        "forged", "chat", topology.REQUESTS, properties={"user_id": "ann.lee"}
    ),
}


def is_refused(channel: amqpstorm.Channel, deed: Deed, what: str) -> bool:
    """Return whether the broker closes the channel for it."""
    try:
        deed(channel, what)
        channel.queue.declare(what, passive=True)  # an answer, after that to what was published
    except amqpstorm.AMQPChannelError as error:
        return error.error_code == (406 if "user_id" in str(error) else 403)
    return False


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("deed", TO_A_QUEUE)
def test_a_client_can_do_nothing_to_what_is_not_its_own(
    deed: str, addresses: dict[str, str], service: str
) -> None:
    with RpcClient(service, url=addresses["ann.lee"]) as other:
        requests, dead = topology.request_queue(service), topology.dead_queue(service)
        for queue in (requests, dead, other._reply_queue):
            with closing(link(addresses["alice"])) as connection, connection.channel() as channel:
                assert is_refused(channel, TO_A_QUEUE[deed], queue), queue
        assert other.call("echo", "still here") == "still here"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("deed", OTHERWISE)
def test_a_client_can_make_and_overhear_nothing(
    deed: str, addresses: dict[str, str], service: str
) -> None:
    with (
        RpcClient(service, url=addresses["alice"]) as client,
        closing(link(addresses["alice"])) as connection,
        connection.channel() as channel,
    ):
        assert is_refused(channel, OTHERWISE[deed], client._reply_queue)


@pytest.mark.usefixtures("server")
def test_what_a_client_may_do_is_not_refused(addresses: dict[str, str], service: str) -> None:
    """Or the refusals above would show nothing."""
    with (
        RpcClient(service, url=addresses["alice"]) as client,
        closing(link(addresses["alice"])) as connection,
        connection.channel() as channel,
    ):
        own = client._reply_queue
        assert not is_refused(channel, TO_A_QUEUE["purge"], own)
        assert not is_refused(channel, TO_A_QUEUE["read"], own)


def test_a_client_cannot_serve_and_is_told_so(addresses: dict[str, str], service: str) -> None:
    with pytest.raises(BrokerRefused, match="refuses") as caught:
        RpcServer(service, url=addresses["alice"]).start()
    assert "permission" in caught.value.advice


def test_a_worker_can_read_no_answers(addresses: dict[str, str], service: str) -> None:
    with (
        RpcServer(service, url=addresses["wally"]),
        RpcClient(service, url=addresses["alice"]) as client,
    ):
        for deed in ("read", "consume", "purge", "delete"):
            with closing(link(addresses["wally"])) as connection, connection.channel() as channel:
                assert is_refused(channel, TO_A_QUEUE[deed], client._reply_queue), deed
