"""No password in an error, a repr or a log, whatever the password is and whatever goes wrong."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

import pytest

from chatrpc import BrokerError, RpcClient, RpcServer
from chatrpc.broker import Node
from chatrpc.lab.wire import Wire
from chatrpc.machine.probe import Answer, probe
from chatrpc.settings import Address, Settings

ODD = "0%2F\"'\\ /?#@:,ñ€%s{0}\t"
PASSWORDS = {"odd": ODD, "the user's own name": "tess", "a common word": "queue", "a letter": "e"}
FAILURES = ("login", "vhost", "permission", "nobody", "tls")


class Log(logging.Handler):
    """Everything that any logger says, on every level, with its tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))


@contextmanager
def listening() -> Iterator[Log]:
    """Hear all loggers."""
    log = Log()
    loggers = [logging.root, *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.root.addHandler(log)
    yield log
    logging.root.removeHandler(log)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


class Account:
    """A user without any permission, whose password can be changed."""

    def __init__(self, node: Node) -> None:
        """Make the user."""
        self._node, self._port, self._password = node, Address.parse(node.url).port, "first"
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self._nobody = free.getsockname()[1]
        node.ctl("add_user", "tess", self._password)
        node.ctl("set_permissions", "tess", "^$", "^$", "^$")

    def change(self, password: str) -> None:
        """Give the user another password."""
        self._node.ctl("change_password", "tess", password)
        self._password = password

    def url(self, failure: str = "") -> str:
        """Return the user's address, with a mistake in it."""
        scheme = "amqps" if failure == "tls" else "amqp"
        password = quote(self._password, safe="") + "x" * (failure == "login")
        port = self._nobody if failure == "nobody" else self._port
        vhost = "nowhere" if failure == "vhost" else ""
        return f"{scheme}://tess:{password}@localhost:{port}/{vhost}"


@pytest.fixture(scope="module")
def account(node: Node) -> Iterator[Account]:
    """Return the user of these tests."""
    yield Account(node)
    node.ctl("delete_user", "tess")


def refusal(url: str) -> str:
    """Return all that is said of an address that does not work, but for the client's own number."""
    with pytest.raises(BrokerError) as caught:
        RpcServer("secrets", url=url).start()
    with pytest.raises(BrokerError) as again:
        RpcClient("secrets", url=url)
    found = probe(url)
    settings = Settings.from_env(url=url)
    addresses = "" if found.answer is Answer.BAD_URL else settings.addresses
    words = f"{caught.value!r} {again.value!r} {again.value.advice} {found} {settings} {addresses}"
    return re.sub("-[0-9a-f]{8}", "", words)


@pytest.fixture(scope="module")
def said(account: Account) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what was said and what was logged, for each failure and password."""
    everything = {}
    for name, password in PASSWORDS.items():
        account.change(password)
        for failure in FAILURES:
            with listening() as log:
                words = refusal(account.url(failure))
            everything[failure, name] = words, "\n".join(log.lines)
    return everything


@pytest.mark.parametrize("failure", FAILURES)
def test_what_is_said_is_the_same_whatever_the_password_is(
    failure: str, said: dict[tuple[str, str], tuple[str, str]]
) -> None:
    """So it holds no password, and no word of it was cut out for looking like one."""
    one, *others = [said[failure, name][0] for name in PASSWORDS]
    assert "***" not in one
    assert others == [one] * len(others)
    assert ODD not in said[failure, "odd"][1]
    assert quote(ODD, safe="") not in said[failure, "odd"][1]
    assert "localhost" in said[failure, "odd"][1]


@pytest.mark.parametrize("name", PASSWORDS)
def test_a_lost_connection_tells_no_password(
    name: str, account: Account, node: Node, service: str
) -> None:
    account.change(PASSWORDS[name])
    node.ctl("set_permissions", "tess", ".*", ".*", ".*")
    with listening() as log, Wire(account.url()) as wire:
        url = account.url().replace(f":{Address.parse(account.url()).port}/", f":{wire.port}/")
        server = RpcServer(service, url=url)
        server.method("wait")(time.sleep)
        with server, RpcClient(service, url=url, safe=False) as client:
            future = client.submit("wait", 5)
            wire.cut()
            with pytest.raises(BrokerError) as caught:
                future.result(5)
    assert (
        str(caught.value) == f"the connection to the broker at tess@localhost:{wire.port} is lost"
    )
    everything = "\n".join([repr(caught.value), repr(client), repr(server), *log.lines])
    assert "is lost" in everything
    assert "***" not in everything
    if name == "odd":
        assert ODD not in everything
        assert quote(ODD, safe="") not in everything


@pytest.mark.parametrize(
    "form",
    [
        "tess:{}@localhost:5672/",
        "http://tess:{}@localhost:5672/",
        "amqp:/tess:{}@localhost:5672/",
        "amqp://tess:{}@[localhost/",
        "amqp://tess:{}@localhost:port/",
        "amqp://tess:1/{}@localhost:5672/",
        "amqp://tess:1#{}@localhost:5672/",
        "amqp://tess:1?{}@localhost:5672/",
        "amqp://tess:a/{}@localhost:5672/",
        "amqp://tess:1,{}@localhost:5672/",
        "amqp://tess:{}@localhost:5672/,nonsense",
    ],
)
def test_an_address_that_cannot_be_understood_is_not_repeated(form: str) -> None:
    with listening() as log:
        words = refusal(form.format("53cret"))
    assert "53cret" not in words + "".join(log.lines)
    assert "BrokerRefused" in words
    assert "amqp://user:password@host:port/" in words
