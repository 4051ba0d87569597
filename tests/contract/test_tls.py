"""TLS on a real broker: whose certificate is taken, and what is said when it is not."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from chatrpc import BrokerError, BrokerRefused, RpcClient, RpcServer
from chatrpc.broker import Node
from chatrpc.lab.wire import Wire
from chatrpc.machine.ports import free_ports

CONFIGURATION = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
"""
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
PASSWORD = "n0-one-sees-this"


class Broker:
    """A node with a TLS listener; its certificate is for the name ``localhost`` alone."""

    def __init__(self, folder: Path) -> None:
        """Make an authority and a certificate, and start the node."""
        (self.port,) = free_ports(1)
        self.ca = folder / "ca.pem"
        self._folder, self._authority = folder, trustme.CA()
        self._authority.cert_pem.write_to_path(self.ca)
        self._issue("localhost")
        self.node = Node(folder / "broker")
        self.node.folder.mkdir()
        configuration = CONFIGURATION.format(port=self.port, folder=folder)
        (self.node.folder / "rabbitmq.conf").write_text(configuration)
        self.node.start()
        self.node.ctl("add_user", "tess", PASSWORD)
        self.node.ctl("set_permissions", "tess", ".*", ".*", ".*")

    def _issue(self, *names: str, until: datetime.datetime | None = None) -> None:
        since = None if until is None else until - datetime.timedelta(days=9)
        issued = self._authority.issue_cert(*names, not_before=since, not_after=until)
        issued.private_key_pem.write_to_path(self._folder / "server.key")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        (self._folder / "server.pem").write_bytes(chain)

    def show(self, *names: str, until: datetime.datetime | None = None) -> None:
        """Show another certificate from now on."""
        self._issue(*names, until=until)
        self.node.ctl("eval", "ssl:clear_pem_cache().")

    def url(self, host: str = "localhost", *, scheme: str = "amqps", port: int = 0) -> str:
        """Return an address of the broker."""
        return f"{scheme}://tess:{PASSWORD}@{host}:{port or self.port}/"


class Watch:
    """A TLS object that is slow, and notices whoever comes while somebody is inside."""

    def __init__(self, inner: Any) -> None:
        self.uses = self.together = 0
        self._inner, self._inside = inner, 0

    def _slowly(self, use: Callable[[], Any]) -> Any:
        self.uses += 1
        self.together += self._inside > 0
        self._inside += 1
        try:
            time.sleep(0.001)
            return use()
        finally:
            self._inside -= 1

    def read(self, *args: Any) -> Any:
        """Read."""
        return self._slowly(lambda: self._inner.read(*args))

    def write(self, data: Any) -> Any:
        """Write."""
        return self._slowly(lambda: self._inner.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Return the broker of these tests."""
    made = Broker(tmp_path_factory.mktemp("tls"))
    yield made
    made.node.stop()


@pytest.fixture
def trusted(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the broker's authority."""
    monkeypatch.setenv("CHATRPC_CA", str(broker.ca))


def refused(url: str, kind: type[BrokerError] = BrokerRefused) -> str:
    """Return what is said to client and server alike, within 5 s and without the password."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        RpcClient("any", url=url)
    with pytest.raises(kind) as again:
        RpcServer("any", url=url).start()
    assert time.monotonic() - began < 5
    said = str(caught.value)
    assert said == str(again.value)
    assert PASSWORD not in f"{caught.value!r}"
    assert "\n" not in said
    return said


@pytest.mark.usefixtures("trusted")
class TestTrusted:
    """With the authority in CHATRPC_CA everything works as without TLS."""

    def test_calls_are_answered_whole_and_after_a_cut_too(self, broker: Broker) -> None:
        large = "ñ" * (450 * 1024)
        with Wire(broker.url()) as wire:
            url = broker.url(port=wire.port)
            server = RpcServer("tls", url=url)
            server.method("echo")(lambda text: text)
            with server, RpcClient("tls", url=url) as client:
                assert client.call("echo", "hola") == "hola"
                assert client.call("echo", large) == large
                wire.cut()
                assert client.call("echo", large) == large

    def test_the_fast_mode_too(self, broker: Broker) -> None:
        server = RpcServer("tls", url=broker.url())
        server.method("echo")(lambda text: text)
        with server, RpcClient("tls", url=broker.url(), safe=False) as client:
            assert client.call("echo", "hola") == "hola"

    def test_one_thread_at_a_time_uses_the_tls_object(self, broker: Broker) -> None:
        server = RpcServer("tls", url=broker.url(), threads=4)
        server.method("echo")(lambda text: text)
        with server, RpcClient("tls", url=broker.url()) as client:
            standing = client._link._standing
            assert standing is not None
            sock: Any = standing.transport._connection.socket
            watch = sock._sslobj = Watch(sock._sslobj)
            texts = [str(n) * 40_000 for n in range(40)]
            with ThreadPoolExecutor(8) as callers:
                assert list(callers.map(lambda t: client.call("echo", t), texts)) == texts
            assert watch.uses > 80
            assert watch.together == 0

    def test_a_certificate_for_another_name_is_refused(self, broker: Broker) -> None:
        assert "certificate" in refused(broker.url("127.0.0.1"))

    def test_an_expired_certificate_is_refused(self, broker: Broker) -> None:
        broker.show("localhost", until=LONG_AGO)
        try:
            assert "expired" in refused(broker.url())
        finally:
            broker.show("localhost")
        RpcClient("any", url=broker.url()).close()


class TestMistakes:
    """One clear sentence, at once."""

    def test_an_unknown_authority_is_refused(self, broker: Broker) -> None:
        assert "certificate" in refused(broker.url())

    def test_a_file_of_no_authority_is_refused(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "empty.pem").touch()
        for path in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
            monkeypatch.setenv("CHATRPC_CA", str(path))
            assert "CHATRPC_CA" in refused(broker.url())

    def test_amqp_at_the_port_of_amqps_says_so(self, broker: Broker) -> None:
        assert "amqps://" in refused(broker.url(scheme="amqp"), BrokerError)

    @pytest.mark.usefixtures("trusted")
    def test_amqps_at_the_port_of_amqp_says_so(self, broker: Broker) -> None:
        plain = int(broker.node.url.rsplit(":", 1)[1].strip("/"))
        assert "amqp://" in refused(broker.url(port=plain), BrokerError)
