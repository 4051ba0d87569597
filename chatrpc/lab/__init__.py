"""Teaching tools: see every message, break everything, check what was built.

Each name is loaded when it is first used, so that a tool whose packages are missing costs
nothing to those who do not ask for it.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import faults as faults
    from .coffee import Coffee as Coffee
    from .colours import legend as legend
    from .contract import judge as judge
    from .drill import Drill as Drill
    from .exercises import exercise as exercise
    from .gauges import Gauges as Gauges
    from .glances import Moments as Moments
    from .ladder import trace as trace
    from .panel import ChatPanel as ChatPanel
    from .panel import beside as beside
    from .saving import save as save
    from .services import queue as queue
    from .services import service as service
    from .source import diff as diff
    from .wire import Wire as Wire
    from .workers import worker as worker

# A lost link is told by the instruments; without a handler Python writes it into whatever cell
# is running.
logging.getLogger("chatrpc").addHandler(logging.NullHandler())

# A module must not share the name of what it exports: importing it would hide the export.
_HOME = {
    "ChatPanel": "panel",
    "Coffee": "coffee",
    "Drill": "drill",
    "Gauges": "gauges",
    "Moments": "glances",
    "Wire": "wire",
    "beside": "panel",
    "diff": "source",
    "exercise": "exercises",
    "judge": "contract",
    "legend": "colours",
    "queue": "services",
    "save": "saving",
    "service": "services",
    "trace": "ladder",
    "worker": "workers",
}
_MODULES = ("faults",)

__all__ = [
    "ChatPanel",
    "Coffee",
    "Drill",
    "Gauges",
    "Moments",
    "Wire",
    "beside",
    "diff",
    "exercise",
    "faults",
    "judge",
    "legend",
    "queue",
    "save",
    "service",
    "trace",
    "worker",
]


def __getattr__(name: str) -> Any:
    """Load a tool by its name (PEP 562)."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"chatrpc.lab has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
