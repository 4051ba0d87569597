"""Callers are woken one after the other, and none is left asleep."""

import itertools
import sys
import threading

import pytest

from chatrpc.calls import Call, Wakes
from chatrpc.deadline import Deadline


def call(number):
    """Return a call that is answered already."""
    made = Call(str(number), str(number), b"", Deadline(1.0))
    made.settle(ValueError(number))
    return made


def test_each_who_wakes_wakes_the_next_and_nobody_else():
    wakes, calls = Wakes(lambda: None), [call(number) for number in range(3)]
    for one in calls:
        wakes.add(one)
    wakes.next()
    assert [one.wait(0) for one in calls] == [True, False, False]
    wakes.next()
    assert calls[1].wait(0)
    assert not calls[2].wait(0)
    wakes.next()
    wakes.next()
    assert calls[2].wait(0)


def test_who_has_left_keeps_nobody_asleep():
    wakes, calls = Wakes(lambda: None), [call(number) for number in range(4)]
    for one in calls:
        wakes.add(one)
    calls[0].left = calls[1].left = True
    wakes.next()
    assert calls[2].wait(0)
    assert not calls[3].wait(0)


def test_a_crowd_that_leaves_at_any_time_leaves_nobody_asleep():
    wakes, awake = Wakes(lambda: None), threading.Semaphore(0)

    def caller(mine, patience):
        mine.wait(patience)
        mine.left = True
        wakes.next()
        awake.release()

    for turn in range(200):
        calls = [call(number) for number in range(8)]
        for number, mine in enumerate(calls):
            patience = -1 if number % 3 else 0.0002 * (turn % 5)
            threading.Thread(target=caller, args=(mine, patience), daemon=True).start()
        for mine in calls:
            wakes.add(mine)
        wakes.next()
        for _ in calls:
            assert awake.acquire(timeout=10), turn


def test_who_sends_while_nobody_is_on_the_way_writes_at_once():
    written = []
    wakes = Wakes(lambda: written.append("all"))
    wakes.sent()
    wakes.sent()
    assert len(written) == 2
    wakes.next()
    assert len(written) == 2


def test_the_last_who_leaves_writes_what_the_others_have_sent():
    written = []
    wakes, calls = Wakes(lambda: written.append("all")), [call(number) for number in range(3)]
    for one in calls:
        wakes.add(one)
    wakes.next()
    for _ in calls[1:]:  # each wakes the next, and sends again
        wakes.next()
        wakes.sent()
    assert not written
    wakes.next()
    assert written == ["all"]
    wakes.sent()
    assert written == ["all", "all"]


def test_many_are_written_before_the_last_leaves():
    written = []
    wakes = Wakes(lambda: written.append("all"))
    wakes.add(call(0))
    wakes.next()
    for _ in range(7):
        wakes.sent()
    assert not written
    wakes.sent()
    assert written == ["all"]


def test_whoever_finds_that_all_have_left_writes_what_was_sent():
    written = []
    wakes, gone = Wakes(lambda: written.append("all")), call(0)
    wakes.add(call(1))
    wakes.next()
    wakes.sent()
    gone.left = True
    wakes.add(gone)
    wakes.next()
    assert written == ["all"]


def at_each_step(function, meanwhile):
    """Run a function again and again, each time with something else done between two more steps.

    Yields before each run, which is the last if it had no step so late.
    """
    for step in itertools.count():
        left = [step]

        def trace(frame, event, _, left=left):
            if frame.f_code is not function.__code__:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                left[0] -= 1
                if left[0] == -1:
                    sys.settrace(None)
                    meanwhile()
                    return None
            return trace

        yield trace
        if left[0] >= 0:
            return


def test_who_sends_while_the_last_one_leaves_is_not_forgotten():
    letters, steps = [], 0

    def meanwhile():
        wakes.next()

    for trace in at_each_step(Wakes.sent, meanwhile):
        wakes = Wakes(letters.clear)
        wakes.add(call(0))
        wakes.next()
        letters.append(steps)
        sys.settrace(trace)
        wakes.sent()
        sys.settrace(None)
        steps += 1
        assert not letters or wakes._on_the_way, steps
        wakes.next()
        assert not letters, steps
    assert steps > 10


@pytest.mark.parametrize("others", [0, 1])
def test_who_leaves_while_another_sends_forgets_nothing(others):
    letters, steps = [], 0

    def meanwhile():
        letters.append(steps)
        wakes.sent()

    for trace in at_each_step(Wakes.next, meanwhile):
        wakes = Wakes(letters.clear)
        wakes.add(call(0))
        wakes.next()
        for number in range(others):
            wakes.add(call(number))
        letters.append(steps)
        wakes.sent()
        sys.settrace(trace)
        wakes.next()
        sys.settrace(None)
        steps += 1
        for _ in range(others):
            wakes.next()
        assert not letters, steps
    assert steps > 10


def test_who_sends_while_another_writes_is_not_forgotten():
    letters, steps = [], 0

    def meanwhile():
        wakes.add(call(1))
        wakes.next()
        letters.append(steps)
        wakes.sent()

    for trace in at_each_step(Wakes._write, meanwhile):
        wakes = Wakes(letters.clear)
        letters.append(steps)
        sys.settrace(trace)
        wakes.sent()
        sys.settrace(None)
        steps += 1
        wakes.next()
        assert not letters, steps
    assert steps > 5


def test_a_crowd_that_sends_again_and_again_leaves_nothing_unwritten():
    letters, awake = [], threading.Semaphore(0)
    wakes = Wakes(lambda: [letters.pop() for _ in range(len(letters))])

    def caller(mine):
        mine.wait()
        mine.left = True
        wakes.next()
        letters.append(mine)
        wakes.sent()
        awake.release()

    for turn in range(200):
        calls = [call(number) for number in range(8)]
        for mine in calls:
            threading.Thread(target=caller, args=(mine,), daemon=True).start()
        for mine in calls:
            wakes.add(mine)
            if turn % 2:
                wakes.next()
        wakes.next()
        for _ in calls:
            assert awake.acquire(timeout=10), turn
        assert not letters, turn
