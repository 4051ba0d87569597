"""For each promise, what to break in a client or a worker, and the cell that shall see it."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from typing import Any

from committed import ROOT
from kit import lesson

from chatrpc.lab import sync
from chatrpc.lab.solutions import EXERCISE, solved

sys.path.insert(0, str(ROOT / "tests" / "contract"))
import mutants


@dataclass(frozen=True)
class Proof:
    """A lesson, what is broken in it, and the cell that shall see it.

    A cell is named by a piece of its source. ``broken`` is a wrong class, which takes the place of
    chatrpc's own in every process; or a piece of the lesson, or of the exercise's solution, and
    what stands there instead. ``says`` is a pattern that what the cell shows has then, and has not
    otherwise. Of the cells before it those run that only define something, and ``needs``; all of
    them without it.
    """

    lesson: str
    cell: str
    broken: type | tuple[str, str]
    says: str
    needs: tuple[str, ...] | None = None

    @property
    def is_an_exercise(self) -> bool:
        """Whether a check looks, and not nbval."""
        return self.cell.startswith("@lab.exercise")

    @property
    def file(self) -> str:
        """The lesson's name, as that of its file."""
        return lesson(self.lesson).stem

    def code(self) -> list[Any]:
        """The lesson's cells up to the one that looks, with the solution if that is an exercise."""
        path = lesson(self.lesson)
        whole = sync.read(path)
        if self.is_an_exercise:
            whole = solved(whole, path)
        code = [cell for cell in whole.cells if cell.cell_type == "code"]
        last = only([n for n, cell in enumerate(code) if self.cell in cell.source], self.cell)
        cells = [*(cell for cell in code[:last] if self._is_needed(cell)), code[last]]
        for piece in self.needs or ():
            only([cell for cell in cells if piece in cell.source], piece)
        return cells

    def broken_code(self) -> list[Any]:
        """The same, with the piece that is to be broken, if it is one of the lesson's own."""
        cells = self.code()
        if isinstance(self.broken, tuple):
            right, wrong = self.broken
            cell = only([cell for cell in cells if right in cell.source], right)
            assert cell.source.count(right) == 1, right
            cell.source = cell.source.replace(right, wrong)
        return cells

    def _is_needed(self, cell: Any) -> bool:
        if self.needs is None:
            return True
        if EXERCISE.search(cell.source):
            return False
        return defines_only(cell.source) or any(piece in cell.source for piece in self.needs)


def only(found: list[Any], what: str) -> Any:
    """The one that was found, of which there must be one and no more."""
    assert len(found) == 1, f"{len(found)} cells have {what!r}, and one is meant"
    return found[0]


def defines_only(source: str) -> bool:
    """Whether a cell does nothing but define; the first one, with the broker, is taken for one."""
    kept = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
    return "lab.legend()" in source or all(isinstance(n, kept) for n in ast.parse(source).body)


OWN_JUDGED_IN_04 = "lab.judge(RpcClient, RpcServer"
SUBMIT, WAITS = '@lab.exercise("07.1")', '@lab.exercise("05.1")'
PROOFS = {
    "C01": [
        Proof(
            "04",
            OWN_JUDGED_IN_04,
            ("return Reply.of(reply).value()", "return Reply.of(reply).value() or None"),
            "C01 broken",
            (),
        )
    ],
    "C02": [
        Proof(
            "02",
            "from_ana = ask(one",
            ("queue.declare(exclusive=True)", 'queue.declare(lab.queue("ours"), durable=True)'),
            "'Ben': 'PIN: 4711'",
        )
    ],
    "C03": [
        Proof(
            "03",
            "lab.judge(RpcClient, RpcServer",
            (
                "self.pending.take(answer.correlation_id)",
                "self.pending.take(self.pending.ids()[0])",
            ),
            "C03 broken",
            ("T = TypeVar",),
        ),
        Proof(
            "07",
            SUBMIT,
            (
                "self.end(arrival.delivery.message.correlation_id,",
                "self.end(self.pending.ids()[0],",
            ),
            "answers went astray|C03 is broken",
            ("import time",),
        ),
    ],
    "C04": [
        Proof(
            "05",
            WAITS,
            ("if outcome is not Outcome.RETURNED:", "if True:"),
            "C04:",
            (),
        )
    ],
    "C05": [
        Proof(
            "05",
            WAITS,
            ("finally:\n            self.pending.take(id)", "finally:\n            pass"),
            "C05:",
            (),
        )
    ],
    "C06": [
        Proof(
            "05",
            WAITS,
            (
                "(reply := self.pending.take(message.correlation_id))",
                "(reply := self.pending.take((self.pending.ids() or [''])[0]))",
            ),
            "C06:",
            (),
        )
    ],
    "C07": [
        Proof(
            "05",
            "late_guests(chatrpc.RpcServer(",
            mutants.IgnoresDeadlines,
            "☕☕",
            ("cups, gate =", "def late_guests"),
        )
    ],
    "C08": [
        Proof(
            "04",
            OWN_JUDGED_IN_04,
            ("str(error))).body", '__import__("traceback").format_exc())).body'),
            "C08 broken",
            (),
        )
    ],
    "C09": [
        Proof(
            "04",
            OWN_JUDGED_IN_04,
            ('InvalidParams(f"{name}: {error}")', 'RemoteError("TypeError", f"{name}: {error}")'),
            "C09 broken",
            (),
        )
    ],
    "C10": [Proof("06", 'crew.dies("before pouring")', mutants.AcksEarly, "no reply was sent")],
    "C11": [
        Proof(
            "06",
            '("one process, asked twice"',
            mutants.Forgetful,
            r"asked twice</td><td[^>]*>2 ",
            ("def one_order",),
        )
    ],
    "C12": [
        Proof(
            "09",
            'turn = panel.send("Is this thing still on?")\n    time.sleep(0.5)',
            mutants.Fragile,
            "No message passed while this was traced",
        )
    ],
    "C13": [
        Proof(
            "09",
            "fault.undo()\nfor turn in turns",
            mutants.SoonGivesUp,
            "the client was closed while",
            ("kitchen = lab", "chat = chatrpc.RpcClient", "turns = [panel.send"),
        )
    ],
    "C14": [
        Proof(
            "08",
            "lab.faults.poison(mended)",
            (
                "except Undecodable:\n            self.channel.reject(",
                "except Undecodable:\n            self.channel.ack(",
            ),
            r"lanes: client 1 \| lesson-08-mended",
            ("poisoned = lab.service", "wire = Transport"),
        )
    ],
    "C15": [
        Proof(
            "08",
            'os.environ["CHATRPC_QUEUE_LIMIT"] = "2"',
            ("limit=self.settings.queue_limit", "limit=1_000_000"),
            "refused                       none",
            (),
        )
    ],
    "C16": [
        Proof("09", "def first_words", mutants.ShowsPassword, "True", ("kitchen = lab.service",))
    ],
    "C17": [
        Proof(
            "08",
            "attack(RpcServer",
            (
                "if delivery.problem or not topology.may_reply(delivery.message.reply_to, sender):",
                "if delivery.problem:",
            ),
            "Ana&#x27;s queue",
            ("poisoned = lab.service", "wire = Transport"),
        )
    ],
    "C18": [
        Proof(
            "07",
            SUBMIT,
            ("for id in self.pending.ids():", "for id in ():"),
            "who waits for a future waits on",
            ("import time",),
        )
    ],
}
