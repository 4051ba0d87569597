"""The ladder tells what happened: from hops made by hand, and from the real broker."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chatrpc import CallTimeout, RpcClient, RpcServer
from chatrpc.lab.firehose import FORBIDDEN, OFF, Firehose, Hop, connect
from chatrpc.lab.ladder import Ladder, trace
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.rows import SHOWN
from chatrpc.lab.rungs import Kind
from chatrpc.lab.sync import WIDGETS
from chatrpc.topology import Queue, request_queue

CLIENT, OTHER, WORKER, SECOND = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"
REPLIES = "chatrpc.reply.guest.laptop-1f0c2b3a"


def hop(kind: str, connection: str, place: str, id: str, body: str, **more: object) -> Hop:
    """One hop; ``place`` is a queue."""
    about = {
        "reply_to": "",
        "redelivered": False,
        "routed": (place,) if kind == "publish" else (),
        **more,
    }
    return Hop(
        kind=kind,
        time=0.0,
        exchange="",
        routing_key=place,
        queue=place if kind == "deliver" else "",
        routed=about["routed"],
        connection=connection,
        user="guest",
        redelivered=about["redelivered"],
        properties={"correlation_id": id, "reply_to": about["reply_to"]},
        body=body.encode(),
        size=len(body.encode()),
    )


def asked(
    id: str, text: str, connection: str = CLIENT, replies: str = REPLIES, **more: object
) -> Hop:
    """A request is published."""
    return hop("publish", connection, "chat", id, text, reply_to=replies, **more)


def taken(
    id: str, text: str, connection: str = WORKER, replies: str = REPLIES, **more: object
) -> Hop:
    """A worker gets a request."""
    return hop("deliver", connection, "chat", id, text, reply_to=replies, **more)


def told(hops: list[Hop], missing: frozenset[str] = frozenset()) -> Ladder:
    """A ladder of these hops."""
    ladder = Ladder()
    ladder.hops, ladder.missing_queues = hops, missing
    return ladder


def test_two_calls_are_sorted_by_cause_whatever_the_order_of_arrival() -> None:
    """Each reply stands after its request, and ids are #1 and #2."""
    one = [
        asked("x", "hola"),
        taken("x", "hola"),
        hop("publish", WORKER, REPLIES, "x", "¡hola!"),
        hop("deliver", CLIENT, REPLIES, "x", "¡hola!"),
    ]
    two = [
        asked("y", "adiós"),
        taken("y", "adiós", SECOND),
        hop("publish", SECOND, REPLIES, "y", "¡adiós!"),
        hop("deliver", CLIENT, REPLIES, "y", "¡adiós!"),
    ]
    mixed = [one[0], two[0], two[1], one[1], two[2], one[2], two[3], one[3]]
    assert told(mixed).text == told(one + two).text
    assert told(mixed).text.splitlines() == [
        "lanes: client 1 | chat (queue) | replies (queue) | worker 1 | worker 2",
        "#1  client 1 → chat      publish  hola",
        "#1  chat     → worker 1  deliver",
        "#1  worker 1 → replies   reply    ¡hola!",
        "#1  replies  → client 1  deliver",
        "#2  client 1 → chat      publish  adiós",
        "#2  chat     → worker 2  deliver",
        "#2  worker 2 → replies   reply    ¡adiós!",
        "#2  replies  → client 1  deliver",
    ]


def test_a_redelivery_is_seen_and_belongs_to_the_same_call() -> None:
    """The second delivery is another kind of arrow."""
    ladder = told(
        [asked("x", "hola"), taken("x", "hola"), taken("x", "hola", SECOND, redelivered=True)]
    )
    assert [a.kind for a in ladder.arrows] == [Kind.PUBLISH, Kind.DELIVER, Kind.AGAIN, Kind.MISSING]
    assert [a.target for a in ladder.arrows[1:3]] == ["worker 1", "worker 2"]
    assert "no reply was sent" in ladder.text


