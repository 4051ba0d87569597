"""The break-it panel's functions on the real broker, and the ledger that tells what they did."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from chatrpc import RpcClient, RpcServer
from chatrpc.lab import faults
from chatrpc.lab.breaking import _Panel
from chatrpc.lab.drill import Drill
from chatrpc.lab.faults import POISONS, Fault, when
from chatrpc.lab.firehose import connect
from chatrpc.lab.pouring import book
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.wire import Wire
from chatrpc.lab.workers import State
from chatrpc.topology import dead_queue
from tests import waiting

wait_until = functools.partial(waiting.wait_until, seconds=15)


pytestmark = pytest.mark.usefixtures("no_worker_left")


def test_undisturbed_each_order_is_poured_and_answered_once(drill: Drill) -> None:
    count = drill.order(12)
    assert (count.calls, count.answered, count.poured) == (12, 12, 12)
    assert (count.waiting, count.wrong, count.hung, count.lost, count.twice) == (0, 0, 0, 0, 0)
    assert not count.failed
    assert repr(drill).splitlines()[0] == "ordered         12"


@pytest.mark.parametrize(
    ("point", "twice"), [("before work", 0), ("after work", 1), ("before ack", 1)]
)
def test_a_death_at_a_point_is_in_the_ledger_every_time(
    service: str, point: str, twice: int
) -> None:
    """One more cup than orders, unless it died before the work; and every order is answered."""
    with Drill(service=service, timeout=20, at_once=1) as drill:
        victim = drill.worker
        fault = drill.kill_at(point)
        count = drill.order(8)
        assert victim.wait().state is State.KILLED
        assert (count.answered, count.lost, count.twice, count.poured) == (8, 0, twice, 8 + twice)
        fault.undo()
        assert victim.alive


@pytest.mark.parametrize(
    "breaks",
    [
        Drill.cut,
        Drill.reset,
        Drill.late_replies,
        Drill.duplicate_replies,
        Drill.forge_replies,
        Drill.another,
        Drill.kill,
        Drill.poison,
        lambda drill: drill.delay(0.05),
        lambda drill: drill.slow(0.1),
    ],
    ids=lambda f: getattr(f, "__name__", "timed"),
)
def test_what_is_broken_costs_no_order_its_answer(
    drill: Drill, breaks: Callable[[Drill], Fault]
) -> None:
    """Each says what was done and what to watch, and ends with the undo."""
    drill.order(4, wait=False)
    fault = breaks(drill)
    assert fault.what
    assert fault.watch.endswith(".")
    count = drill.order(8)
    wait_until(lambda: not drill.ledger.waiting, seconds=25)
    count = drill.ledger
    assert (count.answered, count.wrong, count.hung) == (12, 0, 0), count
    assert count.lost == 0
    drill.undo()
    assert drill.faults == []
    assert drill.wire.state == "passing"


def test_after_a_deleted_queue_the_next_orders_are_answered(drill: Drill) -> None:
    """What waited in it may be gone; what is ordered then finds the queue again."""
    drill.order(4)
    assert "was deleted" in drill.delete_queue().what
    count = drill.order(8)
    assert (count.answered, count.lost, count.hung) == (12, 0, 0)


def test_a_forger_who_knows_the_id_is_believed(service: str) -> None:
    """Which is why a broker's permissions guard the reply queues."""
    server = RpcServer(service)

    @server.method
    def slowly(text: str) -> str:
        time.sleep(0.5)
        return text

    with server, RpcClient(service) as client:
        with faults.forge_replies(service, knows_id=True):
            assert client.call("slowly", "hola") == "forged"
        assert client.call("slowly", "hola") == "hola"


