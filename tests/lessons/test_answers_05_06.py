"""Wrong answers to the exercises of lessons 05 and 06, each of which gets a sentence that helps."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from committed import FOLDER

from chatrpc.lab import exercises, sync
from chatrpc.lab.exercises import Outcome, judge_answer
from chatrpc.lab.solutions import solutions

Cell = Callable[[str], dict[str, Any]]
Answered = Callable[[str, str], Any]


def lesson(number: str) -> Path:
    return next(FOLDER.glob(f"{number}_*.ipynb"))


def building(path: Path) -> list[str]:
    """The cells of a lesson that define classes or import names, and do nothing else."""
    kept = (ast.Import, ast.ImportFrom, ast.ClassDef)
    cells = [c.source for c in sync.read(path).cells if c.cell_type == "code"]
    parts = []
    for source in cells:
        if "@lab.exercise" in source:
            break
        nodes = [node for node in ast.parse(source).body if isinstance(node, kept)]
        parts.append("\n\n\n".join(map(ast.unparse, nodes)))
    return [part for part in parts if part]


@pytest.fixture
def answered(cell: Cell, monkeypatch: pytest.MonkeyPatch, url: str) -> Answered:
    """Give an answer as a student does, in a kernel's cell after those of its lesson."""
    monkeypatch.setattr(exercises, "_tries", Counter())  # each answer is a first try

    def answer(id: str, source: str) -> Any:
        for part in building(lesson(id[:2])):
            cell(part)
        name = ast.parse(source).body[-1].name
        return judge_answer(id, cell(source)[name])

    return answer


def solution(id: str) -> str:
    """The solution of an exercise, without its decorator."""
    text = solutions(lesson(id[:2]))[id]
    return text.replace(f'@lab.exercise("{id}")\n', "").strip() + "\n"


