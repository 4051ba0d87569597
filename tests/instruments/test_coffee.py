"""The coffee ledger: what was ordered and what was poured, whatever happened on the way."""

from __future__ import annotations

import pytest

from chatrpc import RpcClient
from chatrpc.lab import services, workers
from chatrpc.lab.coffee import Coffee
from chatrpc.lab.workers import worker
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_worker_left")


def test_a_cup_too_many_is_seen_and_the_first_cup_of_a_notebook_is_number_one() -> None:
    """A worker dies after pouring; the other pours again; nobody ordered that."""
    service = services.service("test-coffee")
    first = worker(service, name="first")
    with RpcClient(service) as client, Coffee(service) as coffee:
        assert repr(coffee) == "ordered 0, poured 0"
        assert client.call("coffee")["cup"] == 1
        assert client.call("say", "/coffee").startswith("☕")
        client.call("echo", "coffee")
        bundle = coffee._repr_mimebundle_()
        assert bundle["text/plain"] == "ordered 2, poured 2"
        first.die("after work")
        future = client.submit("coffee", timeout=30)
        first.wait()
        worker(service, name="second")
        future.result()
        assert repr(coffee) == "ordered 3, poured 4"
        wait_until(lambda: "1 more than ordered" in coffee._faces[0].value)
        assert coffee._faces[0].value.count("☕") == 4
    assert repr(coffee) == "ordered 3, poured 4"
    path = services.ledger(service)
    assert path is not None
    assert path.exists()
    workers.stop_all()
    services.forget_ledger(service)
    assert not path.exists()


def test_an_order_is_told_from_small_talk_and_from_its_repetition() -> None:
    """Cups of before do not count; one order asked twice, under one id, is one order."""
    service = services.service("test-orders")
    worker(service)
    with RpcClient(service) as client:
        client.call("coffee")
        with Coffee(service) as coffee:
            assert repr(coffee) == "ordered 0, poured 0"
            client.call("say", "hola")
            client.call("say", "no /coffee for me")
            assert repr(coffee) == "ordered 0, poured 0"
            for _ in range(2):
                client.call("coffee", message_id="one-and-the-same")
            for words in ("/coffee", " /cafe", "/café"):
                client.call("say", words)
            assert coffee.ordered == 4
            assert coffee.poured == 4
    workers.stop_all()
    services.forget_ledger(service)
