"""Client, server, link and transport on a real broker: what their public face does not show."""

import collections
import gc
import itertools
import json
import os
import socket
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import amqpstorm
import pytest

from chatrpc import (
    BrokerError,
    BrokerRefused,
    Busy,
    CallTimeout,
    ClientClosed,
    InvalidParams,
    NoWorker,
    Ran,
    Request,
    RpcClient,
    RpcServer,
    TooLarge,
    topology,
    transport,
)
from chatrpc.lab.wire import Wire
from chatrpc.link import Link
from chatrpc.messages import LARGEST
from chatrpc.settings import Address
from chatrpc.transport.witness import witness
from tests.waiting import wait_until


class Calls(list):
    """What the methods of the test's server were called with."""


@pytest.fixture
def ran():
    """Return the list of what ran."""
    return Calls()


@pytest.fixture
def hold():
    """Return the event that ``wait`` waits for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def server(url, service, ran, hold):
    """Serve a few methods on a service of the test's own."""
    server = RpcServer(service, url=url, threads=4, name="worker-1")

    @server.method
    def echo(value=None):
        ran.append(value)
        return value

    @server.method
    def wait(request: Request, name=""):
        ran.append(name)
        hold.wait(10)
        return [name, request.redelivered]

    with server:
        yield server


@pytest.fixture
def client(url, service):
    """Call the test's service."""
    with RpcClient(service, url=url, timeout=5) as client:
        yield client


@pytest.fixture
def raw(url):
    """Return a channel of plain AMQPStorm."""
    at = Address.parse(url)
    with amqpstorm.Connection(at.host, at.user, at.password, port=at.port) as connection:
        yield connection.channel(rpc_timeout=5)


