"""Solutions of lesson 01, each with its why; a cell begins at ``# %%`` and its number."""

import amqpstorm

from chatrpc import lab

# %% 01.1
# The ack stands after make: until then the broker keeps the order under this reader's name, and
# gives it to another if the connection ends. It stands inside the loop: acked all together at
# the end, orders that are made would come back after an accident.


@lab.exercise("01.1", connect=connect)  # noqa: F821 - the notebook's function
def careful(channel, queue, make):
    made = 0
    while order := channel.basic.get(queue):
        make(order.body)
        order.ack()
        made += 1
    return made


# %% 01.2
# A queue of its own, so that nothing is stolen; bound to the exchange, so that it gets copies.
# The broker invents the name, and `exclusive` lets the queue go with the screen's connection:
# a screen that is off should not collect orders for ever.


@lab.exercise("01.2", connect=connect)  # noqa: F821
def screen(channel, exchange, queue):
    mine = channel.queue.declare(exclusive=True)["queue"]
    channel.queue.bind(mine, exchange)
    return mine


# %% 01.3
# Both are needed. `mandatory` alone: the return comes at some time after publish is done, and
# troubles whoever uses the channel then. Confirms alone: the broker confirms that it has dealt
# with the message, which is true also of one that it threw away.


@lab.exercise("01.3", connect=connect)  # noqa: F821
def arrives(channel, queue, text):
    channel.confirm_deliveries()
    try:
        return channel.basic.publish(text, queue, mandatory=True)
    except amqpstorm.AMQPMessageError:
        return False