def test_a_full_queue_is_told_at_once_and_emptied_again(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATRPC_QUEUE_LIMIT", "50")
    with Drill(service=service, timeout=10, workers=1) as drill:
        fault = drill.fill()
        assert "filled with" in fault.what
        count = drill.order(4)
        assert dict(count.failed) == {"Busy, it did not run": 4}
        assert count.lost == 4
        drill.undo()
        assert drill.order(4).answered == 4


def test_filling_what_is_not_there_is_a_sentence(url: str) -> None:
    with pytest.raises(LabProblem, match="There is no queue of 'nobody-at-all'"):
        faults.fill("nobody-at-all")


def test_a_careless_client_and_its_calls_that_hang(service: str) -> None:
    """It never gives up: its calls are counted as hung, and the drill ends all the same."""

    class Hangs:
        def __init__(self, service: str, *, url: str, timeout: float) -> None:
            self.ended = threading.Event()

        def call(self, method: str, *args: Any) -> Any:
            self.ended.wait(60)

        def close(self) -> None:
            self.ended.set()

    class Crosses(Hangs):
        def call(self, method: str, *args: Any) -> Any:
            if args[0] == 3:
                raise KeyError("oops")
            return "cup 1"

    with Drill(Hangs, service=service, timeout=0.3, workers=1) as drill:
        count = drill.order(2)
        assert (count.hung, count.lost, count.answered) == (2, 2, 0)
    with Drill(Crosses, service=service, timeout=1, workers=1) as drill:
        count = drill.order(3)
        assert (count.answered, count.wrong) == (1, 1)
        assert dict(count.failed) == {"KeyError, which is none of chatrpc's errors": 1}
    with pytest.raises(LabProblem, match="object must take a service, url= and timeout="):
        Drill(object, service=service, workers=0)


@pytest.mark.parametrize("kind", POISONS)
def test_each_poison_is_put_away_and_its_neighbours_are_answered(service: str, kind: str) -> None:
    with RpcServer(service) as server, RpcClient(service) as client:
        server.method("up")(str.upper)
        assert client.call("up", "a") == "A"
        assert kind in faults.poison(service, kind).what
        assert client.call("up", "b", timeout=20) == "B"
        transport = connect()
        wait_until(lambda: transport.look(dead_queue(service))[0] == 1, seconds=30)
        transport.close()


def test_a_poison_that_there_is_not_is_a_sentence(service: str) -> None:
    with pytest.raises(LabProblem, match="There is no poison 'arsenic': there is no JSON"):
        faults.poison(service, "arsenic")


def test_a_break_by_schedule_comes_at_its_moment(service: str) -> None:
    """At the third delivery, whatever the clock says; and not before."""
    server = RpcServer(service)
    server.method("up")(str.upper)
    with Wire() as wire, server, RpcClient(service, url=wire.url) as client:
        with when(service, "delivery", lambda: faults.cut(wire), nth=3) as planned:
            assert [client.call("up", text) for text in "ab"] == ["A", "B"]
            assert repr(planned) == "It has not come to that yet."
            with pytest.raises(LabProblem, match="did not come within 0 s"):
                planned.wait(0)
            assert client.call("up", "c") == "C"
            assert "was cut" in planned.wait().what
        with pytest.raises(LabProblem, match="A moment is"):
            when(service, "noon", lambda: faults.cut(wire))
        with when(service, "request", lambda: faults.delay(wire, -1)) as planned:
            client.call("up", "d")
            with pytest.raises(LabProblem, match="A delay is 0 seconds or more"):
                planned.wait()


def test_the_killed_broker_is_back_after_the_undo(drill: Drill) -> None:
    drill.order(2)
    drill.kill_broker()
    drill.order(2, wait=False)
    drill.undo()
    wait_until(lambda: not drill.ledger.waiting, seconds=40)
    assert drill.ledger.answered == 4, drill.ledger.failed


def test_no_cluster_and_no_worker_are_sentences(drill: Drill) -> None:
    with pytest.raises(LabProblem):
        drill.kill_leader()
    for card in drill.workers:
        card.stop()
    with pytest.raises(LabProblem, match="No worker is alive"):
        drill.kill()


def test_the_buttons_do_the_same_and_say_what_goes_wrong(drill: Drill) -> None:
    panel = _Panel(drill)
    panel._order()
    wait_until(lambda: drill.ledger.answered == 20)
    wait_until(lambda: '<td class="n">20</td>' in panel._count.value)
    panel._break(drill.cut)
    wait_until(lambda: "was cut" in panel._watch.value)
    assert "Watch: " in panel._watch.value
    panel._break(drill.kill_leader)
    wait_until(lambda: "was cut" not in panel._watch.value and panel._watch.value != "…")
    panel._undo()
    wait_until(lambda: "mended" in panel._watch.value)
    assert drill.faults == []


def test_nothing_is_left_of_a_drill(service: str) -> None:
    before = set(threading.enumerate())
    with Drill(service=service, workers=1) as made:
        made.order(2)
        pids = [card.pid for card in made.workers]
    assert all(pids)
    with pytest.raises(LabProblem, match="This drill is over"):
        made.order(1)
    assert not any(card.alive for card in made.workers)
    assert not book(service).exists()
    wait_until(lambda: not (set(threading.enumerate()) - before))