def until(true, seconds=5.0):
    """Wait until something is true; return whether it is."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def send(raw, service, body, **properties):
    """Publish a request as a stranger would."""
    raw.basic.publish(body, service, exchange=topology.REQUESTS, properties=properties)


def take(raw, queue, seconds=5.0):
    """Return the next message of a queue."""
    return until(lambda: raw.basic.get(queue, no_ack=True), seconds)


def depth(raw, queue):
    """Return how many messages wait in a queue."""
    return raw.queue.declare(queue, passive=True)["message_count"]


def names():
    """Return the names of the threads that live."""
    return sorted(thread.name for thread in threading.enumerate())


def open_files():
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))


ASK = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "echo", "params": ["hola"]})


class TestPlainClients:
    """Anybody who speaks JSON-RPC and AMQP can call in."""

    def test_a_server_named_reply_queue_is_served(self, server, raw, service):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        send(raw, service, ASK, reply_to=queue, correlation_id="1")
        message = take(raw, queue)
        assert message.json() == {"jsonrpc": "2.0", "id": 7, "result": "hola"}
        assert message.correlation_id == "1"
        assert message.properties["headers"]["worker"] == "worker-1"

    def test_direct_reply_is_served(self, server, raw, service):
        found = []
        raw.basic.consume(found.append, "amq.rabbitmq.reply-to", no_ack=True)
        send(raw, service, ASK, reply_to="amq.rabbitmq.reply-to", correlation_id="1")
        assert until(lambda: (raw.process_data_events(), found)[1])
        assert found[0].json()["result"] == "hola"

    def test_one_that_counts_1_2_3_never_gets_an_older_ones_answer(self, server, raw, service):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        for text in ("one", "two"):  # the second is another program's first message
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [text]})
            send(raw, service, body, reply_to=queue, correlation_id="1")
            assert take(raw, queue).json()["result"] == text

    def test_what_is_no_request_is_answered_with_the_reason(self, server, raw, service):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        send(raw, service, '{"jsonrpc": "1.0"}', reply_to=queue, correlation_id="1")
        assert take(raw, queue).json()["error"]["code"] == -32600


class TestWhatMayBeAnswered:
    """Where replies go, and what is kept as a dead letter."""

    @pytest.mark.parametrize(
        "reply_to", ["chatrpc.req.{}", "chatrpc.dead.{}", "chatrpc.reply.bob.x", "", "anything"]
    )
    def test_a_forged_reply_address_is_a_dead_letter(self, server, raw, service, ran, reply_to):
        send(raw, service, ASK, reply_to=reply_to.format(service), correlation_id="1")
        dead = take(raw, topology.dead_queue(service))
        assert dead.body == ASK
        assert ran == []

    def test_what_cannot_be_decoded_is_a_dead_letter_and_is_answered(self, server, raw, service):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        send(raw, service, "no json", reply_to=queue, correlation_id="1")
        assert take(raw, queue).json()["error"]["code"] == -32700
        assert take(raw, topology.dead_queue(service)).body == "no json"

    def test_a_header_that_cannot_be_decoded_is_a_dead_letter(
        self, server, client, raw, service, url
    ):
        publish_bytes(url, service, correlation_id=b"\xff\xfe\xfd")
        assert until(lambda: depth(raw, topology.dead_queue(service)) == 1)
        assert client.call("echo", "still here") == "still here"
        raw.queue.purge(topology.dead_queue(service))

    def test_what_is_too_large_is_a_dead_letter(self, server, client, raw, service):
        send(raw, service, "x" * (LARGEST + 200_000), reply_to="amq.gen-x", correlation_id="1")
        assert until(lambda: depth(raw, topology.dead_queue(service)) == 1)
        assert client.call("echo", "still here") == "still here"

    def test_what_came_back_too_often_is_a_dead_letter(self, server, raw, service):
        server.close()
        queue = topology.request_queue(service)
        send(raw, service, ASK, reply_to="amq.gen-x", correlation_id="1")
        for returns in range(topology.DELIVERY_LIMIT + 1):
            message = until(lambda: raw.basic.get(queue))
            assert message.redelivered is (returns > 0)
            message.reject(requeue=True)
        assert take(raw, topology.dead_queue(service)).body == ASK
        assert depth(raw, queue) == 0

    def test_what_expired_is_not_begun_and_is_no_dead_letter(self, server, raw, service, ran):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        late = {"deadline": int((time.time() - 1) * 1000)}
        send(raw, service, ASK, reply_to=queue, correlation_id="1", headers=late)
        send(raw, service, ASK, reply_to=queue, correlation_id="2")
        assert take(raw, queue).correlation_id == "2"
        assert ran == ["hola"]
        assert depth(raw, topology.dead_queue(service)) == 0


def publish_bytes(url, service, *, correlation_id):
    """Publish a request whose correlation id is bytes that AMQPStorm would not send."""
    at = Address.parse(url)
    body = ASK.encode()
    with amqpstorm.Connection(at.host, at.user, at.password, port=at.port) as connection:
        channel = connection.channel()
        exchange = topology.REQUESTS.encode()
        method = b"\x00\x3c\x00\x28\x00\x00" + short(exchange) + short(service.encode()) + b"\x00"
        header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x04\x00"
        data = b""
        for kind, part in ((1, method), (2, header + short(correlation_id)), (3, body)):
            data += bytes([kind]) + int(channel).to_bytes(2, "big") + len(part).to_bytes(4, "big")
            data += part + b"\xce"
        connection.socket.sendall(data)
        time.sleep(0.1)


def short(text):
    """Return AMQP's short string."""
    return bytes([len(text)]) + text


class TestOnce:
    """The same request again."""

    def test_a_copy_while_it_runs_and_one_after_it_get_the_answer_of_the_first(
        self, server, raw, service, ran, hold
    ):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        body = json.dumps({"jsonrpc": "2.0", "id": "a", "method": "wait", "params": ["cup"]})
        for _ in range(2):
            send(raw, service, body, reply_to=queue, correlation_id="a", message_id="a")
        assert until(lambda: ran == ["cup"])
        time.sleep(0.2)
        hold.set()
        answers = [take(raw, queue).json() for _ in range(2)]
        send(raw, service, body, reply_to=queue, correlation_id="a", message_id="a")
        answers.append(take(raw, queue).json())
        assert answers == [{"jsonrpc": "2.0", "id": "a", "result": ["cup", False]}] * 3
        assert ran == ["cup"]

    def test_a_copy_that_waits_longer_gets_its_answer_for_as_long(
        self, server, raw, service, ran, hold
    ):
        queue = raw.queue.declare("", exclusive=True)["queue"]
        body = json.dumps({"jsonrpc": "2.0", "id": "a", "method": "wait", "params": ["cup"]})
        for correlation_id, left in (("brief", "300"), ("patient", "9000")):
            about = {"correlation_id": correlation_id, "message_id": "a", "expiration": left}
            send(raw, service, body, reply_to=queue, **about)
        assert until(lambda: ran == ["cup"])
        time.sleep(0.4)
        hold.set()
        time.sleep(0.3)  # so that a reply which expires early is gone
        assert take(raw, queue).correlation_id == "patient"

    def test_send_again_with_the_same_message_id_runs_once(self, server, client, ran, hold):
        with pytest.raises(CallTimeout):
            client.call("wait", "cup", timeout=0.3, message_id="intention-1")
        hold.set()
        assert client.call("wait", "cup", message_id="intention-1") == ["cup", False]
        assert client.call("wait", "cup", message_id="intention-2") == ["cup", False]
        assert ran == ["cup", "cup"]

    def test_a_double_click_is_two_calls_in_flight_and_one_run(self, server, client, ran, hold):
        futures = [client.submit("wait", "cup", message_id="click") for _ in range(2)]
        assert until(lambda: ran)
        hold.set()
        assert [future.result(5) for future in futures] == [["cup", False]] * 2
        assert ran == ["cup"]


