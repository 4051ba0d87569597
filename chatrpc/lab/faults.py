"""The break-it buttons: each breaks one real thing, says what to watch, and how it is undone.

fault = lab.faults.cut(wire)
fault            # what was done, and one sentence on what to watch
fault.undo()     # or: with lab.faults.cut(wire): …
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..broker import Cluster, Node, private_cluster, private_node
from ..confirms import Outcome
from ..errors import BrokerError, RpcError
from ..messages import Message
from ..settings import Settings
from ..topology import REQUESTS, request_queue
from ..transport import Channel, Transport
from . import poisons, raw
from .firehose import Firehose, Hop, connect
from .problem import LabProblem, told_in_a_cell
from .wire import Wire

if TYPE_CHECKING:
    from .workers import Worker

POISONS = poisons.NAMES


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


POINT_WATCH = {
    "before work": "the request comes again, marked as such, and runs once in all.",
    "after work": "the work is done, nobody heard of it, and another worker does it again.",
    "before ack": "the answer is out, the request comes again all the same, and runs twice.",
}


def kill_at(worker: Worker, point: str, nth: int = 1) -> Fault:
    """Have a worker kill itself at a named point, the ``nth`` time that it gets there from now.

    ``worker`` is a card of lab.worker; the points are "before work", "after work", "before ack".

    Raises:
        LabProblem: there is no such point, or the worker is a script.
    """
    worker.die(point, nth)

    def mend() -> None:
        if worker.alive:
            worker.die("")
        else:
            worker.start()

    which = "next request" if nth == 1 else f"request number {nth} from now"
    return Fault(
        f"{worker.name} will be killed {point}, at the {which}",
        POINT_WATCH[point],
        mend,
    )


def another(worker: Worker) -> Fault:
    """Start one more worker like this one; the undo stops it."""
    made = worker.another()
    return Fault(
        f"{made.name} was started beside {worker.name}",
        "both take from the one queue, and nobody had to be told.",
        lambda: quietly(made.stop),
    )


def slow(worker: Worker, seconds: float) -> Fault:
    """Have each call of a worker take so many seconds longer, until the undo.

    Raises:
        LabProblem: the time is none, or the worker is a script.
    """
    worker.slow(seconds)
    return Fault(
        f"Each call takes {worker.name} {seconds:g} s longer",
        "to whoever asks, a slow worker looks like a dead one, until its answer comes.",
        lambda: quietly(partial(worker.slow, 0)),
    )


def quietly(act: Callable[[], object]) -> None:
    """Do it, and return nothing."""
    act()


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
        own = _own(node)
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


def _own(node: Node | None) -> Node:
    own = node or private_node()
    if not own.running:
        raise LabProblem("The kit's own broker does not run: chatrpc broker start.")
    used = Settings.from_env().addresses
    if node is None and used[0].port != Settings(url=own.url).addresses[0].port:
        raise LabProblem("The broker in use is not the kit's own, so it is not ours to stop.")
    return own


YOUNG = 3.0
"""Seconds after which what a quorum queue is made of is surely on the disk."""


def kill_broker(node: Node | None = None) -> Fault:
    """Kill the kit's own broker as a power cut does, after 3 s; the undo starts it, about 6 s.

    Raises:
        LabProblem: it does not run, or CHATRPC_URL names another broker, which is not ours.
    """
    with told_in_a_cell():
        own = _own(node)
        # RabbitMQ 3.10 never finds a leader again for a quorum queue that it had for a moment only.
        time.sleep(YOUNG)
        own.kill()

    def mend() -> None:
        with told_in_a_cell():
            own.start()

    return Fault(
        "The broker was killed",
        "a call says that it waits, and is answered if the broker is back before its deadline.",
        mend,
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


def fill(service: str, *, most: int = 100_000, url: str | None = None) -> Fault:
    """Send requests that nobody waits for, until the queue takes no more; the undo empties it.

    What of them is left after a minute goes by itself.

    Raises:
        LabProblem: there is no such queue, or it took ``most`` messages and would take more.
    """
    transport = connect(url)
    try:
        sent = _until_refused(transport, service, most)
    finally:
        transport.close()

    def mend() -> None:
        purging = connect(url)
        try:
            purging.channel().queue.purge(request_queue(service))
        finally:
            purging.close()

    return Fault(
        f"The queue of {service} was filled with {sent} requests",
        "whoever asks now is told at once that all are busy, and that nothing ran.",
        mend,
    )


BATCH = 50


def _until_refused(transport: Transport, service: str, most: int) -> int:
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    channel = transport.channel()
    channel.confirm()
    channel.named_by = "message_id"
    channel.on_outcome = lambda id, outcome: outcomes.put(outcome)
    taken = 0
    while taken < most:
        for number in range(BATCH):
            id = f"{taken + number}"
            body = b'{"jsonrpc":"2.0","method":"echo","params":["full"]}'
            message = Message(body, message_id=id, expiration=60_000)
            channel.publish(id, message, exchange=REQUESTS, key=service, mandatory=True)
        try:
            told = [outcomes.get(timeout=5.0) for _ in range(BATCH)]
        except queue.Empty:
            raise LabProblem("The broker took no more messages, and did not say so.") from None
        if Outcome.RETURNED in told:
            raise LabProblem(f"There is no queue of {service!r}: start a worker first.")
        taken += sum(outcome is Outcome.CONFIRMED for outcome in told)
        if Outcome.NACKED in told:
            return taken
    raise LabProblem(f"The queue of {service} took {most} messages, and would take more.")


POISON_WATCH = {
    "another user's queue": "no answer may go to somebody else's queue.",
    "a service's queue": "an answer must not come to a service as if it were a request.",
    "no sender": "nobody knows who asks, so nobody may be answered.",
}


def poison(
    service: str, kind: str = "no JSON", *, body: bytes | None = None, url: str | None = None
) -> Fault:
    """Send a message that is no request, of one kind of ``faults.POISONS``, or with this body.

    Raises:
        LabProblem: there is no such kind, or the broker does not take it.
    """
    try:
        address = Settings.from_env(url=url).addresses[0]
        found = poisons.kinds(service, address.user)
        if kind not in found:
            raise LabProblem(f"There is no poison {kind!r}: there is {', '.join(found)}.")
        chosen = found[kind]
        content = chosen.body if body is None else body
        properties = chosen.properties
        raw.publish(address, REQUESTS, service, properties=properties, body=content)
    except (OSError, RpcError) as error:
        raise LabProblem(f"The broker did not take the poison: {error}.") from None
    what = kind if body is None else "a body of one's own"
    return Fault(
        f"A message that is no request was sent to {service}: {what}",
        POISON_WATCH.get(
            kind, "it must end among the dead letters, and its neighbours must still be answered."
        ),
    )


def forge(service: str, method: str, *params: Any, reply_to: str, url: str | None = None) -> Fault:
    """Send a request that wants its answer in somebody else's queue, ``reply_to``.

    Raises:
        LabProblem: the broker does not take it.
    """
    transport = connect(url)
    try:
        confirmed = threading.Event()
        channel = transport.channel()
        channel.confirm()
        channel.on_outcome = lambda id, outcome: confirmed.set()
        asked = {"jsonrpc": "2.0", "id": "forged", "method": method, "params": params}
        message = Message(
            json.dumps(asked).encode(),
            correlation_id="forged",
            message_id=secrets.token_hex(8),
            reply_to=reply_to,
            user_id=transport.address.user,
        )
        channel.publish("1", message, exchange=REQUESTS, key=service, mandatory=True)
        if not confirmed.wait(2.0):
            raise LabProblem("The broker did not take the message within 2 s.")
    finally:
        transport.close()
    return Fault(
        f"A request was sent to {service} whose reply_to is another's queue",
        "whether the worker, which may write everywhere, puts its answer there.",
    )


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


def late_replies(service: str, after: float, *, url: str | None = None) -> Fault:
    """Send each of a service's replies once more when nobody waits for it; the undo ends it."""
    return repeat_replies(service, after=after, url=url)


