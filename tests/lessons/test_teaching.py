"""The teacher's page and the glossary say what the lessons are: words, minutes, promises, cells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from committed import FOLDER, LESSONS

from chatrpc.lab import sync
from chatrpc.lab.promises import PROMISES

pytestmark = pytest.mark.no_broker

TEACHING = (FOLDER / "TEACHING.md").read_text(encoding="utf-8")
BOLD = re.compile(r"\*\*(.+?)\*\*:?")
NAMES = [path.name[:2] for path in LESSONS]


def _rows(text: str, heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, without its head."""
    table = re.search(r"^\|.*(?:\n\|.*)*", text.partition(heading)[2], re.MULTILINE)
    assert table, f"no table below {heading}"
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[0].split("\n")[2:]]


def _section(path: Path, heading: str) -> list[str]:
    """The code of a section's cells."""
    found, inside = [], False
    for cell in sync.read(path).cells:
        if heads := re.findall(r"^## (.+)$", cell.source, re.MULTILINE):
            inside = heads[-1] == heading
        if inside and cell.cell_type == "code":
            found.append(cell.source)
    return found


def _span(row: list[str]) -> tuple[int, int]:
    begins, ends = map(int, re.findall(r"\d+", row[0]))
    return begins, ends


def _without_gap(rows: list[list[str]]) -> int:
    """The last minute of a table whose first column counts them: each row begins where one ends."""
    spans = [_span(row) for row in rows]
    assert [begins for begins, _ in spans] == [0, *(ends for _, ends in spans[:-1])]
    return spans[-1][1]


def _words(path: Path) -> list[str]:
    text = sync.read(path).cells[-1].source.partition("## Words")[2]
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    return [word.strip("`:").lower() for line in lines for word in BOLD.findall(line)]


ENTRIES = [
    (name.strip("` ").lower(), row)
    for row in _rows((FOLDER / "GLOSSARY.md").read_text(encoding="utf-8"), "# Glossary")
    for name in row[0].split(", ")
]
GLOSSARY = dict(ENTRIES)
MAP = {row[0][:2]: row for row in _rows(TEACHING, "## The map")}
WHOLE = {lesson: int(row[1]) for lesson, row in MAP.items()}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_word_of_a_lesson_stands_in_the_glossary(path: Path) -> None:
    words = _words(path)
    assert words
    assert [word for word in words if word not in GLOSSARY] == []
    later = [word for word in words if min(GLOSSARY[word][3].split(", ")) > path.name[:2]]
    assert later == [], "met earlier than the glossary says"


def test_each_word_of_the_glossary_is_whole() -> None:
    """It has one entry, with its Spanish, a meaning, and lessons that the course has."""
    assert len(ENTRIES) == len(GLOSSARY), "a word stands there twice"
    for row in GLOSSARY.values():
        assert len(row) == 4, row
        assert all(row), row
        assert set(row[3].split(", ")) <= set(MAP), row


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_takes_the_minutes_that_it_says(path: Path) -> None:
    lesson, text = path.name[:2], "\n".join(cell.source for cell in sync.read(path).cells)
    said = re.search(r"After (\d+) minutes you can", text)
    heading = re.search(rf"^## {lesson} · (.+) \((\d+) minutes\)$", TEACHING, re.MULTILINE)
    assert said
    assert heading
    assert int(said[1]) == int(heading[2]) == WHOLE[lesson]
    assert _without_gap(_rows(TEACHING, heading[0])) == WHOLE[lesson]


def test_the_map_reaches_each_promise_where_it_is_judged() -> None:
    reached = {id: lesson for lesson, row in MAP.items() for id in re.findall(r"C\d\d", row[2])}
    assert reached == {id: promise.lesson for id, promise in PROMISES.items()}


def _at_home(lesson: str) -> int:
    """The minutes of a lesson without its row of exercises."""
    rows = _rows(TEACHING, f"## {lesson} · ")
    return next(_span(row)[0] for row in rows if row[1] == "exercises")


@pytest.mark.parametrize("plan", ["### Four sessions", "### Eight sessions"])
def test_the_plans_add_up(plan: str) -> None:
    for _, core, core_minutes, more, more_minutes in _rows(TEACHING, plan):
        for what, minutes in ((core, core_minutes), (more, more_minutes)):
            assert sum(map(int, re.findall(r"\((\d+)\)", what))) == int(minutes), what
            for lesson, home, said in re.findall(r"\b(\d\d)( at home)? \((\d+)\)", what):
                if not home:
                    assert int(said) == WHOLE[lesson], what
                elif lesson in NAMES:
                    assert int(said) == _at_home(lesson), what


def test_the_lecture_takes_fifty_minutes_without_a_gap() -> None:
    assert _without_gap(_rows(TEACHING, "### One lecture")) == 50


BELIEFS = [row for row in _rows(TEACHING, "## Misconceptions, and") if row[1] in NAMES]


@pytest.mark.parametrize(
    ("lesson", "section", "code"),
    [(row[1], row[2], row[3].strip("`")) for row in BELIEFS],
    ids=[row[0] for row in BELIEFS],
)
def test_a_belief_is_refuted_where_the_page_says(lesson: str, section: str, code: str) -> None:
    path = LESSONS[NAMES.index(lesson)]
    assert any(code in cell for cell in _section(path, section))


def test_each_lesson_refutes_a_belief() -> None:
    assert {row[1] for row in _rows(TEACHING, "## Misconceptions, and")} == set(MAP)


def test_the_marking_sheet_adds_up() -> None:
    points = [int(row[2].strip("*")) for row in _rows(TEACHING, "**The marking sheet**")]
    assert sum(points[:-1]) == points[-1] == 100