class TestTheClient:
    """Bad input, and what stays behind."""

    def test_bad_input_is_refused_and_leaves_nothing_behind(self, server, client, ran):
        with pytest.raises(TooLarge):
            client.call("echo", "x" * LARGEST)
        with pytest.raises(InvalidParams):
            client.call("echo", {1, 2})
        with pytest.raises(InvalidParams):
            client.call("echo", 1, value=2)
        for timeout in (0, -1, float("nan"), float("inf"), "soon"):
            with pytest.raises(ValueError, match="timeout"):
                client.call("echo", timeout=timeout)
        for message_id in ("", "x" * 201, 7):
            with pytest.raises(ValueError, match="message id"):
                client.call("echo", message_id=message_id)
        assert (ran, len(client._pending), len(client._outbox)) == ([], 0, 0)

    def test_a_queue_that_comes_back_within_two_seconds_is_waited_for(
        self, server, client, raw, service
    ):
        assert client.call("echo", 1) == 1
        server.close()
        raw.queue.delete(topology.request_queue(service))
        threading.Timer(0.5, server.start).start()
        assert client.call("echo", 2) == 2
        server.close()
        raw.queue.delete(topology.request_queue(service))
        start = time.monotonic()
        with pytest.raises(NoWorker):
            client.call("echo", 3)
        assert 1.5 < time.monotonic() - start < 4

    def test_a_timeout_says_that_nobody_listens(self, server, client):
        server.close()
        with pytest.raises(CallTimeout, match="nobody listens") as caught:
            client.call("echo", timeout=0.3)
        assert caught.value.ran is Ran.MAYBE
        assert client.consumers() == 0
        assert (len(client._pending), len(client._outbox)) == (0, 0)

    def test_close_ends_calls_at_once_and_leaves_no_queue_and_no_thread(
        self, server, url, service, raw, hold
    ):
        before = set(threading.enumerate())
        client = RpcClient(service, url=url)
        future = client.submit("wait")
        queue = client._reply_queue
        assert depth(raw, queue) == 0
        start = time.monotonic()
        client.close()
        with pytest.raises(ClientClosed) as caught:
            future.result(1)
        assert caught.value.ran is Ran.MAYBE
        assert time.monotonic() - start < 2
        with pytest.raises(amqpstorm.AMQPChannelError):
            depth(raw, queue)
        assert until(lambda: not set(threading.enumerate()) - before)
        with pytest.raises(ClientClosed) as caught:
            client.call("echo")
        assert caught.value.ran is Ran.NO

    def test_a_callback_of_a_future_may_call_again(self, server, client):
        answers = []
        done = threading.Event()

        def again(future):
            answers.append(future.result())
            client.submit("echo", 2).add_done_callback(
                lambda f: (answers.append(f.result()), done.set())
            )

        client.submit("echo", 1).add_done_callback(again)
        assert done.wait(5)
        assert answers == [1, 2]

    def test_a_future_knows_who_served_it_and_how_long_it_took(self, server, client):
        future = client.submit("echo", 1)
        assert future.result(5) == 1
        assert future.worker == "worker-1"
        assert 0 <= future.took < 1


class TestFastMode:
    """``safe=False``: direct replies, no confirms."""

    def test_it_answers_and_finds_a_missing_queue(self, server, url, service):
        with RpcClient(service, url=url, safe=False, timeout=5) as fast:
            assert [fast.call("echo", n) for n in range(5)] == list(range(5))
        with RpcClient("nobody-there", url=url, safe=False) as fast, pytest.raises(NoWorker):
            fast.call("echo")

    def test_a_lost_connection_ends_its_calls_at_once(self, server, url, service, hold):
        with RpcClient(service, url=url, safe=False, timeout=5) as fast:
            future = fast.submit("wait")
            time.sleep(0.1)
            fast._link._standing.transport.abort()
            with pytest.raises(BrokerError) as caught:
                future.result(1)
            assert caught.value.ran is Ran.MAYBE
            hold.set()
            assert fast.call("echo", 1) == 1


