"""What calls take of memory: little while they are in flight, and nothing when they are over."""

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatrpc import RpcClient, RpcServer, topology
from chatrpc.answers import Answers
from tests.waiting import wait_until

IN_FLIGHT = 10_000
BODY = 1024
MOST = 3 * 1024  # bytes that a call in flight may take, beside its body
BURST = 1000
REMEMBERED = 100  # answers that the server keeps
SLACK = 8 * 1024  # bytes: 4 for each of two bursts' calls, and no object is that small


@pytest.fixture
def taken():
    """Return how many bytes this process has taken by now, since the test began."""
    tracemalloc.start()

    def now():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield now
    tracemalloc.stop()


def test_ten_thousand_calls_in_flight(url, service, taken):
    """Each takes at most 3 KiB and its body, and gives it back when the client is closed."""
    with RpcServer(service, url=url):
        pass  # its queue stays
    with RpcClient(service, url=url, timeout=60) as client:
        before = taken()
        futures = [client.submit("echo", f"{number:0{BODY}}") for number in range(IN_FLIGHT)]
        queue = topology.request_queue(service)
        wait_until(lambda: client._link.look(queue)[0] == IN_FLIGHT, 60)
        each = (taken() - before) / IN_FLIGHT
        assert BODY < each < BODY + MOST
        assert not any(future.done() for future in futures)
    futures.clear()
    wait_until(lambda: taken() - before < each * IN_FLIGHT / 20)


@pytest.mark.parametrize("safe", [True, False])
def test_calls_that_are_over_leave_nothing_behind(url, service, taken, safe):
    """Client and server have after thousands of calls what they had after the first ones."""
    server = RpcServer(service, url=url)
    server._answers = Answers(entries=REMEMBERED)  # else each call costs its answer, for a minute
    server.method("echo")(lambda text: text)
    with server, RpcClient(service, url=url, safe=safe) as client, ThreadPoolExecutor(8) as pool:

        def burst():
            texts = [f"{number:0{BODY}}" for number in range(BURST)]
            assert list(pool.map(lambda text: client.call("echo", text), texts)) == texts
            assert [client.submit("echo", text).result(10) for text in texts[:100]] == texts[:100]
            wait_until(lambda: not server._replies)
            return taken()

        burst()
        first = burst()
        burst()
        assert burst() < first + SLACK