def duplicate_replies(service: str, *, url: str | None = None) -> Fault:
    """Send each of a service's replies twice, at once; the undo ends it."""
    return repeat_replies(service, url=url)


FORGED = b'{"jsonrpc":"2.0","id":"%b","result":"forged"}'


def forge_replies(service: str, *, knows_id: bool = False, url: str | None = None) -> Fault:
    """Answer each question of a service with a lie, under a made-up id; the undo ends it.

    With ``knows_id`` under the right one, as only somebody can who sees the broker's messages.
    It needs the firehose, so a broker that permits tracing.
    """
    forger = _Forger(service, knows_id, url)
    forger.start()
    if knows_id:
        watch = "whoever can write into a reply queue and knows the id is believed: guard both."
    else:
        watch = "the lie has no question that it could answer, so it reaches no call."
    return Fault(f"Each question to {service} gets a forged reply, too", watch, forger.stop)


class _Meddler:
    """Reads a service's messages from the firehose, and publishes what it likes."""

    def __init__(self, service: str, url: str | None) -> None:
        self._transport = connect(url)
        self._channel: Channel = self._transport.channel()
        self._firehose = Firehose(only=service, url=url, on_hop=self._hop)

    def start(self) -> None:
        try:
            self._firehose.__enter__()
        except BaseException:
            self._transport.close()
            raise

    def stop(self) -> None:
        self._firehose.__exit__(None, None, None)
        self._publish_no_more()
        self._transport.close()

    def _publish_no_more(self) -> None:
        """Wait for what is still to be published."""

    def _hop(self, hop: Hop) -> None:
        raise NotImplementedError


