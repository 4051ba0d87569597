"""Checks of lesson 06, Who loses it, who does it twice?"""

from __future__ import annotations

import copy
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from ... import RpcClient
from ...errors import RpcError
from ..carry import carry
from ..crew import Crew
from ..exercises import Broken, Exercise, NotYet, written
from ..services import service
from . import pouring
from .judged import acknowledged_last, clears_up, judged, unwritten

# 06.1 and 06.4


def check_ack(server: Any) -> None:
    """Want C10 of the class, and that it answers as before (C01)."""
    if unwritten(server, "take"):
        raise NotYet
    acts = clears_up(server)
    judged("C01 C10", server=server)
    acknowledged_last(acts)


def check_memory(server: Any) -> None:
    """Want C11 of the class, and still C10 and C01."""
    if unwritten(server, "take"):
        raise NotYet
    acts = clears_up(server)
    judged("C01 C11 C10", server=server)
    acknowledged_last(acts)


# 06.2

_HELD = 3.0  # seconds that a second delivery may take
_AFTER = {
    "before anything": "It had not begun, and the other worker should have poured as usual.",
    "after the first write": "The first write was there without the second: no instant may exist "
    "in which one of the two is committed alone.",
    "before the commit": "Of what it had written, a part was committed before.",
    "after the commit": "The cup was there, and only the database could tell the other worker so.",
    "after the reply": "The asker had the number, the broker had no ack, and the other worker got "
    "the request once more.",
}


def check_pouring(pour_once: Any) -> None:
    """Want one cup for one key: asked twice, by two workers at once, and killed at five points."""
    if not isinstance(pour_once, FunctionType):
        raise Broken("A function is wanted here: leave its first line as it is.")
    if unwritten(pour_once, pour_once.__name__):
        raise NotYet
    with tempfile.TemporaryDirectory(prefix="chatrpc-pouring-") as folder:
        kitchen = _Kitchen(Path(folder), pour_once)
        many = len(pouring.POINTS) + 1
        with (
            Crew(
                service("lesson-06-pouring"),
                pouring.Mortal,
                pouring.order,
                workers=many,
                environment=kitchen.environment,
            ) as crew,
            RpcClient(crew.service, timeout=6.0) as client,
        ):
            kitchen.plainly(client)
            kitchen.race(client)
            for point in pouring.POINTS:
                kitchen.killed(client, crew, point)


class _Kitchen:
    """The database that the workers share, and what is tried on it."""

    def __init__(self, folder: Path, pour_once: FunctionType) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._log.touch()
        module, name = carry(pour_once, folder)  # type: ignore[arg-type]
        self.environment = {pouring.ANSWER: "\n".join([str(folder), module, name])}
        with self._database() as db:
            db.executescript(pouring.TABLES)
        db.close()

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / "cups.sqlite3")

    def _cups(self) -> int:
        db = self._database()
        try:
            return int(db.execute("SELECT count(*) FROM cups").fetchone()[0])
        finally:
            db.close()

    def _ended(self, key: str) -> int:
        return self._log.read_text(encoding="utf-8").splitlines().count(key)

    def plainly(self, client: RpcClient) -> None:
        """Want a cup, and the same cup for the same key."""
        number = _answer(client, "plain", "Asked once")
        if self._cups() == 0:
            raise Broken("Asked once, with nobody killed: no cup is in the table. Is it committed?")
        self._want_one(0, "Asked once, with nobody killed")
        if isinstance(number, bool) or not isinstance(number, int):
            raise Broken(f"Return the number of the cup; this was {number!r}.")
        again = _answer(client, "plain", "Asked again")
        self._want_one(
            0,
            "Asked twice with one key",
            "The second request may come to another process, which has a memory of its own.",
        )
        if again != number:
            raise Broken(f"The same key got cup {number}, and then {again!r}: it is one cup.")

    def race(self, client: RpcClient) -> None:
        """Want one cup when two workers are asked at the same moment."""
        before, key = self._cups(), f"{pouring.RACE}-1"
        futures = [client.submit("order", key) for _ in range(2)]
        errors = [future.exception() for future in futures]
        self._want_one(before, "Two workers were asked for the same key at the same moment")
        for error in errors:
            if error is not None:
                raise Broken(
                    "Two workers were asked for the same key at the same moment: there is one "
                    f"cup, but one of the askers got {_short(error)} and no number. "
                    "Both had looked before either had written."
                )
        if futures[0].result() != futures[1].result():
            raise Broken("Two askers with the same key got different numbers: it is one cup.")

    def killed(self, client: RpcClient, crew: Crew, point: str) -> None:
        """Want one cup when the worker is killed here and another gets the request."""
        before, key = self._cups(), f"killed {point}"
        crew.dies(point)
        said = f"A worker was killed {point}"
        _answer(client, key, said)
        if point == "after the reply":
            self._wait_for_second(crew, key)
        if not crew.spare():  # nobody passed this point, so nobody died
            said = "Asked once with a new key"
        self._want_one(before, said, _AFTER[point])

    def _wait_for_second(self, crew: Crew, key: str) -> None:
        crew.wait_for_death()
        end = time.monotonic() + _HELD
        while self._ended(key) < 2 and time.monotonic() < end:
            time.sleep(0.01)

    def _want_one(self, before: int, said: str, why: str = "") -> None:
        poured = self._cups() - before
        if poured == 1:
            return
        raise Broken(f"{said}: {poured or 'no'} {'cups' if poured else 'cup'}. {why}".strip())


def _answer(client: RpcClient, key: str, said: str) -> Any:
    try:
        return client.call("order", key)
    except RpcError as error:
        raise Broken(f"{said}: there was no answer, but {_short(error)}.") from None


