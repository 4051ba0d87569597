"""A class on its way into another process: what it uses comes along, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatrpc.lab.carry import carry, module_of
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.turns import Turn

Cell = Callable[[str], dict[str, Any]]


def loaded(text: str) -> dict[str, Any]:
    """The names of a module of this text."""
    names: dict[str, Any] = {"__name__": "carried"}
    exec(compile(text, "carried", "exec"), names)  # what it makes is what is tested
    return names


def test_a_module_of_a_file_is_named(tmp_path: Path) -> None:
    assert carry(Turn, tmp_path) == ("chatrpc.lab.turns", "Turn")
    assert list(tmp_path.iterdir()) == []


def test_what_a_class_uses_comes_along(cell: Cell) -> None:
    """Imports, constants, functions, bases, other assignments: in the order they need."""
    cell("import json as jay\nfrom collections import OrderedDict as Odd\nWORD = 'hola'")
    cell("import logging\nlog = logging.getLogger('x')\ndef twice(t):\n    return t + t")
    names = cell(
        "class Base:\n    word = WORD\n"
        "class Mine(Base):\n"
        "    def say(self, unused=None):\n"
        "        log.info('x')\n"
        "        return jay.dumps(Odd(a=twice(self.word)))"
    )
    made = loaded(module_of(names["Mine"]))["Mine"]
    assert made().say() == names["Mine"]().say() == '{"a": "holahola"}'


def test_a_name_of_its_own_is_no_need(cell: Cell) -> None:
    """A local variable that is called like something in the notebook takes nothing along."""
    names = cell(
        "for client in [object()]:\n    pass\n"
        "class Mine:\n    def f(self):\n        client = 1\n        return client"
    )
    assert "object" not in module_of(names["Mine"])


def test_the_newest_version_counts(cell: Cell) -> None:
    """A cell that was run again."""
    cell("table = dict(a=object)\nclass Mine:\n    def f(self):\n        return table")
    names = cell("table = dict(b=object)\nclass Mine:\n    def f(self):\n        return [*table]")
    assert loaded(module_of(names["Mine"]))["Mine"]().f() == ["b"]


def test_what_cannot_be_carried_is_a_sentence(cell: Cell) -> None:
    names = cell(
        "for gate in [object()]:\n    pass\nclass Mine:\n    def f(self):\n        return gate"
    )
    with pytest.raises(LabProblem, match="Mine uses gate, which no other process can have"):
        module_of(names["Mine"])
