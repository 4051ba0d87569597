"""What a stranger can send to a server, many times: each costs one message, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import amqpstorm
import pytest

from chatrpc import RemoteError, RpcClient, RpcServer, topology
from chatrpc.messages import LARGEST
from chatrpc.settings import Address

THREADS = 2
TIMES = 3 * 2 * THREADS  # three times what the server takes in hand
ODD_FILE = "caf\udce9"  # a file name in Latin-1, as Python shows it


def unreadable() -> None:
    """Fail as a method does that tells of a file."""
    raise ValueError(f"cannot read {ODD_FILE}")


@pytest.fixture
def served(url: str, service: str) -> Iterator[RpcClient]:
    """Serve on few threads, and return a client."""
    server = RpcServer(service, url=url, threads=THREADS)
    server.method("echo")(lambda value=None: value)
    server.method("read")(unreadable)
    with server, RpcClient(service, url=url, timeout=5) as client:
        yield client


@pytest.fixture
def raw(url: str) -> Iterator[amqpstorm.Channel]:
    """Return a channel of plain AMQPStorm."""
    at = Address.parse(url)
    with closing(amqpstorm.Connection(at.host, at.user, at.password, port=at.port)) as connection:
        yield connection.channel(rpc_timeout=5)


def asking(**about: object) -> str:
    """Return a request's body."""
    return json.dumps({"jsonrpc": "2.0", "id": "1", "method": "echo", **about})


BODIES = {
    "an id that UTF-8 cannot carry": asking(id="\ud800"),
    "a method that UTF-8 cannot carry": asking(method="\ud800"),
    "a parameter that UTF-8 cannot carry": asking(params={"\ud800": 1}),
    "a value that UTF-8 cannot carry": asking(params=["\ud800"]),
    "an error that UTF-8 cannot carry": asking(method="read"),
    "a huge id": asking(id="9" * 300),
    "a number without end": asking(params=[0]).replace("[0]", "[" + "9" * 5000 + "]"),
    "infinity": asking(params=[0]).replace("[0]", "[1e999]"),
    "no number": asking(params=[0]).replace("[0]", "[NaN]"),
    "deep": asking(params=[0]).replace("[0]", "[" * 900 + "]" * 900),
    "deeper": "[" * (LARGEST // 2),
    "no text": "\udcff",
    "nothing": "",
    "parameters by the wrong names": asking(params={"self": 1, "__class__": 2}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_it_is_answered_or_given_up_and_the_next_is_served(
    body: str, served: RpcClient, raw: amqpstorm.Channel
) -> None:
    service, replies = served.service, raw.queue.declare("", exclusive=True)["queue"]
    data = body.encode(errors="surrogateescape")
    for number in range(TIMES):
        about = {"reply_to": replies, "correlation_id": str(number), "message_id": str(number)}
        raw.basic.publish(data, service, exchange=topology.REQUESTS, properties=about)
    assert served.call("echo", "still here") == "still here"
    heard: list[dict[str, Any]] = []
    raw.basic.consume(lambda message: heard.append(message.json()), replies, no_ack=True)
    end = time.monotonic() + 5
    while len(heard) < TIMES and time.monotonic() < end:
        raw.process_data_events()
    assert len(heard) == TIMES
    assert all("result" in answer or "code" in answer["error"] for answer in heard)


def test_a_method_whose_error_utf8_cannot_carry_has_failed_and_not_fallen_silent(
    served: RpcClient,
) -> None:
    with pytest.raises(RemoteError, match="ValueError: cannot read caf"):
        served.call("read")
