"""Callers are woken one after the other, and none is left asleep."""

import threading

from chatrpc.calls import Call, Wakes
from chatrpc.deadline import Deadline


def call(number):
    """Return a call that is answered already."""
    made = Call(str(number), str(number), b"", Deadline(1.0))
    made.settle(ValueError(number))
    return made


def test_each_who_wakes_wakes_the_next_and_nobody_else():
    wakes, calls = Wakes(), [call(number) for number in range(3)]
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
    wakes, calls = Wakes(), [call(number) for number in range(4)]
    for one in calls:
        wakes.add(one)
    calls[0].left = calls[1].left = True
    wakes.next()
    assert calls[2].wait(0)
    assert not calls[3].wait(0)


def test_a_crowd_that_leaves_at_any_time_leaves_nobody_asleep():
    wakes, awake = Wakes(), threading.Semaphore(0)

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
