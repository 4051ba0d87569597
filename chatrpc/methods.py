"""The table of procedures, and the handler that turns one request into one reply.

No broker and no queue: what a server does, apart from how it is reached.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import InvalidParams, InvalidRequest, MethodNotFound, RemoteError
from .messages import Reply, Request

log = logging.getLogger("chatrpc.methods")


@dataclass(frozen=True, slots=True)
class _Method:
    function: Callable[..., Any]
    signature: inspect.Signature | None
    request: str | None  # the parameter that wants the Request
    counts: range  # how many parameters by position fit without a closer look


class Methods:
    """The table of procedures: which names can be called, and with what."""

    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Make a function callable under a name; an earlier one of that name is replaced.

        Raises:
            ValueError: the name is empty, over 100 characters, or begins with "rpc.".
        """
        if not 0 < len(name) <= 100 or name.startswith("rpc."):
            raise ValueError(f"{name!r} is no name for a method")
        signature, request = None, None
        try:
            signature = inspect.signature(function, eval_str=True)
        except (NameError, TypeError, ValueError):
            log.debug("the parameters of %s cannot be read, and so not be checked", name)
        else:
            wants = [p.name for p in signature.parameters.values() if p.annotation is Request]
            request = wants[0] if wants else None
        counts = range(0) if request or signature is None else _counts(signature)
        self._methods[name] = _Method(function, signature, request, counts)

    def names(self) -> list[str]:
        """Return the names that can be called, sorted."""
        return sorted(self._methods)

    def bind(self, request: Request) -> Callable[[], Any]:
        """Return the call that a request asks for, ready to be made.

        Raises:
            MethodNotFound, InvalidParams: there is no such method, or not with these. (C09)
        """
        method = self._methods.get(request.method)
        if method is None:
            raise MethodNotFound(f"there is no method {request.method[:100]!r}")
        if len(request.params) in method.counts and isinstance(request.params, list):
            return functools.partial(method.function, *request.params)
        args = request.params if isinstance(request.params, list) else []
        params = request.params if isinstance(request.params, dict) else {}
        if method.signature is None:
            return lambda: method.function(*args, **params)
        try:
            bound = self._bound(method, request, args, params)
        except TypeError as error:
            raise InvalidParams(f"{request.method}: {error}") from None
        return lambda: method.function(*bound.args, **bound.kwargs)

    @staticmethod
    def _bound(
        method: _Method, request: Request, args: list[Any], params: dict[str, Any]
    ) -> inspect.BoundArguments:
        signature = method.signature
        assert signature is not None
        if method.request is None:
            return signature.bind(*args, **params)
        visible = [p for p in signature.parameters.values() if p.name != method.request]
        given = signature.replace(parameters=visible).bind(*args, **params)
        given.apply_defaults()
        return inspect.BoundArguments(
            signature,
            {
                name: request if name == method.request else given.arguments[name]
                for name in signature.parameters
            },
        )


def _counts(signature: inspect.Signature) -> range:
    parameters = signature.parameters.values()
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        return range(0)
    return range(sum(p.default is p.empty for p in parameters), len(parameters) + 1)


class Handler:
    """Turns one request into one reply; it knows no broker and no queue."""

    def __init__(self, methods: Methods, worker: str) -> None:
        self._methods, self._worker = methods, worker

    def handle(self, request: Request) -> Reply:
        """Run the method, and return its answer, or what went wrong as data. (C08)"""
        try:
            run = self._methods.bind(request)
        except InvalidRequest as error:
            return Reply.error(request.id, error, worker=self._worker)
        start = time.monotonic()
        try:
            result = run()
        except BaseException as error:  # even sys.exit() in a method is only its failure
            log.info("the method %s failed", request.method, exc_info=True)
            told = RemoteError(type(error).__name__, str(error))
            took = time.monotonic() - start
            return Reply.error(request.id, told, worker=self._worker, took=took)
        took = time.monotonic() - start
        return Reply.result(request.id, result, worker=self._worker, took=took)
