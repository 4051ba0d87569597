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


@dataclass(frozen=True)
class Patience:
    """Seconds for what a good class does within milliseconds.

    They are for a ``call``, for the ``greeting`` of a client that may take longer later, for the
    ``grace`` after either's deadline, for ``opening`` and ``closing``.
    """

    call: float
    greeting: float
    grace: float
    opening: float
    closing: float


FULL = Patience(call=2.0, greeting=5.0, grace=GRACE, opening=3.0, closing=3.0)
"""So much, because a good class must not be called broken when the machine is busy."""

LITTLE = Patience(call=1.0, greeting=1.0, grace=0.1, opening=1.0, closing=1.5)
"""For a class that has hung in the promise before: it need not cost so much each time."""


class Broken(AssertionError):
    """The promise was not kept; ``str`` is one sentence that says how it was seen."""


class Hung(Broken):
    """The promise was not kept because something did not end, or did not come, in time."""


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
        Hung: it had not ended after ``seconds``. The thread is left to itself.
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
        raise Hung(f"{what} hung: it had not ended after {seconds:g} s")
    if error:
        raise error[0]
    return value[0]


def together(seconds: float, what: str, acts: Sequence[Callable[[], T]]) -> list[T]:
    """Do all at once, each in a thread, all started by one barrier; return their values.

    Raises:
        Hung: one does. Or whatever the first that raised did raise, as soon as it does.
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
            raise Hung(f"{what} hung: {missing} had not ended after {seconds:g} s") from None
        if error is not None:
            raise error
        values[place] = value
    return [values[place] for place in range(len(acts))]


def short(value: object, width: int = 40) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 1]}… ({len(text)} characters)"


class Caller:
    """A judged client: it is called with a deadline, whatever it does itself.

    ``timeout`` is what a call gets that names no other.
    """

    def __init__(self, client: Any, timeout: float, patience: Patience) -> None:
        self.inner = client
        self._timeout, self._patience = timeout, patience
        self._face = getattr(client, "call", None) or client.submit
        self._submits = not hasattr(client, "call")
        self._timed = _takes(self._face, "timeout")

    def call(self, method: str, *args: Any, timeout: float | None = None, **params: Any) -> Any:
        """Call; ``timeout`` is passed on where the class takes one.

        Raises:
            Hung: it did, past its deadline. Or what the class raised.
        """
        if timeout is None:
            return self._call(self._timeout, self._patience.grace, method, *args, **params)
        return self._call(timeout, GRACE, method, *args, **self._with(timeout), **params)

    def greet(self, method: str, *args: Any) -> Any:
        """Call for the first time, and want an answer soon: a class that hangs is not asked more.

        Raises:
            Hung: it did. Or what the class raised.
        """
        seconds = min(self._timeout, self._patience.greeting)
        return self._call(seconds, self._patience.grace, method, *args, **self._with(seconds))

    def _with(self, timeout: float) -> dict[str, float]:
        return {"timeout": timeout} if self._timed else {}

    def _call(self, seconds: float, grace: float, method: str, /, *args: Any, **params: Any) -> Any:
        def act() -> Any:
            answer = self._face(method, *args, **params)
            return answer.result(seconds + grace) if self._submits else answer

        return within(seconds + grace + 0.1, f"call({method!r})", act)

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
        within(FULL.closing, "close()", getattr(self.inner, "close", lambda: None))


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
    ``patience`` is for what a good class does at once.
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
        patience: Patience = FULL,
    ) -> None:
        self.client_class = client
        self.server_class = server
        self.url = url
        self.scale = scale
        self.service = service
        self.chance = random.Random(seed)
        self.patience = patience
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
        self,
        *,
        service: str | None = None,
        url: str | None = None,
        timeout: float | None = None,
        opening: float | None = None,
    ) -> Caller:
        """Open a client of the judged class; ``opening`` is how long that may take."""
        cls, at = self.client_class, url or self.url
        seconds = timeout or self.patience.call

        def act() -> Any:
            with _address(cls, at):
                return _make(cls, service or self.service, url=at, timeout=seconds)

        made = within(opening or self.patience.opening, f"{cls.__name__}(…)", act)
        caller = Caller(made, seconds, self.patience)
        self._open.append(made)
        return caller

    def server(
        self,
        *methods: Callable[..., Any],
        service: str | None = None,
        url: str | None = None,
        opening: float | None = None,
    ) -> Any:
        """Start a server of the judged class with these methods, within ``opening`` seconds."""
        cls, at = self.server_class, url or self.url

        def act() -> Any:
            with _address(cls, at):
                server = _make(cls, service or self.service, url=at)
                for method in methods:
                    server.method(method)
                self._open.append(server)
                server.start()
            return server

        return within(opening or self.patience.opening, f"{cls.__name__}(…).start()", act)

    def stop(self, server: Any) -> None:
        """Close a server or client, which must not take long."""
        self._open = [one for one in self._open if one is not server]
        within(self.patience.closing, "close()", server.close)

    def clear(self) -> bool:
        """Close everything, delete the queues, whatever state they are in; say if all closed."""
        closing = [
            threading.Thread(target=_close_quietly, args=(one,), name="judged", daemon=True)
            for one in self._open
        ]
        for thread in closing:
            thread.start()
        end = time.monotonic() + self.patience.opening  # it is no verdict
        for thread in closing:
            thread.join(max(0.0, end - time.monotonic()))
        sweep(self.url, self._services)
        return not any(thread.is_alive() for thread in closing)


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
        getattr(one, "close", lambda: None)()


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
