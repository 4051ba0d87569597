"""What is done with is told in few frames, and what is in hand never is."""

import queue
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from chatrpc import frames
from chatrpc.acks import Acks, Told
from chatrpc.writer import Writer

STEPS = st.lists(
    st.sampled_from(["deliver", "deliver", "done", "done", "reject", "tell"])
    | st.tuples(st.sampled_from(["done", "reject"]), st.integers(0, 50)),
    max_size=80,
)


class Broker:
    """One channel as a broker keeps it: a tag that it does not know ends the channel."""

    def __init__(self):
        self.unacked, self.acked, self.dead = [], set(), set()

    def hear(self, told):
        for tag in told.rejected:
            self.unacked.remove(tag)
            self.dead.add(tag)
        if told.up_to:
            assert told.up_to in self.unacked
            self.acked.update(tag for tag in self.unacked if tag <= told.up_to)
            self.unacked = [tag for tag in self.unacked if tag > told.up_to]
        for tag in told.single:
            self.unacked.remove(tag)
            self.acked.add(tag)


@given(STEPS)
def test_a_broker_hears_of_each_delivery_once_what_became_of_it(steps):
    acks, broker, hand, done, rejected, tag = Acks(), Broker(), [], set(), set(), 0
    for step in [*steps, "tell"]:
        what, which = step if isinstance(step, tuple) else (step, 0)
        if what == "deliver":
            tag += 1
            acks.delivered(tag)
            broker.unacked.append(tag)
            hand.append(tag)
        elif what == "tell":
            broker.hear(acks.told())
            assert broker.unacked == hand
        elif hand:
            over = hand.pop(which % len(hand))
            if what == "done":
                acks.done(over)
                done.add(over)
            else:
                acks.reject(over)
                rejected.add(over)
    assert (broker.acked, broker.dead) == (done, rejected)
    assert len(acks) == len(hand)
    assert acks.told() == Told([], 0, [])


def test_many_in_a_row_are_one_frame():
    acks = Acks()
    for tag in range(1, 101):
        acks.delivered(tag)
    for tag in (3, 1, 2, 50, *range(4, 50)):
        acks.done(tag)
    acks.done(99)
    assert acks.told() == Told([], 50, [99])


def test_one_that_takes_its_time_makes_the_others_told_singly():
    acks = Acks()
    for tag in range(1, 6):
        acks.delivered(tag)
    for tag in (2, 3, 5):
        acks.done(tag)
    assert acks.told() == Told([], 0, [2, 3, 5])
    for tag in (4, 1):
        acks.done(tag)
    assert acks.told() == Told([], 4, [])


def test_a_tag_that_nobody_delivered_speaks_for_no_other():
    acks = Acks()
    acks.delivered(7)
    for tag in (3, 4, 7):
        acks.done(tag)
    assert acks.told() == Told([], 0, [3, 4, 7])


def test_what_is_done_on_other_threads_while_it_is_told_is_not_lost():
    acks, broker, jobs, count = Acks(), Broker(), queue.SimpleQueue(), 20_000

    def work():
        while (tag := jobs.get()) is not None:
            acks.done(tag)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for tag in range(1, count + 1):
        acks.delivered(tag)
        broker.unacked.append(tag)
        jobs.put(tag)
        if not tag % 5:
            broker.hear(acks.told())
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    broker.hear(acks.told())
    assert broker.unacked == []
    assert broker.acked == set(range(1, count + 1))


def seconds(count):
    """Return the processor time that telling of so many takes, at best of three times."""
    times = []
    for _ in range(3):
        acks = Acks()
        for tag in range(1, count + 1):
            acks.delivered(tag)
            acks.done(tag)
        start = time.thread_time()
        assert acks.told() == Told([], count, [])
        times.append(time.thread_time() - start)
    return min(times)


def test_ten_times_as_many_cost_ten_times_as_much_and_not_a_hundred():
    assert seconds(20_000) < 40 * seconds(2_000)


def test_a_multiple_ack_says_so_on_the_wire():
    one, many = frames.ack(1, 9), frames.ack(1, 9, multiple=True)
    assert frames.settlement(one[7:]) == (9, False)
    assert frames.settlement(many[7:]) == (9, True)


def test_who_is_asked_when_it_goes_out_is_asked_then():
    said, sent = [b"later"], []
    writer = Writer(sent.append)
    writer.add(b"first ", said.pop)
    writer.add(b" last")
    assert said == [b"later"]
    writer.flush()
    assert sent == [b"first later last"]