class TestTheLinkHeals:
    """Losses on either side, and a broker that closes."""

    def test_a_cut_on_the_clients_side_in_mid_call_is_not_seen(self, server, client, ran, hold):
        future = client.submit("wait", "cup")
        assert until(lambda: ran)
        client._link._standing.transport.abort()
        hold.set()
        assert future.result(5)[0] == "cup"
        assert ran == ["cup"]

    def test_a_cut_on_the_servers_side_in_mid_call_is_not_seen(self, server, client, ran, hold):
        future = client.submit("wait", "cup")
        assert until(lambda: ran)
        server._link._standing.transport.abort()
        time.sleep(0.3)
        hold.set()
        assert future.result(5)[0] == "cup"
        assert ran == ["cup"]

    def test_what_a_fresh_server_gets_is_new(self, client, url, service):
        for _ in range(5):
            server = RpcServer(service, url=url)

            @server.method
            def again(request: Request):
                return request.redelivered

            with server:
                one_by_one = [client.call("again") for _ in range(6)]
                at_once = [client.submit("again") for _ in range(20)]
                assert not any(one_by_one)
                assert not any(future.result() for future in at_once)

    def test_what_a_fresh_server_has_answered_does_not_come_back(self, client, raw, url, service):
        for turn in range(10):
            server = RpcServer(service, url=url)
            server.method("echo")(lambda value: value)
            with server:
                assert client.call("echo", turn) == turn
            time.sleep(0.05)  # what was not acknowledged is back by now
            assert depth(raw, topology.request_queue(service)) == 0

    def test_a_deleted_queue_is_declared_again(self, server, client, raw, service):
        assert client.call("echo", 0) == 0
        raw.queue.delete(topology.request_queue(service))
        assert client.call("echo", 1) == 1

    def test_a_hundred_redials_leave_no_thread_and_no_socket(self, server, client):
        assert client.call("echo", 0) == 0
        for party in (client, server):
            party._agenda.soon(lambda: None)  # so that its thread is there before we count
        link = client._link
        threads, files = names(), open_files()
        for _ in range(100):
            standing = link._standing
            standing.transport.abort()
            assert until(lambda: link.stands and link._standing is not standing)  # noqa: B023
        assert client.call("echo", 1) == 1
        assert until(lambda: len(names()) <= len(threads)), (threads, names())
        assert open_files() <= files


