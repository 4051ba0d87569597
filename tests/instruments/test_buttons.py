"""Each fault happens, as others than itself can see, and what its undo mends is whole again."""

from __future__ import annotations

import contextlib
import functools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from echo import Echo, dial, exchange

from chatrpc import RpcClient, RpcServer
from chatrpc.broker import Node
from chatrpc.lab import faults, poisons
from chatrpc.lab.breaking import _Panel, _still, _table, _told
from chatrpc.lab.drill import Count, Drill
from chatrpc.lab.faults import Fault, when
from chatrpc.lab.firehose import Firehose, Hop, connect, exists
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.wire import Wire
from chatrpc.lab.workers import State, worker
from chatrpc.topology import request_queue
from tests import waiting

wait_until = functools.partial(waiting.wait_until, seconds=15)


pytestmark = pytest.mark.usefixtures("no_worker_left")


def took(act: Callable[[], object]) -> float:
    """The seconds that something takes."""
    start = time.monotonic()
    act()
    return time.monotonic() - start


# Any fault


@pytest.mark.no_broker
def test_a_fault_is_mended_once_by_hand_or_at_the_end_of_its_block() -> None:
    mended: list[int] = []
    fault = Fault("It broke", "what comes.", lambda: mended.append(1))
    assert repr(fault) == "It broke.\nWatch: what comes."
    fault.undo()
    fault.undo()
    assert mended == [1]
    with Fault("It broke", "what comes.", lambda: mended.append(2)):
        assert mended == [1]
    assert mended == [1, 2]
    with Fault("It broke", "what comes.") as for_good, pytest.raises(LabProblem, match="It broke"):
        for_good.undo()


# The wire


@pytest.fixture
def line(wire: Wire) -> Iterator[socket.socket]:
    """A client's end of the wire, through which something has gone already."""
    with dial(wire) as client:
        exchange(client, b"x")
        yield client


@pytest.mark.no_broker
def test_a_cut_is_heard_on_both_sides_and_one_may_dial_again(
    wire: Wire, line: socket.socket, echo: Echo
) -> None:
    faults.cut(wire)
    assert line.recv(1) == b""
    assert echo.wait_for_end() == "fin"
    with dial(wire) as again:
        assert exchange(again, b"y") == b"y"


@pytest.mark.no_broker
def test_a_cut_that_refuses_turns_everybody_away_until_the_undo(
    wire: Wire, line: socket.socket
) -> None:
    with faults.cut(wire, refuse=True):
        assert line.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            dial(wire)
    with dial(wire) as again:
        assert exchange(again, b"y") == b"y"


@pytest.mark.no_broker
def test_a_reset_is_an_error_on_both_sides(wire: Wire, line: socket.socket, echo: Echo) -> None:
    faults.reset(wire)
    with pytest.raises(ConnectionResetError):
        line.recv(1)
    assert echo.wait_for_end() == "rst"


@pytest.mark.no_broker
@pytest.mark.parametrize(("ways", "passed"), [({}, 1), ({"to_broker": False}, 2)])
def test_a_stall_lets_nothing_through_that_way_until_the_undo(
    ways: dict[str, bool], passed: int, wire: Wire, line: socket.socket, echo: Echo
) -> None:
    line.settimeout(0.3)
    with faults.stall(wire, **ways):
        line.sendall(b"y")
        with pytest.raises(TimeoutError):
            line.recv(1)
        assert echo.got == passed
        assert wire.connections == 1  # and nobody was told
    line.settimeout(5)
    assert line.recv(1) == b"y"


@pytest.mark.no_broker
def test_a_delay_comes_each_way_until_the_undo(wire: Wire, line: socket.socket) -> None:
    with faults.delay(wire, 0.15) as fault:
        assert took(lambda: exchange(line, b"y")) >= 0.3
        assert "0.15 s later" in fault.what
    assert took(lambda: exchange(line, b"y")) < 0.3


# The worker


def test_the_killed_worker_is_dead(service: str) -> None:
    card = worker(service)
    pid = card.pid
    fault = faults.kill(card)
    assert fault.what == f"Worker process {pid} was killed"
    assert card.wait().state is State.KILLED
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        faults.kill(process.pid)
        assert process.wait(10) == -signal.SIGKILL


def test_an_ordered_death_is_called_off_or_made_good_by_its_undo(service: str) -> None:
    card = worker(service)
    with RpcClient(service, timeout=20) as client:
        faults.kill_at(card, "after work").undo()
        assert client.call("echo", "a") == "a"
        assert card.alive
        with faults.kill_at(card, "before work"):
            asked = client.submit("echo", "b")
            assert card.wait().state is State.KILLED
        assert card.alive
        assert asked.result() == "b"


def test_another_worker_comes_and_goes(service: str) -> None:
    card = worker(service)
    with RpcClient(service) as client:
        with faults.another(card):
            assert client.consumers() == 2
        assert client.consumers() == 1
        assert card.alive


