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
    from .crew import Crew as Crew
    from .cups import Cups as Cups
    from .cups import ledger as ledger
    from .drill import Drill as Drill
    from .exercises import exercise as exercise
    from .gauges import Gauges as Gauges
    from .glances import Moments as Moments
    from .ladder import trace as trace
    from .listings import listing as listing
    from .page import chat_page as chat_page
    from .pages import browser as browser
    from .panel import ChatPanel as ChatPanel
    from .panel import beside as beside
    from .points import point as point
    from .pressure import load as load
    from .saving import save as save
    from .services import queue as queue
    from .services import service as service
    from .silence import silences as silences
    from .source import diff as diff
    from .tables import table as table
    from .wire import Wire as Wire
    from .workers import worker as worker

# A lost link is told by the instruments; without a handler Python writes it into whatever cell
# is running.
logging.getLogger("chatrpc").addHandler(logging.NullHandler())

# A module must not share the name of what it exports: importing it would hide the export.
_HOME = {
    "ChatPanel": "panel",
    "Crew": "crew",
    "Cups": "cups",
    "Coffee": "coffee",
    "Drill": "drill",
    "Gauges": "gauges",
    "Moments": "glances",
    "Wire": "wire",
    "beside": "panel",
    "browser": "pages",
    "chat_page": "page",
    "diff": "source",
    "exercise": "exercises",
    "judge": "contract",
    "ledger": "cups",
    "legend": "colours",
    "listing": "listings",
    "load": "pressure",
    "point": "points",
    "queue": "services",
    "save": "saving",
    "service": "services",
    "silences": "silence",
    "table": "tables",
    "trace": "ladder",
    "worker": "workers",
}
_MODULES = ("faults",)

__all__ = [
    "ChatPanel",
    "Coffee",
    "Crew",
    "Cups",
    "Drill",
    "Gauges",
    "Moments",
    "Wire",
    "beside",
    "browser",
    "chat_page",
    "diff",
    "exercise",
    "faults",
    "judge",
    "ledger",
    "legend",
    "listing",
    "load",
    "point",
    "queue",
    "save",
    "service",
    "silences",
    "table",
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
