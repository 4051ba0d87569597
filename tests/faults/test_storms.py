"""The short form of the fault suite: some faults of ``storms.py``, each judged from its logs.

``make faults`` is the long form, with all of them.
"""

from __future__ import annotations

import pytest
from scene import reply_queues
from trial import Trial

from chatrpc.broker import Node

SHORT = [
    Trial("stall", "both", workers=1),
    Trial("large on stall", "server", workers=2),
    Trial("cut in mid-frame", "client", workers=1),
    Trial("held to broker, lost", "both", workers=1),
    Trial("kill -9", "node", workers=1),
    Trial("reply queue deleted", "node", workers=2),
    Trial("worker killed", "node", workers=2),
    Trial("poison", "node", workers=2),
]


@pytest.fixture(scope="module")
def known(node: Node) -> frozenset[str]:
    """The reply queues that other tests have left, for the broker to remove."""
    return reply_queues(node)


@pytest.mark.parametrize("trial", SHORT, ids=str)
def test_a_storm_costs_nothing(trial: Trial, node: Node, known: frozenset[str]) -> None:
    """Lost, wrong, hung, late, ghost: 0; no more copies than must be; nothing stays behind."""
    assert trial.run(node, known).complaints == []
