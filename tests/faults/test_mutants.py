"""The judgement finds out clients and servers that are deliberately wrong, on a real broker."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from scene import reply_queues
from trial import Trial

from chatrpc import RpcClient
from chatrpc.broker import Node
from chatrpc.confirms import Outcome


class NeverAgain(RpcClient):
    """Does not send again what was lost with its connection."""

    def settled(self, id: str, outcome: Outcome) -> None:
        """Overhear the loss."""
        if outcome is not Outcome.LOST:
            super().settled(id, outcome)


class Stays(RpcClient):
    """Does not end when it is closed."""

    left: Stays

    def close(self) -> None:
        """Be remembered, to be closed after the test."""
        Stays.left = self


@dataclass(frozen=True)
class Wrong:
    """A trial with somebody wrong in it, and how the complaint about that begins."""

    trial: Trial
    complaint: str


WRONG = {
    "lost, since not sent again": Wrong(
        Trial("held to broker, lost", "client", timeout=4, client=NeverAgain), "lost (CallTimeout"
    ),
    "lost, since acknowledged before it ran": Wrong(
        Trial("worker killed", "node", timeout=4, server="AcksEarly"), "lost (CallTimeout"
    ),
    "run twice, since no answer is remembered": Wrong(
        Trial("held to broker, lost", "server", server="Forgetful"), "ran twice, 0 may"
    ),
}


SEEDS = (1, 2, 3, 4, 5)
"""More than one: a worker may be killed when the broker has read none of its acks yet."""


@pytest.mark.parametrize("name", WRONG)
def test_who_is_wrong_is_found_out(name: str, node: Node) -> None:
    wrong, complaints = WRONG[name], []
    for seed in SEEDS:
        trial = replace(wrong.trial, seed=seed)
        complaints = trial.run(node, reply_queues(node)).complaints
        if any(wrong.complaint in text for text in complaints):
            return
    pytest.fail(f"the last trial's complaints were {complaints}")


def test_what_stays_behind_is_found_out(node: Node) -> None:
    try:
        verdict = Trial("wrong password", "node", timeout=4, client=Stays).run(
            node, reply_queues(node)
        )
    finally:
        RpcClient.close(Stays.left)
    assert [text[:12] for text in verdict.complaints] == ["the client's", "left behind:"]
