"""What the checks of several lessons have in common: classes that the judge looks at."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ..board import Result
from ..cells import stubs
from ..contract import judge
from ..exercises import Broken
from ..source import source_of


def unwritten(thing: Any, method: str) -> bool:
    """Return whether a function, or a class's method, is still the stub ``return ...``.

    Raises:
        Broken: it is neither a class nor a function.
    """
    if not isinstance(thing, type | FunctionType):
        raise Broken("Leave the first line of the answer as it was: its name is looked at.")
    return method in stubs(source_of(thing))


def judged(promises: str, *, client: type | None = None, server: type | None = None) -> None:
    """Put a class to promises, one after the other, until one is broken.

    Raises:
        Broken: one is not kept; it says how that was seen, and what would help.
    """
    for promise in promises.split():
        row = judge(client, server, only=promise).rows[0]
        if row.result is not Result.KEPT:
            raise Broken(f"{promise}: {row.reason}.\n{row.promise.hint}")
