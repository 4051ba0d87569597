"""Solutions of lesson 05, each with its why; a cell begins at ``# %%`` and its number."""

# ruff: noqa: F821 - the notebook's names
from chatrpc import lab

# %% 05.1
# Four ways lead out of a call: an answer, the broker's return, the deadline, and an exception
# like Ctrl-C. All of them go through the finally, so that is where the entry leaves the table.
# Whoever takes it out ends the call; a reply that comes later finds nobody and is dropped.
# The deadline goes along in both forms: `expiration` lets the broker throw the request away, and
# the header lets a worker see that it is too late.


@lab.exercise("05.1")
class RpcClient(Caller):
    def call(self, method, *args, timeout=None, **params):
        id, reply = secrets.token_hex(8), Future()
        self.pending.add(id, reply)
        now = time.monotonic()
        deadline = Deadline.after(timeout or self.timeout, now)
        left, at = deadline.to_wire(now, time.time())
        request = Request(method, params or list(args), id, deadline)
        try:
            self.send(id, request, expiration=left, headers={"deadline": at})
            return reply.result(deadline.left(time.monotonic())).value()
        except TimeoutError:
            raise errors.CallTimeout(f"no answer in time{self.why()}") from None
        finally:
            self.pending.take(id)

    def why(self):
        _, listening = self.link.look(topology.request_queue(self.service))
        return "" if listening else ": nobody listens"

    def settled(self, id, outcome):
        if outcome is not Outcome.RETURNED:
            return
        if (reply := self.pending.take(id)) is not None:
            reply.set_exception(errors.NoWorker(f"nobody serves {self.service!r}"))


# %% 05.2
# A, B, C: somebody refused before the method began. D: the method itself reports. E, F, G: silence,
# whoever broke it off. H: the library knows that nothing left the house. Repeating is another
# question: F is a maybe, and harmless, because a clock that is read twice is still a clock.


@lab.exercise("05.2")
def failures():
    return {
        "A": ("no", True),
        "B": ("no", True),
        "C": ("no", True),
        "D": ("yes", False),
        "E": ("maybe", False),
        "F": ("maybe", True),
        "G": ("maybe", False),
        "H": ("no", True),
    }


# %% 05.3
# One condition. The ack stands outside it: a request that is skipped is dealt with, and must leave
# the queue, or the broker would hand it to the next worker, and to the next.


@lab.exercise("05.3")
class RpcServer(Dutiful):
    def take(self, arrival):
        request = self.read(arrival)
        if not request.deadline.passed(time.monotonic()):
            self.answer(arrival, self.handler.handle(request))
        self.link.ack(arrival)
