"""The student's own module, my_chatrpc.py, as classes to work with: ``mine = lab.mine()``."""

from __future__ import annotations

import importlib
import sys

from .catchup import OURS, catch_up
from .problem import LabProblem
from .saving import FILE, place


class Mine:
    """The client and the server of my_chatrpc.py; ``caught_up`` if lessons had to be made up."""

    def __init__(self, client: type, server: type, *, caught_up: bool) -> None:
        self.RpcClient = client
        self.RpcServer = server
        self.caught_up = caught_up

    def __repr__(self) -> str:
        if self.caught_up:
            return f"{FILE} lacked something: it now has what the lessons would have left there"
        return f"RpcClient and RpcServer of {FILE}, as you have left them"


def mine() -> Mine:
    """Load the student's module anew; what earlier lessons would have left there is filled in.

    A class that the student has changed stays as it is.

    Raises:
        LabProblem: the file is no Python, cannot be run, or lacks a class.
    """
    path = place()
    account = catch_up("10", path)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules.pop(path.stem, None)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:  # noqa: BLE001 - whatever a student's file raises
        told = f"{type(error).__name__}: {error}"
        raise LabProblem(f"{path.name} cannot be run ({told}). Correct it, or rename it.") from None
    missing = [name for name in OURS if not isinstance(getattr(module, name, None), type)]
    if missing:
        raise LabProblem(f"{path.name} has no class {missing[0]}: chatrpc catch-up 10 puts one in.")
    client, server = (getattr(module, name) for name in OURS)
    return Mine(client, server, caught_up=bool(account.written))