def test_a_slow_worker_is_slow_until_the_undo(service: str) -> None:
    card = worker(service)
    with RpcClient(service) as client:
        client.call("echo", "x")
        with faults.slow(card, 0.5):
            assert took(lambda: client.call("echo", "x")) >= 0.5
        assert took(lambda: client.call("echo", "x")) < 0.5


# The broker


def test_a_restarted_broker_is_another_process(node: Node) -> None:
    for hard in (False, True):
        before = node.process
        fault = faults.restart_broker(node, hard=hard)
        assert node.running
        assert node.process != before
        assert ("killed" if hard else "stopped") in fault.what


def test_a_killed_broker_is_away_until_the_undo(node: Node, url: str) -> None:
    with faults.kill_broker(node):
        assert not node.running
        with pytest.raises(LabProblem, match="no connection"):
            connect(url)
    assert node.running
    connect(url).close()


@pytest.fixture
def _queue(service: str) -> None:
    """The queue of a service, whose server has gone."""
    with RpcServer(service) as server:
        server.method("up")(str.upper)


@pytest.mark.usefixtures("_queue")
def test_a_deleted_queue_is_gone(service: str, url: str) -> None:
    with contextlib.closing(connect(url)) as transport:
        assert exists(transport, request_queue(service))
        faults.delete_queue(service)
        assert not exists(transport, request_queue(service))


