"""A caller who waits alone reads its answer itself; nobody else may ever wait for that."""

import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatrpc import CallTimeout, ClientClosed, NoWorker, RpcClient, RpcServer
from chatrpc.calls import Call
from chatrpc.lab.wire import Wire
from chatrpc.transport import Channel, turns
from chatrpc.writer import Writer
from tests.waiting import wait_until, within

LONG = 20.0
"""Seconds that the inbound thread stands back here, so that whoever waits for it is seen."""


@pytest.fixture
def worker(url, service):
    """Serve an echo, and one that takes its time."""
    server = RpcServer(service, url=url)
    server.method("echo")(lambda value: value)
    server.method("slow")(lambda seconds: time.sleep(seconds) or seconds)
    with server:
        yield server


@pytest.fixture(params=[True, False], ids=["safe", "fast"])
def safe(request):
    """Return which of both modes it is."""
    return request.param


@pytest.fixture
def reads(monkeypatch):
    """Return the names of the threads that have read other than as the inbound thread."""
    seen = []
    read = turns.Turns._read

    def noted(self, timeout):
        seen.append(threading.current_thread().name)
        read(self, timeout)

    monkeypatch.setattr(turns.Turns, "_read", noted)
    return seen


@pytest.fixture
def long_away(monkeypatch):
    """Let nothing but a caller's word bring the inbound thread back."""
    monkeypatch.setattr(turns, "_AWAY", LONG)
    monkeypatch.setenv("CHATRPC_HEARTBEAT", "120")  # a heartbeat's frame calls it back, too


@pytest.fixture
def alone():
    """Return what runs a function on the one thread that calls."""
    with ThreadPoolExecutor(1, thread_name_prefix="caller") as pool:
        yield lambda function, *args, **named: pool.submit(function, *args, **named).result(30)


def leading(client):
    """Whether a caller of this client reads now."""
    turns = client._link.turns
    return turns is not None and turns._leading


def led(client, alone, pool, seconds):
    """Begin a call of so many seconds whose caller reads: it comes soon enough after another."""
    for _ in range(10):
        alone(client.call, "echo", 0)
        call = pool.submit(client.call, "slow", seconds)
        if within(seconds / 2, lambda: leading(client)):
            return call
        call.result(30)
    raise AssertionError("the inbound thread never stood back")


def stood_back(client, alone):
    """Call until the inbound thread stands back: it does not if an answer is there too soon."""
    for _ in range(10):
        assert alone(client.call, "echo", 0) == 0
        if within(0.5, lambda: client._link.turns._away):
            return
    raise AssertionError("the inbound thread never stood back")