def test_a_dead_letter_is_new_where_it_comes_to_whatever_the_broker_marks() -> None:
    """RabbitMQ 4.3 keeps the mark of the queue that rejected it, and 3.10 does not."""

    def buried(mark: bool) -> Ladder:
        hops = []
        for _ in range(2):  # two orders that look alike
            hops += [hop("publish", CLIENT, "chat", "", "fish"), taken("", "fish", replies="")]
        dead = hop("deliver", SECOND, "bin", "", "fish", redelivered=mark)
        dead = replace(dead, exchange="trouble", routing_key="chat")
        death = {"queue": "chat", "exchange": "", "routing-keys": ["chat"]}
        dead.properties["headers"] = {"x-death": [death]}  # type: ignore[index]
        return told([*hops, dead, replace(dead), replace(dead, redelivered=True)])

    assert buried(True).text == buried(False).text
    from_bin = [(a.number, a.kind) for a in buried(True).arrows if a.source == "bin"]
    assert from_bin == [(1, Kind.DELIVER), (2, Kind.DELIVER), (2, Kind.AGAIN)]
    late = buried(True)
    late.hops = late.hops[4:5]  # nothing else is known of it
    assert [a.kind for a in late.arrows] == [Kind.AGAIN]


def test_the_same_request_sent_again_is_one_call() -> None:
    """A retry has the same number."""
    ladder = told([asked("x", "hola"), asked("x", "hola"), taken("x", "hola")])
    assert {a.number for a in ladder.arrows} == {1}
    assert Kind.RETRY in {a.kind for a in ladder.arrows}


@pytest.mark.parametrize(
    ("hops", "gone", "line"),
    [
        ([asked("x", "hola")], frozenset(), "#1  chat     ○ waits: nobody took it"),
        (
            [asked("x", "hola", routed=())],
            frozenset(),
            "#1  client 1 ✗ missing: publish hola: no queue takes it",
        ),
        (
            [asked("x", "hola")],
            frozenset({"chat"}),
            "#1  client 1 ✗ missing: publish hola: there is no queue chat",
        ),
        (
            [asked("x", "hola"), taken("x", "hola")],
            frozenset(),
            "#1  worker 1 ✗ missing: no reply was sent",
        ),
        (
            [
                asked("x", "hola"),
                taken("x", "hola"),
                hop("publish", WORKER, REPLIES, "x", "¡hola!"),
            ],
            frozenset(),
            "#1  replies  ○ waits: nobody took it",
        ),
    ],
)
def test_what_never_arrived_is_seen_to_be_missing(
    hops: list[Hop], gone: frozenset[str], line: str
) -> None:
    """In the text and in the picture."""
    ladder = told(hops, gone)
    assert ladder.text.splitlines()[-1] == line
    assert line.rpartition(": ")[2] in "".join(ET.fromstring(ladder.svg).itertext())


def test_a_reply_that_forgot_its_id_stands_at_the_request_that_caused_it() -> None:
    """It is marked as strange."""
    ladder = told(
        [
            asked("x", "hola"),
            taken("x", "hola"),
            hop("publish", WORKER, REPLIES, "made-up", "¡hola!"),
        ]
    )
    assert ladder.arrows[2].kind is Kind.STRAY
    assert ladder.arrows[2].number == 1


def test_a_reply_that_another_client_took_is_seen_in_its_lane() -> None:
    """One reply queue, two clients: the second gets the first one's answer."""
    ladder = told(
        [
            asked("x", "hola", CLIENT, "replies"),
            asked("y", "adiós", OTHER, "replies"),
            taken("x", "hola", replies="replies"),
            hop("publish", WORKER, "replies", "x", "¡hola!"),
            hop("deliver", OTHER, "replies", "x", "¡hola!"),
        ]
    )
    assert (ladder.arrows[3].number, ladder.arrows[3].target) == (1, "client 2")


def test_a_direct_reply_has_no_queue_between() -> None:
    """The broker hands it over itself, so the trace shows its publish alone."""
    token = "amq.rabbitmq.reply-to.g1h2AA5y"
    ladder = told(
        [
            asked("x", "hola", replies=token),
            taken("x", "hola", replies=token),
            hop("publish", WORKER, token, "x", "¡hola!", routed=()),
        ]
    )
    assert ladder.text.splitlines()[-1] == "#1  worker 1 → client 1  reply    ¡hola!"


