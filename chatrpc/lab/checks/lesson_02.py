"""Checks of lesson 02, Ask and answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import CallTimeout
from .. import trial
from ..exercises import Broken, Exercise, NotYet
from .desk import Desk, run, told

Connect = Callable[[], Any]
EACH = 20


# 02.1


def check_address(mine: type, *, connect: Connect, server: type) -> None:
    """Want C02 of two clients that ask twenty times each, by turns and at once."""
    with Desk(connect) as desk, contextlib.ExitStack() as opened:
        service = desk.missing("echo")
        worker = server(service)
        opened.callback(worker.close)
        worker.method(say)
        worker.start()
        clients = {name: _client(desk, opened, mine, service) for name in ("first", "second")}
        addresses = {client.reply_to for client in clients.values()}
        if len(addresses) == 1:
            raise Broken(
                f"Both clients wait at the same address, {addresses.pop()!r}: one queue with two "
                "readers, of whom each gets every other answer."
            )
        for name, client in clients.items():
            for number in range(EACH):
                _ask(client, f"{name} {number}")
        asking = [partial(_ask_all, client, name) for name, client in clients.items()]
        try:
            trial.together(15.0, "your two clients", asking)
        except trial.Broken as hung:
            raise Broken(f"With both asking at once, {hung}.") from None


def say(text: str) -> str:
    """Say it back."""
    return f"You said: {text}"


def _client(desk: Desk, opened: contextlib.ExitStack, mine: Any, service: str) -> Any:
    def address(self: Any) -> Any:
        opened.callback(self.connection.close)
        found = mine.address(self)
        if found is ...:
            raise NotYet
        if isinstance(found, dict):
            raise Broken(
                "address() returned a dictionary, which is what queue.declare returns; the "
                "queue's name is in it, under 'queue'."
            )
        if not isinstance(found, str) or not found:
            raise Broken(f"address() is to return the name of a queue; it returned {found!r}.")
        desk.forget(found)
        return found

    watched = type(mine.__name__, (mine,), {"address": address})
    try:
        return run("Making a client", lambda: watched(service, timeout=1), "What waits there?")
    except (NotYet, Broken):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a student's class raises
        text = told(error)
        if "NOT_FOUND" in text:
            raise Broken(
                f"There is no queue at the address: declare it before you return its name. {text}"
            ) from None
        if "RESOURCE_LOCKED" in text:
            raise Broken(
                f"The queue at the address belongs to somebody else already: are there two of that "
                f"name, or was it declared on another connection? {text}"
            ) from None
        raise Broken(f"A client could not be made: {text}") from None


def _ask_all(client: Any, name: str) -> None:
    for number in range(EACH):
        _ask(client, f"{name} {number} at once")


def _ask(client: Any, text: str) -> None:
    try:
        got = client.call("say", text)
    except CallTimeout:
        raise Broken(f"{text!r} was asked and had no answer: where did the answer go?") from None
    if got != say(text):
        raise Broken(f"{text!r} was asked, and the answer was {got!r}.")


# 02.2

GOOD, NONE, GONE = "a question with an address", "one without an address", "one whose queue is gone"
KINDS = (GOOD, NONE, GONE, GOOD, GONE, NONE, GOOD)


def check_reply(reply: Callable[..., Any], *, connect: Connect) -> None:
    """Want each answered that can be, each acked, none raising, and the truth about each."""
    with Desk(connect) as desk:
        questions, answers, gone = desk.queue("echo"), desk.queue("mine"), desk.missing("gone")
        for number, kind in enumerate(KINDS):
            address = {GOOD: {"reply_to": answers}, NONE: {}, GONE: {"reply_to": gone}}[kind]
            desk.publish(f"say {number}", questions, **address)
        connection, channel = desk.connection(), desk.connection().channel()
        reading = connection.channel()
        for number, kind in enumerate(KINDS):
            try:
                question = reading.basic.get(questions)
            except Exception as error:  # noqa: BLE001 - AMQPStorm's, which is not imported here
                if "unknown delivery tag" in str(error):
                    raise Broken(
                        f"{KINDS[number - 1].capitalize()} was acked twice, so the broker closed "
                        "the channel on which questions come."
                    ) from None
                raise Broken(f"The next question cannot be read any more: {told(error)}") from None
            said = _answer(reply, channel, question, f"You said: {number}", kind)
            if kind is GONE and desk.exists(gone):
                raise Broken(
                    "There came one whose queue is gone, and now that queue is there again, with "
                    "an answer in it that nobody will read: who asked has hung up."
                )
            _hear(said, kind, channel)
        connection.close()
        if desk.left(questions, 0):
            first = desk.connection().channel().basic.get(questions)
            kind = KINDS[int(first.body.split()[1])]
            raise Broken(f"In the queue there is, again, {kind}: it was not acked.")
        wanted = [f"You said: {n}" for n, kind in enumerate(KINDS) if kind is GOOD]
        desk.left(answers, len(wanted))
        reader = desk.connection().channel()
        got = []
        while (answer := reader.basic.get(answers, no_ack=True)) is not None:
            got.append(answer.body)
        if got != wanted:
            raise Broken(f"At the good address should lie {wanted}; there lies {got}.")


def _answer(reply: Callable[..., Any], channel: Any, question: Any, answer: str, kind: str) -> Any:
    try:
        return run("Your worker", lambda: reply(channel, question, answer), "What waits there?")
    except (NotYet, Broken):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a student's function raises
        raise Broken(
            f"There came {kind}, and your worker is dead: {told(error)} Not acked, it would go "
            "back into the queue, to the next worker."
        ) from None


def _hear(said: Any, kind: str, channel: Any) -> None:
    if not channel.is_open:
        raise Broken(
            f"After {kind} your channel is closed: who asks for a queue that is not there loses "
            "the channel, and with it all answers to come."
        )
    if said is not True and said is not False:
        raise Broken(f"For {kind} it returned {said!r}: return True or False.")
    if said is not (kind is GOOD):
        raise Broken(
            f"For {kind} it returned {said}: "
            + ("does a queue keep that answer?" if said else "did nobody get the answer?")
        )


EXERCISES = [
    Exercise(
        "02.1",
        "Declare a queue of the client's own, and return its name.",
        check_address,
        "C02: two clients of one service never see each other's replies. The name comes from the "
        "broker, so no two can be the same, and nobody else may read there. That is not a matter "
        "of luck or of load, as with a shared queue: it holds by construction.",
        (
            "Look at Mend: what did ask() do there before it published?",
            "The broker makes up a name if you declare without one; declare() returns a "
            "dictionary in which it stands.",
            'return self.channel.queue.declare(exclusive=True)["queue"]',
        ),
    ),
    Exercise(
        "02.2",
        "Send the answer where the question says, ack in every case, and say whether it is kept.",
        check_reply,
        "A caller's mistake must cost the caller, never the worker: no address is a question that "
        "nobody waits for, and a queue that is gone belongs to somebody who hung up. Both are "
        "acked, for they would be no better the next time. Lesson 08 is about worse messages.",
        (
            "How many ways does a question have to end? Each of them needs its ack.",
            "question.reply_to is None when there is none. And how did lesson 01 notice that a "
            "queue was not there? (01.3)",
            "channel.confirm_deliveries(); try: publish(answer, question.reply_to, "
            "mandatory=True), except amqpstorm.AMQPMessageError: False; finally: question.ack().",
        ),
    ),
]
