"""What a tool says when it cannot do what a cell asks."""

from __future__ import annotations


class LabProblem(Exception):
    """One sentence for the cell: what is wrong, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of a traceback: the sentence alone."""
        return [str(self)]