class _Forger(_Meddler):
    """Answers each request with a lie."""

    def __init__(self, service: str, knows_id: bool, url: str | None) -> None:
        self._knows_id = knows_id
        super().__init__(service, url)

    def _hop(self, hop: Hop) -> None:
        if hop.kind != "publish" or not hop.reply_to:
            return
        id = hop.correlation_id if self._knows_id else f"{hop.correlation_id}-or-so"
        lie = Message(FORGED % id.encode(), correlation_id=id, message_id=id)
        self._channel.publish("lie", lie, exchange="", key=hop.reply_to, mandatory=False)


class _Copier(_Meddler):
    """Publishes each reply once more."""

    def __init__(self, service: str, after: float, url: str | None) -> None:
        self._after = after
        self._asked: set[str] = set()
        self._copied: set[tuple[object, ...]] = set()
        self._timers: list[threading.Timer] = []
        super().__init__(service, url)

    def _publish_no_more(self) -> None:
        for timer in self._timers:
            timer.join(self._after + 1.0)

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


# By schedule


class Planned:
    """A fault that is to come: ``wait()`` for it, read ``fault``, ``undo()`` it in the end."""

    def __init__(self, act: Callable[[], Fault]) -> None:
        self.fault: Fault | None = None
        self.problem: Exception | None = None
        self._act = act
        self._begun = False
        self._done = threading.Event()
        self._firehose: Firehose | None = None

    def wait(self, timeout: float = 30.0) -> Fault:
        """Wait until it has been done, and return it.

        Raises:
            LabProblem: it was not to be done within ``timeout`` seconds, or could not be done.
        """
        if not self._done.wait(timeout):
            raise LabProblem(f"What was planned for did not come within {timeout:g} s.")
        if self.fault is None:
            raise LabProblem(str(self.problem))
        return self.fault

    def undo(self) -> None:
        """Plan it no more; if it was done, mend it, if it can be."""
        if self._firehose is not None:
            self._firehose.__exit__(None, None, None)
            self._firehose = None
        if self.fault is not None and self.fault.mend is not None:
            self.fault.undo()

    def __enter__(self) -> Planned:
        """Let it happen while the block runs."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Mend it, if it has happened and can be mended."""
        self.undo()

    def __repr__(self) -> str:
        """Return what was done, or that nothing was yet."""
        return repr(self.fault) if self.fault is not None else "It has not come to that yet."

    def _do(self) -> None:
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name="planned-fault", daemon=True).start()

    def _run(self) -> None:
        try:
            self.fault = self._act()
        except Exception as problem:  # noqa: BLE001 - told to whoever waits
            self.problem = problem
        self._done.set()


MOMENTS = ("request", "delivery", "reply")


def when(
    service: str,
    moment: str,
    act: Callable[[], Fault],
    *,
    nth: int = 1,
    url: str | None = None,
) -> Planned:
    """Do something at a moment of the conversation, not at a moment of the clock.

    ``moment`` is "request" (the broker has it), "delivery" (a worker has it) or "reply" (the
    broker has it); ``nth``: which of them, from now. ``act`` breaks something, such as
    ``lambda: lab.faults.cut(wire)``. It happens some milliseconds later, on a thread of its own.
    It needs the firehose, so a broker that permits tracing.

    Raises:
        LabProblem: there is no such moment, or no trace.
    """
    if moment not in MOMENTS or nth < 1:
        raise LabProblem(f"A moment is the first or a later one of {', '.join(MOMENTS)}.")
    planned = Planned(act)
    asked: set[str] = set()
    seen = 0

    def look(hop: Hop) -> None:
        nonlocal seen
        if hop.reply_to:
            asked.add(hop.reply_to)
        is_reply = not hop.reply_to and hop.routing_key in asked
        now = {"publish": "reply" if is_reply else "request", "deliver": "delivery"}[hop.kind]
        if now == moment and not (hop.kind == "deliver" and not hop.reply_to):
            seen += 1
            if seen == nth:
                planned._do()

    planned._firehose = Firehose(only=service, url=url, on_hop=look)
    planned._firehose.__enter__()
    return planned
