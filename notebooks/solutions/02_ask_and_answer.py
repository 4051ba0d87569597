"""Solutions of lesson 02, each with its why; a cell begins at ``# %%`` and its number."""

import amqpstorm

from chatrpc import lab

# %% 02.1
# Without a name the broker makes one up that nobody else has, so two clients cannot meet.
# `exclusive` keeps others out, and lets the queue go with the client's connection: nothing is
# left behind by clients that have gone.


@lab.exercise("02.1", connect=connect, server=Server)  # noqa: F821 - the notebook's function, class
class MyClient(Client):  # noqa: F821
    def address(self):
        return self.channel.queue.declare(exclusive=True)["queue"]


# %% 02.2
# `finally` gives every way out its ack: with an answer kept, without an address, and with an
# address where nobody is. A question that cannot be answered now cannot be answered the next
# time either, so it must not go back into the queue. And only the broker knows whether the
# queue of replies is still there: hence mandatory, and the wait for its word.


@lab.exercise("02.2", connect=connect)  # noqa: F821
def reply(channel, question, answer):
    try:
        if not question.reply_to:
            return False
        channel.confirm_deliveries()
        return channel.basic.publish(answer, question.reply_to, mandatory=True)
    except amqpstorm.AMQPMessageError:
        return False
    finally:
        question.ack()
