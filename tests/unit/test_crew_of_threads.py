"""A crew does its jobs in their order, and what quick ones leave is done together, and soon."""

import threading
import time

import pytest

from chatrpc.crew import Crew
from tests.waiting import within


class Desk:
    """A crew whose jobs leave a letter each, which ``rest`` takes to the post."""

    def __init__(self, threads):
        self.letters, self.posted, self.walks = [], [], 0
        self.crew = Crew(self.work, rest=self.post, threads=threads, name="test-crew")
        self.crew.start()

    def work(self, job):
        """Leave a letter; a job that is an event is waited for."""
        if isinstance(job, threading.Event):
            job.wait(10)
        else:
            self.letters.append(job)

    def post(self):
        """Take all letters away."""
        letters = [self.letters.pop(0) for _ in range(len(self.letters))]
        if letters:
            self.walks += 1
            self.posted += letters


@pytest.fixture
def desk():
    """Return a function that makes a desk; all are closed afterwards."""
    desks = []

    def make(threads):
        desks.append(Desk(threads))
        time.sleep(0.05)  # till all are asleep
        return desks[-1]

    yield make
    for desk in desks:
        desk.crew.close(1)


def test_what_quick_jobs_leave_is_done_together(desk):
    desk = desk(4)
    for turn in range(20):
        for number in range(8):  # before the first thread that is woken can run
            desk.crew.put((turn, number))
        assert within(5, lambda expected=8 * (turn + 1): len(desk.posted) == expected)
    assert desk.walks <= 80
    assert sorted(desk.posted) == [(turn, number) for turn in range(20) for number in range(8)]


@pytest.mark.parametrize("blocked", [1, 2, 3, 4, 9])
def test_what_a_quick_job_leaves_does_not_wait_for_a_slow_one(desk, blocked):
    desk, slow = desk(4), threading.Event()
    for number in range(20):
        before = len(desk.posted)
        desk.crew.put(number)
        for _ in range(blocked):
            desk.crew.put(slow)
        assert within(2, lambda expected=before + 1: len(desk.posted) == expected), number
        slow.set()
        assert within(2, lambda: len(desk.crew._asleep) == 4)
        slow.clear()


def test_who_works_alone_leaves_nothing_before_a_slow_job(desk):
    desk, slow = desk(1), threading.Event()
    desk.crew.put("letter")
    desk.crew.put(slow)
    assert within(2, lambda: desk.posted == ["letter"])
    slow.set()


@pytest.mark.parametrize("step", range(12))
def test_what_is_left_to_who_was_woken_is_done_wherever_that_one_is(desk, step):
    """Somebody leaves a letter and begins a slow job while the one who was woken is at a line."""
    go_on, slow, steps, at = threading.Event(), threading.Event(), [], threading.Event()

    def trace(frame, event, _):
        if frame.f_code is not Crew._run.__code__:
            return None
        if go_on.is_set() or not begun.is_set() or threading.current_thread() is busy[0]:
            return trace
        steps.append(frame.f_lineno)
        if event == "line" and len(steps) == step + 1:
            go_on.set()
            at.wait(0.2)
        return trace

    def work(job):
        if job == "letter":
            busy.append(threading.current_thread())
            begun.set()
            go_on.wait(0.5)
            desk.letters.append(job)
        else:
            if threading.current_thread() is busy[0]:
                at.set()
            slow.wait(5)

    begun, busy = threading.Event(), []
    threading.settrace(trace)
    try:
        desk = desk(2)
    finally:
        threading.settrace(None)
    desk.crew._work = work
    desk.crew.put("letter")
    assert begun.wait(2)
    desk.crew.put("slow")
    desk.crew.put("slow")
    assert within(2, lambda: desk.posted == ["letter"])
    slow.set()


def test_nothing_is_left_when_all_have_gone_to_sleep(desk):
    desk = desk(8)
    for turn in range(300):
        for number in range(turn % 12 + 1):
            desk.crew.put(number)
            if turn % 3 == 0:
                time.sleep(0)
        assert within(5, lambda: len(desk.crew._asleep) == 8 and not desk.crew._jobs)
        assert not desk.letters, turn


def test_who_closes_leaves_nothing_of_what_was_done(desk):
    for _ in range(30):
        here = desk(3)
        for number in range(40):
            here.crew.put(number)
        here.crew.close(5)
        assert not here.letters


def test_it_can_be_closed_while_it_starts():
    crew = Crew(lambda job: None, threads=3, name="test-crew")
    first, second, third = crew._threads
    first.start()
    crew.close(1)
    assert not first.is_alive()
    for late in second, third:
        late.start()
        late.join(1)
        assert not late.is_alive()
