"""Which publish the broker has: confirms and returns, matched by delivery tag."""

from __future__ import annotations

import itertools
from enum import Enum


class Outcome(Enum):
    """What became of one publish."""

    CONFIRMED = "the broker has it"
    NACKED = "the broker refused it"
    RETURNED = "there is no queue for it"
    LOST = "the connection ended before the broker said anything"


class Confirms:
    """The publishes of one channel that the broker has not spoken of yet.

    On a channel in confirm mode the n-th publish is confirmed under the delivery tag n
    (rabbitmq.com/docs/confirms). A returned message is confirmed too, after its return.
    """

    def __init__(self) -> None:
        self._next = 1
        self._waiting: dict[int, str] = {}
        self._returned: set[str] = set()

    def publishing(self, id: str) -> int:
        """Note that the message ``id`` goes out now, and return its delivery tag."""
        tag, self._next = self._next, self._next + 1
        self._waiting[tag] = id
        return tag

    def returned(self, id: str) -> None:
        """Note that the broker sent the message back."""
        self._returned.add(id)

    def answered(self, tag: int, *, multiple: bool, ok: bool) -> list[tuple[str, Outcome]]:
        """Take an ack (``ok``) or nack, and return what it settles; nothing for an unknown tag.

        ``multiple`` speaks of all tags up to this one.
        """
        if multiple:
            # The table's order is the tags', so this looks at what it settles and no more.
            tags = list(itertools.takewhile(lambda waiting: waiting <= tag, self._waiting))
        else:
            tags = [tag] if tag in self._waiting else []
        return [self._settle(tag, ok) for tag in tags]

    def lost(self) -> list[str]:
        """Forget everything, and return the ids of which nothing is known."""
        ids = list(self._waiting.values())
        self._waiting.clear()
        self._returned.clear()
        return ids

    def _settle(self, tag: int, ok: bool) -> tuple[str, Outcome]:
        id = self._waiting.pop(tag)
        if id in self._returned:
            self._returned.discard(id)
            return id, Outcome.RETURNED
        return id, Outcome.CONFIRMED if ok else Outcome.NACKED

    def __len__(self) -> int:
        """Return how many publishes are unsettled."""
        return len(self._waiting)