def _short(error: BaseException) -> str:
    name = "" if getattr(error, "type", "") else f"{type(error).__name__}: "
    return f"{name}{str(error)[:160]}"


# 06.3

State = dict[str, Any]


def _pour(state: State) -> None:
    state["cups"] += 1


def _pour_with_key(state: State) -> None:
    if "ana-1" not in state["keys"]:
        state["keys"].append("ana-1")
        state["cups"] += 1


METHODS: dict[str, tuple[str, Callable[[State], Any], str]] = {
    "A": ("time()", lambda state: time.time(), "a clock"),
    "B": ("coffee()", _pour, "cups"),
    "C": ('coffee(key="ana-1")', _pour_with_key, "cups"),
    "D": ("set_price(2.5)", lambda state: state.update(price=2.5), "price"),
    "E": ("raise_price(0.5)", lambda state: state.update(price=state["price"] + 0.5), "price"),
    "F": ('close_table("7")', lambda state: state["tables"].discard("7"), "tables"),
    "G": ('add_to_bill("tea")', lambda state: state["bill"].append("tea"), "bill"),
    "H": ("take_bill()", lambda state: state.update(bill=[]), "bill"),
}


def check_idempotent(methods: Callable[[], Any]) -> None:
    """Want the methods that leave the same behind when they run twice; each is run to see it."""
    found = written(methods())
    if not isinstance(found, Mapping) or set(found) != set(METHODS):
        raise Broken("Return a dictionary with an entry for each of the letters A to H.")
    if all(entry is ... for entry in found.values()):
        raise NotYet
    for letter, (call, run, looked_at) in METHODS.items():
        said = found[letter]
        if not isinstance(said, bool):
            raise Broken(f"{letter}: True or False is wanted, not {said!r}.")
        once, twice = _after(run, 1), _after(run, 2)
        if said is not (once == twice):
            if once == twice:
                raise Broken(
                    f"{letter}: {call} was run once and twice on the same state, and left the "
                    "same behind. What it answers is another matter."
                )
            raise Broken(
                f"{letter}: {call} was run on a copy of the state: once, and {looked_at} is "
                f"{once[looked_at]!r}; twice, and it is {twice[looked_at]!r}."
            )


def _after(run: Callable[[State], Any], times: int) -> State:
    state: State = {"cups": 0, "keys": [], "price": 2.0, "tables": {"7", "8"}, "bill": ["cake"]}
    state = copy.deepcopy(state)
    for _ in range(times):
        run(state)
    return state


EXERCISES = [
    Exercise(
        "06.1",
        "Write take with the ack in its place, so that a killed worker loses nothing.",
        check_ack,
        "The ack says: the broker may forget this. That is true only when there is nothing left "
        "to do, so it comes last. The price is paid at the other end: whoever dies between the "
        "work and the ack leaves a request that will be done a second time.",
        (
            "Copy Early.take. No line is missing; one stands too early.",
            "What does the broker do with a message whose reader dies before the ack?",
            "Read, run, answer, and only then self.link.ack(arrival); also for a request that "
            "came too late.",
        ),
    ),
    Exercise(
        "06.2",
        "Write pour_once, so that one key is one cup, whenever a worker dies.",
        check_pouring,
        "Key and cup become true in the same instant, that of the commit. Before it, both are "
        "missing, and the next worker pours; after it, both are there, and the next worker finds "
        "the cup. There is no third state in which to die. A memory, however good, dies with its "
        "process; and two transactions leave a gap between them.",
        (
            "Three steps: look the key up; if it is not there, write cup and key; commit. What "
            "if the worker dies between two commits? So there may be only one.",
            'with db: commits at the end of its block, all or nothing. db.execute("BEGIN '
            'IMMEDIATE") as its first line lets only one worker at a time look and write.',
            "with db: BEGIN IMMEDIATE; SELECT cup FROM keys WHERE key = ?; if there is a row, "
            'return row[0]; number = db.execute("INSERT INTO cups DEFAULT VALUES").lastrowid; '
            "INSERT INTO keys VALUES (?, ?); return number.",
        ),
    ),
    Exercise(
        "06.3",
        "Replace each ... with True, if running it twice leaves the same behind as once, or False.",
        check_idempotent,
        "Idempotent is said of what a method leaves behind, not of what it answers: time answers "
        "differently each time, and take_bill hands out the bill only once. Setting, closing and "
        "emptying may be repeated; adding and raising may not, unless a key turns them into "
        "“this one, if it is not there yet”.",
        (
            "Run each in your head twice, and look at what has changed in the world, not at the "
            "answer.",
            "“Make it so” may be repeated; “one more” may not.",
            "Three of the eight may not be repeated. They add something.",
        ),
    ),
    Exercise(
        "06.4",
        "Write take with the memory: a copy of a request gets the answer of the first.",
        check_memory,
        "One process never runs the same request twice now, however often the broker hands it "
        "out. The key is made of the id, the reply queue and a digest of the body, so that a "
        "stranger who counts 1, 2, 3 gets nobody else's answer. What it cannot do: remember for "
        "a process that is dead, or for its neighbour. That is what 06.2 is for.",
        (
            "self.answers.begin(about, arrival, request.deadline) says NEW, RUNNING or ANSWERED; "
            "about is messages.key(arrival.delivery.message).",
            "NEW: run it, then finish, which returns all deliveries that wait for this answer. "
            "ANSWERED: begin has handed you the reply. Answer and acknowledge each.",
            "RUNNING: return, and nothing else; finish will hand this delivery to whoever runs "
            "it. After NEW or ANSWERED: for each delivery self.answer(one, reply), then "
            "self.link.ack(one).",
        ),
    ),
]