def but(id: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """An answer that is the solution but for this."""
    source = solution(id)
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return id, source


EARLY_RETURN = "            self.link.ack(arrival)\n            return\n"
LOOK = 'db.execute("SELECT cup FROM keys WHERE key = ?", (key,)).fetchone()'
POUR = 'db.execute("INSERT INTO cups DEFAULT VALUES").lastrowid'
KEEP = 'db.execute("INSERT INTO keys VALUES (?, ?)", (key, number))'


def pour_once(*lines: str) -> tuple[str, str]:
    body = "\n    ".join(lines)
    return "06.2", f"seen = {{}}\n\n\ndef pour_once(db, key):\n    {body}\n"


WRONG = [
    (but("05.1", ("        finally:\n            self.pending.take(id)\n", "")), "C05", "memory"),
    (but("05.1", ("errors.CallTimeout(f", "TimeoutError(f")), "C04", "raised TimeoutError"),
    (
        but(
            "05.1", ('raise errors.CallTimeout(f"no answer in time{self.why()}") from None', "pass")
        ),
        "C04",
        "and returned None",
    ),
    (but("05.1", ("if outcome is not Outcome.RETURNED", "if True")), "C04", "NoWorker"),
    (but("05.1", ("if outcome is not Outcome.RETURNED", "if False")), "C01", "nobody serves"),
    (but("05.1", (": nobody listens", "")), "C04", "does not say that nobody listens"),
    (but("05.1", ("deadline.left(time.monotonic())", "")), "C04", "hung"),
    (but("05.2", ('"E": ("maybe", False)', '"E": ("no", True)')), "E:", "pouring|poured"),
    (but("05.2", ('"F": ("maybe", True)', '"F": ("maybe", False)')), "F:", "changes nothing"),
    (but("05.2", ('"D": ("yes", False)', '"D": ("yes", True)')), "D:", "second cup"),
    (but("05.2", ('"H": ("no", True)', '"H": ("maybe", True)')), "H:", "never left"),
    (but("05.2", ('"B": ("no", True)', '"B": (False, True)')), "B:", '"no", "yes" or "maybe"'),
    (but("05.2", ('"B": ("no", True)', '"B": "no"')), "B:", "a pair is wanted"),
    (but("05.2", ('        "B": ("no", True),\n', "")), "letters A to H", ""),
    (but("05.3", ("not request.deadline.passed(time.monotonic())", "True")), "C07", "after its"),
    (but("05.3", ("not request.deadline", "request.deadline")), "in time, got no answer", ""),
    (but("05.3", ("request.deadline", "request.deadlin")), "take raised AttributeError", ""),
    (
        but("05.3", ("        self.link.ack(arrival)", "            self.link.ack(arrival)")),
        "1 was acknowledged",
        "another worker",
    ),
    (
        but("06.1", ("        request =", "        self.link.ack(arrival)\n        request =")),
        "C10",
        "When may the broker forget",
    ),
    (but("06.1", ("        self.link.ack(arrival)\n", "")), "none was acknowledged", ""),
    (
        but(
            "06.1",
            (
                "            self.answer(arrival, self.handler.handle(request))\n",
                "            reply = self.handler.handle(request)\n",
            ),
            (
                "        self.link.ack(arrival)",
                "        self.link.ack(arrival)\n"
                "        if not request.deadline.passed(time.monotonic()):\n"
                "            self.answer(arrival, reply)",
            ),
        ),
        "before it sends the answer",
        "",
    ),
    (pour_once(f"number = {POUR}", "return number"), "no cup is in the table", "committed"),
    (pour_once(f"number = {POUR}", "db.commit()"), "Return the number", "None"),
    (pour_once(f"number = {POUR}", "db.commit()", "return number"), "Asked twice", "2 cups"),
    (
        pour_once(
            "if key not in seen:",
            f"    seen[key] = {POUR}",
            "    db.commit()",
            "return seen[key]",
        ),
        "2 cups",
        "a memory of its own",
    ),
    (
        pour_once(
            f"found = {LOOK}",
            "if found:",
            "    return found[0]",
            f"number = {POUR}",
            "db.commit()",
            f"{KEEP}",
            "db.commit()",
            "return number",
        ),
        "2 cups",
        "same moment",
    ),
    (
        pour_once(
            "db.isolation_level = None",
            'fresh = db.execute("INSERT OR IGNORE INTO keys VALUES (?, NULL)", (key,)).rowcount',
            "if fresh:",
            f"    number = {POUR}",
            '    db.execute("UPDATE keys SET cup = ? WHERE key = ?", (number, key))',
            "import time",  # the other asker waits a moment, or that is what it is told
            "for _ in range(100):",
            f"    cup = {LOOK}[0]",
            "    if cup is not None:",
            "        break",
            "    time.sleep(0.01)",
            "return cup",
        ),
        "killed after the first write: no cup",
        "",
    ),
    (
        pour_once(
            "with db:",
            f"    found = {LOOK}",
            "    if found:",
            "        return found[0]",
            f"    number = {POUR}",
            f"    {KEEP}",
            "    return number",
        ),
        "same moment",
        "Both had looked",
    ),
    (pour_once("return db.execute('INSERT INTO cup DEFAULT VALUES')"), "Asked once", "no such tab"),
    (but("06.3", ('"A": True', '"A": False')), "A:", "What it answers is another matter"),
    (but("06.3", ('"B": False', '"B": True')), "once, and cups is 1; twice, and it is 2", ""),
    (but("06.3", ('"E": False', '"E": "no"')), "E: True or False", ""),
    (
        but("06.4", ("if seen is Seen.NEW:", "if True:")),
        "C11",
        "",
    ),
    (but("06.4", ("            self.link.ack(one)\n", "")), "was acknowledged", ""),
    (but("06.4", (EARLY_RETURN, "            return\n")), "1 was acknowledged", ""),
]
NAMES = [f"{answer[0]}-{number}" for number, (answer, *_) in enumerate(WRONG)]


@pytest.mark.parametrize(("answer", "sentence", "more"), WRONG, ids=NAMES)
def test_a_wrong_answer_gets_its_sentence(
    answered: Answered, answer: tuple[str, str], sentence: str, more: str
) -> None:
    card = answered(*answer)
    assert card.outcome is Outcome.BROKE
    assert sentence in card.words
    assert not more or any(word in card.words for word in more.split("|")), card.words
    assert "Traceback" not in card.words
    assert card.hint


RIGHT = [
    *(but(id) for id in ("05.1", "05.2", "05.3", "06.1", "06.2", "06.3", "06.4")),
    pour_once(
        "with db:",
        '    fresh = db.execute("INSERT OR IGNORE INTO keys VALUES (?, NULL)", (key,)).rowcount',
        "    if fresh:",
        f"        number = {POUR}",
        '        db.execute("UPDATE keys SET cup = ? WHERE key = ?", (number, key))',
        f"    return {LOOK}[0]",
    ),
    pour_once(
        "db.isolation_level = None",
        'db.execute("BEGIN EXCLUSIVE")',
        f"found = {LOOK}",
        f"number = found[0] if found else {POUR}",
        "if not found:",
        f"    {KEEP}",
        'db.execute("COMMIT")',
        "return number",
    ),
]


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: answer[0])
def test_a_right_answer_passes_in_whatever_words(
    answered: Answered, answer: tuple[str, str]
) -> None:
    card = answered(*answer)
    assert card.outcome is Outcome.PASSED, card.words
