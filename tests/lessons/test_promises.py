"""Each promise has its lesson, and each class that ships: the map of the course holds."""

from __future__ import annotations

import pytest
from committed import LESSONS, ROOT

from chatrpc.lab import sync
from chatrpc.lab.promises import PROMISES
from chatrpc.lab.promises.registry import Promise

pytestmark = pytest.mark.no_broker

# Where the course comes to a promise; the first lesson is the one from which it is judged.
REACHED = {
    "C01": ["04"],
    "C02": ["02"],
    "C03": ["03", "07"],
    "C04": ["05"],
    "C05": ["05"],
    "C06": ["05"],
    "C07": ["05"],
    "C08": ["04"],
    "C09": ["04"],
    "C10": ["06"],
    "C11": ["06"],
    "C12": ["09"],
    "C13": ["09"],
    "C14": ["08"],
    "C15": ["08"],
    "C16": ["09"],
    "C17": ["08"],
    "C18": ["07"],
}
SHIPS = {
    "03": ["pending"],
    "04": ["messages"],
    "05": ["errors", "deadline"],
    "06": ["answers"],
    "08": ["topology", "methods"],
    "09": ["confirms", "backoff", "link", "client", "server"],
}


@pytest.mark.parametrize("promise", PROMISES.values(), ids=lambda promise: promise.id)
def test_the_readme_states_it_as_it_is_judged(promise: Promise) -> None:
    """Word for word, with its lesson."""
    row = f"| {promise.id} | {promise.sentence} | {promise.lesson} |"
    assert row in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("id", REACHED)
def test_a_promise_has_its_lesson(id: str) -> None:
    """The judge asks for it from there on, and the lessons that exist name it."""
    assert PROMISES[id].lesson == REACHED[id][0]
    silent = [
        path.name
        for path in LESSONS
        if path.name[:2] in REACHED[id]
        and not any(
            id in cell.source for cell in sync.read(path).cells if cell.cell_type == "markdown"
        )
    ]
    assert not silent, f"{id} is not named in the text of {', '.join(silent)}"


def test_every_promise_is_on_the_map() -> None:
    assert list(REACHED) == list(PROMISES)


def test_each_class_that_the_course_ends_ships_in_its_lesson() -> None:
    """And nothing in the table of what is taught is a name without a class."""
    lesson_of = {name: lesson for lesson, names in SHIPS.items() for name in names}
    taught = {name: sync.TAUGHT[f"chatrpc.{name}"] for name in lesson_of}
    assert taught == lesson_of
    assert [module for module in sync.TAUGHT if not sync.classes(module)] == []
