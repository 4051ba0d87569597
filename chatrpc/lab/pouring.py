"""What a drill's workers do: a cup that is poured is written down, and stays poured."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..machine.folder import state_folder

POURING = 0.05  # seconds that a cup takes: a gap to be killed in


def pour(order: int) -> str:
    """Pour a cup for an order."""
    with book(os.environ["CHATRPC_SERVICE"]).open("a", encoding="utf-8") as poured:
        poured.write(f"{order}\n")
    time.sleep(POURING)
    return f"cup {order}"


def book(service: str) -> Path:
    """Return where a service's cups are written down, a line for each."""
    return state_folder() / f"drill-{service}.txt"