def test_a_filled_queue_is_full_until_the_undo(
    service: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATRPC_QUEUE_LIMIT", "130")
    with RpcServer(service) as server:
        server.method("up")(str.upper)

    def depth() -> int:
        return transport.look(request_queue(service))[0]

    with contextlib.closing(connect(url)) as transport:
        with faults.fill(service):
            wait_until(lambda: depth() >= 130)
        assert depth() == 0
        with pytest.raises(LabProblem, match="took 50 messages, and would take more"):
            faults.fill(service, most=50)


# Messages that nobody expects


@pytest.mark.usefixtures("_queue")
def test_each_poison_is_the_one_that_was_asked_for(service: str) -> None:
    """The broker's own copy of it, byte by byte."""
    known = poisons.kinds(service, "guest")
    readable = ("no JSON", "no UTF-8", "long number", "NaN", "a key twice", "no sender")
    with Firehose(only=service) as heard:
        for kind in readable:
            faults.poison(service, kind)
        faults.poison(service, body=b"my own")
    bodies = [known[kind].body for kind in readable] + [b"my own"]
    assert [hop.body for hop in heard.hops if hop.kind == "publish"] == [b[:4096] for b in bodies]
    assert heard.hops[0].properties["user_id"] == "guest"
    assert not heard.hops[5].properties.get("user_id")
    assert faults.poison(service, "no sender").watch != faults.poison(service).watch


@pytest.mark.usefixtures("_queue")
def test_a_forged_request_names_anothers_queue(service: str) -> None:
    with Firehose(only=service) as heard:
        fault = faults.forge(service, "up", "hola", reply_to="somebody-elses")
    (hop,) = heard.hops
    assert (hop.kind, hop.reply_to) == ("publish", "somebody-elses")
    assert '"params": ["hola"]' in hop.body_text
    assert "reply_to is another's queue" in fault.what


def replies(hops: list[Hop]) -> list[Hop]:
    """What was written into a queue for replies."""
    return [hop for hop in hops if hop.kind == "publish" and not hop.reply_to]


@pytest.fixture
def client(service: str) -> Iterator[RpcClient]:
    server = RpcServer(service)
    server.method("up")(str.upper)
    with server, RpcClient(service) as made:
        assert made.call("up", "first") == "FIRST"
        yield made


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_each_reply_comes_twice_and_no_more_until_the_undo(
    service: str, client: RpcClient, after: float
) -> None:
    with Firehose(only=service) as heard:
        fault = faults.late_replies(service, after) if after else faults.duplicate_replies(service)
        with fault:
            assert [client.call("up", text) for text in "ab"] == ["A", "B"]
            wait_until(lambda: len(replies(heard.hops)) == 4)
        assert client.call("up", "c") == "C"
        time.sleep(after + 0.3)
    said = [(hop.body, hop.correlation_id) for hop in replies(heard.hops)]
    assert sorted(said.count(one) for one in set(said)) == [1, 2, 2]
    times = [[h.time for h in replies(heard.hops) if h.body == body] for body, _ in set(said)]
    # Whoever copies has its own ear, which may hear of a reply somewhat sooner than ours.
    assert all(pair[1] - pair[0] >= after / 2 for pair in times if len(pair) == 2)


def test_each_question_gets_a_lie_too_until_the_undo(service: str, client: RpcClient) -> None:
    with Firehose(only=service) as heard:
        with faults.forge_replies(service):
            assert client.call("up", "a") == "A"
            wait_until(lambda: len(replies(heard.hops)) == 2)
        assert client.call("up", "b") == "B"
        time.sleep(0.3)
    lies = [hop for hop in replies(heard.hops) if '"forged"' in hop.body_text]
    assert len(lies) == 1
    assert lies[0].correlation_id.endswith("-or-so")
    assert len(replies(heard.hops)) == 3


# By schedule


@pytest.mark.parametrize("moment", faults.MOMENTS)
def test_a_moment_is_one_of_its_kind_alone(service: str, client: RpcClient, moment: str) -> None:
    """The third call has the third request, the third delivery and the third reply."""
    with Wire() as wire:
        with when(service, moment, lambda: faults.stall(wire), nth=3) as planned:
            for text in "ab":
                client.call("up", text)
            time.sleep(0.3)
            assert planned.fault is None
            client.call("up", "c")
            assert "Nothing passes" in planned.wait().what
            assert wire.state.startswith("stalled")
        assert wire.state == "passing"


# The drill and its panel


def test_a_drill_breaks_the_worker_that_is_at_work(service: str) -> None:
    with Drill(service=service, timeout=20, at_once=1) as drill:
        drill.order(1)
        for card in drill.workers:
            card.slow(1.5)
        drill.order(1, wait=False)
        wait_until(lambda: any(card.busy for card in drill.workers))
        (busy,) = (card for card in drill.workers if card.busy)
        assert drill.worker is busy


def test_a_drill_hires_one_more_and_its_undo_sends_it_away(drill: Drill) -> None:
    drill.another()
    assert [card.name for card in drill.workers if card.alive] == [
        "worker 1",
        "worker 2",
        "worker 3",
    ]
    drill.undo()
    assert [card.name for card in drill.workers if card.alive] == ["worker 1", "worker 2"]


def test_a_drill_fills_the_queue_while_nobody_takes_anything(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATRPC_QUEUE_LIMIT", "50")
    with Drill(service=service, timeout=10) as drill:
        drill.fill()
        assert not any(card.alive for card in drill.workers)
        drill.undo()
        assert all(card.alive for card in drill.workers)


def test_the_newest_is_mended_first(drill: Drill) -> None:
    mended: list[str] = []
    for name in ("first", "second"):
        drill.faults.append(Fault(name, ".", lambda name=name: mended.append(name)))
    drill.undo()
    assert mended == ["second", "first"]


BUTTONS = {
    "kill -9": "kill",
    "kill after work": "kill_at after work",
    "kill before ack": "kill_at before ack",
    "slow": "slow",
    "start another": "another",
    "cut": "cut",
    "reset": "reset",
    "stall": "stall",
    "delay": "delay",
    "restart": "restart_broker",
    "kill": "kill_broker",
    "kill the leader": "kill_leader",
    "delete the queue": "delete_queue",
    "fill the queue": "fill",
    "poison:": "poison NaN",
    "late replies": "late_replies",
    "double replies": "duplicate_replies",
    "forged replies": "forge_replies",
    "Order 20 coffees": "order 20",
    "Undo all": "undo",
}


def test_each_button_does_what_it_says(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in {told.partition(" ")[0] for told in BUTTONS.values()}:

        def act(*args: Any, name: str = name, **options: Any) -> Fault:
            done.append(" ".join([name, *map(str, args)]))
            return Fault(name, "it.")

        monkeypatch.setattr(drill, name, act)
    panel = _Panel(drill)
    panel._kind.value = "NaN"

    def buttons(box: Any) -> Iterator[Any]:
        for child in getattr(box, "children", ()):
            if hasattr(child, "click"):
                yield child
            yield from buttons(child)

    found = {button.description: button for button in buttons(panel.widget)}
    assert found.keys() == BUTTONS.keys()
    for word, button in found.items():
        before = len(done)
        button.click()
        wait_until(lambda before=before: len(done) > before)
        assert done[before:] == [BUTTONS[word]], word


@pytest.mark.no_broker
def test_the_ledger_marks_what_should_not_be_and_all_is_escaped() -> None:
    bad = _table(Count(calls=3, answered=1, lost=1, poured=1)).split("<tr")
    assert [row for row in bad if 'class="bad"' in row] == [row for row in bad if "lost" in row]
    assert _told(Fault("<b>", "<i>.")) == "<b>&lt;b&gt;.</b><br>Watch: &lt;i&gt;."
    assert "bad" not in _table(Count(calls=1, answered=1, poured=1))


def test_the_stored_panel_shows_the_ledger_and_the_newest_fault(drill: Drill) -> None:
    drill.order(2)
    drill.cut()
    shown = _still(drill)
    assert '<td>answered</td><td class="n">2</td>' in shown
    assert "The connection was cut" in shown
