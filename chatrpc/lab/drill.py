"""Coffee under fire: orders, workers who pour, everything that can be broken, and the ledger.

drill = lab.Drill()          # or lab.Drill(MyClient, MyServer): the judge is the same
drill                        # the panel; each of its buttons is a function, too
drill.kill(); drill.order(20); drill.ledger
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..client import RpcClient
from ..errors import Ran, RpcError
from . import faults, services
from .faults import Fault
from .pouring import book, pour
from .problem import LabProblem
from .wire import Wire
from .workers import Worker
from .workers import worker as start_worker

GRACE = 0.5  # seconds after its deadline within which a call must have returned or raised

_RAN = {Ran.NO: "it did not run", Ran.YES: "it ran", Ran.MAYBE: "nobody knows whether it ran"}


@dataclass(frozen=True)
class Count:
    """What became of the orders: ``failed`` by how; ``lost`` never ran; ``twice`` ran twice.

    ``wrong`` got another order's answer; ``hung`` are calls that outlived their deadline.
    """

    calls: int = 0
    waiting: int = 0
    answered: int = 0
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    hung: int = 0
    poured: int = 0
    lost: int = 0
    twice: int = 0

    def rows(self) -> list[tuple[str, int, str]]:
        """Return word, number and what the number should make one think."""
        failures = [(f"failed: {how}", n, "") for how, n in sorted(self.failed.items())]
        return [
            ("ordered", self.calls, ""),
            ("waiting", self.waiting, ""),
            ("answered", self.answered, ""),
            ("wrong answer", self.wrong, "somebody else's" if self.wrong else ""),
            *(failures or [("failed", 0, "")]),
            ("hung", self.hung, "past the deadline" if self.hung else ""),
            ("poured", self.poured, ""),
            ("lost", self.lost, "never poured" if self.lost else ""),
            ("poured twice", self.twice, "paid once" if self.twice else ""),
        ]

    def __repr__(self) -> str:
        width = max(len(word) for word, _, _ in self.rows())
        return "\n".join(f"{w:<{width}}  {n:>4}  {s}".rstrip() for w, n, s in self.rows())


class Drill:
    """A client on a wire of its own, workers as processes, and a button for each disaster.

    Args:
        client: the class that asks, chatrpc's own without one; it needs ``call``.
        server: the class that serves; it needs ``method``, ``start`` and ``close``.
        workers: how many processes serve at the beginning.
        timeout: seconds that a call may take.
        at_once: how many orders are under way at a time; with one, a death costs one cup, always.
        service: its name; without one, a new one.

    Raises:
        LabProblem: a class cannot do its part, or a worker does not come up.
    """

    def __init__(
        self,
        client: Callable[..., Any] = RpcClient,
        server: type | None = None,
        *,
        workers: int = 2,
        timeout: float = 10.0,
        at_once: int = 4,
        service: str | None = None,
    ) -> None:
        self.service = service or services.service("drill")
        self.timeout = timeout
        self._at_once = at_once
        self.wire = Wire()
        self.workers: list[Worker] = []
        self.faults: list[Fault] = []
        self._client_class, self._server = client, server
        self._client: Any = None
        self._lock = threading.Lock()
        self._next = 1
        self._over = False
        self._begun: dict[int, float] = {}
        self._answered: set[int] = set()
        self._wrong = 0
        self._failed: Counter[str] = Counter()
        self._ended: set[int] = set()
        self._crowd = ThreadPoolExecutor(at_once, thread_name_prefix="drill")
        book(self.service).unlink(missing_ok=True)
        for number in range(workers):
            self._hire(f"worker {number + 1}")
        self._client = self._made()

    def _hire(self, name: str) -> Worker:
        card = start_worker(self.service, self._server, methods=[pour], name=name)
        self.workers.append(card)
        return card

    def _made(self) -> Any:
        try:
            return self._client_class(self.service, url=self.wire.url, timeout=self.timeout)
        except TypeError:
            name = getattr(self._client_class, "__name__", "The client")
            raise LabProblem(
                f"{name} must take a service, url= and timeout=, so that its wire can be cut."
            ) from None
        except RpcError as error:
            raise LabProblem(f"The client could not start: {error}. {error.advice}") from None

    # Ordering

    def order(self, cups: int = 20, *, wait: bool = True) -> Count:
        """Order so many cups, each once; return what became of all so far.

        With ``wait``, once each call has ended, or has hung past its deadline.

        Raises:
            LabProblem: the drill is over.
        """
        if self._over:
            raise LabProblem("This drill is over: make another.")
        with self._lock:
            numbers = range(self._next, self._next + cups)
            self._next += cups
        for number in numbers:
            self._crowd.submit(self._one, number)
        if wait:
            rounds = -(-cups // self._at_once)
            end = time.monotonic() + rounds * (self.timeout + GRACE) + 1.0
            while time.monotonic() < end and not self._settled(numbers):
                time.sleep(0.02)
        return self.ledger

    def _settled(self, numbers: range) -> bool:
        with self._lock:
            now = time.monotonic()
            late = self.timeout + GRACE
            return all(n in self._ended or now - self._begun.get(n, now) > late for n in numbers)

    def _one(self, number: int) -> None:
        with self._lock:
            self._begun[number] = time.monotonic()
        how = ""
        try:
            answer = self._client.call("pour", number)
        except RpcError as error:
            how = f"{type(error).__name__}, {_RAN[error.ran]}"
        except Exception as error:  # noqa: BLE001 - whatever a student's client raises
            how = f"{type(error).__name__}, which is none of chatrpc's errors"
        with self._lock:
            self._ended.add(number)
            if how:
                self._failed[how] += 1
            elif answer == f"cup {number}":
                self._answered.add(number)
            else:
                self._wrong += 1

    @property
    def ledger(self) -> Count:
        """What has become of all orders up to now."""
        try:
            runs = Counter(map(int, book(self.service).read_text(encoding="utf-8").split()))
        except FileNotFoundError:
            runs = Counter()
        now = time.monotonic()
        with self._lock:
            under_way = self._begun.keys() - self._ended
            hung = {n for n in under_way if now - self._begun[n] > self.timeout + GRACE}
            over = self._ended | hung
            return Count(
                calls=self._next - 1,
                waiting=self._next - 1 - len(over),
                answered=len(self._answered),
                wrong=self._wrong,
                failed=Counter(self._failed),
                hung=len(hung),
                poured=sum(runs.values()),
                lost=sum(n not in runs for n in over),
                twice=sum(times > 1 for times in runs.values()),
            )

    # Breaking

    @property
    def worker(self) -> Worker:
        """A worker that is alive, and if there is one, one that is at work.

        Raises:
            LabProblem: none is alive.
        """
        alive = [card for card in self.workers if card.alive]
        if not alive:
            raise LabProblem("No worker is alive: start one first.")
        return max(alive, key=lambda card: card.busy)

    def _note(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def kill(self) -> Fault:
        """Kill -9 a worker, one that is at work if there is one."""
        return self._note(faults.kill(self.worker))

    def kill_at(self, point: str, nth: int = 1) -> Fault:
        """Have a worker kill itself at a named point."""
        return self._note(faults.kill_at(self.worker, point, nth))

    def another(self) -> Fault:
        """Start one more worker."""
        number = 1
        names = {card.name for card in self.workers if card.alive}
        while f"worker {number}" in names:
            number += 1
        card = self._hire(f"worker {number}")
        return self._note(
            Fault(
                f"{card.name} was started",
                "all take from the one queue, and nobody had to be told.",
                lambda: faults.quietly(card.stop),
            )
        )

    def slow(self, seconds: float = 2.0) -> Fault:
        """Make a worker slow."""
        return self._note(faults.slow(self.worker, seconds))

    def cut(self) -> Fault:
        """Hang up on both sides of the client's wire."""
        return self._note(faults.cut(self.wire))

    def reset(self) -> Fault:
        """Declare the client's connection void."""
        return self._note(faults.reset(self.wire))

    def stall(self) -> Fault:
        """Let nothing pass the client's wire, and tell nobody."""
        return self._note(faults.stall(self.wire))

    def delay(self, seconds: float = 0.5) -> Fault:
        """Let everything come later on the client's wire."""
        return self._note(faults.delay(self.wire, seconds))

    def restart_broker(self) -> Fault:
        """Stop the kit's own broker and start it again."""
        return self._note(faults.restart_broker())

    def kill_broker(self) -> Fault:
        """Kill the kit's own broker; the undo starts it."""
        return self._note(faults.kill_broker())

    def kill_leader(self) -> Fault:
        """Kill the node of the kit's own cluster that leads the queue; the undo starts it."""
        return self._note(faults.kill_leader(self.service))

    def delete_queue(self) -> Fault:
        """Delete the service's queue with all that waits in it."""
        return self._note(faults.delete_queue(self.service))

    def fill(self) -> Fault:
        """Stop the workers, and fill the service's queue; the undo empties it and starts them."""
        stopped = [card.stop() for card in self.workers if card.alive]

        def start() -> None:
            for card in stopped:
                card.start()

        try:
            fault = faults.fill(self.service)
        except LabProblem:
            start()
            raise
        self._note(Fault("The workers were stopped", "nobody takes anything.", start))
        return self._note(fault)

    def poison(self, kind: str = "no JSON") -> Fault:
        """Send a message that is no request."""
        return self._note(faults.poison(self.service, kind))

    def late_replies(self, after: float = 1.0) -> Fault:
        """Send each reply once more, late."""
        return self._note(faults.late_replies(self.service, after))

    def duplicate_replies(self) -> Fault:
        """Send each reply twice."""
        return self._note(faults.duplicate_replies(self.service))

    def forge_replies(self) -> Fault:
        """Answer each question with a lie, too."""
        return self._note(faults.forge_replies(self.service))

    def undo(self) -> None:
        """Mend what can be mended, the newest first."""
        while self.faults:
            fault = self.faults.pop()
            if fault.mend is not None:
                fault.undo()

    def close(self) -> None:
        """Mend everything, and leave no worker, no thread and no wire; hung calls are left."""
        self.undo()
        self._over = True
        self._crowd.shutdown(wait=False, cancel_futures=True)
        close = getattr(self._client, "close", None)
        if close is not None:
            faults.quietly(close)
        for card in self.workers:
            card.stop()
            card.forget()
        self.wire.close()
        book(self.service).unlink(missing_ok=True)

    def __enter__(self) -> Drill:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def __repr__(self) -> str:
        done = [f"{fault!r}" for fault in self.faults[-1:]]
        return "\n".join([repr(self.ledger), *done])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        from .breaking import bundle

        return bundle(self)
