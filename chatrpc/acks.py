"""Which deliveries are done with, told to the broker in as few frames as can be."""

from __future__ import annotations

import collections
import sys
from typing import NamedTuple

_NONE_IN_HAND = sys.maxsize


class Told(NamedTuple):
    """What one write tells the broker, in this order.

    ``rejected`` are the tags that are given up, ``up_to`` is the tag up to which one frame
    acknowledges all that is left (0: none), ``single`` are the tags that have a frame each.
    """

    rejected: list[int]
    up_to: int
    single: list[int]


class Acks:
    """The deliveries of one channel that are in hand, and those that are done with and not told.

    One frame can acknowledge every delivery up to its tag (rabbitmq.com/docs/confirms), and
    each frame is an entry in the log of a quorum queue. So what is done with waits for the
    next write, which tells of it together; but never of one that is still in hand.

    Any thread may call ``done`` and ``reject``; one at a time calls ``told``.
    """

    def __init__(self) -> None:
        self._in_hand: dict[int, None] = {}  # the tags, in their order
        self._done: collections.deque[int] = collections.deque()
        self._rejected: collections.deque[int] = collections.deque()

    def delivered(self, tag: int) -> None:
        """Note a delivery. A channel's tags only grow."""
        self._in_hand[tag] = None

    def done(self, tag: int) -> None:
        """Note that a delivery is done with."""
        self._done.append(tag)

    def reject(self, tag: int) -> None:
        """Note that a delivery is given up."""
        self._rejected.append(tag)

    def told(self) -> Told:
        """Return what the broker must be told now; it counts as told from then on.

        A tag that was never noted as delivered is told singly.
        """
        if len(self._done) == 1 and not self._rejected:  # so it is for who calls alone
            tag = self._done.popleft()
            self._in_hand.pop(tag, None)
            return Told([], 0, [tag])
        rejected, done = _emptied(self._rejected), _emptied(self._done)
        for tag in rejected:
            self._in_hand.pop(tag, None)
        ours = [tag for tag in done if self._in_hand.pop(tag, self) is None]
        # `min` of a dict is one step for CPython: the thread that reads may add to it meanwhile.
        first = min(self._in_hand, default=_NONE_IN_HAND)
        together = {tag for tag in ours if tag < first}
        if len(together) < 2:
            return Told(rejected, 0, done)
        return Told(rejected, max(together), [tag for tag in done if tag not in together])

    def __len__(self) -> int:
        """Return how many deliveries are in hand, or done with and not told."""
        return len(self._in_hand)


def _emptied(tags: collections.deque[int]) -> list[int]:
    return [tags.popleft() for _ in range(len(tags))]