def test_json_rpc_is_read_and_anything_else_is_shortened() -> None:
    """A call, an answer, an error; a long text in one line; bytes that are no text."""
    bodies = [
        json.dumps({"jsonrpc": "2.0", "id": "q", "method": "say", "params": ["ñ", 1]}),
        json.dumps({"jsonrpc": "2.0", "id": "q", "method": "say", "params": {"text": "a"}}),
        json.dumps({"jsonrpc": "2.0", "id": "q", "result": None}),
        json.dumps({"jsonrpc": "2.0", "id": "q", "error": {"code": -32601, "message": "none"}}),
        "two\nlines",
        "x" * 100,
        "[" * 3000,
    ]
    labels = [told([asked("x", body)]).arrows[0].label for body in bodies]
    assert labels[:5] == ['say("ñ", 1)', 'say(text="a")', "null", "error -32601: none", "two lines"]
    assert labels[5] == "x" * 47 + "…"
    assert len(labels[6]) == 48


def test_the_picture_is_well_formed_escaped_and_names_every_lane() -> None:
    """Whatever is in a message."""
    ladder = told([asked("x", "<script>alert('&')</script>\x00"), taken("x", "<b>")])
    root = ET.fromstring(ladder.svg)
    assert root.attrib["role"] == "img"
    assert "client 1 → chat" in root.attrib["aria-label"]
    assert "<script" not in ladder.svg
    words = "".join(root.itertext())
    for lane in ("client 1", "chat", "worker 1", "publish", "deliver"):
        assert lane in words
    assert set(ladder._repr_mimebundle_()) == {WIDGETS, "image/svg+xml", "text/plain"}


def test_a_trace_of_nothing_says_so() -> None:
    """In both forms."""
    assert told([]).text == "No message passed while this was traced."
    assert "No message passed" in "".join(ET.fromstring(told([]).svg).itertext())


def test_hundreds_of_messages_fold_and_the_one_that_is_different_stands_out() -> None:
    """One call of each shape, how many are like it, and who served how many."""
    hops = []
    for n in range(300):
        worker = (WORKER, SECOND)[n % 2]
        hops.append(asked(f"{n}", f"{n}"))
        if n != 123:
            hops += [
                taken(f"{n}", f"{n}", worker),
                hop("publish", worker, REPLIES, f"{n}", "ok"),
                hop("deliver", CLIENT, REPLIES, f"{n}", "ok"),
            ]
    ladder = told(hops)
    assert ladder.text.splitlines() == [
        "lanes: client 1 | chat (queue) | replies (queue) | worker 1",
        "#1    client 1 → chat      publish  0",
        "#1    chat     → worker 1  deliver",
        "#1    worker 1 → replies   reply    ok",
        "#1    replies  → client 1  deliver",
        "… and 298 more like #1; 150 by worker 1, 149 by worker 2 in all",
        "#124  client 1 → chat      publish  123",
        "#124  chat     ○ waits: nobody took it",
    ]
    assert "298 more like #1" in "".join(ET.fromstring(ladder.svg).itertext())
    assert len(ladder.hops) == 299 * 4 + 1


def test_more_shapes_than_fit_are_cut_and_counted() -> None:
    """Every call has a worker more than the one before, and at last the page is full."""
    hops = [asked(f"{n}", f"{n}", routed=("chat", *(f"q{i}" for i in range(n)))) for n in range(20)]
    text = told(hops).text.splitlines()
    assert len(text) == 1 + SHOWN + 1
    assert text[-1].endswith("more rows: 20 messages in all")


def test_what_repeats_itself_in_one_call_is_shown_once() -> None:
    """A few times are counted; many are many, whatever the clock has made of them."""
    for times, said in ((5, "3 times more"), (40, "many times more"), (50, "many times more")):
        lines = told([asked("x", "hola") for _ in range(times)]).text.splitlines()
        assert lines == [
            "lanes: client 1 | chat (queue)",
            "#1  client 1 → chat  publish        hola",
            "#1  chat     ○ waits: nobody took it",
            "#1  client 1 → chat  publish again  hola",
            f"… and the same again, {said}",
            "#1  chat     ○ waits: nobody took it",
        ]


# On the real broker


@pytest.fixture
def server(service: str) -> Iterator[RpcServer]:
    """A server with one quick and one slow method."""
    made = RpcServer(service)

    @made.method
    def shout(text: str) -> str:
        return text.upper()

    @made.method
    def sleep(seconds: float) -> str:
        time.sleep(seconds)
        return "awake"

    with made:
        yield made


