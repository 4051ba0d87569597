"""A client class of one's own in the place of chatrpc's: ``CHATRPC_CLIENT=my_chatrpc:RpcClient``.

It needs ``call`` or ``submit``, with a ``message_id``; who is there, the chat finds out by itself.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..calls import CallFuture
from ..client import RpcClient
from ..errors import BrokerError, Busy, Ran, RpcError

AT_ONCE = 60  # calls of such a class that may be under way, those that hang for ever among them


class Client(Protocol):
    """What the chat asks of a client."""

    def submit(self, method: str, /, *args: Any, message_id: str) -> CallFuture:
        """Send a call, and return the future of its answer."""

    def consumers(self) -> int:
        """Return how many workers listen now."""

    def close(self) -> None:
        """End the client."""


def client_class() -> Callable[..., Client]:
    """What makes the chat's client: chatrpc's own class, or what CHATRPC_CLIENT names.

    Ends the program with one sentence if that is not there, or lacks something.
    """
    if not (where := os.environ.get("CHATRPC_CLIENT")):
        return RpcClient
    cls = _find(where)
    if missing := _missing(cls):
        sys.exit(f"CHATRPC_CLIENT is {where}: {missing}.")
    return partial(OwnClient, cls)


def _find(where: str) -> Any:
    module, _, name = where.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", where):
        sys.exit(f"CHATRPC_CLIENT is {where!r}: write module:Class, as in my_chatrpc:RpcClient.")
    # Where a person is, and where the notebooks leave their modules.
    sys.path += [str(Path.cwd()), str(Path.cwd() / "notebooks")]
    try:
        found = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - whatever a student's file raises
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            sys.exit(f"CHATRPC_CLIENT is {where}: there is no {module}.py here or in notebooks/.")
        sys.exit(f"CHATRPC_CLIENT is {where}: importing {module} raised {_told(error)}.")
    if not hasattr(found, name):
        sys.exit(f"CHATRPC_CLIENT is {where}: {module} has no class {name}.")
    return getattr(found, name)


def _missing(cls: Any) -> str:
    """What a class lacks, as the end of a sentence; '' if it lacks nothing."""
    if not isinstance(cls, type):
        return "that is no class"
    face = "submit" if hasattr(cls, "submit") else "call"
    if not callable(getattr(cls, face, None)):
        return "the class lacks a method call or submit"
    if "message_id" not in _parameters(getattr(cls, face)):
        return f'its {face} takes no message_id, so "send again" would pour a second cup'
    try:
        inspect.signature(cls).bind("chat", **_options(cls, 1.0))
    except (TypeError, ValueError) as error:
        return f"it cannot be made from a service's name: {error}"
    return ""


def _parameters(face: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(face).parameters)
    except (TypeError, ValueError):
        return set()


def _options(cls: type, timeout: float) -> dict[str, float]:
    return {"timeout": timeout} if "timeout" in _parameters(cls) else {}


def _told(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


class OwnClient:
    """A client of any class with ``call`` or ``submit``, as the chat uses it.

    Its calls run in threads of their own, so that one that hangs holds up no thread of the
    server. The workers are counted by a client of chatrpc's.
    """

    def __init__(self, cls: type, service: str, *, timeout: float) -> None:
        """Open both. Raises RpcError."""
        self._timeout = timeout
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._looker = RpcClient(service, timeout=timeout)
        try:
            self._inner = cls(service, **_options(cls, timeout))
        except Exception as error:
            self._looker.close()
            if isinstance(error, RpcError):
                raise
            raise BrokerError(f"{cls.__name__} raised {_told(error)}", ran=Ran.NO) from error

    def submit(self, method: str, /, *args: Any, message_id: str) -> CallFuture:
        """Call, and return a future that has the answer, or what the class raised."""
        if not self._places.acquire(blocking=False):
            raise Busy("too many calls are under way", ran=Ran.NO)
        future = CallFuture()
        run = partial(self._run, future, method, *args, message_id=message_id)
        threading.Thread(target=run, name="own-client", daemon=True).start()
        return future

    def _run(self, future: CallFuture, method: str, *args: Any, message_id: str) -> None:
        try:
            if hasattr(self._inner, "submit"):
                inner = self._inner.submit(method, *args, message_id=message_id)
                answer = inner.result(self._timeout + 1)
                future.worker = str(getattr(inner, "worker", ""))
            else:
                answer = self._inner.call(method, *args, message_id=message_id)
            future.set_result(answer)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        finally:
            self._places.release()

    def consumers(self) -> int:
        """Return how many workers listen now. Raises RpcError."""
        return self._looker.consumers()

    def close(self) -> None:
        """Close both; a class that has no ``close`` is left to itself."""
        self._looker.close()
        with suppress(Exception):
            getattr(self._inner, "close", lambda: None)()
