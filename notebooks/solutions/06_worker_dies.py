"""Solutions of lesson 06, each with its why; a cell begins at ``# %%`` and its number."""

# ruff: noqa: F821 - the notebook's names
from chatrpc import lab

# %% 06.1
# The ack moves from the first line to the last. Whoever dies before it leaves the request with the
# broker, which hands it to the next worker. The answer goes out before the ack, never after: a
# worker that acknowledged and died before its answer would have poured a cup that nobody hears of.


@lab.exercise("06.1")
class Late(Early):
    def take(self, arrival):
        request = self.read(arrival)
        if not request.deadline.passed(time.monotonic()):
            self.answer(arrival, self.handler.handle(request))
        self.link.ack(arrival)


# %% 06.2
# `with db` commits when its block ends well, and undoes everything when it does not: key and cup
# are written together or not at all. BEGIN IMMEDIATE takes the right to write before the first
# look, so of two workers with the same key the second waits, and then finds the cup.


@lab.exercise("06.2")
def pour_once(db, key):
    with db:
        db.execute("BEGIN IMMEDIATE")
        found = db.execute("SELECT cup FROM keys WHERE key = ?", (key,)).fetchone()
        if found:
            return found[0]
        number = db.execute("INSERT INTO cups DEFAULT VALUES").lastrowid
        db.execute("INSERT INTO keys VALUES (?, ?)", (key, number))
        return number


# %% 06.3
# B, E and G add something, so twice is more than once. All others make something so, or only look.


@lab.exercise("06.3")
def idempotent():
    return {
        "A": True,
        "B": False,
        "C": True,
        "D": True,
        "E": False,
        "F": True,
        "G": False,
        "H": True,
    }


# %% 06.4
# The order of 06.1 stays: run, answer, acknowledge. New is that an answer may be owed to several
# deliveries: `finish` returns all that wait for it. A copy that finds its twin running does
# nothing at all, and is not acknowledged yet: should the process die now, it must come again.


@lab.exercise("06.4")
class RpcServer(Early):
    def __init__(self, service):
        super().__init__(service)
        self.answers = Answers()

    def take(self, arrival):
        request, about = self.read(arrival), messages.key(arrival.delivery.message)
        if request.deadline.passed(time.monotonic()):
            self.link.ack(arrival)
            return
        seen, reply = self.answers.begin(about, arrival, request.deadline)
        waiting = [arrival] if seen is Seen.ANSWERED else []
        if seen is Seen.NEW:
            reply = self.handler.handle(request)
            waiting = self.answers.finish(about, reply, time.monotonic())
        for one in waiting:
            self.answer(one, reply)
            self.link.ack(one)
