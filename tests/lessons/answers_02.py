"""What students write in lesson 02: right answers, wrong ones, and what each is told."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from typing import Any

import amqpstorm
from committed import FOLDER

from chatrpc import CallTimeout
from chatrpc.lab import sync

MESSAGE = amqpstorm.AMQPMessageError


def connect() -> Any:
    """What the lesson calls by this name."""
    return amqpstorm.UriConnection(os.environ["CHATRPC_URL"])


def _of_the_lesson() -> dict[str, Any]:
    """The lesson's own classes, as its cells define them."""
    known: dict[str, Any] = {
        "CallTimeout": CallTimeout,
        "connect": connect,
        "deque": deque,
        "threading": threading,
        "time": time,
    }
    for cell in sync.read(FOLDER / "02_ask_and_answer.ipynb").cells:
        if cell.cell_type == "code" and cell.source.startswith("class "):
            exec(cell.source, known)
    return known


LESSON = _of_the_lesson()
Client: Any = LESSON["Client"]


def given(url: str) -> dict[str, dict[str, Any]]:
    """What the cells of the exercises hand over."""
    return {"02.1": {"connect": connect, "server": LESSON["Server"]}, "02.2": {"connect": connect}}


# 02.1


class Own(Client):
    def address(self):
        return self.channel.queue.declare(exclusive=True)["queue"]


class OwnByName(Client):
    def address(self):
        name = f"replies-{uuid.uuid4()}"
        self.channel.queue.declare(name, durable=True, auto_delete=True)
        return name


class OwnThatStays(Client):
    def address(self):
        name = f"replies-{uuid.uuid4()}"
        self.channel.queue.declare(name, durable=True)
        return name


class Unwritten(Client):
    def address(self):
        return ...


class AsBefore(Client):
    pass


class SharedByAnotherName(Client):
    def address(self):
        self.channel.queue.declare("check-my-replies", durable=True)
        return "check-my-replies"


class ExclusiveAndShared(Client):
    def address(self):
        name = f"{self.service}.mine"
        self.channel.queue.declare(name, exclusive=True)
        return name


class Dictionary(Client):
    def address(self):
        return self.channel.queue.declare(exclusive=True)


class Nothing(Client):
    def address(self):
        self.name = self.channel.queue.declare(exclusive=True)["queue"]


class Undeclared(Client):
    def address(self):
        return f"replies-{uuid.uuid4()}"


class FromAnotherConnection(Client):
    opens = True

    def address(self):
        self.other = connect()
        return self.other.channel().queue.declare(exclusive=True)["queue"]


class TheServices(Client):
    def address(self):
        return self.service


class Misspelt(Client):
    def address(self):
        return self.chanel.queue.declare(exclusive=True)["queue"]


# 02.2: channel, question, answer


def careful(channel, question, answer):
    try:
        if not question.reply_to:
            return False
        channel.confirm_deliveries()
        return channel.basic.publish(answer, question.reply_to, mandatory=True)
    except MESSAGE:
        return False
    finally:
        question.ack()


def acks_first(channel, question, answer):
    question.ack()
    channel.confirm_deliveries()
    try:
        return bool(question.reply_to) and channel.basic.publish(
            answer, question.reply_to, mandatory=True
        )
    except MESSAGE:
        return False


def unwritten(channel, question, answer):
    return ...


def naive(channel, question, answer):
    channel.basic.publish(answer, question.reply_to)
    question.ack()
    return True


def believes_in_addresses(channel, question, answer):
    if question.reply_to:
        channel.basic.publish(answer, question.reply_to)
    question.ack()
    return bool(question.reply_to)


def returns_early(channel, question, answer):
    if not question.reply_to:
        return False
    channel.confirm_deliveries()
    try:
        kept = channel.basic.publish(answer, question.reply_to, mandatory=True)
    except MESSAGE:
        kept = False
    question.ack()
    return kept


def does_not_catch(channel, question, answer):
    question.ack()
    if not question.reply_to:
        return False
    channel.confirm_deliveries()
    return channel.basic.publish(answer, question.reply_to, mandatory=True)


def rejects_what_it_cannot_answer(channel, question, answer):
    try:
        return careful(channel, question, answer)
    finally:
        question.ack()


def asks_first(channel, question, answer):
    question.ack()
    if not question.reply_to:
        return False
    try:
        channel.queue.declare(question.reply_to, passive=True)
    except amqpstorm.AMQPChannelError:
        return False
    channel.basic.publish(answer, question.reply_to)
    return True


def says_nothing(channel, question, answer):
    if question.reply_to:
        channel.basic.publish(answer, question.reply_to)
    question.ack()


def answers_nobody(channel, question, answer):
    question.ack()
    return False


def declares_what_is_gone(channel, question, answer):
    question.ack()
    if not question.reply_to:
        return False
    channel.queue.declare(question.reply_to, durable=True)
    channel.basic.publish(answer, question.reply_to)
    return True


def sends_the_question(channel, question, answer):
    return careful(channel, question, question.body)


STUBS = [("02.1", Unwritten), ("02.2", unwritten)]
RIGHT = [
    ("02.1", Own),
    ("02.1", OwnByName),
    ("02.1", OwnThatStays),
    ("02.2", careful),
    ("02.2", acks_first),
]
WRONG = [
    ("02.1", AsBefore, "Both clients wait at the same address"),
    ("02.1", SharedByAnotherName, "Both clients wait at the same address"),
    ("02.1", ExclusiveAndShared, "are there two of that name"),
    ("02.1", Dictionary, "under 'queue'"),
    ("02.1", Nothing, "it returned None"),
    ("02.1", Undeclared, "declare it before you return its name"),
    ("02.1", FromAnotherConnection, "declared on another connection"),
    ("02.1", TheServices, "Both clients wait at the same address"),
    ("02.1", Misspelt, "no attribute 'chanel'"),
    ("02.2", naive, "There came one without an address, and your worker is dead"),
    ("02.2", believes_in_addresses, "For one whose queue is gone it returned True"),
    ("02.2", returns_early, "again, one without an address: it was not acked"),
    ("02.2", does_not_catch, "There came one whose queue is gone, and your worker is dead"),
    ("02.2", rejects_what_it_cannot_answer, "was acked twice"),
    ("02.2", asks_first, "your channel is closed"),
    ("02.2", says_nothing, "it returned None: return True or False"),
    ("02.2", answers_nobody, "For a question with an address it returned False"),
    ("02.2", declares_what_is_gone, "that nobody will read"),
    ("02.2", sends_the_question, "At the good address should lie"),
]
