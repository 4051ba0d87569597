"""Gauges read the real queue."""

from __future__ import annotations

import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from chatrpc import RpcClient, RpcServer
from chatrpc.broker import Node
from chatrpc.lab.gauges import Gauges, Sample, draw, spark, unacknowledged
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.sync import WIDGETS


def wait_until(sees: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until it holds, or fail."""
    end = time.monotonic() + seconds
    while not sees():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.01)


def test_they_show_a_queue_that_fills_and_is_emptied(service: str, node: Node) -> None:
    """First no queue, then a worker, then requests that wait, then none; and what it holds."""
    gate = threading.Event()
    with Gauges(service, every=0.02) as gauges:
        wait_until(lambda: gauges.samples)
        assert gauges.samples[-1].waiting is None
        server = RpcServer(service, threads=1)

        @server.method
        def hold() -> None:
            gate.wait(10)

        server.method("quick")(lambda: None)

        with server:
            wait_until(lambda: gauges.samples[-1].consumers == 1)
            with RpcClient(service, timeout=10) as client:
                client.call("quick")  # before its first answer a server takes one at a time
                time.sleep(0.2)
                futures = [client.submit("hold") for _ in range(6)]
                wait_until(lambda: gauges.samples[-1].waiting == 4)
                assert unacknowledged(service, node) == 2
                gate.set()
                for future in futures:
                    future.result()
            wait_until(lambda: gauges.samples[-1].waiting == 0)
        wait_until(lambda: gauges.samples[-1].consumers == 0)
    text = repr(gauges)
    assert "now 0, most 4" in text
    assert "now 0, most 1" in text
    assert "answered  worker 1 7" in text
    assert gauges.served == {"worker 1": 7}
    assert max(s.held or 0 for s in gauges.samples) >= 2
    assert gauges.samples[-1].held == 0
    assert set(gauges._repr_mimebundle_()) == {WIDGETS, "image/svg+xml", "text/plain"}
    assert "7 answered" in gauges._face.value
    assert not [t for t in threading.enumerate() if t.name == "gauges"]


def test_a_live_plot_is_drawn_anew_while_it_looks(service: str) -> None:
    with Gauges(service, every=0.02) as gauges:
        gauges._repr_mimebundle_()
        before = gauges._face.value
        wait_until(lambda: gauges._face.value != before)


def test_a_service_that_nobody_knows_is_no_error(node: Node) -> None:
    """It says that there is no queue."""
    with Gauges("nobody-knows-it") as gauges:
        wait_until(lambda: gauges.samples)
    assert "no queue" in repr(gauges)
    with pytest.raises(LabProblem, match="Nobody listens on the service"):
        unacknowledged("nobody-knows-it", node)


@pytest.mark.no_broker
def test_series_fold_into_bars() -> None:
    """The most of a span is shown; a gap is a gap."""
    assert spark([0, 1, 2, None, 7]) == "▁▂▃ █  now 7, most 7"
    assert spark([0] * 599 + [9]).startswith("▁" * 59 + "█")
    assert spark([None, None]) == "no queue"
    assert spark([3, None]) == "█   now away, most 3"


@pytest.mark.no_broker
def test_the_plot_is_well_formed_and_escaped() -> None:
    """Also without a single sample."""
    for samples in ([], [Sample(0.0, None, None)], [Sample(0.0, 3, 1), Sample(1.0, 0, 2)]):
        root = ET.fromstring(draw("<b>", samples))
        assert "<b>" in "".join(root.itertext())


@pytest.mark.no_broker
def test_bad_input_is_a_sentence() -> None:
    """A broker that is away, a period that is none."""
    with pytest.raises(LabProblem, match="look every"):
        Gauges("chat", every=0)
    with pytest.raises(LabProblem, match="no connection"), Gauges("chat", url="amqp://localhost:1"):
        pass
