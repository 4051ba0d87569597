"""Checks of lesson 08, Can one message stop everybody?"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import queue
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from chatrpc import RpcClient, RpcServer, topology
from chatrpc.calls import Call
from chatrpc.confirms import Outcome
from chatrpc.errors import Busy, Ran, RpcError, TooLarge
from chatrpc.messages import LARGEST, Message
from chatrpc.settings import Settings
from chatrpc.transport import Delivery, Transport

from .. import trial
from ..exercises import Broken, Exercise, NotYet, written
from ..firehose import connect, exists
from ..pressure import load
from ..promises import PROMISES

# 08.1

LIMIT = 5
RETURNS = 3  # an innocent message may come back so often with a killer
MOST_RETURNS = 30
EXTRA = 200  # many more than the limit, which is soft by what is on its way


def check_declarations(declarations: Callable[[str, int], Any]) -> None:
    """Want that the killer and the rejected become dead letters, and nobody else: C14."""
    service = f"chat-{secrets.token_hex(4)}"
    try:
        with _connected() as transport:
            for what in _read(declarations(service, LIMIT)):
                _declare(transport, what)
            _are_there(transport, service)
            _Story(transport, service).tell()
    finally:
        trial.sweep(Settings.from_env().url, [service])


@contextlib.contextmanager
def _connected() -> Iterator[Transport]:
    transport = connect()
    try:
        yield transport
    finally:
        transport.close()


def _read(declared: Any) -> list[topology.Declaration]:
    declared = written(declared)
    if not isinstance(declared, list | tuple):
        raise Broken(f"A list of declarations is wanted; this is {declared!r}.")
    kinds = {"Exchange": topology.Exchange, "Queue": topology.Queue, "Binding": topology.Binding}
    found: list[topology.Declaration] = []
    for what in declared:
        kind = kinds.get(type(what).__name__)
        if kind is None:
            raise Broken(f"Only exchanges, queues and bindings can be declared, not {what!r}.")
        values = {one.name: getattr(what, one.name) for one in dataclasses.fields(kind)}
        if any(value is ... for value in values.values()):
            raise NotYet
        if "arguments" in values and not isinstance(values["arguments"], dict):
            raise Broken(f"Arguments are a dictionary; these are {values['arguments']!r}.")
        found.append(kind(**values))
    return found


def _declare(transport: Transport, what: topology.Declaration) -> None:
    dead = topology.DEAD
    if isinstance(what, topology.Exchange) and what.name == dead and what.kind != "headers":
        raise Broken(
            f"A {what.kind} exchange does not look at headers, so it cannot tell what "
            "expired from what was rejected."
        )
    if not isinstance(what, topology.Binding) or what.exchange != dead:
        pass
    elif str(what.arguments.get("x-match", "all")) in ("all", "any"):
        raise Broken(
            'A binding to the dead letters says "x-match": "all-with-x" (or "any-with-x"): '
            "else headers that begin with x- are not looked at."
        )
    try:
        transport.declare(what)
    except RpcError as error:
        why = str(error).partition("PRECONDITION_FAILED - ")[2] or str(error)
        name = getattr(what, "name", "") or f"to {what.queue}"  # type: ignore[union-attr]
        kind = type(what).__name__.lower()
        raise Broken(f"The broker refuses the {kind} {name}: {why}.") from None
    except Exception as error:  # noqa: BLE001 - what AMQPStorm thinks of an odd argument
        raise Broken(f"This cannot be declared: {what}: {error}.") from None


def _are_there(transport: Transport, service: str) -> None:
    for name, what in (
        (topology.request_queue(service), "queue of requests"),
        (topology.dead_queue(service), "queue of dead letters"),
    ):
        if not exists(transport, name):
            raise Broken(f"There is no {what}, {name.replace(service, 'chat')}.")


class _Story:
    """What happens to a queue of requests: one kills, one is rejected, one expires, others wait."""

    def __init__(self, transport: Transport, service: str) -> None:
        self._transport, self._service = transport, service
        self._channel = transport.channel()
        self._channel.confirm()
        self._outcomes: queue.SimpleQueue[tuple[str, Outcome]] = queue.SimpleQueue()
        self._channel.on_outcome = lambda id, outcome: self._outcomes.put((id, outcome))

    def tell(self) -> None:
        """Let it happen, and look at the dead letters."""
        self._publish("expired", expiration=50)
        time.sleep(0.3)
        for name in ("innocent 1", "killer", "innocent 2", "rejected"):
            self._publish(name)
        self._live_and_die()
        self._are_dead({"killer", "rejected"})
        self._is_bounded()

    def _publish(self, name: str, *, expiration: int | None = None) -> Outcome:
        message = Message(
            name.encode(), correlation_id=name, message_id=name, expiration=expiration
        )
        self._channel.publish(
            name, message, exchange=topology.REQUESTS, key=self._service, mandatory=True
        )
        try:
            outcome = self._outcomes.get(timeout=3.0)[1]
        except queue.Empty:
            raise Broken(f"The broker says nothing of the request {name!r}.") from None
        if outcome is Outcome.RETURNED:
            raise Broken(
                "A request finds no queue: bind that of the requests to "
                f"{topology.REQUESTS!r} with the service's name as key."
            )
        return outcome

    def _live_and_die(self) -> None:
        """Workers come one after the other; the killer ends each, with what it has in hand."""
        served: Counter[str] = Counter()
        for life in range(MOST_RETURNS):
            many = 4 if life < RETURNS else 1  # a wary worker takes one at a time
            with _worker(self._service, many) as inbox:
                if not self._killed(inbox, served, keep=life < RETURNS):
                    break
        else:
            raise Broken(
                f"A message that kills its worker came back {MOST_RETURNS} times, and comes still: "
                "the queue needs a limit of deliveries (and must be a quorum queue to count)."
            )
        for name in ("innocent 1", "innocent 2"):
            if not served[name]:
                raise Broken(
                    f"A neighbour that came back {RETURNS} times with the killer was given up "
                    "too: that limit of deliveries is too low."
                )

    def _killed(self, inbox: _Inbox, served: Counter[str], *, keep: bool) -> bool:
        hand: list[Delivery] = []
        while (delivery := inbox.next(0.4)) is not None:
            name = delivery.message.correlation_id
            if name == "expired":
                raise Broken("What has expired was delivered all the same.")
            if keep:  # it holds all that it can, and dies
                hand.append(delivery)
                if len(hand) == 4:
                    return True
            elif name == "killer":
                return True
            elif name == "rejected":
                inbox.channel.reject(delivery.tag)
            else:
                served[name] += 1
                inbox.channel.ack(delivery.tag)
        return bool(hand)

    def _are_dead(self, wanted: set[str]) -> None:
        found: list[str] = []
        with _reading(topology.dead_queue(self._service), 0) as inbox:
            while (delivery := inbox.next(0.4)) is not None:
                found.append(delivery.message.correlation_id)
                inbox.channel.ack(delivery.tag)
        for name in found:
            if name == "expired":
                raise Broken("What merely expired lies among the dead letters: it harmed nobody.")
            if name not in wanted:
                raise Broken(f"{name!r} lies among the dead letters, and it was innocent.")
        if missing := sorted(wanted - set(found)):
            what = {
                "killer": "What has come back too often",
                "rejected": "What a worker has rejected",
            }[missing[0]]
            raise Broken(
                f"{what} is not in the queue of dead letters: does the queue of requests name "
                f"{topology.DEAD!r}, and does a binding let this reason through?"
            )
        if len(found) != len(set(found)):
            raise Broken("A dead letter lies there twice.")

    def _is_bounded(self) -> None:
        for number in range(EXTRA):
            if self._publish(f"crowd {number}") is Outcome.NACKED:
                return
        waiting = self._transport.look(topology.request_queue(self._service))[0]
        raise Broken(
            f"The limit is {LIMIT}; {EXTRA} requests were published, none was refused, and "
            f"{waiting} wait."
        )


class _Inbox:
    """What a reader was handed."""

    def __init__(self, transport: Transport) -> None:
        self.channel = transport.channel()
        self._came: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self.channel.on_delivery = self._came.put

    def next(self, seconds: float) -> Delivery | None:
        """Return the next delivery, or None if none comes in time."""
        try:
            return self._came.get(timeout=seconds)
        except queue.Empty:
            return None


def _worker(service: str, prefetch: int) -> contextlib.AbstractContextManager[_Inbox]:
    return _reading(topology.request_queue(service), prefetch)


@contextlib.contextmanager
def _reading(place: str, prefetch: int) -> Iterator[_Inbox]:
    """A reader that is gone at the end, as one is that was killed."""
    transport = connect()
    try:
        inbox = _Inbox(transport)
        transport.consume(inbox.channel, place, prefetch=prefetch, no_ack=False)
        yield inbox
    finally:
        transport.abort()
        transport.close()


# 08.2

PATIENCE, SECONDS, HANDS = 1.0, 0.1, 1
PERCENT, LASTS, BURST = 120, 3.0, 12
IN_TIME = 0.8


def check_valve(cls: type) -> None:
    """Want Busy for what is full and nothing else, and 80 % of the accepted in time: C15."""
    if not isinstance(cls, type):
        raise Broken("The decorator stands above a class here: leave the line with class.")
    valve: Any = cls()
    answers = valve.limit(PATIENCE, SECONDS, HANDS), valve.refused(10, 10), valve.sending(1)
    if any(answer is ... for answer in answers):
        raise NotYet
    _says_no_rightly(valve)
    limit = _a_limit(valve)
    _under_load(valve, limit)
    _keeps_c15(valve)


def _says_no_rightly(valve: Any) -> None:
    for waiting in (10, 12):
        error = valve.refused(waiting, 10)
        if isinstance(error, type):
            raise Broken("Return an error, with a sentence in it, and not its class.")
        if not isinstance(error, Busy):
            raise Broken(f"{waiting} of at most 10 wait, and refused says {error!r}, not a Busy.")
        if error.ran is not Ran.NO:
            raise Broken("A refused request did not run, and its error says otherwise.")
    for waiting in (0, 3):
        if (error := valve.refused(waiting, 10)) is not None:
            raise Broken(
                f"Only {waiting} of at most 10 wait, and refused says {error!r}: a nack alone is "
                "not Busy, the broker may be electing a leader."
            )
    if (error := valve.sending(LARGEST)) is not None:
        raise Broken(f"1 MiB is allowed, and sending says {error!r}.")
    if not isinstance(error := valve.sending(LARGEST + 1), TooLarge):
        raise Broken(f"One byte over 1 MiB is too large, and sending says {error!r}.")


def _a_limit(valve: Any) -> int:
    limits = []
    for patience, seconds, hands in ((10.0, 1.0, 4), (PATIENCE, SECONDS, HANDS)):
        limit = valve.limit(patience, seconds, hands)
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 1:
            raise Broken(
                f"limit({patience:g}, {seconds:g}, {hands}) is {limit!r}: a queue must keep one "
                "at least."
            )
        limits.append(math.floor(limit))
    if limits[0] > 40:
        raise Broken(
            f"limit(10, 1, 4) is {limits[0]}: four hands do 40 in ten seconds, so the last of "
            f"{limits[0]} waits for longer."
        )
    if limits[0] < 6:
        raise Broken(
            f"limit(10, 1, 4) is {limits[0]}: four hands do 40 in ten seconds, and nearly nobody "
            "may wait. A wave would be refused for nothing."
        )
    return limits[1]


def _under_load(valve: Any, limit: int) -> None:
    """Put the limit to a real service that is asked for more than it can do."""
    service = f"check-08-{secrets.token_hex(4)}"
    rate = HANDS / SECONDS * PERCENT / 100

    def job() -> None:
        time.sleep(SECONDS)

    try:
        with trial.environment(CHATRPC_QUEUE_LIMIT=str(limit)):
            server = RpcServer(service, threads=HANDS)
            server.method(job)
            with server, _client(valve)(service, timeout=PATIENCE) as client:
                seen = load(client, "job", rate=rate, seconds=LASTS, burst=BURST)
    finally:
        trial.sweep(Settings.from_env().url, [service])
    share, possible = seen.share(seen.accepted), HANDS / SECONDS * LASTS
    if share < IN_TIME:
        raise Broken(
            f"At {PERCENT} % load, with your limit of {limit}: of what was accepted, "
            f"{round(share * 100)} % was answered in time, and {round(IN_TIME * 100)} % is wanted. "
            "Who comes last into a full queue waits for all before, and for those whom the worker "
            "has in hand."
        )
    if seen.share() * len(seen.questions) < 0.6 * possible:
        raise Broken(
            f"At {PERCENT} % load, with your limit of {limit}, the worker stood idle: it could "
            f"have answered {round(possible)} and answered "
            f"{round(seen.share() * len(seen.questions))}."
        )


def _keeps_c15(valve: Any) -> None:
    service = f"check-08-{secrets.token_hex(4)}"
    room = trial.Trial(
        _client(valve), RpcServer, url=Settings.from_env().url, service=service, scale=0.01
    )
    try:
        PROMISES["C15"].test(room)
    except trial.Broken as broken:
        raise Broken(f"C15 is broken: {broken}.") from None
    finally:
        room.clear()


def _client(valve: Any) -> type[RpcClient]:
    """A client of chatrpc's that asks this valve when the broker has not taken a request."""

    class Asking(RpcClient):
        def __init__(self, service: str, **options: Any) -> None:
            super().__init__(service, **options)
            outbox: Any = self._outbox
            place, limit = topology.request_queue(service), Settings.from_env().queue_limit

            def refused(*calls: Call) -> None:
                waiting, _ = self._link.look(place)
                for call in calls:
                    if (error := valve.refused(waiting, limit)) is not None:
                        self._fail(call.id, error)
                    else:
                        outbox._later(call)

            outbox._refused = refused

    return Asking