def test_a_real_call_is_four_hops_and_the_same_each_time(server: RpcServer) -> None:
    """Whatever the ports, ids and times are."""
    texts = []
    for _ in range(3):
        with trace(server.service) as ladder, RpcClient(server.service) as client:
            client.call("shout", "hola")
        texts.append(ladder.text)
    assert texts == [texts[0]] * 3
    assert texts[0].splitlines()[1:] == [
        '#1  client 1 → queue 1   publish  shout("hola")',
        "#1  queue 1  → worker 1  deliver",
        '#1  worker 1 → replies   reply    "HOLA"',
        "#1  replies  → client 1  deliver",
    ]


def test_a_real_timeout_shows_no_reply(server: RpcServer) -> None:
    """The request got to a worker, and nothing came back while it was traced."""
    with RpcClient(server.service) as client:
        with trace(server.service) as ladder, pytest.raises(CallTimeout):
            client.call("sleep", 0.6, timeout=0.2)
        assert ladder.text.splitlines()[-1] == "#1  worker 1 ✗ missing: no reply was sent"


def test_other_services_are_filtered_out(server: RpcServer, url: str) -> None:
    """Only the one that was named, by service or by queue, and its replies."""
    with RpcServer(f"{server.service}.other") as other:
        other.method("shout")(str.lower)
        with (
            RpcClient(server.service) as client,
            RpcClient(other.service) as stranger,
            Firehose() as all_of_it,
            Firehose(only=server.service) as service,
            Firehose(only=request_queue(server.service)) as queue,
        ):
            client.call("shout", "hola")
            stranger.call("shout", "HOLA")
        assert len(service.hops) == len(queue.hops) == 4
        assert len(all_of_it.hops) >= 8
    transport = connect(url)
    transport.delete(request_queue(other.service))
    transport.delete(f"chatrpc.dead.{other.service}")
    transport.close()


def test_a_queue_that_does_not_exist_is_named(url: str) -> None:
    """Broker versions differ in what they say of it; we look."""
    from chatrpc.messages import Message

    with trace() as ladder:
        transport = connect(url)
        channel = transport.channel()
        message = Message(b"into the void", "1")
        channel.publish("1", message, exchange="", key="misspelt", mandatory=False)
        transport.declare(Queue("kept", {"x-queue-type": "classic", "x-expires": 5000}))
        channel.publish("2", message, exchange="", key="kept", mandatory=False)
        transport.look("kept")  # the broker has seen all that was sent before
        transport.close()
    lines = ladder.text.splitlines()
    assert any("into the void: " in line and "✗" in line for line in lines), ladder.text
    assert any("kept" in line and "nobody took it" in line for line in lines), ladder.text


def test_the_body_is_bounded_and_the_size_is_true(server: RpcServer) -> None:
    """A big message is no burden."""
    with RpcClient(server.service) as client, Firehose(only=server.service) as firehose:
        client.call("shout", "x" * 100_000)
    first = firehose.hops[0]
    assert len(first.body) == 4096
    assert first.size > 100_000


def test_nothing_is_left_of_a_firehose(url: str) -> None:
    """No thread that stays, whatever happened in the block."""
    import threading

    before = threading.active_count()
    with pytest.raises(KeyError), Firehose():
        raise KeyError("x")
    end = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_no_broker_no_permission_no_tracing_are_sentences(url: str, node) -> None:
    """Each says what to do."""
    with (
        pytest.raises(LabProblem, match="no connection to the broker"),
        Firehose(url="amqp://localhost:1/"),
    ):
        pass
    node.ctl("add_user", "student", "pw")
    node.ctl("set_permissions", "student", "^mine$", "^mine$", "^mine$")
    place = url.rpartition("@")[2]
    try:
        with pytest.raises(LabProblem) as caught, Firehose(url=f"amqp://student:pw@{place}"):
            pass
        assert str(caught.value) == FORBIDDEN
        node.ctl("trace_off")
        with pytest.raises(LabProblem) as caught, Firehose(url=url):
            pass
        assert str(caught.value) == OFF
    finally:
        node.ctl("trace_on")
        node.ctl("delete_user", "student")
