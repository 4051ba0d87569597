"""Solutions of lesson 00, each with its why; a cell begins at ``# %%`` and its number."""

import time

from chatrpc import lab

# %% 00.1
# D first: nothing is on its way before it is published. The exchange (C) and the delivery (F)
# follow, the method runs, and the worker sends the answer (A) before it acknowledges (E): the
# other way round, a worker that dies between the two would have lost your question. B stands
# last, but B and E happen in two processes at the same time, so "DCFABE" is as right.


@lab.exercise("00.1")
def hops():
    return "DCFAEB"


# %% 00.2
# One local call is too short for a clock, so many are timed and divided. RPCs differ more from
# one to the next, so the middle one of fifty stands for all: it does not care about one that
# was held up.


def echo(text):
    return text


def local_seconds():
    began = time.perf_counter()
    for _ in range(20_000):
        echo("hola")
    return (time.perf_counter() - began) / 20_000


def remote_seconds():
    began = time.perf_counter()
    chat.call("echo", "hola")  # noqa: F821 - the notebook's client
    return time.perf_counter() - began


@lab.exercise("00.2", chat=chat)  # noqa: F821
def cost():
    return sorted(remote_seconds() for _ in range(50))[25] / local_seconds()
