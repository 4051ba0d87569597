"""What students write in lesson 01: right answers, wrong ones, and what each is told."""

from __future__ import annotations

from typing import Any

import amqpstorm

MESSAGE = amqpstorm.AMQPMessageError


def given(url: str) -> dict[str, dict[str, Any]]:
    """What the cells of the exercises hand over."""
    return {"": {"connect": lambda: amqpstorm.UriConnection(url)}}


def stub(*_: Any) -> Any:
    """What stands in the notebook."""
    return ...


STUBS = [("01.1", stub), ("01.2", stub), ("01.3", stub)]

# 01.1: channel, queue, make


def one_after_the_other(channel, queue, make):
    made = 0
    while order := channel.basic.get(queue):
        make(order.body)
        order.ack()
        made += 1
    return made


def as_a_consumer(channel, queue, make):
    made = []

    def callback(order):
        make(order.body)
        made.append(order.body)
        order.ack()

    channel.basic.consume(callback, queue)
    for _ in range(20):
        channel.process_data_events()
    return len(made)


def never_acks(channel, queue, make):
    made = 0
    while order := channel.basic.get(queue):
        make(order.body)
        made += 1
    return made


def needs_no_ack(channel, queue, make):
    made = 0
    while order := channel.basic.get(queue, no_ack=True):
        make(order.body)
        made += 1
    return made


def acks_before(channel, queue, make):
    made = 0
    while order := channel.basic.get(queue):
        order.ack()
        make(order.body)
        made += 1
    return made


def acks_all_at_the_end(channel, queue, make):
    held = []
    while order := channel.basic.get(queue):
        make(order.body)
        held.append(order)
    for order in held:
        order.ack()
    return len(held)


def takes_all_acks_all_then_makes(channel, queue, make):
    held = []
    while order := channel.basic.get(queue, no_ack=True):
        held.append(order.body)
    for text in held:
        make(text)
    return len(held)


def makes_the_message(channel, queue, make):
    while order := channel.basic.get(queue):
        make(order)
        order.ack()


def makes_one(channel, queue, make):
    order = channel.basic.get(queue)
    make(order.body)
    order.ack()
    return 1


def does_not_stop(channel, queue, make):
    made = 0
    while True:
        order = channel.basic.get(queue)
        make(order.body)
        order.ack()
        made += 1


def consumes_for_ever(channel, queue, make):
    channel.basic.consume(lambda order: (make(order.body), order.ack()), queue)
    channel.start_consuming()


def gives_them_back(channel, queue, make):
    while order := channel.basic.get(queue):
        order.nack(requeue=True)


def returns_nothing(channel, queue, make):
    while order := channel.basic.get(queue):
        make(order.body)
        order.ack()


# 01.2: channel, exchange, queue


def of_its_own(channel, exchange, queue):
    mine = channel.queue.declare(exclusive=True)["queue"]
    channel.queue.bind(mine, exchange)
    return mine


def with_a_name(channel, exchange, queue):
    channel.queue.declare("screen", durable=True)
    channel.queue.bind("screen", exchange, "whatever")
    return "screen"


def the_same(channel, exchange, queue):
    return queue


def unbound(channel, exchange, queue):
    return channel.queue.declare(exclusive=True)["queue"]


def dictionary(channel, exchange, queue):
    mine = channel.queue.declare(exclusive=True)
    channel.queue.bind(mine["queue"], exchange)
    return mine


def undeclared(channel, exchange, queue):
    return "screen-of-the-cafe"


def instead_of_the_baristas(channel, exchange, queue):
    mine = of_its_own(channel, exchange, queue)
    channel.queue.unbind(queue, exchange)
    return mine


def binds_without_its_name(channel, exchange, queue):
    mine = channel.queue.declare(exclusive=True)["queue"]
    channel.queue.bind(queue, exchange)
    return mine


def consumes_for_nobody(channel, exchange, queue):
    mine = of_its_own(channel, exchange, queue)
    channel.basic.consume(lambda order: order.ack(), mine)
    channel.start_consuming()


# 01.3: channel, queue, text


def confirmed_and_mandatory(channel, queue, text):
    channel.confirm_deliveries()
    try:
        return channel.basic.publish(text, queue, mandatory=True)
    except MESSAGE:
        return False


def hopes(channel, queue, text):
    channel.basic.publish(text, queue)
    return True


def confirmed_only(channel, queue, text):
    channel.confirm_deliveries()
    return channel.basic.publish(text, queue)


def mandatory_only(channel, queue, text):
    channel.basic.publish(text, queue, mandatory=True)
    return True


def looks_too_early(channel, queue, text):
    try:
        channel.basic.publish(text, queue, mandatory=True)
        channel.check_for_errors()
    except MESSAGE:
        return False
    return True


def returns_what_publish_returns(channel, queue, text):
    return channel.basic.publish(text, queue, mandatory=True)


def does_not_catch(channel, queue, text):
    channel.confirm_deliveries()
    return channel.basic.publish(text, queue, mandatory=True)


def asks_first(channel, queue, text):
    try:
        channel.queue.declare(queue, passive=True)
    except amqpstorm.AMQPChannelError:
        return False
    channel.basic.publish(text, queue)
    return True


def only_asks(channel, queue, text):
    channel.confirm_deliveries()
    try:
        return channel.basic.publish("hola", queue, mandatory=True)
    except MESSAGE:
        return False


def never_there(channel, queue, text):
    return False


RIGHT = [
    ("01.1", one_after_the_other),
    ("01.1", as_a_consumer),
    ("01.2", of_its_own),
    ("01.2", with_a_name),
    ("01.3", confirmed_and_mandatory),
]
WRONG = [
    ("01.1", never_acks, "3 orders are in the queue again"),
    ("01.1", needs_no_ack, "forget it before it was made"),
    ("01.1", acks_before, "forget it before it was made"),
    ("01.1", acks_all_at_the_end, "also the first, which was made already"),
    ("01.1", takes_all_acks_all_then_makes, "the gauges show 0"),
    ("01.1", makes_the_message, "order.body"),
    ("01.1", makes_one, "made was espresso."),
    ("01.1", does_not_stop, "basic.get returns None"),
    ("01.1", consumes_for_ever, "still running after 3 seconds"),
    ("01.1", gives_them_back, "still running after 3 seconds"),
    ("01.1", returns_nothing, "return how many"),
    ("01.2", the_same, "Of six orders it saw 3, and 3 were left for the baristas: it steals"),
    ("01.2", unbound, "the screen saw 0 of them"),
    ("01.2", dictionary, "under 'queue'"),
    ("01.2", undeclared, "no queue 'screen-of-the-cafe'"),
    ("01.2", instead_of_the_baristas, "Of six orders the baristas got 0"),
    ("01.2", binds_without_its_name, "the screen saw 0 of them"),
    ("01.2", consumes_for_nobody, "It is only to prepare a queue"),
    ("01.3", hopes, "carry the wish"),
    ("01.3", confirmed_only, "carry the wish"),
    ("01.3", mandatory_only, "What makes publish wait?"),
    ("01.3", looks_too_early, "What makes publish wait?"),
    ("01.3", returns_what_publish_returns, "Return True or False; this is None"),
    ("01.3", does_not_catch, "Whoever calls it wants False"),
    ("01.3", asks_first, "your channel is closed"),
    ("01.3", only_asks, "in the queue lies 'hola'"),
    ("01.3", never_there, "It said False of a queue that is there"),
]