def test_a_caller_alone_reads_its_answers_but_for_the_first(
    url, service, worker, safe, reads, alone, long_away
):
    with RpcClient(service, url=url, safe=safe) as client:
        stood_back(client, alone)
        reads.clear()
        for number in range(20):
            assert alone(client.call, "echo", number) == number
    assert len(reads) >= 20
    assert all(name.startswith("caller") for name in reads)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "way"), [("settle", "submit"), ("settle", "call"), ("wake", "call")]
)
def test_an_interrupt_of_who_reads_loses_no_other_call(
    url, service, worker, alone, step, way, when, monkeypatch
):
    does, take = getattr(Call, step), Channel.take

    def interrupted(call, *outcome):
        monkeypatch.setattr(Call, step, does)
        if when == "after":
            does(call, *outcome)
        if step == "wake":  # what is acknowledged does not come again, nor is it read once more
            pool.submit(client._link._standing.reading._writer.flush).result()
            monkeypatch.setattr(Channel, "take", lambda *frame: True)
        raise KeyboardInterrupt

    with RpcClient(service, url=url) as client, ThreadPoolExecutor(3) as pool:
        reader, generation = led(client, alone, pool, 4.0), client._link._generation
        if way == "submit":
            other = client.submit("slow", 0.2)
        else:
            other = pool.submit(client.call, "slow", 0.2)
        monkeypatch.setattr(Call, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.result(5)
        monkeypatch.setattr(Channel, "take", take)
        assert other.result(5) == 0.2
        assert alone(client.call, "echo", 1) == 1
        assert client._link._generation > generation
        assert within(1, lambda: not len(client._pending))


def test_of_many_answers_at_once_each_reaches_its_caller_at_once(
    url, service, worker, safe, long_away
):
    """Whoever is woken wakes the next: nothing else is read that could."""
    with (
        Wire(url) as wire,
        RpcClient(service, url=wire.url, safe=safe) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        calls = [pool.submit(client.call, "slow", 1.5) for _ in range(12)]
        time.sleep(0.5)
        wire.stall()
        time.sleep(1.5)
        assert not any(call.done() for call in calls)
        wire.mend()
        start = time.monotonic()
        assert [call.result(5) for call in calls] == [1.5] * 12
        assert time.monotonic() - start < 2


def test_an_interrupt_of_who_writes_loses_no_other_call(url, service, worker, monkeypatch):
    """It took what another caller has to say with its own, and neither went out."""
    flush, taken = Writer.flush, Writer._taken
    held = threading.Event()

    def holds(writer):
        if threading.current_thread().name.startswith("other"):
            monkeypatch.setattr(Writer, "flush", flush)
            held.set()
        else:
            flush(writer)

    def interrupted(writer):
        monkeypatch.setattr(Writer, "_taken", taken)
        taken(writer)
        raise KeyboardInterrupt

    with (
        RpcClient(service, url=url) as client,
        ThreadPoolExecutor(1, thread_name_prefix="other") as pool,
    ):
        assert client.call("echo", 0) == 0
        generation = client._link._generation
        monkeypatch.setattr(Writer, "flush", holds)
        other = pool.submit(client.call, "echo", 1)
        assert held.wait(5)
        monkeypatch.setattr(Writer, "_taken", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.call("echo", 2)
        assert other.result(6) == 1
        assert client.call("echo", 3) == 3
        assert client._link._generation > generation
        assert within(1, lambda: not len(client._pending))


def test_an_interrupt_of_who_leaves_leaves_nothing_for_good(url, service, worker, monkeypatch):
    """What it could not take out of the table, the next who is interrupted takes out."""

    def interrupted(*args):
        raise KeyboardInterrupt

    with RpcClient(service, url=url) as client:
        for step, left in (("_forget", 1), ("_awaited", 0)):
            with monkeypatch.context() as patched:
                patched.setattr(client, step, interrupted)
                with pytest.raises(KeyboardInterrupt):
                    client.call("echo", 0)
            assert len(client._pending) == left
        assert client.call("echo", 1) == 1


HAIL = """
import os, random, signal, sys, threading, time
from chatrpc import RpcClient

client = RpcClient(sys.argv[1], timeout=20)
over, good, hit, bad, armed = time.monotonic() + 4, [], 0, [], False

def calls():
    while time.monotonic() < over:
        time.sleep(0.005)
        try:
            good.append(client.call("echo", 1) == 1)
        except Exception as error:
            bad.append(repr(error))

def hail():
    while time.monotonic() < over:
        time.sleep(random.uniform(0.001, 0.004))
        os.kill(os.getpid(), signal.SIGINT)

def strike(number, frame):  # only in the call: elsewhere nobody would catch it
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, strike)
threads = [threading.Thread(target=what) for what in (calls, hail)]
for thread in threads:
    thread.start()
while time.monotonic() < over:
    try:
        armed = True
        client.call("echo", 0)
        armed = False
    except KeyboardInterrupt:
        hit += 1
signal.signal(signal.SIGINT, signal.SIG_IGN)
for thread in threads:
    thread.join()
print(hit, len(good), all(good), bad, client.call("echo", 2))
client.close()
"""


def test_a_hail_of_interrupts_on_the_main_thread_loses_no_other_call(url, service, worker):
    told = subprocess.run(
        [sys.executable, "-c", HAIL, service],
        env=os.environ | {"CHATRPC_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    hit, good, right, *bad, last = told.stdout.split()
    assert (right, bad, last) == ("True", ["[]"], "2"), told.stdout
    assert int(hit) > 100
    assert int(good) > 50


def test_no_mixture_of_callers_makes_one_wait_for_a_turn(url, service, safe, worker, long_away):
    slowest = []

    def calls(number):
        choice = random.Random(number)
        for step in range(150):
            time.sleep(choice.choice((0, 0, 0.0005, 0.003, 0.01)))
            start = time.monotonic()
            if choice.random() < 0.3:
                assert client.submit("echo", step).result(LONG / 4) == step
            else:
                assert client.call("echo", step, timeout=LONG / 4) == step
            slowest.append(time.monotonic() - start)

    with (
        RpcClient(service, url=url, safe=safe) as client,
        ThreadPoolExecutor(3, thread_name_prefix="caller") as pool,
    ):
        list(pool.map(calls, range(3)))
    assert max(slowest) < LONG / 4


def test_a_question_to_the_broker_brings_the_inbound_thread_back(
    url, service, worker, safe, alone, long_away
):
    with RpcClient(service, url=url, safe=safe) as client:
        stood_back(client, alone)
        start = time.monotonic()
        assert client.consumers() == 1
        assert time.monotonic() - start < 1


def test_a_wish_that_comes_while_the_inbound_thread_leaves_keeps_it(
    url, service, worker, alone, long_away, monkeypatch
):
    with RpcClient(service, url=url) as client:
        turns = client._link.turns

        def served():  # asked on the inbound thread, before it gives its turn away
            alone(turns.read_until, lambda: False, 5)
            return True

        alone(turns.read_until, served, 5)
        monkeypatch.setattr(turns, "call_back", lambda: None)
        client.consumers()
        monkeypatch.delattr(turns, "call_back")
        wait_until(lambda: turns._wish is not served)
        assert not within(0.3, lambda: turns._away)


def test_a_wish_that_comes_while_a_reader_leaves_brings_the_inbound_thread_back(
    url, service, worker, alone, long_away
):
    with RpcClient(service, url=url) as client, ThreadPoolExecutor(1) as another:
        stood_back(client, alone)
        turns = client._link.turns

        def done():  # asked by the reader, before it gives its turn away
            another.submit(turns.read_until, lambda: False, 5).result()
            return True

        alone(turns.read_until, done, 5)
        assert within(1, lambda: not turns._away)


def test_who_reads_for_a_long_call_reads_for_the_others_too(url, service, worker, safe, alone):
    with RpcClient(service, url=url, safe=safe) as client, ThreadPoolExecutor(1) as pool:
        slow = led(client, alone, pool, 3.0)
        for number in range(10):
            start = time.monotonic()
            assert client.call("echo", number) == number
            assert time.monotonic() - start < 0.5
        assert not slow.done()
        assert slow.result(5) == 3.0


def test_the_turn_goes_on_when_the_reader_leaves_first(
    url, service, worker, safe, alone, long_away
):
    with RpcClient(service, url=url, safe=safe) as client, ThreadPoolExecutor(1) as pool:
        first = led(client, alone, pool, 0.3)
        start = time.monotonic()
        second = client.submit("slow", 0.6)
        assert first.result(5) == 0.3
        assert second.result(5) == 0.6
        assert time.monotonic() - start < LONG / 4


def test_slow_calls_one_after_the_other_are_read_by_their_caller(
    url, service, worker, safe, alone, reads, monkeypatch
):
    monkeypatch.setattr(turns, "_AWAY", 0.2)
    with RpcClient(service, url=url, safe=safe) as client:
        stood_back(client, alone)
        led = 0
        for _ in range(6):
            reads.clear()
            assert alone(client.call, "slow", 0.5) == 0.5
            led += bool(reads)
        assert led >= 4  # all, unless the machine is busy between two of them


def test_after_a_slow_call_the_inbound_thread_is_back_soon(url, service, worker, safe, alone):
    with RpcClient(service, url=url, safe=safe) as client, ThreadPoolExecutor(1) as pool:
        assert led(client, alone, pool, 0.7).result(5) == 0.7
        assert within(0.5, lambda: not client._link.turns._away)


def test_closing_ends_the_call_of_who_reads_at_once(url, service, worker, safe, alone):
    with Wire(url) as wire, ThreadPoolExecutor(1) as pool:
        client = RpcClient(service, url=wire.url, safe=safe)
        call = led(client, alone, pool, 5.0)
        wire.stall()  # so that nothing comes which would wake the reader
        closing = threading.Thread(target=client.close)
        start = time.monotonic()
        closing.start()
        with pytest.raises(ClientClosed):
            call.result(5)
        assert time.monotonic() - start < 0.4
        closing.join()


def test_a_deadline_ends_the_call_of_who_reads(url, service, worker, safe, alone):
    with RpcClient(service, url=url, safe=safe) as client:
        alone(client.call, "echo", 0)
        start = time.monotonic()
        with pytest.raises(CallTimeout):
            alone(client.call, "slow", 1.5, timeout=0.4)
        assert 0.4 <= time.monotonic() - start < 0.9
        assert alone(client.call, "echo", 1) == 1


def test_a_missing_queue_is_told_to_who_reads(url, service, safe, alone):
    with RpcClient(service, url=url, safe=safe) as client:
        for _ in range(3):
            start = time.monotonic()
            with pytest.raises(NoWorker):
                alone(client.call, "echo", 0)
            assert time.monotonic() - start < 1


@pytest.mark.parametrize("fault", ["cut", "reset", "stall"])
def test_who_reads_notices_the_loss_of_the_connection(url, service, worker, alone, fault):
    with Wire(url) as wire, RpcClient(service, url=wire.url, timeout=15) as client:
        for turn in range(2):
            for number in range(5):
                assert alone(client.call, "echo", number) == number
            generation = client._link._generation
            with ThreadPoolExecutor(1) as pool:
                call = led(client, alone, pool, 0.5)
                getattr(wire, fault)()
                if fault != "cut":
                    wait_until(lambda: not leading(client), 8)
                wire.mend()
                assert call.result(12) == 0.5, turn
            assert client._link._generation > generation


def test_in_fast_mode_the_loss_ends_the_call_of_who_reads(url, service, worker, alone):
    with Wire(url) as wire, RpcClient(service, url=wire.url, safe=False) as client:
        with ThreadPoolExecutor(1) as pool:
            call = led(client, alone, pool, 5.0)
            start = time.monotonic()
            wire.reset()
            with pytest.raises(Exception, match="lost"):
                call.result(5)
            assert time.monotonic() - start < 1
        wire.mend()
        wait_until(lambda: client._link.stands)
        assert alone(client.call, "echo", 1) == 1
