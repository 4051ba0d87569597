"""The connection or the broker goes away, and comes back: C12, C13."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from ...broker import Node
from ...errors import RpcError
from ..trial import Broken, Caller, Trial, check, short, together, told
from ..wire import Wire
from .registry import echo, later, promise


@promise(
    "C12",
    "09",
    hints=(
        "The wire is cut: who dials again, and what about the call that was under way?",
        "Dial again by yourself, and send again what the broker has not confirmed.",
        "Publish with confirms, keep what is unconfirmed, send it again under the same id "
        "after the next dial. Watch the heartbeat, so that a stalled wire is noticed before "
        "the deadline.",
    ),
    seconds=20.0,
)
def connection_lost(trial: Trial) -> None:
    """The connection cut, reset or stalled, on either side, for less than the deadline: the call
    still gets its answer, and only its own."""

    def slow(text: str) -> str:
        time.sleep(0.3)
        return text

    def cut(wire: Wire) -> None:
        wire.refuse()
        wire.cut()

    faults = {"cut": cut, "reset": Wire.reset, "stalled": Wire.stall}

    def one(side: str, fault: str) -> None:
        service = trial.new_service()
        with Wire(trial.url) as wire:
            url = {side: wire.url}
            trial.server(slow, echo, service=service, url=url.get("server"))
            client = trial.client(service=service, url=url.get("client"), timeout=5.0)
            client.greet("echo", "before")

            def disturb() -> None:
                faults[fault](wire)
                time.sleep(0.5)
                wire.mend()

            with later(trial.chance.uniform(0.0, 0.25), disturb):
                wanted = f"{side} {fault}"
                try:
                    got = client.call("slow", wanted)
                except RpcError as error:
                    raise Broken(
                        f"the {side}'s connection was {fault} for 0.5 s, and the call raised "
                        f"{told(error)}"
                    ) from None
            check(got == wanted, f"it asked for '{wanted}' and got {short(got)}")

    together(
        12.0,
        "a call over a broken wire",
        [partial(one, side, fault) for side in ("client", "server") for fault in faults],
    )


SETTLED = 3.0
"""Seconds after which RabbitMQ 3.10 finds a new quorum queue again when it was killed."""


@promise(
    "C13",
    "09",
    hints=(
        "What is left of your queues and messages when the broker has restarted?",
        "Declare everything again after each dial, write requests and replies to disk, and "
        "acknowledge a request only when the broker has its reply.",
        "Durable queues, delivery mode 2 for both kinds of message, a durable reply queue "
        "with x-expires instead of an exclusive one; confirm the reply, then ack the request.",
    ),
    seconds=90.0,
    spare=True,
)
def broker_restarted(trial: Trial) -> None:
    """The broker restarted: client and server come back by themselves; calls with time left are
    answered."""
    node = trial.spare.node

    def work(text: str) -> str:
        time.sleep(0.3)
        return text

    trial.server(work, url=node.url)
    client = trial.client(url=node.url, timeout=40.0)
    client.greet("work", "before")
    time.sleep(SETTLED)
    _while_it_restarts(client, node, node.kill)
    if trial.scale >= 1:
        _while_it_restarts(client, node, node.stop)


def _while_it_restarts(client: Caller, node: Node, stop: Callable[[], None]) -> None:
    """Call before, while and after the broker is away."""
    gone = threading.Event()

    def restart() -> None:
        time.sleep(0.1)
        stop()
        gone.set()
        node.start()

    def ask(name: str) -> None:
        if name.startswith("away"):
            gone.wait(20.0)
        try:
            got = client.call("work", name)
        except RpcError as error:
            raise Broken(
                f"the broker was restarted, and a call with time left raised {told(error)}"
            ) from None
        check(got == name, f"it asked for {name!r} and got {short(got)}")

    names = [f"{when} {n}" for when in ("in hand", "away") for n in range(4)]
    acts: list[Callable[[], None]] = [restart, *(partial(ask, name) for name in names)]
    together(42.0, "a call while the broker restarts", acts)
    got = client.call("work", "after", timeout=10.0)
    check(got == "after", f"after the restart, it asked for 'after' and got {short(got)}")
