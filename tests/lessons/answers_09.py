"""What students write in lesson 09: right answers, wrong ones, and what each is told."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from random import Random
from typing import Any

from chatrpc import BrokerError, BrokerRefused, RpcError
from chatrpc.broker import Node
from chatrpc.confirms import Outcome
from chatrpc.lab import sync
from chatrpc.lab.spare import own_spare
from chatrpc.transport import Transport

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "09_broker_goes_away.ipynb"


class Spare:
    """A broker that may be killed; it is started by the first answer that needs it."""

    @property
    def _node(self) -> Node:
        return own_spare().ready().node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


def given(url: str) -> dict[str, dict[str, Any]]:
    """What the cells of the exercises hand over."""
    return {"09.3": {"node": Spare()}, "": {}}


# 09.1


class Confirms:
    def __init__(self):
        self.last, self.open = 0, []

    def publishing(self, id):
        self.last += 1
        self.open.append((self.last, id))
        return self.last

    def answered(self, tag, *, multiple, ok):
        said = Outcome.CONFIRMED if ok else Outcome.NACKED
        hit = [(t, id) for t, id in self.open if t == tag or (multiple and t < tag)]
        self.open = [pair for pair in self.open if pair not in hit]
        return [(id, said) for _, id in hit]

    def lost(self):
        ids, self.open = [id for _, id in self.open], []
        return ids


class OneAtATime(Confirms):
    """Overlooks ``multiple``."""

    def answered(self, tag, *, multiple, ok):
        return super().answered(tag, multiple=False, ok=ok)


class InOrder(Confirms):
    """Takes every answer for one about all before it."""

    def answered(self, tag, *, multiple, ok):
        return super().answered(tag, multiple=True, ok=ok)


class AllIsWell(Confirms):
    """Takes a nack for an ack."""

    def answered(self, tag, *, multiple, ok):
        return super().answered(tag, multiple=multiple, ok=True)


class Surprised(Confirms):
    """Raises for a tag that it does not know."""

    def answered(self, tag, *, multiple, ok):
        if not multiple and tag not in dict(self.open):
            raise KeyError(tag)
        return super().answered(tag, multiple=multiple, ok=ok)


class CountsOpen(Confirms):
    """Numbers by what is open, so a number comes twice."""

    def publishing(self, id):
        self.open.append((len(self.open) + 1, id))
        return len(self.open)


class Remembers(Confirms):
    """Does not forget what was lost."""

    def lost(self):
        return [id for _, id in self.open]


class TellsTags(Confirms):
    """Returns tags alone."""

    def answered(self, tag, *, multiple, ok):
        return [tag]


class ConfirmsStub:
    def __init__(self):
        self.next, self.waiting = 1, {}

    def publishing(self, id):
        return ...

    def answered(self, tag, *, multiple, ok):
        return ...

    def lost(self):
        return ...


# 09.2


class Backoff:
    def __init__(self, addresses, *, random):
        self.addresses, self.random, self.at, self.failures = list(addresses), random, 0, 0

    def longest(self):
        rounds = self.failures // len(self.addresses)
        return min(0.5, 0.05 * 2**rounds) if rounds else 0.0

    def wait(self):
        return self.random.uniform(0, self.longest())

    def next(self):
        return self.addresses[self.at], self.wait()

    def failed(self):
        self.at = (self.at + 1) % len(self.addresses)
        self.failures += 1

    def succeeded(self):
        self.failures = 0


class Equal(Backoff):
    """All wait equally long."""

    def wait(self):
        return self.longest()


class HalfJitter(Backoff):
    """Draws from the upper half only."""

    def wait(self):
        return self.random.uniform(self.longest() / 2, self.longest())


class NeverWaits(Backoff):
    """Dials on and on."""

    def wait(self):
        return 0.0


class NoCeiling(Backoff):
    """Waits longer and longer."""

    def longest(self):
        return 0.1 * 2.0 ** (self.failures - 1) if self.failures >= len(self.addresses) else 0.0


class WaitsAtOnce(Backoff):
    """Waits before the first dial, too."""

    def wait(self):
        return self.random.uniform(0.01, 0.1)


class OneAddress(Backoff):
    """Dials the same address again."""

    def failed(self):
        self.failures += 1


class NeverForgives(Backoff):
    """Counts failures from before the success."""

    def succeeded(self):
        pass


class WaitOnly(Backoff):
    """Forgets whom to dial."""

    def next(self):
        return self.wait()


class BackoffStub:
    def __init__(self, addresses, *, random: Random):
        self.addresses, self.random = addresses, random

    def next(self):
        return ...

    def failed(self):
        return ...

    def succeeded(self):
        return ...


# 09.3: over the client of the lesson


def _reconnected() -> Any:
    cells = [cell for cell in sync.read(NOTEBOOK).cells if cell.cell_type == "code"]
    step = next(cell.source for cell in cells if cell.source.startswith("class Reconnected"))
    imports = cells[0].source.replace("node = lab.own_broker()\nlab.legend()", "")
    space: dict[str, Any] = {"__name__": __name__}
    exec(imports + step, space)
    return space["Reconnected"]


Reconnected = _reconnected()


class SendsAgain(Reconnected):
    def send(self, call):
        if not self.publish(call):
            self.unsent[call.id] = call
            if self.link.stands:
                self.up(emptied=False)

    def settled(self, id, outcome):
        call = self.pending.get(id)
        if call is not None and outcome in (Outcome.LOST, Outcome.NACKED):
            self.unsent[id] = call

    def up(self, *, emptied):
        for id in list(self.unsent):
            call = self.unsent.pop(id, None)
            if call is not None and self.pending.get(id) is call:
                self.send(call)


class LetsGo(SendsAgain):
    """Does not keep what could not be sent."""

    def send(self, call):
        self.publish(call)


class NeverLost(SendsAgain):
    """Does not listen to what becomes of a publish."""

    def settled(self, id, outcome):
        pass


class AsAnother(SendsAgain):
    """Sends again under another id."""

    def settled(self, id, outcome):
        call = self.pending.get(id)
        if call is not None and outcome is Outcome.LOST:
            call.message_id = secrets.token_hex(4)
            self.unsent[id] = call


class AlwaysTwice(SendsAgain):
    """Sends twice under two ids, to be on the safe side."""

    def send(self, call):
        super().send(call)
        call.message_id = secrets.token_hex(4)
        super().send(call)


class SendsAgainStub(Reconnected):
    def send(self, call):
        return ...

    def settled(self, id, outcome):
        return ...

    def up(self, *, emptied):
        return ...


# 09.4


def first_dial(addresses):
    away = None
    for address in addresses:
        transport = Transport(address, lost=lambda error: None)
        try:
            transport.open()
        except BrokerRefused:
            raise
        except BrokerError as error:
            away = error
        else:
            return transport
    raise away


def first_only(addresses):
    transport = Transport(addresses[0], lost=lambda error: None)
    transport.open()
    return transport


def not_opened(addresses):
    return Transport(addresses[0], lost=lambda error: None)


def tries_the_next(addresses):
    for address in addresses:
        transport = Transport(address, lost=lambda error: None)
        try:
            transport.open()
        except BrokerError:
            continue
        return transport
    raise BrokerError("nobody lets us in")


def swallows(addresses):
    try:
        return first_dial(addresses)
    except RpcError:
        return "no connection"


def for_ever(addresses):
    while True:
        try:
            return first_dial(addresses)
        except RpcError:
            time.sleep(0.1)


def tells_the_password(addresses):
    try:
        return first_dial(addresses)
    except BrokerRefused as error:
        raise BrokerRefused(f"refused: {addresses[0].user}:{addresses[0].password}") from error


def another_kind(addresses):
    try:
        return first_dial(addresses)
    except RpcError:
        raise ConnectionError("no connection") from None


def all_refused(addresses):
    try:
        return first_dial(addresses)
    except RpcError as error:
        raise BrokerRefused("no connection") from error


def first_dial_stub(addresses):
    return ...


RIGHT = [
    ("09.1", Confirms),
    ("09.2", Backoff),
    ("09.3", SendsAgain),
    ("09.4", first_dial),
]
STUBS = [
    ("09.1", ConfirmsStub),
    ("09.2", BackoffStub),
    ("09.3", SendsAgainStub),
    ("09.4", first_dial_stub),
]
WRONG = [
    ("09.1", OneAtATime, "all up to 5"),
    ("09.1", InOrder, "settles b CONFIRMED, not a CONFIRMED, b CONFIRMED"),
    ("09.1", AllIsWell, "a nack of 1: that settles a NACKED, not a CONFIRMED"),
    ("09.1", Surprised, "answered raises KeyError: 1"),
    ("09.1", CountsOpen, "The fourth publish has the tag 4"),
    ("09.1", Remembers, "is to be forgotten then"),
    ("09.1", TellsTags, "a list of pairs (id, outcome)"),
    ("09.2", Equal, "most of them equally long"),
    ("09.2", HalfJitter, "the wait is drawn from 0 to"),
    ("09.2", NeverWaits, "equally long"),
    ("09.2", NoCeiling, "the longest wait is 0.5 s"),
    ("09.2", WaitsAtOnce, "The first dial after a loss waits for nothing"),
    ("09.2", OneAddress, "there is another"),
    ("09.2", NeverForgives, "After a success all begins anew"),
    ("09.2", WaitOnly, "next returns a pair"),
    ("09.3", LetsGo, "while there was no connection"),
    ("09.3", NeverLost, "written into a wire that then was cut"),
    ("09.3", AsAnother, "sent again as another one"),
    ("09.3", AlwaysTwice, "Nothing was cut, and one call ran"),
    ("09.4", first_only, "an address where nobody is, and then the right one"),
    ("09.4", not_opened, "is not open"),
    ("09.4", tries_the_next, "a wrong password"),
    ("09.4", swallows, "raised nothing; it returned 'no connection'"),
    ("09.4", for_ever, "still tries"),
    ("09.4", tells_the_password, "shows the password"),
    ("09.4", another_kind, "none of chatrpc's errors"),
    ("09.4", all_refused, "nobody refused it"),
]
