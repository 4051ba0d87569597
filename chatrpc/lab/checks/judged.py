"""What the checks of several lessons have in common: classes that the judge looks at."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ... import RpcClient, RpcError
from ...deadline import Deadline
from ...messages import Message, Request
from ...settings import Settings
from ...topology import REQUESTS, reply_queue
from ...transport import Transport
from ..board import Result
from ..cells import stubs
from ..contract import judge
from ..exercises import Broken
from ..firehose import connect
from ..promises.registry import echo
from ..source import source_of
from ..trial import Broken as TrialBroken
from ..trial import Trial, sweep, told, within


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
        row = judge(client, server, only=promise, trace=False, show=False).rows[0]
        if row.result is not Result.KEPT:
            raise Broken(f"{promise}: {row.reason}.\n{row.promise.hints[0]}")


def clears_up(server: type) -> list[str]:
    """Want each request acknowledged when it is dealt with: one that is too late, and one in time.

    Returns what it did, in order: "take", "answer", "ack".

    Raises:
        Broken: one was left with the broker, or the one in time got no answer.
    """
    url = Settings.from_env().url
    name = f"check-{secrets.token_hex(6)}"
    trial = Trial(server, server, url=url, service=name, scale=0.01)
    acts: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.callback(sweep, url, [name])
        stack.callback(trial.clear)
        try:
            one = trial.server(echo)
            one.take = _noted(acts, "take", one.take)
            one.answer = _noted(acts, "answer", one.answer)
            one.link.ack = _noted(acts, "ack", one.link.ack)
            transport = connect(url)
            stack.callback(transport.close)
            _send_late(transport, name)
            with RpcClient(name, timeout=2.0) as client:
                within(3.0, "call('echo')", lambda: client.call("echo", "hola"))
            time.sleep(0.1)  # for an ack that comes after the answer
            trial.stop(one)
        except TrialBroken as problem:
            raise Broken(f"{problem}.") from None
        except RpcError as error:
            raised = next((act for act in acts if " raised " in act), "")
            if raised:
                raise Broken(f"{raised}.") from None
            raise Broken(
                "One request came too late, and the next one, which was in time, got no answer, "
                f"but {type(error).__name__}."
            ) from None
    taken, done = acts.count("take"), acts.count("ack")
    if done < taken:
        raise Broken(
            f"{taken} requests came, one of them too late, and {done or 'none'} was acknowledged: "
            "the broker keeps the rest, and hands it to another worker when this one goes."
        )
    return acts


def acknowledged_last(acts: list[str]) -> None:
    """Want no ack between a take and its answer.

    Raises:
        Broken: there is one.
    """
    if "answer" in acts and acts[acts.index("answer") - 1] == "ack":
        raise Broken(
            "It acknowledges a request before it sends the answer: killed between the two, the "
            "work is done, and nobody will ever hear of it."
        )


def _noted(acts: list[str], what: str, act: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any, **more: Any) -> Any:
        acts.append(what)
        try:
            return act(*args, **more)
        except Exception as error:  # noqa: BLE001 - it is told on the card, not in the thread
            acts.append(f"{what} raised {told(error)}")

    return noted


def _send_late(transport: Transport, service: str) -> None:
    """Send a request whose deadline passed a minute ago, and which the broker keeps yet."""
    user = transport.address.user
    request = Request("echo", ["late"], "late", Deadline(0.0))
    message = Message(
        request.encode(),
        correlation_id="late",
        message_id="late",
        reply_to=reply_queue(user, "nobody"),
        user_id=user,
        headers={"deadline": int((time.time() - 60.0) * 1000)},
    )
    channel = transport.channel()
    channel.publish("late", message, exchange=REQUESTS, key=service, mandatory=True)
