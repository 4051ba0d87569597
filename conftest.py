"""The tests' own broker: on free ports, in a folder of its own, started only if a test needs it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import amqpstorm
import pytest

from chatrpc import bootstrap, broker, running, topology
from chatrpc.settings import Settings

ROOT = Path(__file__).parent
BROKER_FREE = (ROOT / "tests" / "unit",)
HOME = pytest.StashKey[Path]()
LENT = pytest.StashKey[bool]()
NODE = pytest.StashKey[broker.Node]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the tests a state folder of their own, away from the kit's."""
    config.addinivalue_line("markers", "no_broker: needs no broker")
    if hasattr(config, "workerinput"):  # a worker of xdist uses what its parent started
        return
    lent = os.environ.get("CHATRPC_TESTS_HOME")  # `make test` lends all its stages one node
    config.stash[LENT] = bool(lent)
    home = config.stash[HOME] = Path(lent or tempfile.mkdtemp(prefix="chatrpc-tests-"))
    for name in [name for name in os.environ if name.startswith("CHATRPC_")]:
        del os.environ[name]
    os.environ["CHATRPC_HOME"] = str(home)
    os.environ["CHATRPC_MODULE"] = str(home / "my_chatrpc.py")  # a student's own is left alone
    os.environ.update(running.jupyter_folders())  # kernels leave their files there, too
    # SIGTERM tidies up as Ctrl-C does; and a job in the background is born deaf to Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def _needs_broker(item: pytest.Item) -> bool:
    if item.get_closest_marker("no_broker"):
        return False
    return not any(item.path.is_relative_to(folder) for folder in BROKER_FREE)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the node once it is known that it is needed, before any kernel starts."""
    config = session.config
    if config.option.collectonly or HOME not in config.stash:
        return
    if any(map(_needs_broker, session.items)):
        node = config.stash[NODE] = broker.Node(config.stash[HOME] / "broker")
        try:
            node.start()
        except broker.BrokerProblem as problem:
            pytest.exit(f"No broker for the tests: {problem}", returncode=1)
        os.environ["CHATRPC_URL"] = node.url


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing: neither the node, nor its epmd, nor the folder."""
    if config.stash.get(LENT, True):
        return
    if node := config.stash.get(NODE, None):
        node.stop()
    if home := config.stash.get(HOME, None):
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config) -> broker.Node:
    """The tests' node; whoever stops or kills it starts it again."""
    return pytestconfig.stash[NODE]


@pytest.fixture(scope="session")
def _cluster(pytestconfig: pytest.Config) -> Iterator[broker.Cluster]:
    made = broker.Cluster(pytestconfig.stash[HOME] / "cluster")
    yield made
    made.stop()


@pytest.fixture
def cluster(_cluster: broker.Cluster) -> broker.Cluster:
    """Three nodes that are one broker; what an earlier test has killed is started again."""
    _cluster.start()
    return _cluster


@pytest.fixture(scope="session")
def url() -> str:
    """The address of the tests' node."""
    return os.environ["CHATRPC_URL"]


@pytest.fixture
def service(url: str) -> Iterator[str]:
    """A service name that nobody else uses; its queues are deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    _delete_queues(url, name)


def _delete_queues(url: str, service: str) -> None:
    address = Settings(url=url).addresses[0]
    login = (address.host, address.user, address.password)
    # As a service's dead letters name its request queue, that one goes first.
    queues = topology.request_queue(service), topology.dead_queue(service)
    with amqpstorm.Connection(*login, port=address.port) as link, link.channel() as channel:
        for queue in queues:
            channel.queue.delete(queue)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Run a cell as a kernel does, and return the names it leaves."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    quiet = Config()
    quiet.HistoryManager.enabled = False  # or it writes into a folder that is gone at the exit
    shell = InteractiveShell(config=quiet)
    shell.user_module.__name__ = "__main__"
    monkeypatch.setitem(sys.modules, "__main__", shell.user_module)

    def run(source: str) -> dict[str, Any]:
        shell.run_cell(source).raise_error()
        return shell.user_ns

    return run


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium to drive."""
    for name in bootstrap.CHROMIUM:
        if path := shutil.which(name):
            return path
    pytest.fail("No Chromium, so no browser test: apt-get install chromium", pytrace=False)
