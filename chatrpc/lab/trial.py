"""One trial of a client class and a server class: made with care, called with a deadline, cleared.

A judged class may hang, raise anything, or leave threads behind. So each of its methods runs
in a daemon thread of its own, and whoever waits for it waits for a bounded time.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..broker import Node
from ..errors import BrokerError, RpcError
from ..topology import queues
from .firehose import connect

T = TypeVar("T")

GRACE = 0.5
"""Seconds after its deadline within which a call must have returned or raised."""
PATIENCE = 2.0
"""Seconds that a call of a trial gets where it names no others."""
OPENING = 3.0


class Broken(AssertionError):
    """The promise was not kept; ``str`` is one sentence that says how it was seen."""


class NotJudged(Exception):
    """The promise cannot be put to this class here; ``str`` says why."""


def check(kept: object, sentence: str) -> None:
    """Go on if it holds.

    Raises:
        Broken: it does not.
    """
    if not kept:
        raise Broken(sentence)


def within(seconds: float, what: str, act: Callable[[], T]) -> T:
    """Do it in a thread of its own; return its value or raise its error.

    Raises:
        Broken: it had not ended after ``seconds``. The thread is left to itself.
    """
    ended = threading.Event()
    value: list[T] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            value.append(act())
        except BaseException as problem:  # noqa: BLE001 - it belongs to whoever waits
            error.append(problem)
        finally:
            ended.set()

    threading.Thread(target=run, name="judged", daemon=True).start()
    if not ended.wait(seconds):
        raise Broken(f"{what} hung: it had not ended after {seconds:g} s")
    if error:
        raise error[0]
    return value[0]


def together(seconds: float, what: str, acts: Sequence[Callable[[], T]]) -> list[T]:
    """Do all at once, each in a thread, all started by one barrier; return their values.

    Raises:
        Broken: one hangs. Or whatever the first that raised did raise, as soon as it does.
    """
    barrier = threading.Barrier(len(acts))
    ended: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()

    def run(place: int, act: Callable[[], T]) -> None:
        try:
            barrier.wait(seconds)
            ended.put((place, act(), None))
        except BaseException as problem:  # noqa: BLE001 - it belongs to whoever waits
            ended.put((place, None, problem))

    for item in enumerate(acts):
        threading.Thread(target=run, args=item, name="judged", daemon=True).start()
    values: dict[int, Any] = {}
    end = time.monotonic() + seconds
    while len(values) < len(acts):
        try:
            place, value, error = ended.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            missing = f"{len(acts) - len(values)} of {len(acts)}"
            raise Broken(f"{what} hung: {missing} had not ended after {seconds:g} s") from None
        if error is not None:
            raise error
        values[place] = value
    return [values[place] for place in range(len(acts))]


def short(value: object, width: int = 40) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 1]}… ({len(text)} characters)"


class Caller:
    """A judged client: it is called with a deadline, whatever it does itself."""

    def __init__(self, client: Any, patience: float) -> None:
        self.inner = client
        self._patience = patience
        self._face = getattr(client, "call", None) or client.submit
        self._submits = not hasattr(client, "call")
        self._timed = _takes(self._face, "timeout")

    def call(self, method: str, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Call; ``timeout`` is passed on where the class takes one.

        Raises:
            Broken: it hung past its deadline. Or what the class raised.
        """
        seconds = self._patience if timeout is None else timeout
        if timeout is not None and self._timed:
            params["timeout"] = timeout

        def act() -> Any:
            answer = self._face(method, *args, **params)
            return answer.result(seconds + GRACE) if self._submits else answer

        return within(seconds + GRACE + 0.1, f"call({method!r})", act)

    def fails(
        self,
        kind: type[RpcError],
        method: str,
        *args: Any,
        timeout: float | None = None,
        **params: Any,
    ) -> Any:
        """Call, and return the error of this kind that it must raise.

        Raises:
            Broken: it returned, or raised another.
        """
        try:
            answer = self.call(method, *args, timeout=timeout, **params)
        except kind as error:
            return error
        except Broken:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a judged class raises
            raise Broken(
                f"call({method!r}) should raise {kind.__name__} and raised {told(error)}"
            ) from None
        raise Broken(f"call({method!r}) should raise {kind.__name__} and returned {short(answer)}")

    def close(self) -> None:
        """Close it, if it can be closed."""
        within(OPENING, "close()", getattr(self.inner, "close", lambda: None))


