"""The ladder around bare AMQPStorm, as the first lessons write it: the same text on each run."""

from __future__ import annotations

import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import amqpstorm
import pytest

from chatrpc import RpcServer
from chatrpc.lab import services
from chatrpc.lab.firehose import FORBIDDEN, OFF, Firehose
from chatrpc.lab.ladder import Ladder, trace
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.rungs import Kind
from chatrpc.lab.wire import Wire
from chatrpc.settings import Settings
from chatrpc.transport.witness import port_of, witness
from tests.waiting import wait_until

RUNS = 3


class Desk:
    """Connections and queues of one test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: list[amqpstorm.Connection] = []
        self._queues: list[str] = []
        self._exchanges: list[str] = []

    def connection(self, url: str | None = None) -> amqpstorm.Connection:
        address = Settings(url=url or self.url).addresses[0]
        login = (address.host, address.user, address.password)
        made = amqpstorm.Connection(*login, port=address.port)
        self._open.append(made)
        return made

    def channel(self, url: str | None = None) -> amqpstorm.Channel:
        return self.connection(url).channel()

    def queue(self, name: str, **arguments: Any) -> str:
        channel = self.channel()
        channel.queue.delete(name)
        channel.queue.declare(name, durable=True, arguments=arguments)
        self._queues.append(name)
        return name

    def exchange(self, name: str, kind: str, *queues: str) -> str:
        channel = self.channel()
        channel.exchange.declare(name, kind, durable=True)
        self._exchanges.append(name)
        for queue in queues:
            channel.queue.bind(queue, name, "")
        return name

    def close(self) -> None:
        channel = self.channel()
        for queue in self._queues:
            channel.queue.delete(queue)
        for exchange in self._exchanges:
            channel.exchange.delete(exchange)
        for made in self._open:
            made.close()


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    made = Desk(url)
    yield made
    made.close()


def same(make: Callable[[], Ladder]) -> list[str]:
    """The lines of a ladder, which must be the same on every run, in both forms."""
    ladders = [make() for _ in range(RUNS)]
    assert [ladder.text for ladder in ladders] == [ladders[0].text] * RUNS
    assert [ladder.svg for ladder in ladders] == [ladders[0].svg] * RUNS
    ET.fromstring(ladders[0].svg)
    return ladders[0].text.splitlines()


def test_a_message_waits_and_is_read_and_acknowledged_later(desk: Desk) -> None:
    desk.queue("kitchen")
    writer, reader = desk.channel(), desk.channel()

    def left() -> Ladder:
        desk.queue("kitchen")
        with trace("kitchen") as ladder:
            writer.basic.publish("soup", "kitchen")
        return ladder

    assert same(left) == [
        "lanes: sender 1 | kitchen (queue)",
        "#1  sender 1 → kitchen  publish  soup",
        "#1  kitchen  ○ waits: nobody took it",
    ]
    with trace("kitchen", acks=True) as ladder:
        message = reader.basic.get("kitchen")
        assert message is not None
        message.ack()
    assert ladder.text.splitlines()[1:] == [
        "#1  kitchen  → reader 1  deliver  soup (sent before the trace began)",
        "#1  reader 1 → kitchen   ack",
    ]


def test_the_default_exchange_has_a_lane_if_it_is_wanted(desk: Desk) -> None:
    desk.queue("kitchen")
    channel = desk.channel()

    def sent() -> Ladder:
        desk.queue("kitchen")
        with trace("kitchen", exchanges=True) as ladder:
            channel.basic.publish("soup", "kitchen")
            channel.basic.get("kitchen").ack()
        return ladder

    assert same(sent) == [
        "lanes: client 1 | default exchange (exchange) | kitchen (queue)",
        "#1  client 1         → default exchange  publish  soup",
        "#1  default exchange → kitchen           route",
        "#1  kitchen          → client 1          deliver",
    ]


def test_a_fanout_routes_into_each_queue(desk: Desk) -> None:
    for queue in ("kitchen", "bar"):
        desk.queue(queue)
    desk.exchange("news", "fanout", "kitchen", "bar")
    ana, one, two = desk.connection(), desk.channel(), desk.channel()
    writer = ana.channel()

    def told() -> Ladder:
        with trace("news", names={"Ana": ana}) as ladder:
            writer.basic.publish("we are open", "", exchange="news")
            wait_until(lambda: (m := one.basic.get("kitchen")) and m.ack() is None)
            wait_until(lambda: (m := two.basic.get("bar")) and m.ack() is None)
        return ladder

    assert same(told) == [
        "lanes: Ana | news (exchange) | bar (queue) | kitchen (queue) | reader 1 | reader 2",
        "#1  Ana     → news      publish  we are open",
        "#1  news    → bar       route",
        "#1  news    → kitchen   route",
        "#1  bar     → reader 1  deliver",
        "#1  kitchen → reader 2  deliver",
    ]


@pytest.mark.parametrize(
    ("mandatory", "lines"),
    [
        (False, ["#1  sender 1 ✗ missing: publish soup: there is no queue kichen"]),
        (
            True,
            [
                "#1  sender 1         → default exchange  publish   soup",
                "#1  default exchange ✗ missing: there is no queue kichen",
                "#1  default exchange → sender 1          returned  NO_ROUTE",
            ],
        ),
    ],
)
def test_a_misspelt_queue_is_silent_unless_somebody_asked(
    desk: Desk, mandatory: bool, lines: list[str]
) -> None:
    def lost() -> Ladder:
        channel = desk.channel()
        with trace("kichen") as ladder:
            channel.basic.publish("soup", "kichen", mandatory=mandatory)
            wait_until(lambda: channel.exceptions or not mandatory)
        return ladder

    assert same(lost)[1:] == lines


def test_a_name_that_no_queue_can_have_is_one_that_is_missing(desk: Desk) -> None:
    def lost() -> Ladder:
        channel = desk.channel()
        with trace("küche!") as ladder:
            channel.basic.publish("soup", "küche!")
        return ladder

    assert same(lost)[1:] == ["#1  sender 1 ✗ missing: publish soup: there is no queue küche!"]


def test_a_direct_reply_goes_through_no_queue_on_any_broker(desk: Desk) -> None:
    """And nothing waits in one: it is handed over, or lost."""
    desk.queue("kitchen")

    def direct() -> Ladder:
        client, worker = desk.channel(), desk.channel()
        client.basic.consume(lambda message: None, "amq.rabbitmq.reply-to", no_ack=True)
        with trace("kitchen") as ladder:
            about = {"reply_to": "amq.rabbitmq.reply-to", "correlation_id": "1"}
            client.basic.publish("soup?", "kitchen", properties=about)
            wait_until(lambda: client.queue.declare("kitchen", passive=True)["message_count"])
            asked = worker.basic.get("kitchen")
            worker.basic.publish("soup!", asked.reply_to, properties={"correlation_id": "1"})
            asked.ack()
            wait_until(lambda: client._inbound)
        return ladder

    assert same(direct) == [
        "lanes: client 1 | kitchen (queue) | worker 1",
        "#1  client 1 → kitchen   publish  soup?",
        "#1  kitchen  → worker 1  deliver",
        "#1  worker 1 → client 1  reply    soup!",
    ]


def test_two_readers_of_one_queue_share_it(desk: Desk) -> None:
    desk.queue("kitchen")
    writer = desk.channel()

    def shared() -> Ladder:
        got: list[str] = []
        readers = [desk.channel() for _ in range(2)]
        for reader in readers:
            reader.basic.consume(lambda message: got.append(message.body), "kitchen", no_ack=True)
            threading.Thread(target=reader.start_consuming, daemon=True).start()
        with trace("kitchen", acks=True) as ladder:
            for number in range(4):
                writer.basic.publish(f"order {number}", "kitchen")
            wait_until(lambda: len(got) == 4)
        for reader in readers:
            reader.close()
        return ladder

    lines = same(shared)
    assert [line.split("→")[1].split()[1] for line in lines[1:] if "deliver" in line] == list(
        "1212"
    )
    assert not [line for line in lines if "ack" in line]  # nobody was asked for one


def test_who_asked_for_no_acks_owes_none(desk: Desk) -> None:
    """A reader that consumes while it is traced, without acks; another that owes one."""
    desk.queue("kitchen")
    writer, careless, owing = desk.channel(), desk.channel(), desk.channel()
    with trace("kitchen", acks=True) as ladder:
        careless.basic.consume(lambda message: None, "kitchen", no_ack=True)
        writer.basic.publish("soup", "kitchen")
        wait_until(lambda: careless._inbound)
        careless.basic.cancel(careless.consumer_tags[0])
        writer.basic.publish("bread", "kitchen")
        wait_until(lambda: owing.basic.get("kitchen"))
    stubs = [(a.number, a.label) for a in ladder.arrows if a.kind is Kind.UNACKED]
    assert stubs == [(2, "the broker keeps its copy")]


def test_it_waits_for_what_is_known_to_be_on_its_way(desk: Desk) -> None:
    with Firehose() as firehose:
        start = time.monotonic()
        firehose.settle(5.0)
        assert time.monotonic() - start < 2.0
        start = time.monotonic()
        firehose.settle(1.0, {("publish", 1): 1})
        assert time.monotonic() - start >= 1.0


def test_a_reader_gone_before_its_ack_and_the_next_one_who_gets_it_again(desk: Desk) -> None:
    desk.queue("kitchen")
    writer = desk.channel()

    def again() -> Ladder:
        with trace("kitchen", acks=True) as ladder:
            writer.basic.publish("soup", "kitchen")
            first = desk.connection()
            assert first.channel().basic.get("kitchen") is not None
            first.close()
            desk.channel().basic.get("kitchen").ack()
        return ladder

    assert same(again) == [
        "lanes: sender 1 | kitchen (queue) | reader 1 | reader 2",
        "#1  sender 1 → kitchen   publish        soup",
        "#1  kitchen  → reader 1  deliver",
        "#1  reader 1 ○ no ack: the broker keeps its copy",
        "#1  kitchen  → reader 2  deliver again",
        "#1  reader 2 → kitchen   ack",
    ]
    ladder = again()
    assert ladder.cover().text.splitlines() == [
        "covered: only what sender 1 sent and received",
        "#1  → sent  soup",
    ]
    assert ladder.cover("reader 2").text.splitlines()[1:] == [
        "#1  ← received  soup  (again)",
        "#1  → ack",
    ]


def test_what_was_put_back_or_thrown_away_is_told_apart(desk: Desk) -> None:
    desk.queue("kitchen")
    channel = desk.channel()
    with trace("kitchen", acks=True) as ladder:
        channel.basic.publish("soup", "kitchen")
        channel.basic.get("kitchen").reject(requeue=True)
        channel.basic.get("kitchen").nack(requeue=False)
    assert [line for line in ladder.text.splitlines() if "reject" in line] == [
        "#1  client 1 → kitchen   reject         back to the queue",
        "#1  client 1 → kitchen   reject",
    ]


def stolen(desk: Desk) -> Ladder:
    """Two ask, one queue for the answers, no ids: each takes what comes first."""
    one, two, worker = desk.channel(), desk.channel(), desk.channel()
    with trace("kitchen", "answers") as ladder:
        one.basic.publish("one?", "kitchen", properties={"reply_to": "answers"})
        wait_until(lambda: one.queue.declare("kitchen", passive=True)["message_count"] == 1)
        two.basic.publish("two?", "kitchen", properties={"reply_to": "answers"})
        taken = []
        while len(taken) < 2:  # both in hand, and only then answered, in order
            if (message := worker.basic.get("kitchen")) is not None:
                taken.append(message)
        for message in taken:
            worker.basic.publish(message.body.replace("?", "!"), message.reply_to)
            message.ack()
        for thief in (two, one):
            wait_until(lambda thief=thief: (m := thief.basic.get("answers")) and m.ack() is None)
    return ladder


def test_an_answer_in_the_wrong_hands_says_for_whom_it_was(desk: Desk) -> None:
    for queue in ("kitchen", "answers"):
        desk.queue(queue)
    assert same(lambda: stolen(desk)) == [
        "lanes: client 1 | client 2 | kitchen (queue) | answers (queue) | worker 1",
        "#1  client 1 → kitchen   publish  one?",
        "#1  kitchen  → worker 1  deliver",
        "#1  worker 1 → answers   reply    one!",
        "#1  answers  → client 2  deliver  meant for client 1",
        "#2  client 2 → kitchen   publish  two?",
        "#2  kitchen  → worker 1  deliver",
        "#2  worker 1 → answers   reply    two!",
        "#2  answers  → client 1  deliver  meant for client 2",
    ]


def test_covered_an_answer_without_an_id_belongs_to_no_question(desk: Desk) -> None:
    """All that the client can know is that something came."""
    for queue in ("kitchen", "answers"):
        desk.queue(queue)
    ladder = stolen(desk)
    assert ladder.parties == ["client 1", "client 2", "worker 1"]
    assert ladder.cover().text.splitlines() == [
        "covered: only what client 1 sent and received",
        "#1  → sent      one?",
        "#?  ← received  two!",
    ]
    assert ladder.cover().uncover() is ladder
    with pytest.raises(LabProblem, match="Nobody here is called 'Eve': there is client 1, client"):
        ladder.cover("Eve")
    root = ET.fromstring(ladder.cover().svg)
    words = "".join(root.itertext())
    assert "two!" in words
    assert "worker 1" not in words


def test_covered_all_silences_look_alike(desk: Desk) -> None:
    """Nobody listens; the worker has it and says nothing; the answer went astray."""
    for queue in ("kitchen", "answers"):
        desk.queue(queue)
    about = {"reply_to": "answers", "correlation_id": "1"}
    seen = []
    for silence in ("nobody", "mute", "astray"):
        client, worker = desk.channel(), desk.channel()
        with trace("kitchen", "answers") as ladder:
            client.basic.publish("soup?", "kitchen", properties=about)
            if silence != "nobody":
                wait_until(lambda w=worker: (m := w.basic.get("kitchen")) and m.ack() is None)
            if silence == "astray":
                worker.basic.publish("soup!", "anwsers", properties={"correlation_id": "1"})
        seen.append((ladder.text, ladder.cover().text))
        desk.queue("kitchen")
    assert len({whole for whole, _ in seen}) == 3
    assert {covered for _, covered in seen} == {
        "covered: only what client 1 sent and received\n#1  → sent  soup?\n#1  ✗ nothing came"
    }


def test_a_dead_letter_is_drawn_from_its_queue_to_the_exchange_and_on(desk: Desk) -> None:
    desk.exchange("trouble", "fanout")
    desk.queue("kitchen", **{"x-dead-letter-exchange": "trouble"})
    desk.queue("bin")
    desk.exchange("trouble", "fanout", "bin")
    cook, cleaner = desk.channel(), desk.channel()

    def spoiled() -> Ladder:
        with trace("kitchen", dead_letters="trouble", acks=True) as ladder:
            cook.basic.publish("fish", "kitchen")
            cook.basic.get("kitchen").reject(requeue=False)
            wait_until(lambda: (m := cleaner.basic.get("bin")) and m.ack() is None)
        return ladder

    assert same(spoiled) == [
        "lanes: client 1 | trouble (exchange) | kitchen (queue) | bin (queue) | reader 1",
        "#1  client 1 → kitchen   publish      fish",
        "#1  kitchen  → client 1  deliver",
        "#1  client 1 → kitchen   reject",
        "#1  kitchen  → trouble   dead letter  rejected",
        "#1  bin      → reader 1  deliver",
        "#1  reader 1 → bin       ack",
    ]


def test_a_message_that_is_gone_without_a_reader_is_missing(desk: Desk) -> None:
    """Thrown away with the rest of the queue: it waits no longer."""
    desk.queue("kitchen")
    channel = desk.channel()
    with trace("kitchen") as ladder:
        channel.basic.publish("soup", "kitchen")
        wait_until(lambda: channel.queue.declare("kitchen", passive=True)["message_count"] == 1)
        channel.queue.purge("kitchen")
    assert ladder.text.splitlines()[-1].endswith(
        "✗ missing: nobody took it, and it is there no longer"
    )


def test_somebodys_exclusive_queue_is_drawn_like_any_other(desk: Desk) -> None:
    channel = desk.channel()
    channel.queue.declare("mine-alone", exclusive=True)
    with trace("mine-alone") as ladder:
        channel.basic.publish("x", "mine-alone")
    assert ladder.text.splitlines()[-1] == "#1  mine-alone ○ waits: nobody took it"


def test_a_careless_caller_with_one_id_for_all_asks_several_questions(desk: Desk) -> None:
    for queue in ("kitchen", "answers"):
        desk.queue(queue)
    channel = desk.channel()
    about = {"reply_to": "answers", "correlation_id": "1"}
    with trace("kitchen", "answers") as ladder:
        for text in ("one?", "two?"):
            channel.basic.publish(text, "kitchen", properties=about)
            channel.basic.get("kitchen").ack()
            channel.basic.publish(
                text.replace("?", "!"), "answers", properties=about | {"reply_to": ""}
            )
            channel.basic.get("answers").ack()
    said = [(a.number, a.label) for a in ladder.arrows if a.label]
    assert said == [(1, "one?"), (1, "one!"), (2, "two?"), (2, "two!")]


def test_a_lane_has_the_name_that_it_is_given(desk: Desk, service: str) -> None:
    """A connection, a channel, a client through a wire, a server, a queue; a label by itself."""
    mine = desk.queue(services.service("kitchen"))
    server = RpcServer(service)
    server.method("shout")(str.upper)
    from chatrpc import RpcClient

    with Wire() as wire, server, RpcClient(service, url=wire.url) as client:
        names = {"Ana": client, "Bo": server, "the queue": f"chatrpc.req.{service}"}
        with trace(service, mine, names=names) as ladder:
            client.call("shout", "hola")
            channel = desk.channel()
            ladder.name("Cy", channel)
            channel.basic.publish("soup", mine)
            with pytest.raises(LabProblem, match="'Eve' cannot name object"):
                ladder.name("Eve", object())
    assert ladder.text.splitlines()[0] == (
        "lanes: Ana | Cy | the queue (queue) | replies (queue) | kitchen (queue) | Bo"
    )


def test_two_lanes_never_share_a_name(desk: Desk) -> None:
    desk.queue("news")
    desk.exchange("news", "fanout", "news")
    channel = desk.channel()
    with trace("news", names={"news": channel}) as ladder:
        channel.basic.publish("x", "", exchange="news")
    assert (
        ladder.text.splitlines()[0]
        == "lanes: news | news (exchange) (exchange) | news (queue) (queue)"
    )


def test_where_tracing_is_off_or_forbidden_one_end_is_shown(
    desk: Desk, url: str, node: Any
) -> None:
    """It says so, draws what this kernel knows, and claims nothing of what it cannot know."""
    for queue in ("kitchen", "answers"):
        desk.queue(queue)
    client, other = desk.channel(), desk.channel()
    about = {"reply_to": "answers", "correlation_id": "1"}
    node.ctl("add_user", "pupil", "pw")
    node.ctl("set_permissions", "pupil", "^mine$", "^mine$", "^mine$")
    node.ctl("trace_off")
    try:
        for place, why in ((url, OFF), (f"amqp://pupil:pw@{url.rpartition('@')[2]}", FORBIDDEN)):
            with trace("kitchen", "answers", acks=True, url=place) as ladder:
                client.basic.publish("soup?", "kitchen", properties=about)
                client.basic.publish(
                    "bread?", "kitchen", properties=about | {"correlation_id": "2"}
                )
                other.basic.publish("soup!", "answers", properties={"correlation_id": "1"})
                other.basic.publish("of another story", "elsewhere")
                wait_until(lambda: (m := client.basic.get("answers")) and m.ack() is None)
            lines = ladder.text.splitlines()
            assert lines == [
                f"{why} Here is what this notebook itself knows.",
                "lanes: client 1 | kitchen (queue) | answers (queue) | worker 1",
                "#1  client 1 → kitchen   publish  soup?",
                "#1  worker 1 → answers   reply    soup!",
                "#1  answers  → client 1  deliver",
                "#1  client 1 → answers   ack",
                "#2  client 1 → kitchen   publish  bread?",
                "#2  client 1 ✗ missing: no answer came",
            ]
            assert why[:20] in "".join(ET.fromstring(ladder.svg).itertext())
            node.ctl("trace_on")
    finally:
        node.ctl("trace_on")
        node.ctl("delete_user", "pupil")


def test_the_witness_leaves_everything_as_it_was(desk: Desk) -> None:
    """A connection that was open before is heard, and afterwards no class is changed."""
    from amqpstorm.io import IO

    before = IO.write_to_socket, IO._receive
    desk.queue("kitchen")
    channel = desk.channel()
    heard: list[Any] = []
    with witness(heard.append), witness(heard.append):
        channel.basic.publish("x" * 300_000, "kitchen")
        assert channel.basic.get("kitchen").body == "x" * 300_000
    channel.basic.publish("y", "kitchen")
    kinds = [(one.kind, one.size) for one in heard if one.port == port_of(channel)]
    assert sorted(kinds) == sorted([("publish", 300_000), ("get", 0), ("deliver", 300_000)] * 2)
    assert (IO.write_to_socket, IO._receive) == before


def test_a_listener_that_raises_disturbs_nobody(desk: Desk) -> None:
    desk.queue("kitchen")
    channel = desk.channel()

    def angry(one: Any) -> None:
        raise RuntimeError("no")

    with witness(angry):
        channel.basic.publish("x", "kitchen")
        assert channel.basic.get("kitchen").body == "x"