# 08.3


def check_may_reply(may_reply: Callable[[str, str], Any]) -> None:
    """Want that a reply goes home, and nowhere else: C17."""
    if may_reply(topology.reply_queue("ann", "phone"), "ann") is ...:
        raise NotYet
    for reply_to, user, wanted, sentence in _CASES:
        found = may_reply(reply_to, user)
        if bool(found) is not wanted:
            verdict = "may" if found else "may not"
            raise Broken(
                f"Sent by {user or 'nobody'}, a reply {verdict} go to {reply_to!r}. {sentence}"
            )
    service = f"check-08-{secrets.token_hex(4)}"
    room = trial.Trial(
        RpcClient, RpcServer, url=Settings.from_env().url, service=service, scale=0.01
    )
    try:
        with _quiet(), mock.patch.object(topology, "may_reply", may_reply):
            PROMISES["C17"].test(room)
    except trial.Broken as broken:
        raise Broken(f"C17 is broken: {broken}.") from None
    finally:
        room.clear()


def _quiet() -> contextlib.AbstractContextManager[Any]:
    """A server says what it rejects, and here it is made to."""
    return mock.patch.object(logging.getLogger("chatrpc.server"), "disabled", True)


_CASES = (
    (topology.reply_queue("ann", "phone"), "ann", True, "That is her own queue."),
    (topology.reply_queue("bob", "phone"), "ann", False, "That is Bob's."),
    (topology.request_queue("chat"), "ann", False, "That is where a service reads its requests."),
    ("", "ann", False, "That is nowhere."),
    ("amq.gen-Xa2", "", True, "The broker has made up that name: nobody can guess another's."),
    ("amq.genial", "ann", False, "A name of the broker's begins with amq.gen-, with the dash."),
    (
        f"{topology.DIRECT_REPLY}.g1h2.a7",
        "",
        True,
        "A direct reply goes to the connection that has asked.",
    ),
    (
        topology.reply_queue("ann2", "phone"),
        "ann",
        False,
        "ann2 is somebody else: the name ends with the dot after it.",
    ),
    (
        topology.reply_queue("ann.lee", "phone"),
        "ann",
        False,
        "ann.lee is somebody else.",
    ),
    (
        topology.reply_queue("ann.lee", "phone"),
        "ann.lee",
        True,
        "That is her own queue: topology.reply_queue writes the dot of her name in another way, "
        "so build the beginning with it.",
    ),
    (
        topology.reply_queue("ann", "phone"),
        "",
        False,
        "The sender has not said who it is, so the broker has verified nothing.",
    ),
    (
        topology.reply_queue("", "phone"),
        "",
        False,
        "Whoever says nothing has no queue, not one of the user without a name.",
    ),
)


