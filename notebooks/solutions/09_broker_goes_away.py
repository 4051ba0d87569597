"""Solutions of lesson 09, each with its why; a cell begins at ``# %%`` and its number."""

import threading

from chatrpc import errors, lab
from chatrpc.confirms import Outcome
from chatrpc.transport import Transport

# %% 09.1
# The table leads from tag to id, and its order is the tags'. `multiple` settles all that are still
# open up to a tag, so what was settled before must have left the table; and an unknown tag finds
# nothing, which is no error: the broker may speak of it again.


@lab.exercise("09.1")
class MyConfirms:
    def __init__(self):
        self.next, self.waiting = 1, {}

    def publishing(self, id):
        tag, self.next = self.next, self.next + 1
        self.waiting[tag] = id
        return tag

    def answered(self, tag, *, multiple, ok):
        tags = [t for t in self.waiting if t == tag or (multiple and t < tag)]
        outcome = Outcome.CONFIRMED if ok else Outcome.NACKED
        return [(self.waiting.pop(t), outcome) for t in tags]

    def lost(self):
        ids = list(self.waiting.values())
        self.waiting.clear()
        return ids


# %% 09.2
# Counting failures is enough: their number divided by that of the addresses is how many rounds have
# failed. The wait doubles, so a broker that is away for long is asked seldom; it is drawn from the
# whole interval, so those who have failed equally often do not come together. `succeeded` leaves
# the turn alone: who took us in is the first choice next time.


@lab.exercise("09.2")
class MyBackoff:
    def __init__(self, addresses, *, random):
        self.addresses, self.random = addresses, random
        self.turn, self.failures = 0, 0

    def next(self):
        address = self.addresses[self.turn % len(self.addresses)]
        rounds = self.failures // len(self.addresses)
        longest = min(0.5, 0.1 * 2 ** (rounds - 1)) if rounds else 0.0
        return address, self.random.uniform(0, longest)

    def failed(self):
        self.turn += 1
        self.failures += 1

    def succeeded(self):
        self.failures = 0


# %% 09.3
# `publish` says False if there is no link: then the call waits. It may come up between that answer
# and the next line, and `up` has looked already: so look once more. LOST says that nothing is
# known: the same call goes again, under the same id, and whoever has run it answers from memory.
# NACKED comes from a queue that has just got up and has no leader yet: again, after a moment.


@lab.exercise("09.3", node=node)  # noqa: F821 - the notebook's own broker
class SendsAgain(Reconnected):  # noqa: F821
    def send(self, call):
        if not self.publish(call):
            self.unsent[call.id] = call
            if self.link.stands:
                self.up(emptied=False)

    def settled(self, id, outcome):
        call = self.pending.get(id)
        if call is not None and outcome in (Outcome.LOST, Outcome.NACKED):
            self.unsent[id] = call
            if outcome is Outcome.NACKED:
                threading.Timer(0.1, self.up, kwargs={"emptied": False}).start()

    def up(self, *, emptied):
        for id in list(self.unsent):
            call = self.unsent.pop(id, None)
            if call is not None and self.pending.get(id) is call:
                self.send(call)


# %% 09.4
# BrokerRefused is a BrokerError, so the narrower comes first. It is raised on, since what is wrong
# stays wrong; the other is remembered, and raised if no address is left. Neither tells the
# password, as long as you do not build a message of your own from the URL.


@lab.exercise("09.4")
def first_dial(addresses):
    away = errors.BrokerError("there is no address to dial")
    for address in addresses:
        transport = Transport(address, lost=lambda error: None)
        try:
            transport.open()
            return transport
        except errors.BrokerRefused:
            raise
        except errors.BrokerError as error:
            away = error
    raise away
