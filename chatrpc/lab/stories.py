"""Five short stories with a fault in each, seen from one side: ``riddles = lab.riddles()``.

riddles              # what Ana sent and received, five times
riddles["A"].uncover()
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..client import RpcClient
from ..errors import RpcError
from ..server import RpcServer
from . import faults, services
from .ladder import Covered, Ladder, trace
from .wire import Wire

WHO = "Ana"
TITLE = '<div style="font-size:1.5em;font-weight:600;padding-top:8px">{}</div>'
LATER = 0.3  # seconds for what comes after the answer


class Riddles:
    """Covered ladders by letter."""

    def __init__(self, covered: dict[str, Covered]) -> None:
        self._covered = covered

    def __getitem__(self, letter: str) -> Covered:
        """Return the covered ladder of a letter."""
        return self._covered[letter]

    def __repr__(self) -> str:
        return "\n\n".join(f"{letter}\n{told.text}" for letter, told in self._covered.items())

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for letter, told in self._covered.items():
            title = {"text/html": TITLE.format(letter), "text/plain": letter}
            display(title, raw=True)  # type: ignore[no-untyped-call]
            display(told)  # type: ignore[no-untyped-call]


def riddles() -> Riddles:
    """Play the five stories on the real broker, some seconds in all, and return Ana's side."""
    stories = {"A": _stranger, "B": _silence, "C": _sent_again, "D": _nowhere, "E": _copied}
    with ThreadPoolExecutor(len(stories)) as stage:
        playing = {letter: stage.submit(story, letter) for letter, story in stories.items()}
        return Riddles({letter: told.result().cover(WHO) for letter, told in playing.items()})


def _cafe(letter: str, slow: float) -> RpcServer:
    server = RpcServer(services.service(f"cafe-{letter}"))

    def order(what: str) -> str:
        time.sleep(slow)
        return f"one {what}"

    server.method(order)
    server.start()
    return server


def _told(
    letter: str, act: Callable[[Ladder, RpcClient, Wire], None], *, slow: float = 0.0
) -> Ladder:
    """Play a story with a café, a wire and Ana, and close them."""
    server = _cafe(letter, slow)
    with Wire() as wire, RpcClient(server.service, url=wire.url, timeout=3.0) as client:
        client.call("order", "nothing")
        with trace(server.service) as ladder:
            ladder.name(WHO, client)
            act(ladder, client, wire)
            time.sleep(LATER)
    server.close()
    return ladder


def _stranger(letter: str) -> Ladder:
    with_a_lie = faults.forge_replies(services.service(f"cafe-{letter}"))

    def act(ladder: Ladder, client: RpcClient, wire: Wire) -> None:
        client.call("order", "tea")

    try:
        return _told(letter, act, slow=0.2)
    finally:
        with_a_lie.undo()


def _silence(letter: str) -> Ladder:
    server = _cafe(letter, 0.0)
    server.close()
    with RpcClient(server.service, timeout=0.4) as client, trace(server.service) as ladder:
        ladder.name(WHO, client)
        with contextlib.suppress(RpcError):
            client.call("order", "tea")
    return ladder


def _sent_again(letter: str) -> Ladder:
    def act(ladder: Ladder, client: RpcClient, wire: Wire) -> None:
        wire.stall(to_broker=False)
        answer = client.submit("order", "tea")
        time.sleep(0.2)
        wire.cut()
        wire.mend()
        answer.result()
        ladder.name(WHO, client)  # by her new connection, too

    return _told(letter, act, slow=0.6)


def _nowhere(letter: str) -> Ladder:
    empty = services.service(f"cafe-{letter}")
    with RpcClient(empty) as client, trace(empty) as ladder:
        ladder.name(WHO, client)
        with contextlib.suppress(RpcError):
            client.call("order", "tea")
    return ladder


def _copied(letter: str) -> Ladder:
    twice = faults.duplicate_replies(services.service(f"cafe-{letter}"))

    def act(ladder: Ladder, client: RpcClient, wire: Wire) -> None:
        client.call("order", "tea")

    try:
        return _told(letter, act)
    finally:
        twice.undo()
