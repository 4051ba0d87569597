"""The break-it buttons: each breaks one real thing, says what to watch, and how it is undone.

fault = lab.faults.cut(wire)
fault            # what was done, and one sentence on what to watch
fault.undo()     # or: with lab.faults.cut(wire): …
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..broker import Cluster, Node, private_cluster, private_node
from ..errors import BrokerError
from ..messages import Message
from ..settings import Settings
from ..topology import REQUESTS, reply_queue, request_queue
from ..transport import Channel
from .firehose import Firehose, Hop, connect
from .problem import LabProblem, told_in_a_cell
from .wire import Wire


@dataclass
class Fault:
    """What was broken: ``what`` was done, what to ``watch``, and ``undo`` if it can be mended."""

    what: str
    watch: str
    mend: Callable[[], None] | None = field(default=None, repr=False)
    undone: bool = False

    def undo(self) -> None:
        """Mend it; twice does no harm.

        Raises:
            LabProblem: it cannot be mended.
        """
        if self.mend is None:
            raise LabProblem(f"This cannot be undone: {self.what}.")
        if not self.undone:
            self.mend()
            self.undone = True

    def __enter__(self) -> Fault:
        """Leave it broken while the block runs."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Mend it, if it can be."""
        if self.mend is not None:
            self.undo()

    def __repr__(self) -> str:
        """Return both sentences."""
        return f"{self.what}.\nWatch: {self.watch}"


# The worker


def kill(worker: Any) -> Fault:
    """Kill a worker process with signal 9: it can finish nothing and tell nobody.

    ``worker`` is a card of lab.worker, a subprocess, or a process id.
    """
    if callable(getattr(worker, "kill", None)):
        pid = getattr(worker, "pid", None)
        worker.kill()
    else:
        pid = worker
        if isinstance(pid, bool) or not isinstance(pid, int) or pid <= 1 or pid == os.getpid():
            raise LabProblem(f"{worker!r} is no worker: give a card, a process or its id.")
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            raise LabProblem(f"There is no process {pid} that may be killed.") from None
    return Fault(
        f"Worker process {pid} was killed",
        "the request in its hands goes back to the queue, and another worker gets it, marked "
        "as delivered again.",
    )


# The wire


def cut(wire: Wire, *, refuse: bool = False) -> Fault:
    """Hang up on both sides; with ``refuse``, also turn new connections away until the undo."""
    if refuse:
        wire.refuse()
    wire.cut()
    return Fault(
        "The connection was cut, and both sides were told",
        "the client dials again by itself, and the call still gets its answer.",
        wire.mend,
    )


def reset(wire: Wire) -> Fault:
    """Declare the connection void on both sides (RST)."""
    wire.reset()
    return Fault(
        "The connection was reset",
        "as after a cut: dialled again, asked again, answered once.",
        wire.mend,
    )


def stall(wire: Wire, *, to_broker: bool = True, to_client: bool = True) -> Fault:
    """Let nothing through, and tell nobody: the cable was pulled."""
    wire.stall(to_broker=to_broker, to_client=to_client)
    return Fault(
        "Nothing passes any more, and nobody was told",
        "for a while both sides believe that all is well; only missing heartbeats give it away.",
        wire.mend,
    )


def delay(wire: Wire, seconds: float) -> Fault:
    """Let every byte arrive this many seconds later, each way."""
    wire.delay(seconds)
    return Fault(
        f"Everything arrives {seconds:g} s later, each way",
        "a call takes as many delays as messages go back and forth for it.",
        wire.mend,
    )


# The broker


def restart_broker(node: Node | None = None, *, hard: bool = False) -> Fault:
    """Stop the kit's own broker and start it again, about 6 s; ``hard`` kills it instead.

    Raises:
        LabProblem: CHATRPC_URL names another broker, which is not ours to stop.
    """
    with told_in_a_cell():
        own = node or private_node()
        if not own.running:
            raise LabProblem("The kit's own broker does not run: chatrpc broker start.")
        used = Settings.from_env().addresses
        if node is None and used[0].port != Settings(url=own.url).addresses[0].port:
            raise LabProblem("The broker in use is not the kit's own, so it is not restarted.")
        if hard:
            own.kill()
        else:
            own.stop()
        own.start()
    return Fault(
        f"The broker was {'killed' if hard else 'stopped'} and started again",
        "what was written to disk and confirmed is still there; clients and workers come back "
        "by themselves.",
    )