class TestTheFirstConnection:
    """One clear error, at once, without a secret. (C16)"""

    def test_a_wrong_password_is_refused_and_not_shown(self, url):
        at = Address.parse(url)
        wrong = f"amqp://{at.user}:s3cret-word@{at.host}:{at.port}/"
        with pytest.raises(BrokerRefused, match="user or password") as caught:
            RpcClient("any", url=wrong)
        assert "s3cret" not in f"{caught.value!r}"
        with pytest.raises(BrokerRefused):
            RpcServer("any", url=wrong).start()

    def test_a_wrong_vhost_is_refused(self, url):
        with pytest.raises(BrokerRefused, match="nowhere"):
            RpcClient("any", url=url.rstrip("/") + "/nowhere")

    def test_nobody_there_is_said_at_once(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(BrokerError, match=f":{port}"):
            RpcClient("any", url=f"amqp://127.0.0.1:{port}/")
        assert time.monotonic() - start < 2

    def test_a_web_server_is_no_broker(self):
        with socket.create_server(("127.0.0.1", 0)) as other:

            def answer():
                peer, _ = other.accept()
                with peer:
                    peer.recv(100)
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    time.sleep(0.2)

            threading.Thread(target=answer, daemon=True).start()
            with pytest.raises(BrokerError, match="AMQP"):
                RpcClient("any", url=f"amqp://127.0.0.1:{other.getsockname()[1]}/")

    def test_one_that_is_silent_is_given_up(self):
        before = set(threading.enumerate())
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = Address.parse(f"amqp://127.0.0.1:{silent.getsockname()[1]}/")
            start = time.monotonic()
            with pytest.raises(BrokerError):
                transport.Transport(address, lost=lambda error: None, dial=0.5).open()
            assert time.monotonic() - start < 2
        assert until(lambda: not set(threading.enumerate()) - before)


class TestTheServer:
    """Drain, and its own mistakes."""

    def test_a_reply_that_is_refused_is_given_up_when_nobody_waits_any_more(
        self, server, raw, service
    ):
        full = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
        queue = raw.queue.declare("", exclusive=True, arguments=full)["queue"]
        raw.basic.publish("stands in the way", queue)
        send(raw, service, ASK, reply_to=queue, correlation_id="1", expiration="500")
        assert until(lambda: len(server._replies) > 0)
        assert until(lambda: len(server._replies) == 0, seconds=3)
        assert depth(raw, topology.request_queue(service)) == 0

    def test_close_finishes_the_work_in_hand(self, server, client, ran, hold):
        future = client.submit("wait", "cup")
        assert until(lambda: ran)
        threading.Timer(0.3, hold.set).start()
        server.close(drain=5)
        assert future.result(1) == ["cup", False]

    def test_work_that_is_not_finished_goes_to_another_worker(
        self, server, client, url, service, ran, hold
    ):
        future = client.submit("wait", "cup")
        assert until(lambda: ran)
        start = time.monotonic()
        server.close(drain=0.2)
        assert time.monotonic() - start < 2
        other = RpcServer(service, url=url)
        other.method("wait")(lambda name: f"{name} by another")
        with other:
            assert future.result(5) == "cup by another"

    def test_a_reply_lost_on_its_way_is_sent_again_if_its_request_was_destroyed(
        self, url, service, raw
    ):
        begun, hold = threading.Event(), threading.Event()
        with Wire(url) as wire:
            server = RpcServer(service, url=wire.url)
            server.method("wait")(lambda: begun.set() or hold.wait(10))
            with server, RpcClient(service, url=url, timeout=20) as client:
                future = client.submit("wait")
                assert begun.wait(5)
                wire.stall()
                hold.set()
                assert until(lambda: len(server._replies) == 1)
                raw.queue.delete(topology.request_queue(service))
                wire.reset()  # before the broker's word on the queue has come through
                wire.mend()
                assert future.result(10) is True

    def test_also_if_another_worker_has_made_the_queue_anew_meanwhile(self, url, service, raw):
        begun, hold = threading.Event(), threading.Event()
        with Wire(url) as wire:
            far, near = RpcServer(service, url=wire.url), RpcServer(service, url=url)
            far.method("wait")(lambda: begun.set() or hold.wait(10))
            with far, RpcClient(service, url=url, timeout=20) as client:
                future = client.submit("wait")
                assert begun.wait(5)
                with near:
                    wire.delay(0.2)
                    raw.queue.delete(topology.request_queue(service))
                    assert until(lambda: near._link._generation == 2)
                    assert until(lambda: near._link.stands)
                    assert until(lambda: not far._link.stands)
                    hold.set()
                    assert future.result(15) is True
                    wire.mend()

    def test_it_can_be_started_again_but_not_twice(self, server, client):
        with pytest.raises(RuntimeError):
            server.start()
        server.close()
        server.start()
        assert client.call("echo", 1) == 1

    def test_a_queue_of_other_arguments_is_one_sentence(self, url, service, raw):
        raw.queue.declare(topology.request_queue(service), durable=True)
        with pytest.raises(BrokerRefused, match="inequivalent"):
            RpcServer(service, url=url).start()


def test_each_of_several_stalls_costs_a_call_no_more_than_its_deadline(url, service, server):
    with Wire(url) as wire, RpcClient(service, url=wire.url, timeout=0.4) as client:
        for turn in range(3):
            assert client.call("echo", turn) == turn
            wire.stall(to_broker=False)
            start = time.monotonic()
            with pytest.raises(CallTimeout):
                client.call("echo", "lost on its way back")
            took = time.monotonic() - start
            wire.mend()
            assert took < 0.4 + 0.5, f"stall {turn + 1}"


def test_amqpstorm_is_the_version_whose_inside_we_know():
    assert amqpstorm.__version__ == transport.PROVEN_ON


def test_what_is_in_hand_is_not_acknowledged_with_what_came_after_it(
    url, service, server, client, hold
):
    """Many are acknowledged by one frame; a slow one before them stays with the broker."""
    slow = client.submit("wait", "slow", timeout=30)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: client.call("echo", n), range(200))) == list(range(200))
    server.close(drain=0.1)
    another = RpcServer(service, url=url)
    another.method("wait")(redelivered)
    with another:
        assert slow.result(5) == ["slow", True]


