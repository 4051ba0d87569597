"""Gauges at named moments read the real queue; a queue of a kernel's own goes with the kernel."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import amqpstorm
import pytest

from chatrpc import lab
from chatrpc.broker import Node
from chatrpc.lab.glances import Look, Moments, draw, table


@pytest.fixture
def channel(url: str) -> Iterator[amqpstorm.Channel]:
    """A channel of bare AMQPStorm."""
    with amqpstorm.UriConnection(url) as connection:
        yield connection.channel()


def test_they_show_what_waits_and_who_listens_at_each_moment(channel: amqpstorm.Channel) -> None:
    queue = lab.queue("moments")
    threads = threading.active_count()
    gauges = Moments(queue)
    gauges.look("nobody has come")
    channel.queue.declare(queue, exclusive=False, durable=True, auto_delete=True)
    for number in range(3):
        channel.basic.publish(f"order {number}", queue)
    channel.queue.declare(queue, passive=True)
    gauges.look("three are written")
    got = channel.basic.get(queue)
    gauges.look("one is in somebody's hands")
    assert got is not None
    got.reject(requeue=True)
    channel.basic.qos(1)
    channel.basic.consume(lambda order: None, queue)
    gauges.look("somebody listens")
    assert [(one.waiting, one.consumers) for one in gauges.looks] == [
        (None, None),
        (3, 0),
        (2, 0),
        (2, 1),
    ]
    assert repr(gauges) == (
        "moments                     waiting   listening\n"
        "nobody has come             no queue  -\n"
        "three are written            3 ■■■    0\n"
        "one is in somebody's hands   2 ■■     0\n"
        "somebody listens             2 ■■     1"
    )
    end = time.monotonic() + 5
    while threading.active_count() > threads:  # no connection stays open
        assert time.monotonic() < end
        time.sleep(0.01)


def test_where_nobody_ever_listens_there_is_no_such_column() -> None:
    assert table("orders", [Look("now", 1, 0)]) == "orders  waiting\nnow      1 ■"


def test_the_picture_is_an_svg_that_escapes_its_words() -> None:
    looks = [Look("<b>Ana</b> & Bea", 50, 1), Look("gone", None, None)]
    tree = ET.fromstring(draw("<i>orders</i>", looks))
    text = "".join(tree.itertext())
    assert "<b>Ana</b> & Bea" in text
    assert "50" in text
    assert "no queue" in text
    ET.fromstring(draw("nothing yet", []))


def test_the_picture_has_a_square_for_each_message_that_waits_up_to_twelve() -> None:
    def squares(waiting: int | None) -> int:
        tree = ET.fromstring(draw("orders", [Look("now", waiting, None)]))
        return sum(one.get("rx") == "3" for one in tree.iter("{http://www.w3.org/2000/svg}rect"))

    assert [squares(waiting) for waiting in (None, 0, 1, 3, 12, 50)] == [0, 0, 1, 3, 12, 12]


KERNEL = """
import os, signal, amqpstorm
from chatrpc import lab
name = lab.queue("orders")
with amqpstorm.UriConnection(os.environ["CHATRPC_URL"]) as connection:
    connection.channel().queue.declare(name, durable=True)
print(name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_queue_of_ones_own_goes_with_the_kernel_however_it_ends(node: Node) -> None:
    ended = subprocess.run([sys.executable, "-c", KERNEL], capture_output=True, text=True)
    name = ended.stdout.strip()
    assert name.startswith("orders-"), ended.stderr
    end = time.monotonic() + 15
    while name in node.ctl("list_queues", "name", "--quiet"):
        assert time.monotonic() < end
        time.sleep(0.3)