EXERCISES = [
    Exercise(
        "08.1",
        "Put in place of the dots: what kind of exchange, what kinds of queue, with which "
        "arguments; and add the bindings that let two reasons through.",
        check_declarations,
        "What cannot be served costs ten deliveries at most, and then lies where a person can look "
        "at it. What expired is nobody's fault and is gone. And a full queue says no at its door: "
        "one dictionary has both. C14 has its ground.",
        (
            "Follow a rejected message: its queue must name an exchange, the exchange must have a "
            "binding, and the binding must lead to the queue of the dead letters.",
            'The queue of requests is "quorum", with x-delivery-limit, x-max-length, x-overflow '
            "and x-dead-letter-exchange. Two bindings lead from topology.DEAD to the dead queue, "
            "one for each reason.",
            'Each binding: {"x-match": "all-with-x", "x-first-death-queue": requests, '
            '"x-first-death-reason": "rejected"}, and the same with "delivery_limit".',
        ),
    ),
    Exercise(
        "08.2",
        "How many may wait? When is a nack Busy? What is too large?",
        check_valve,
        "A queue is as long as its askers are patient, and no longer: that is the one number that "
        "can be reckoned. Whom you refuse knows it at once and has lost nothing; whom you accept "
        "is served in time. The promise is C15.",
        (
            "Stand at the end of the queue. Who is served before you, and how long does that take? "
            "Do not forget those whom the worker already holds.",
            "In patience seconds so many hands do hands * patience / seconds. Of these, hands are "
            "being served and as many again are prefetched: they are not in the queue. And no "
            "clock is exact: leave a reserve.",
            "limit: int(0.8 * hands * patience / seconds) - 2 * hands, and 1 at least. refused: a "
            "Busy if waiting >= limit. sending: a TooLarge over 1024 * 1024.",
        ),
    ),
    Exercise(
        "08.3",
        "Say for each reply_to whether a reply may go there.",
        check_may_reply,
        "The broker vouches for user_id, and the name of the queue carries it: together they say "
        "whose it is. A worker may write everywhere; that is why it must not write everywhere it "
        "is told to. The promise is C17.",
        (
            "Three cases may, all else may not. Begin with return False, and add the three.",
            "str.startswith takes a tuple. The beginning of a user's queues is "
            'topology.reply_queue(user, ""): it ends with the dot.',
            'reply_to.startswith(("amq.gen-", "amq.rabbitmq.reply-to.")), or user is not empty and '
            'reply_to.startswith(topology.reply_queue(user, "")).',
        ),
    ),
]
