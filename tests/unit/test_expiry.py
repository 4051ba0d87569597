"""Calls that nobody waits for end at their deadlines, all that are due together."""

import sys
import threading
import time

import pytest

from chatrpc.agenda import Agenda
from chatrpc.calls import Call, CallFuture, Expiry
from chatrpc.deadline import Deadline
from chatrpc.pending import PendingCalls
from tests.waiting import within


class Desk:
    """Calls in flight, and what expired when."""

    def __init__(self):
        self.pending, self.expired, self.busy = PendingCalls(), [], 0.0
        self.agenda = Agenda("test-agenda")
        self.expiry = Expiry(self.agenda, self.pending, self.expire)
        self.looks = 0

    def expire(self, *calls):
        """End calls, as slowly as ``busy`` says."""
        self.looks += 1
        time.sleep(self.busy)
        for call in calls:
            self.pending.take(call.id)
            self.expired.append((call.id, time.monotonic() - call.deadline.at))

    def add(self, id, seconds, *, future=True):
        """Put a call into the table, and watch it."""
        deadline = Deadline.after(seconds, time.monotonic())
        call = Call(id, id, b"", deadline, CallFuture() if future else None)
        self.pending.add(id, call)
        self.expiry.watch(deadline.at)


@pytest.fixture
def desk():
    """Return a desk that is closed afterwards."""
    desk = Desk()
    yield desk
    desk.agenda.close()


def test_each_ends_at_its_own_deadline_whatever_came_first(desk):
    for id, seconds in ("a", 0.5), ("b", 0.1), ("c", 0.3), ("d", 0.9):
        desk.add(id, seconds)
    assert within(3, lambda: len(desk.expired) == 4)
    assert [id for id, _ in desk.expired] == ["b", "c", "a", "d"]
    assert all(late < 0.3 for _, late in desk.expired)


def test_those_that_are_due_together_end_together(desk):
    desk.busy = 0.2
    for number in range(500):
        desk.add(str(number), 0.1 + number / 10_000)
    assert within(3, lambda: len(desk.expired) == 500)
    assert desk.looks <= 4
    assert max(late for _, late in desk.expired) < 0.8


def test_one_that_somebody_waits_for_is_that_ones_business(desk):
    desk.add("a", 0.05, future=False)
    desk.add("b", 0.1)
    assert within(2, lambda: [id for id, _ in desk.expired] == ["b"])
    assert desk.pending.ids() == ["a"]


def test_the_agenda_keeps_nothing_for_calls_that_are_over(desk):
    for number in range(1000):
        desk.add(str(number), 60)
        desk.pending.take(str(number))
    assert len(desk.agenda._entries) <= 1


def test_a_call_that_comes_during_a_look_is_not_forgotten(desk):
    desk.busy = 0.1
    desk.add("first", 0.05)
    assert within(2, lambda: desk.looks == 1)
    desk.add("second", 0.02)
    assert within(2, lambda: len(desk.expired) == 2)


def test_many_threads_add_and_all_calls_end(desk):
    def add(name):
        for number in range(100):
            desk.add(f"{name}-{number}", 0.01 + (number * 37 % 50) / 200)

    threads = [threading.Thread(target=add, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert within(3, lambda: len(desk.expired) == 800)


def test_an_interrupt_while_one_is_added_costs_no_other_its_end(desk):
    """Ctrl-C, in ``submit``, between any two steps."""

    def interrupted(frame, event, _):
        nonlocal left
        if frame.f_code is not Expiry.watch.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
        return interrupted

    steps = 0
    while True:
        left = steps
        desk.agenda.at(time.monotonic() + 0.01, lambda: None)
        try:
            sys.settrace(interrupted)
            desk.expiry.watch(time.monotonic() + 0.02)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if left >= 0:
            break
        desk.add(f"after {steps}", 0.03)
        assert within(2, lambda: not len(desk.pending)), steps
        steps += 1
    assert steps > 10


def test_a_failure_while_some_end_costs_no_other_its_end(desk):
    ended, failed = desk.expire, []

    def expire(*calls):
        if not failed:
            failed.extend(desk.pending.take(call.id) for call in calls)
            raise ValueError("on purpose")
        ended(*calls)

    desk.expiry._expire = expire
    desk.add("first", 0.05)
    desk.add("second", 0.2)
    assert within(2, lambda: [id for id, _ in desk.expired] == ["second"])


def test_a_look_that_began_before_it_was_noted_counts_for_none(desk):
    at = time.monotonic()
    desk.agenda.soon(desk.expiry._look)
    assert within(2, lambda: not desk.agenda._entries)
    desk.expiry._next = at  # as by who adds a call that is due at once, and is slow to note it
    desk.add("late", 0.05)
    assert within(2, lambda: len(desk.expired) == 1)
