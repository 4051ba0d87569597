"""What students write in lesson 10: right answers, wrong ones, and what each is told."""

from __future__ import annotations

from typing import Any

import chatrpc
from chatrpc.lab.board import Report, Result, Row
from chatrpc.lab.promises import PROMISES

NAMES = ("RpcClient", "RpcServer")
ROWS = [Row(promise, Result.KEPT) for promise in PROMISES.values()]
BOARD = Report(*NAMES, ROWS)


def given(url: str) -> dict[str, dict[str, Any]]:
    """What the cells of the exercises hand over."""
    return {"10.1": {"board": BOARD}, "": {}}


# 10.1


def whole():
    return BOARD


def a_word():
    return "18 of 18"


def a_part():
    return Report(*NAMES, ROWS[:6])


def theirs():
    return Report(*NAMES, ROWS, own=(False, True))


def with_a_fall():
    fell = Row(PROMISES["C06"], Result.BROKEN, "the next call got 'late 0'")
    return Report(*NAMES, [fell if row.promise.id == "C06" else row for row in ROWS])


def too_early():
    rows = [Row(PROMISES[id], Result.NOT_REACHED) for id in PROMISES]
    return Report(*NAMES, rows)


def board_stub():
    return ...


# 10.2


class EmptyIsNothing(chatrpc.RpcClient):
    breaks = "C01"

    def call(self, method, /, *args, timeout=None, **params):
        return super().call(method, *args, timeout=timeout, **params) or None


class Harmless(chatrpc.RpcClient):
    """Changes nothing that a promise speaks of."""

    breaks = "C01"

    def call(self, method, /, *args, timeout=None, **params):
        return super().call(method, *args, timeout=timeout, **params)


class TwoFaults(EmptyIsNothing):
    """Takes nothing for an answer, and blames the method for whatever the server says."""

    breaks = "C01"

    def call(self, method, /, *args, timeout=None, **params):
        try:
            return super().call(method, *args, timeout=timeout, **params)
        except chatrpc.InvalidRequest as error:
            raise chatrpc.RemoteError(type(error).__name__, str(error)) from None


class NoSuchPromise(EmptyIsNothing):
    breaks = "C42"

    def call(self, method, /, *args, timeout=None, **params):
        return super().call(method, *args, timeout=timeout, **params)


class MutantStub(chatrpc.RpcClient):
    breaks = ...

    def call(self, method, /, *args, timeout=None, **params):
        return super().call(method, *args, timeout=timeout, **params)


class OnlyNamed(chatrpc.RpcServer):
    """Says what it breaks, and has no line yet that would."""

    breaks = "C08"


# 10.3


def faults():
    return {"A": 4, "B": 6, "C": 2, "D": 1, "E": 3}


def copied_for_sent():
    return {"A": 4, "B": 6, "C": 3, "D": 1, "E": 2}


def silence_for_nobody():
    return {"A": 4, "B": 1, "C": 2, "D": 6, "E": 3}


def ran_twice():
    return {"A": 4, "B": 6, "C": 2, "D": 1, "E": 5}


def one_missing():
    return {"A": 4, "B": 6, "C": 2, "D": 1, "E": ...}


def words():
    return {"A": "a stranger", "B": 6, "C": 2, "D": 1, "E": 3}


def a_list():
    return [4, 6, 2, 1, 3]


def faults_stub():
    return {"A": ..., "B": ..., "C": ..., "D": ..., "E": ...}


RIGHT = [("10.1", whole), ("10.2", EmptyIsNothing), ("10.3", faults)]
STUBS = [
    ("10.1", board_stub),
    ("10.2", MutantStub),
    ("10.2", OnlyNamed),
    ("10.3", faults_stub),
]
WRONG = [
    ("10.1", a_word, "Return the board"),
    ("10.1", a_part, "has no C07, C08"),
    ("10.1", theirs, "The client on this board is chatrpc's"),
    ("10.1", with_a_fall, "C06 is broken (the next call got 'late 0'). Whose is a reply"),
    ("10.1", too_early, "C01 is not reached"),
    ("10.2", Harmless, "C01 is kept"),
    ("10.2", TwoFaults, "C01 falls, and so does C09"),
    ("10.2", NoSuchPromise, "breaks is the id of a promise"),
    ("10.3", copied_for_sent, "C shows her request twice, under one id"),
    ("10.3", silence_for_nobody, "B shows her request, and nothing else"),
    ("10.3", ran_twice, "Two ids would be two questions"),
    ("10.3", one_missing, "E has no number yet"),
    ("10.3", words, "A is a number from 1 to 6"),
    ("10.3", a_list, "Return a dictionary"),
]