def kill_leader(service: str, cluster: Cluster | None = None) -> Fault:
    """Kill the node that leads a service's request queue; the undo starts it again, about 10 s.

    ``cluster`` is the kit's own, if none is given.

    Raises:
        LabProblem: no cluster runs, or none of its nodes leads that queue.
    """
    own = cluster or private_cluster()
    with told_in_a_cell():
        leader = own.leader(request_queue(service))
    leader.kill()

    def mend() -> None:
        with told_in_a_cell():
            leader.start()
            own.wait_until_whole()

    return Fault(
        f"Node {leader.name}, which led the queue of {service}, was killed",
        "within seconds another node leads, with all that was confirmed; clients and workers "
        "dial the next address by themselves.",
        mend,
    )


def delete_queue(service: str, *, url: str | None = None) -> Fault:
    """Delete a service's request queue with all that waits in it."""
    transport = connect(url)
    try:
        transport.delete(request_queue(service))
    except BrokerError as error:
        raise LabProblem(str(error)) from None
    finally:
        transport.close()
    return Fault(
        f"The queue of {service} was deleted",
        "what waited in it is gone; its worker is told that its consumer ended, and declares "
        "the queue again.",
    )


# Messages that nobody expects


def poison(service: str, body: bytes = b"{this is no JSON", *, url: str | None = None) -> Fault:
    """Send a request that cannot be decoded, with a reply address like any other's."""
    _leave(service, body, replies=lambda user: reply_queue(user, "nobody"), url=url)
    return Fault(
        f"A message that is no request was sent to {service}",
        "it must end among the dead letters, and its neighbours must still be answered.",
    )


def forge(service: str, method: str, *params: Any, reply_to: str, url: str | None = None) -> Fault:
    """Send a request that wants its answer in somebody else's queue, ``reply_to``."""
    asked = {"jsonrpc": "2.0", "id": "forged", "method": method, "params": params}
    _leave(service, json.dumps(asked).encode(), replies=lambda user: reply_to, url=url)
    return Fault(
        f"A request was sent to {service} whose reply_to is another's queue",
        "whether the worker, which may write everywhere, puts its answer there.",
    )


def _leave(service: str, body: bytes, *, replies: Callable[[str], str], url: str | None) -> None:
    """Send a message as a stranger would, and wait until the broker has it."""
    transport = connect(url)
    try:
        confirmed = threading.Event()
        channel = transport.channel()
        channel.confirm()
        channel.on_outcome = lambda id, outcome: confirmed.set()
        user = transport.address.user
        message = Message(
            body,
            correlation_id="strange",
            message_id=secrets.token_hex(8),
            reply_to=replies(user),
            user_id=user,
        )
        channel.publish("1", message, exchange=REQUESTS, key=service, mandatory=True)
        if not confirmed.wait(2.0):
            raise LabProblem("The broker did not take the message within 2 s.")
    finally:
        transport.close()


def repeat_replies(service: str, *, after: float = 0.0, url: str | None = None) -> Fault:
    """Send a copy of each of a service's replies, ``after`` seconds late; the undo ends it.

    It needs the firehose, so a broker that permits tracing.
    """
    copier = _Copier(service, after, url)
    copier.start()
    return Fault(
        f"Every reply of {service} is sent twice, the second {after:g} s late",
        "the copy must reach no other call, and must not disturb the client.",
        copier.stop,
    )


class _Copier:
    """Reads replies from the firehose and publishes each once more."""

    def __init__(self, service: str, after: float, url: str | None) -> None:
        self._after = after
        self._transport = connect(url)
        self._channel: Channel = self._transport.channel()
        self._firehose = Firehose(only=service, url=url, on_hop=self._hop)
        self._asked: set[str] = set()
        self._copied: set[tuple[object, ...]] = set()
        self._timers: list[threading.Timer] = []

    def start(self) -> None:
        try:
            self._firehose.__enter__()
        except BaseException:
            self._transport.close()
            raise

    def stop(self) -> None:
        self._firehose.__exit__(None, None, None)
        for timer in self._timers:
            timer.join(self._after + 1.0)
        self._transport.close()

    def _hop(self, hop: Hop) -> None:
        if hop.reply_to:
            self._asked.add(hop.reply_to)
            return
        is_reply = hop.kind == "publish" and hop.routing_key in self._asked
        if not is_reply or hop.identity in self._copied:  # a copy is not copied again
            return
        self._copied.add(hop.identity)
        timer = threading.Timer(self._after, self._send, (hop,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _send(self, hop: Hop) -> None:
        if hop.size > len(hop.body):
            return  # the trace did not keep it whole
        message = Message(hop.body, hop.correlation_id, hop.message_id)
        self._channel.publish("copy", message, exchange="", key=hop.routing_key, mandatory=False)
