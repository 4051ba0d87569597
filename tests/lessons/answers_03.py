"""What students write in lesson 03: right answers, wrong ones, and what each is told."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

QUESTIONS = {"a7": "cups?", "c2": "spoons?", "e9": "plates?", "k4": "guests?"}
ANSWERS = [("c2", "three"), ("x1", "five"), ("k4", "two"), ("a7", "three"), ("c2", "four")]


def given(url: str) -> dict[str, dict[str, Any]]:
    """What the cells of the exercises hand over."""
    return {"03.2": {"asked": QUESTIONS, "came": ANSWERS}, "": {}}


# 03.1


class Right:
    def __init__(self):
        self.calls = {}

    def add(self, id, call):
        if self.calls.setdefault(id, call) is not call:
            raise ValueError(id)

    def take(self, id):
        return self.calls.pop(id, None)

    def ids(self):
        return list(self.calls)


class WithALock(Right):
    """Looks and acts in two steps, and holds a lock meanwhile."""

    def __init__(self):
        self.calls, self.lock = OrderedDict(), threading.Lock()

    def add(self, id, call):
        with self.lock:
            if id in self.calls:
                raise ValueError(id)
            self.calls[id] = call

    def take(self, id):
        with self.lock:
            if id in self.calls:
                call = self.calls[id]
                del self.calls[id]
                return call


class Stub:
    def add(self, id, call):
        return ...

    def take(self, id):
        return ...

    def ids(self):
        return ...


class HalfWritten(Stub):
    def __init__(self):
        self.calls = {}

    def add(self, id, call):
        self.calls[id] = call


class ForAll(Right):
    """One dictionary for all tables."""

    calls: dict[str, Any] = {}  # noqa: RUF012 - the mistake

    def __init__(self):
        pass


class TakesNothing(Right):
    def take(self, id):
        return self.calls.get(id)


class Raises(Right):
    def take(self, id):
        return self.calls.pop(id)


class Overwrites(Right):
    def add(self, id, call):
        self.calls[id] = call


class RefusesTooLate(Right):
    def add(self, id, call):
        known = id in self.calls
        self.calls[id] = call
        if known:
            raise ValueError(id)


class RefusesOtherwise(Right):
    def add(self, id, call):
        if id in self.calls:
            raise KeyError(id)
        self.calls[id] = call


class NeverAgain(Right):
    """Remembers each id for ever."""

    def __init__(self):
        self.calls, self.seen = {}, set()

    def add(self, id, call):
        if id in self.seen:
            raise ValueError(f"{id} was used")
        self.seen.add(id)
        self.calls[id] = call


class KeepsALine(Right):
    """Writes None over a call instead of striking it out."""

    def add(self, id, call):
        if self.calls.get(id) is not None:
            raise ValueError(id)
        self.calls[id] = call

    def take(self, id):
        call = self.calls.get(id)
        self.calls[id] = None
        return call


class Sorted(Right):
    def ids(self):
        return sorted(self.calls)


class NoCopy(Right):
    def ids(self):
        return self.calls.keys()


class InTurn(Right):
    """Knows no ids: the next one is mine."""

    def take(self, id):
        return self.calls.popitem()[1] if self.calls else None


class LookThenAct(Right):
    def take(self, id):
        if id in self.calls:
            return self.calls.pop(id)


class LookThenActTwice(Right):
    def take(self, id):
        call = self.calls.get(id)
        self.calls.pop(id, None)
        return call


class NoIds:
    def add(self, id, call):
        pass

    def take(self, id):
        pass


class NoInit(Right):
    def __init__(self):
        pass


# 03.2


def right():
    return {"a7": "three", "c2": "three", "e9": None, "k4": "two"}


def spelt():
    return {"a7": "Three", "c2": "three ", "e9": None, "k4": "two"}


def dots():
    return {"a7": ..., "c2": ..., "e9": ..., "k4": ...}


def half():
    return {"a7": "three", "c2": "three", "e9": ..., "k4": "two"}


def in_turn():
    return {"a7": "three", "c2": "five", "e9": "two", "k4": "three"}


def strange():
    return {**right(), "x1": "five"}


def fits():
    return {"a7": "three", "c2": "three", "e9": "five", "k4": "two"}


def newest():
    return {"a7": "three", "c2": "four", "e9": None, "k4": "two"}


def nothing_for_guests():
    return {"a7": "three", "c2": "three", "e9": None, "k4": None}


def swapped():
    return {"a7": "two", "c2": "three", "e9": None, "k4": "two"}


def short():
    return {"a7": "three", "c2": "three", "k4": "two"}


def texts():
    return "three three two"


RIGHT = [("03.1", Right), ("03.1", WithALock), ("03.2", right), ("03.2", spelt)]
STUBS = [("03.1", Stub), ("03.1", HalfWritten), ("03.2", dots), ("03.2", half)]
WRONG = [
    ("03.1", ForAll, "belongs to all tables together"),
    ("03.1", TakesNothing, "a second time (the answer came twice, or late)"),
    ("03.1", Raises, "raised KeyError. An answer that nobody waits for is no error"),
    ("03.1", Overwrites, "two callers wait under one name"),
    ("03.1", RefusesTooLate, "the first caller stays"),
    ("03.1", RefusesOtherwise, "raised KeyError; a ValueError is wanted"),
    ("03.1", NeverAgain, "raised ValueError: 2 was used"),
    ("03.1", KeepsALine, "nothing may stay"),
    ("03.1", Sorted, "and ids() returned ['12', '3', '5']"),
    ("03.1", NoCopy, "a list of its own is wanted"),
    ("03.1", InTurn, 'returned "Ben\'s call", and "Ana\'s call" is right'),
    ("03.1", LookThenAct, "the other was quicker"),
    ("03.1", LookThenActTwice, "both got the call"),
    ("03.1", NoIds, "has no method ids"),
    ("03.1", NoInit, "no attribute 'calls'"),
    ("03.2", in_turn, "in the order in which they came"),
    ("03.2", strange, "no id 'x1'"),
    ("03.2", fits, "No message bears the id e9"),
    ("03.2", newest, "the call was over already"),
    ("03.2", nothing_for_guests, "A message with the id k4 has come"),
    ("03.2", swapped, "does not stand behind the id a7"),
    ("03.2", short, "e9 is missing"),
    ("03.2", texts, "Return a dictionary"),
]