def redelivered(request: Request, name):
    """Tell whether the broker has handed the request out before."""
    return [name, request.redelivered]


def test_what_is_done_with_together_is_acknowledged_together(url, node, service, server, client):
    """Fewer frames than messages, on both sides; and none is left at the end."""
    heard = []
    with witness(heard.append), ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: client.call("echo", n), range(800))) == list(range(800))
        client.call("echo", "the last acknowledgement waits for a further write")
    acks = [seen for seen in heard if seen.kind == "ack" and seen.out]
    assert len({seen.port for seen in acks}) == 2
    assert sum(seen.multiple for seen in acks) > 20
    assert len(acks) < 1200

    def left():
        rows = node.ctl("list_queues", "name", "messages").splitlines()
        return sum(int(row.split()[-1]) for row in rows if service in row)

    wait_until(lambda: left() == 0)


def test_quick_methods_replies_are_written_together_and_before_a_slow_one_begins(
    url, service, client, monkeypatch
):
    """A method that does not let go of the interpreter would hold up whoever writes for others."""
    done = collections.defaultdict(list)  # by thread

    def note(what):
        done[threading.current_thread().name].append(what)

    flush = Link.flush
    monkeypatch.setattr(Link, "flush", lambda link: (note("flush"), flush(link))[1])
    server = RpcServer(service, url=url, threads=4)

    @server.method
    def quick():
        note("quick")

    @server.method
    def slow():
        note("slow")
        end = time.monotonic() + 0.004
        while time.monotonic() < end:
            pass

    with server:
        assert client.call("quick") is None
        for _ in range(30):
            client._wakes._on_the_way = True  # so that all of them are one write
            calls = [client.submit(name) for name in (*["quick"] * 5, "slow", "slow")]
            client._wakes.next()
            for call in calls:
                call.result()
    pairs = collections.Counter(pair for name in done for pair in itertools.pairwise(done[name]))
    assert pairs["quick", "quick"] > 0
    assert pairs["flush", "slow"] == 60


class TestManyFutures:
    """Each ends by its deadline and half a second, however many there are. (C05)"""

    def test_on_a_link_that_is_silent(self, url, service, server):
        with Wire(url) as wire, RpcClient(service, url=wire.url, timeout=1) as client:
            assert client.call("echo", 1) == 1
            wire.stall()
            start = time.monotonic()
            calls = [client.submit("echo", number) for number in range(50)]
            for call in calls:
                with pytest.raises(CallTimeout):
                    call.result(5)
            assert time.monotonic() - start < 1.9

    def test_of_slow_calls(self, client, server, hold):
        start = time.monotonic()
        calls = [client.submit("wait", str(number), timeout=1) for number in range(2000)]
        last = time.monotonic()
        for call in calls:
            with pytest.raises(CallTimeout):
                call.result(8)
        assert time.monotonic() - last < 2.0, last - start
        assert not len(client._pending)

    def test_that_a_full_queue_refused(self, url, service, monkeypatch):
        monkeypatch.setenv("CHATRPC_QUEUE_LIMIT", "10")
        with RpcServer(service, url=url):
            pass
        asked, look = [], Link.look
        monkeypatch.setattr(Link, "look", lambda *a, **k: asked.append(1) or look(*a, **k))
        with RpcClient(service, url=url, timeout=2) as client:
            waiting = [client.submit("echo", timeout=30)]
            while not any(call.done() for call in waiting):  # a burst would be let in
                time.sleep(0.02)
                waiting.append(client.submit("echo", timeout=30))
            asked.clear()
            client._agenda.soon(lambda: time.sleep(0.7))  # as if a question took so long
            calls = [client.submit("echo", number) for number in range(500)]
            last = time.monotonic()
            assert all(isinstance(call.exception(5), Busy) for call in calls)
            assert time.monotonic() - last < 3
        assert len(asked) < 100, "one question is answer enough for all that were refused by then"

    def test_are_not_kept_until_their_deadline_when_they_are_over(self, server, client):
        calls = [client.submit("echo", number, timeout=3600) for number in range(200)]
        assert [call.result() for call in calls] == list(range(200))
        seen = [weakref.ref(call) for call in calls]
        del calls
        assert until(lambda: gc.collect() >= 0 and not any(ref() for ref in seen))
