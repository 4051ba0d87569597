"""A link opens with few questions, and what the broker refuses is told all the same."""

import contextlib
import threading
import time

import amqpstorm
import pytest

from chatrpc import BrokerRefused, NoWorker, RpcClient, RpcServer, topology
from chatrpc.settings import Settings
from chatrpc.transport import Transport, news
from chatrpc.transport.news import News
from chatrpc.transport.witness import port_of
from tests.waiting import within


@contextlib.contextmanager
def dialled(url):
    """Have a transport that stands."""
    transport = Transport(Settings.from_env(url=url).addresses[0], lost=lambda error: None)
    transport.open()
    try:
        yield transport
    finally:
        transport.close()


@pytest.fixture
def foreign(url, service):
    """Make the service's queue as somebody else would, and delete it afterwards."""
    name = topology.request_queue(service)
    with amqpstorm.UriConnection(url) as connection:
        channel = connection.channel()
        channel.queue.declare(name, durable=True)
        yield name
        channel.queue.delete(name)


def test_a_queue_made_with_other_arguments_is_told(url, service, foreign):
    with pytest.raises(BrokerRefused, match=foreign) as refused:
        RpcServer(service, url=url).start()
    assert "delete it, or use another" in refused.value.advice
    assert "Channel" not in str(refused.value)  # its number is not the same each time


def test_of_a_connection_that_was_ended_for_a_channel_the_channels_error_is_told(
    url, service, foreign
):
    with dialled(url) as transport:
        channel = transport.channel()
        channel.on_end = lambda error: transport.abort()  # as a link does
        transport.provide(channel, [topology.Queue(foreign, {"x-max-length": 1})], again=False)
        assert within(5, lambda: transport._connection.exceptions)
        with pytest.raises(BrokerRefused, match=foreign):
            transport.consume(channel, foreign, prefetch=0, no_ack=True)


def test_a_refusal_that_comes_between_two_declarations_is_one(url, service, foreign):
    with dialled(url) as transport:
        channel, refused = transport.channel(), [topology.Queue(foreign, {"x-max-length": 1})]
        transport.provide(channel, refused, again=False)
        assert within(5, lambda: channel.exceptions)
        with pytest.raises(BrokerRefused, match=foreign):
            transport.provide(channel, refused, again=False)


def test_what_is_declared_unasked_is_there_for_the_next_question(url, service):
    with dialled(url) as transport:
        channel = transport.channel()
        name = topology.reply_queue("guest", service)
        transport.provide(channel, topology.for_reply(name, replicated=False), again=False)
        transport.consume(channel, name, prefetch=0, no_ack=True)
        assert transport.look(name) == (0, 1)
        transport.delete(name)


def test_a_channel_that_got_its_answers_is_handed_over_and_one_that_broke_is_not(url, service):
    with dialled(url) as transport:
        transport.declare(topology.for_client()[0])
        assert transport.exists(topology.for_client()[0])
        asked = transport._asking
        assert asked is not None
        assert transport.channel() is asked
        with pytest.raises(NoWorker):
            transport.look(service)  # on a channel of its own, which ends with that
        assert asked.is_open
        fresh = transport.channel()
        assert fresh is not asked
        assert fresh.is_open
        assert transport.channel() not in (asked, fresh)


@pytest.mark.parametrize("safe", [True, False], ids=["safe", "fast"])
def test_a_client_has_two_channels_however_much_it_calls(url, service, node, safe):
    server = RpcServer(service, url=url)
    server.method("echo")(lambda value: value)
    with server, RpcClient(service, url=url, safe=safe) as client:
        port = port_of(client)
        for number in range(20):
            assert client.call("echo", number) == number

        def channels():
            said = node.ctl("list_connections", "peer_port", "channels", "--quiet")
            return [line.split()[1] for line in said.splitlines() if line.startswith(f"{port}\t")]

        assert within(10, lambda: channels() == ["2"]), channels()


def test_nobody_sleeps_while_a_link_opens_and_closes(url, service, monkeypatch):
    slept, sleep = [], time.sleep

    def noted(seconds):
        slept.append((threading.current_thread().name, seconds))
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    with RpcServer(service, url=url):
        pass
    RpcClient(service, url=url).close()
    RpcClient(service, url=url, safe=False).close()
    assert not [who for who, _ in slept if who.startswith(("Main", "chatrpc", "amqpstorm"))]


def test_a_dial_ends_with_the_news_and_not_with_a_look(url):
    took = []
    for _ in range(10):
        start = time.monotonic()
        with dialled(url):
            pass
        took.append(time.monotonic() - start)
    assert min(took) < news._AT_LEAST * 0.8


def test_news_end_a_wait_at_once_and_its_bound_ends_it_without():
    some, there = News(), threading.Event()
    timer = threading.Timer(0.3, lambda: (there.set(), some.set()))
    timer.start()
    start = time.monotonic()
    assert some.until(there.is_set, 20, lambda: None)
    assert 0.2 < time.monotonic() - start < 5
    assert not some.until(lambda: False, 0.1, lambda: None)
    with pytest.raises(ZeroDivisionError):
        some.until(lambda: False, 20, lambda: 1 // 0)
    assert some.until(lambda: True, 0, lambda: 1 // 0)
