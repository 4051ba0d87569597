"""The source of classes, from files and from a notebook's cells, and their differences."""

from __future__ import annotations

import re
from html import unescape

import pytest

from chatrpc.lab.cells import definitions
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.source import diff, source_of
from chatrpc.lab.turns import Turn

V1 = '''class Counter:
    """Counts."""

    def add(self, n):
        return n + 1
'''
V2 = V1.replace("n + 1", "n + 2").replace("class Counter", "@keep\nclass Counter")


def test_a_shipped_class() -> None:
    assert source_of(Turn).startswith("class Turn:")


def test_a_class_of_a_cell_and_the_newest_of_its_name(cell) -> None:
    old = cell(V1)["Counter"]
    new = cell("def keep(c):\n    return c\n\n\n" + V2)["Counter"]
    assert source_of(old) == V1
    assert source_of(new) == V2


@pytest.mark.parametrize("source", [V2.replace("@keep", ""), "def add(n):\n    return n + 1\n"])
def test_an_answer_without_its_exercise(cell, source: str) -> None:
    decorator = '@lab.exercise(\n    "03.1", extra=1\n)\n'
    cell("class lab:\n    exercise = staticmethod(lambda *a, **k: lambda answer: answer)\n")
    answer = "class Counter" if "class" in source else "def add"
    names = cell(source.strip().replace(answer, f"{decorator}{answer}", 1) + "\n")
    assert source_of(names[answer.split()[1]]) == source.strip() + "\n"
    text = f"{decorator}{source.strip()}\n"
    assert definitions([text])[answer.split()[1]] == source.strip()


def test_a_class_without_functions(cell) -> None:
    names = cell("class Empty:\n    size = 3\n")
    assert source_of(names["Empty"]) == "class Empty:\n    size = 3\n"


def test_a_dataclass_of_a_cell(cell) -> None:
    source = (
        "@dataclass\nclass Point:\n    x: int\n\n    def twice(self):\n        return 2 * self.x\n"
    )
    names = cell("from dataclasses import dataclass\n\n" + source)
    assert source_of(names["Point"]) == source


def test_the_difference_as_text_and_as_html(cell) -> None:
    old = cell(V1)["Counter"]
    new = cell("def keep(c):\n    return c\n\n\n" + V2.replace("Counts", "<b>Counts"))["Counter"]
    step = diff(old, new)
    assert bool(step)
    assert "-         return n + 1" in step.lines
    assert "+         return n + 2" in step.lines
    assert "+ @keep" in step.lines
    assert "<b>Counts" not in step._repr_html_()
    assert "&lt;b&gt;Counts" in re.sub("<[^>]+>", "", step._repr_html_())
    assert repr(step).startswith("- Counter, before\n+ Counter, now")


def test_every_line_of_a_difference_is_escaped(cell) -> None:
    """What has changed and what beside it has not, and what is the same: each is to be read."""
    old = cell('def f():\n    a = "<i>1"\n    b = "<b>2"\n    c = 3\n')["f"]
    new = cell('def f():\n    a = "<i>9"\n    b = "<b>2"\n    d = "<u>"\n')["f"]
    html = diff(old, new)._repr_html_().partition("</div>")[2]  # without its heading
    assert not re.search("<[ibu]>", html)
    said = unescape(re.sub("<[^>]+>", "", html.replace("</div>", "\n"))).splitlines()
    for line in ('-     a = "<i>1"', '+     a = "<i>9"', '      b = "<b>2"', '+     d = "<u>"'):
        assert line in said


def test_two_of_one_name_in_one_cell(cell) -> None:
    names = cell(f"{V1}\n\nBefore = Counter\n\n\ndef keep(c):\n    return c\n\n\n{V2}")
    assert source_of(names["Before"]) == V1
    assert source_of(names["Counter"]) == V2


def test_what_is_far_from_a_change_is_folded(cell) -> None:
    """Three lines around each change are enough; the letters that differ are marked."""
    body = "".join(f"    a{n} = {n}\n" for n in range(19)) + "    def f(self): ...\n"
    old = cell("class Long:\n" + body)["Long"]
    new = cell("class Long:\n" + body.replace("a10 = 10", "a10 = 11"))["Long"]
    step = diff(old, new)
    assert repr(step).splitlines()[3:] == [
        "… 8 lines are the same",
        *(f"      a{n} = {n}" for n in (7, 8, 9)),
        "-     a10 = 10",
        "+     a10 = 11",
        *(f"      a{n} = {n}" for n in (11, 12, 13)),
        "… 6 lines are the same",
    ]
    assert len(step.lines) == 22
    html = step._repr_html_()
    assert html.count("<details>") == 2
    assert html.count('underline">') == 2
    assert 'a10 = 1<span style="background-color:#7ee2a0;text-decoration:underline">1<' in html


def test_a_class_of_a_notebook_beside_the_one_that_ships(cell) -> None:
    shipped = source_of(Turn)
    mine = cell(
        "from chatrpc.lab.turns import *\nfrom typing import *\nimport threading\n" + shipped
    )
    assert not diff(mine["Turn"], Turn)


def test_no_difference_is_said(cell) -> None:
    same = cell(V1)["Counter"]
    assert not diff(same, same)
    assert "the same" in repr(diff(same, same))


@pytest.mark.parametrize("thing", [3, "Counter", type("Made", (), {})])
def test_what_has_no_source_is_one_sentence(thing) -> None:
    with pytest.raises(LabProblem) as caught:
        diff(thing, Turn)
    assert "\n" not in str(caught.value)
