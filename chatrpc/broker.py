"""Which broker a program uses, and a private one if there is none.

    from chatrpc import broker
    broker.use()            # any program: the broker is there now, and CHATRPC_URL names it

The private node outlives the program that started it, because programs share it;
``chatrpc broker stop`` ends it.
"""

from __future__ import annotations

import os

from .machine import folder
from .machine.cluster import Cluster
from .machine.node import Node, Say, log
from .machine.probe import DEFAULT_URL, Answer, probe
from .machine.problem import BrokerProblem

__all__ = [
    "BrokerProblem",
    "Cluster",
    "Node",
    "Say",
    "demanded",
    "private_cluster",
    "private_node",
    "use",
]

CHOSEN = "CHATRPC_CHOSEN_URL"  # what use() chose, so that it may choose again; not for people


def use(*, private: bool = False, start: bool = True, say: Say = log.info) -> str:
    """Make sure that a broker serves, name it in ``CHATRPC_URL`` for this process, return its URL.

    ``CHATRPC_URL`` if set, and then only that; else the private node if it runs; else, unless
    ``private``, one that answers on localhost:5672 with the default account; else the private
    node, which is started if ``start``. ``say`` is told what takes time. Raises BrokerProblem.
    """
    if url := demanded():
        _check(url)
        return url
    node = private_node(say=say)
    if node.running:
        url = node.url
    elif not private and probe(DEFAULT_URL, timeout=1.0).serves:
        url = DEFAULT_URL
    elif start:
        node.start()
        url = node.url
    else:
        raise BrokerProblem("No broker runs.", "Start one together with a worker: chatrpc worker.")
    os.environ["CHATRPC_URL"] = os.environ[CHOSEN] = url
    return url


def demanded() -> str:
    """The address that a person has put into ``CHATRPC_URL``; '' if there is none."""
    url = os.environ.get("CHATRPC_URL", "").strip()
    return "" if url == os.environ.get(CHOSEN) else url


def private_node(*, say: Say = log.info) -> Node:
    """The node that the programs and notebooks of this clone share, running or not."""
    return Node(folder.state_folder() / "broker", say=say)


def private_cluster(*, nodes: int | None = None, say: Say = log.info) -> Cluster:
    """The cluster of this clone, running or not; ``use`` never chooses it: CHATRPC_URL does."""
    return Cluster(folder.state_folder() / "cluster", nodes=nodes, say=say)


def _check(url: str) -> None:
    found = probe(url)
    if not found.serves:
        what = {
            Answer.REFUSES: "The broker that CHATRPC_URL names refuses the login",
            Answer.NOT_AMQP: "What CHATRPC_URL names is not RabbitMQ",
            Answer.NOBODY: "No broker answers where CHATRPC_URL points",
            Answer.BAD_URL: "CHATRPC_URL cannot be understood",
        }[found.answer]
        raise BrokerProblem(
            f"{what} ({found.detail}).",
            "Correct CHATRPC_URL, or unset it to use a broker of the kit's own.",
        )
