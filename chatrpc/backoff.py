"""Whom to dial next, and when: so that thirty clients do not stampede a broker that returns."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Generic, TypeVar

Address = TypeVar("Address")


class Backoff(Generic[Address]):
    """Addresses in turn; a wait that doubles with each full round of failures.

    The wait is drawn from the whole interval ("full jitter", Brooker, "Exponential Backoff
    and Jitter", AWS Architecture Blog 2015), since equal waits would meet again.

    Args:
        addresses: whom to dial, at least one; the first choice is random where there are
            several, so that clients spread.
        first: the longest wait after the first failed round, in seconds.
        most: the longest wait of all, in seconds.
        random: the source of chance; a seeded one makes the sequence repeatable.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        first: float = 0.1,
        most: float = 0.5,
        random: Random | None = None,
    ) -> None:
        self._addresses = list(addresses)
        self._first, self._most = first, most
        self._random = random or Random()
        self._turn = self._random.randrange(len(self._addresses))
        self._failures = 0

    def next(self) -> tuple[Address, float]:
        """Return whom to dial, and how many seconds to wait before."""
        address = self._addresses[self._turn % len(self._addresses)]
        return address, self._wait()

    def failed(self) -> None:
        """Note that the dial failed: the next address has its turn."""
        self._turn += 1
        self._failures += 1

    def succeeded(self) -> None:
        """Note that the dial succeeded: this address is the first choice next time."""
        self._failures = 0

    def _wait(self) -> float:
        rounds = self._failures // len(self._addresses)
        if rounds == 0:
            return 0.0
        longest = min(self._most, self._first * 2.0 ** (min(rounds, 16) - 1))
        return self._random.uniform(0, longest)
