"""Gauges read the real queue."""

from __future__ import annotations

import functools
import re
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import amqpstorm
import pytest
from ipywidgets.widgets.widget import _instances

from chatrpc import RpcClient, RpcServer
from chatrpc.broker import Node
from chatrpc.lab.gauges import (
    CONSUMERS,
    HELD,
    WAITING,
    Gauges,
    Sample,
    Summary,
    draw,
    spark,
    unacknowledged,
)
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.sync import WIDGETS
from chatrpc.lab.wire import Wire
from tests import waiting

wait_until = functools.partial(waiting.wait_until, seconds=5)


@pytest.fixture
def _busy_elsewhere(url: str) -> Iterator[None]:
    """Somebody else has a message of another queue in hand."""
    with amqpstorm.UriConnection(url) as link, link.channel() as channel:
        queue = channel.queue.declare("", exclusive=True)["queue"]
        channel.confirm_deliveries()
        channel.basic.publish("x", queue)
        assert channel.basic.get(queue) is not None
        yield


@pytest.mark.usefixtures("_busy_elsewhere")
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
                assert gauges.samples[-1].consumers == 1
                assert unacknowledged(service, node) == 2
                gate.set()
                for future in futures:
                    future.result()
            wait_until(lambda: gauges.samples[-1].waiting == 0)
        wait_until(lambda: gauges.samples[-1].consumers == 0)
    text = repr(gauges)
    assert "now 0, most 4" in text
    most = max(one.consumers or 0 for one in gauges.samples)
    assert f"now 0, most {most}" in text
    assert most in (1, 2)  # two while it takes its consumer anew, if that very moment was seen
    assert repr(gauges.summary).endswith("workers listening: at most 1, 0 at the end")
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
@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([2, 1, 1, 1], "at most 2, 1 at the end"),  # a worker that dies at once was there
        ([1, 2, 1, 1], "at most 1, 1 at the end"),
        ([1, 2, 2, 1], "at most 2, 1 at the end"),
        ([1, 1, 0], "at most 1, 0 at the end"),
        ([1], "at most 1, 1 at the end"),
        ([None, 1, None], "at most 1, away at the end"),
    ],
)
def test_a_consumer_that_is_taken_anew_is_no_second_worker(
    seen: list[int | None], told: str
) -> None:
    summary = Summary("kitchen", [Sample(0.0, 0, consumers) for consumers in seen])
    assert repr(summary).endswith(f"workers listening: {told}")


@pytest.mark.no_broker
def test_series_fold_into_bars() -> None:
    """The most of a span is shown; a gap is a gap."""
    assert spark([0, 1, 2, None, 7]) == "▁▂▃ █  now 7, most 7"
    assert spark([0] * 599 + [9]).startswith("▁" * 59 + "█")
    assert spark([9] + [0] * 599).startswith("█" + "▁" * 59)
    assert spark([None, None]) == "no queue"
    assert spark([3, None]) == "█   now away, most 3"


@pytest.mark.no_broker
def test_the_plot_is_well_formed_and_escaped() -> None:
    """Also without a single sample."""
    for samples in ([], [Sample(0.0, None, None)], [Sample(0.0, 3, 1), Sample(1.0, 0, 2)]):
        root = ET.fromstring(draw("<b>", samples))
        assert "<b>" in "".join(root.itertext())


@pytest.mark.no_broker
def test_the_plot_draws_each_series_and_its_gap() -> None:
    """Steps between 0 at the bottom and the most of all at the top; nothing where nothing was."""
    samples = [
        Sample(0.0, 4, 1, 0),
        Sample(1.0, None, None, 0),
        Sample(2.0, 2, 0, 4),
        Sample(4.0, 0, 2, 0),
    ]
    drawn = draw("chat", samples)
    lines = dict(re.findall(r'<path d="([^"]*)" fill="none" stroke="(#[0-9a-f]+)" stroke-w', drawn))
    assert {colour: line for line, colour in lines.items()} == {
        WAITING: "M48.0 44.0M394.0 102.0H740.0V160.0",
        CONSUMERS: "M48.0 131.0M394.0 160.0H740.0V102.0",
        HELD: "M48.0 160.0H221.0V160.0H394.0V44.0H740.0V160.0",
    }


@pytest.mark.no_broker
def test_a_summary_tells_the_most_and_the_last_and_what_somebody_says_of_it() -> None:
    """The same on each run; the words are escaped, in the stored form and in the live one."""
    series = [(0, 1), (4, 2), (3, 2), (3, 3), (2, 2), (1, None)]  # three, but for one look alone
    samples = [Sample(float(at), waiting, held) for at, (waiting, held) in enumerate(series)]
    assert repr(Summary("chat", samples)) == (
        "requests waiting:  at most 4, 1 at the end\nworkers listening: at most 2, away at the end"
    )
    first = [Sample(0.0, 0, 2), Sample(0.1, 0, 1), Sample(0.2, 0, 1)]  # one died soon after
    assert repr(Summary("chat", first)).endswith("workers listening: at most 2, 1 at the end")
    bundle = Summary("<b>", samples, "<i>full</i>")._repr_mimebundle_()
    assert bundle["text/plain"] == "<i>full</i>"
    assert bundle["text/html"] == "<pre>&lt;i&gt;full&lt;/i&gt;</pre>"
    live = str(_instances[bundle[WIDGETS]["model_id"]].value)
    assert "&lt;i&gt;full" in live
    assert "<i>" not in live
    assert "<b>" not in live


def test_they_look_once_more_at_the_end(service: str) -> None:
    with Gauges(service, every=60) as gauges:
        server = RpcServer(service)
        server.method("up")(str.upper)
        server.start()
    server.close()
    assert [one.consumers for one in gauges.samples] == [None, 1]


def test_they_go_on_while_the_broker_is_away(service: str) -> None:
    server = RpcServer(service)
    server.method("up")(str.upper)
    with server, Wire() as wire, Gauges(service, every=0.02, url=wire.url) as gauges:
        wait_until(lambda: gauges.samples[-1].consumers == 1)
        wire.refuse()
        wire.cut()
        wait_until(lambda: gauges.samples[-1].consumers is None)
        wire.mend()
        wait_until(lambda: gauges.samples[-1].consumers == 1)


@pytest.mark.no_broker
def test_bad_input_is_a_sentence() -> None:
    """A broker that is away, a period that is none."""
    with pytest.raises(LabProblem, match="look every"):
        Gauges("chat", every=0)
    with pytest.raises(LabProblem, match="no connection"), Gauges("chat", url="amqp://localhost:1"):
        pass
