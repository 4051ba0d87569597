"""The one exception of the programs."""

from __future__ import annotations


class BrokerProblem(Exception):
    """This machine cannot give what a program needs: one sentence why, then what to do."""

    def __init__(self, sentence: str, advice: str = "") -> None:
        """Keep both parts; ``str()`` gives them as one line."""
        super().__init__(f"{sentence} {advice}".strip())
        self.sentence = sentence
        self.advice = advice

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows instead of a traceback: the sentence alone."""
        return [str(self)]