NO_SPARE = "there is none"


@dataclass(frozen=True)
class Spare:
    """A broker that may be killed: the ``folder`` of its node, and its address with ``tls``."""

    folder: str
    tls: str

    @property
    def node(self) -> Node:
        """The node, to be killed and started."""
        return Node(self.folder)


class Trial:
    """What a promise's test works with: a service of its own, clients and servers on it.

    ``scale`` shrinks or stretches the long parts: 1 is as the promise says. ``seed`` decides
    what is left to chance. ``spare`` is a broker that may be killed, or says why there is none.
    """

    def __init__(
        self,
        client: type,
        server: type,
        *,
        url: str,
        service: str,
        scale: float,
        seed: int = 0,
        spare: Spare | str = NO_SPARE,
    ) -> None:
        self.client_class = client
        self.server_class = server
        self.url = url
        self.scale = scale
        self.service = service
        self.chance = random.Random(seed)
        self._spare = spare
        self._services = [service]
        self._open: list[Any] = []

    @property
    def spare(self) -> Spare:
        """The broker that may be killed.

        Raises:
            NotJudged: there is none.
        """
        if isinstance(self._spare, str):
            raise NotJudged(f"it needs a broker that may be killed: {self._spare}")
        return self._spare

    def new_service(self) -> str:
        """A name that nobody has used."""
        name = f"{self.service}-{len(self._services)}"
        self._services.append(name)
        return name

    def client(
        self, *, service: str | None = None, url: str | None = None, timeout: float = PATIENCE
    ) -> Caller:
        """Open a client of the judged class."""
        cls, at = self.client_class, url or self.url

        def act() -> Any:
            with _address(cls, at):
                return _make(cls, service or self.service, url=at, timeout=timeout)

        made = within(OPENING, f"{cls.__name__}(…)", act)
        caller = Caller(made, timeout)
        self._open.append(caller)
        return caller

    def server(
        self, *methods: Callable[..., Any], service: str | None = None, url: str | None = None
    ) -> Any:
        """Start a server of the judged class with these methods."""
        cls, at = self.server_class, url or self.url

        def act() -> Any:
            with _address(cls, at):
                server = _make(cls, service or self.service, url=at)
                for method in methods:
                    server.method(method)
                self._open.append(server)
                server.start()
            return server

        return within(OPENING, f"{cls.__name__}(…).start()", act)

    def stop(self, server: Any) -> None:
        """Close a server or client, which must not take long."""
        self._open = [one for one in self._open if one is not server]
        within(OPENING, "close()", server.close)

    def clear(self) -> None:
        """Close everything and delete the queues, whatever state they are in."""
        closing = [
            threading.Thread(target=_close_quietly, args=(one,), name="judged", daemon=True)
            for one in self._open
        ]
        for thread in closing:
            thread.start()
        end = time.monotonic() + OPENING
        for thread in closing:
            thread.join(max(0.0, end - time.monotonic()))
        sweep(self.url, self._services)


def sweep(url: str, services: Sequence[str]) -> None:
    """Delete the queues of services; requests first, since they would become dead letters."""
    transport = connect(url)
    try:
        for service in services:
            for name in (*queues(service), service):
                with contextlib.suppress(BrokerError):
                    transport.delete(name)
    finally:
        transport.close()


def told(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def _close_quietly(one: Any) -> None:
    with contextlib.suppress(Exception):
        one.close()


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Have these variables set while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


_one_address = threading.Lock()


def _make(cls: type, service: str, **options: Any) -> Any:
    """Make one, with those options that its class takes."""
    return cls(service, **{name: value for name, value in options.items() if _takes(cls, name)})


@contextlib.contextmanager
def _address(cls: type, url: str) -> Iterator[None]:
    """A class that takes no address finds it where the settings look; one class at a time."""
    if _takes(cls, "url"):
        yield
    else:
        with _one_address, environment(CHATRPC_URL=url):
            yield


def _takes(face: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(face).parameters
    except (TypeError, ValueError):
        return False
