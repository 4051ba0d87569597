"""What a tool says when it cannot do what a cell asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..broker import BrokerProblem


class LabProblem(Exception):
    """One sentence for the cell: what is wrong, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of a traceback: the sentence alone."""
        return [str(self)]


@contextlib.contextmanager
def told_in_a_cell() -> Iterator[None]:
    """Raise what a broker's program says as a ``LabProblem``."""
    try:
        yield
    except BrokerProblem as problem:
        raise LabProblem(str(problem)) from None
