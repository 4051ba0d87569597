"""A crew of threads that take jobs, and wake one another no more often than they must."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Crew(Generic[Job]):
    """Does jobs on several threads, in the order in which they come.

    One thread is woken at a time: it takes a job and, if there is another, wakes the
    next before it begins. So a quick job costs one wake-up at most, and a slow one holds
    up nobody. (``queue.SimpleQueue`` wakes a second thread for each job, which finds
    nothing.) Whoever became free last is woken first: its memory is still at hand.

    Args:
        work: does one job; what it raises ends its thread, so it should raise nothing.
        rest: does once what quick jobs have left to be done together, as to write their
            answers. After a job, unless a thread that was woken will do it in a moment.
        threads: how many jobs are done at a time.
        name: of the threads, which get numbers.
    """

    def __init__(
        self,
        work: Callable[[Job], None],
        *,
        rest: Callable[[], None] = lambda: None,
        threads: int,
        name: str,
    ) -> None:
        self._work, self._rest = work, rest
        self._lock = threading.Lock()
        self._jobs: collections.deque[Job] = collections.deque()
        self._asleep: list[threading.Lock] = []
        self._waking = False
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Have a job done by the next free thread; after ``close`` it is dropped."""
        with self._lock:
            if not self._closed:
                self._jobs.append(job)
                self._wake_one()

    def close(self, timeout: float) -> None:
        """Drop the jobs that wait, and give those under way ``timeout`` seconds to end."""
        end = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            self._jobs.clear()
            while self._asleep:
                self._asleep.pop().release()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def _wake_one(self) -> None:
        if self._jobs and self._asleep and not self._waking:
            self._waking = True
            self._asleep.pop().release()

    def _run(self) -> None:
        bed = threading.Lock()  # a bare lock wakes its waiter faster than an Event
        bed.acquire()
        while not self._closed:
            with self._lock:
                job = self._jobs.popleft() if self._jobs else None
                if job is None:
                    if self._closed:
                        return
                    self._asleep.append(bed)
                else:
                    self._wake_one()
            if job is not None:
                self._work(job)
                if not self._waking:
                    self._rest()
            else:
                self._rest()
                bed.acquire()
                self._waking = False  # before it rests, so that nobody leaves it to nobody
                self._rest()
