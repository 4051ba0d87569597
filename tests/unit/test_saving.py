"""The student's module: a class is written into it, and all else in it stays."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatrpc import CallTimeout, lab
from chatrpc.lab.module import Module
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.saving import change
from chatrpc.lab.source import source_of

Cell = Callable[[str], dict[str, Any]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the module is to lie; there is none yet."""
    monkeypatch.delenv("CHATRPC_MODULE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my_chatrpc.py"


def loaded(file: Path) -> dict[str, Any]:
    """The names of the module, as a process that imports it has them."""
    names: dict[str, Any] = {"__name__": "my_chatrpc"}
    exec(compile(file.read_text(), "my_chatrpc", "exec"), names)
    return names


def test_a_class_and_what_it_uses(file: Path, cell: Cell) -> None:
    """In a file that is made for them; the second time nothing changes."""
    cell("import json as jay\nfrom collections import OrderedDict, deque\nGRACE = 0.5")
    cell("def twice(n):\n    return 2 * n\n\n\nclass Base:\n    grace = twice(GRACE)")
    names = cell("class Mine(Base):\n    def f(self):\n        return jay.dumps(OrderedDict(a=1))")
    saved = lab.save(names["Mine"])
    assert repr(saved) == "Mine is in my_chatrpc.py, with what it uses: twice, GRACE, Base"
    mine = loaded(file)["Mine"]()
    assert (mine.f(), mine.grace) == ('{"a": 1}', 1.0)
    assert "deque" not in file.read_text()
    before = file.read_text()
    assert repr(lab.save(names["Mine"])) == repr(saved)
    assert file.read_text() == before


def test_a_stub_does_not_take_the_place_of_what_works(file: Path, cell: Cell) -> None:
    lab.save(cell("class Mine:\n    def f(self):\n        return 1")["Mine"])
    before = file.read_text()
    names = cell("class Mine:\n    def f(self):\n        return ...\n\n\nclass Other: ...")
    saved = lab.save(names["Mine"], names["Other"])
    assert repr(saved) == (
        "Other is in my_chatrpc.py\nMine is still to be written, and not saved yet"
    )
    assert "still to be written" in saved._repr_html_()
    assert loaded(file)["Mine"]().f() == 1
    assert before.strip() in file.read_text()
    assert repr(lab.save(names["Mine"])) == "Mine is still to be written, and not saved yet"


MINE = '''\
#!/usr/bin/env python3
"""My own words."""
# A remark.
import os, sys
from chatrpc import (
    RpcClient,  # why
    RpcServer,
)

LIMIT = 3  # mine


def helper():  # my helper
    return os.sep


# About Mine.
@staticmethod
def decorated(): ...


class Mine:
    """The old one."""

    limit = LIMIT

if __name__ == "__main__":
    print(helper(), sys.argv)
'''


def test_all_else_in_the_file_stays(file: Path, cell: Cell) -> None:
    """Word for word, with its remarks; the class stands where it stood."""
    file.write_text(MINE)
    names = cell('import json\n\n\nclass Mine:\n    """The new one."""\n\n    word = json.dumps')
    lab.save(names["Mine"])
    text = file.read_text()
    old = '    """The old one."""\n\n    limit = LIMIT'
    new = '    """The new one."""\n\n    word = json.dumps'
    kept = MINE.replace(old, new)
    added = [line for line in text.splitlines() if line not in kept.splitlines()]
    assert added == ["from __future__ import annotations", "import json"]
    left = [line for line in text.splitlines() if line not in added]
    assert [line for line in left if line] == [line for line in kept.splitlines() if line]
    loaded(file)


def test_what_a_class_needs_stands_before_it(file: Path, cell: Cell) -> None:
    """A new base of a class that is already there, and a base that stood behind it."""
    file.write_text("class Mine:\n    pass\n\n\nclass Other(Mine):\n    pass\n\n\nLAST = 1\n")
    cell("class Root:\n    pass\n\n\nclass Base(Root):\n    pass\nLAST = 2")
    names = cell("class Mine(Base):\n    last = LAST")
    lab.save(names["Mine"])
    module = loaded(file)
    assert [cls.__name__ for cls in module["Other"].__mro__] == [
        "Other",
        "Mine",
        "Base",
        "Root",
        "object",
    ]
    assert module["Other"].last == 2


def test_an_own_definition_counts_more_than_an_import(file: Path, cell: Cell) -> None:
    """What the notebook imports of that name is not imported; and a definition ends an import."""
    file.write_text(
        "from chatrpc import CallTimeout, RpcClient, RpcServer\n\n\nclass Table:\n    own = True\n"
    )
    cell("from email.message import Message as Table")
    names = cell("class RpcClient:\n    table = Table\n\n    def call(self):\n        return Table")
    lab.save(names["RpcClient"])
    module = loaded(file)
    assert module["RpcClient"].table.own
    assert "from chatrpc import CallTimeout, RpcServer\n" in file.read_text()
    assert "email" not in file.read_text()


def test_a_shared_word_is_chatrpcs_own(file: Path, cell: Cell) -> None:
    """A class that is the same as chatrpc's error, line by line, is that error to the judge."""
    base = "from chatrpc.errors import Ran, RpcError\n"
    cell(base + source_of(CallTimeout))
    names = cell("class Mine:\n    def call(self, method):\n        raise CallTimeout('late')")
    assert names["CallTimeout"] is not CallTimeout
    lab.save(names["Mine"])
    with pytest.raises(CallTimeout, match="late"):
        loaded(file)["Mine"]().call("x")
    changed = cell(source_of(CallTimeout) + "    own = True\n")["CallTimeout"]
    lab.save(changed)
    assert loaded(file)["CallTimeout"].own


def test_several_at_once_or_none(file: Path, cell: Cell) -> None:
    """If one of them cannot be saved, none is."""
    names = cell("for gate in [object()]:\n    pass\nclass A:\n    pass\nclass B:\n    f = gate")
    with pytest.raises(LabProblem, match="B uses gate"):
        lab.save(names["A"], names["B"])
    assert not file.exists()
    names = cell("class B:\n    pass")
    assert repr(lab.save(names["A"], names["B"])) == "A and B are in my_chatrpc.py"
    assert {"A", "B"} <= loaded(file).keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class Mine(:\n", r"my_chatrpc.py is no Python \(line 1: .*\): mend it first"),
        ("a = 1; b = 2\n", "two statements in line 1"),
        ("Mine, b = 1, 2\n", "gives Mine its value together with b"),
        ("\x00", "my_chatrpc.py is no Python"),
    ],
)
def test_a_file_that_cannot_be_changed_stays_as_it_is(
    text: str, says: str, file: Path, cell: Cell
) -> None:
    file.write_text(text)
    with pytest.raises(LabProblem, match=says):
        lab.save(cell("class Mine:\n    pass")["Mine"])
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_what_would_be_no_python_any_more_is_not_written(file: Path) -> None:
    file.write_text(MINE)
    with pytest.raises(LabProblem, match=r"my_chatrpc\.py would be no Python any more"):
        change(file, lambda module: module._tail.append("("))
    assert file.read_text() == MINE


def test_a_remark_on_an_import_that_goes_stays(file: Path, cell: Cell) -> None:
    file.write_text("# Why I need it.\nfrom chatrpc import RpcClient\n\nLIMIT = 3\n")
    lab.save(cell("class RpcClient:\n    pass")["RpcClient"])
    assert "import RpcClient" not in file.read_text()
    assert "# Why I need it.\n" in file.read_text()


def test_what_is_no_text_or_no_file(file: Path, cell: Cell) -> None:
    mine = cell("class Mine:\n    pass")["Mine"]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(LabProblem, match="no text in UTF-8"):
        lab.save(mine)
    file.unlink()
    file.mkdir()
    with pytest.raises(LabProblem, match="cannot be read: Is a directory"):
        lab.save(mine)


def test_written_whole_or_not_at_all(
    file: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full: the old file stands, and no half of the new one lies about."""
    file.write_text(MINE)
    file.chmod(0o640)
    mine = cell("class Mine:\n    pass")["Mine"]

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(LabProblem, match="cannot be written: No space left"):
            lab.save(mine)
    assert file.read_text() == MINE
    assert list(file.parent.iterdir()) == [file]
    reader = file.with_name("reader.py")
    os.link(file, reader)  # as one who has the old file open
    lab.save(mine)
    assert reader.read_text() == MINE
    assert file.read_text() != MINE
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("thing", [3, "Mine", None])
def test_what_is_no_class_is_a_sentence(thing: Any, file: Path) -> None:
    with pytest.raises(LabProblem, match="A class is needed here"):
        lab.save(thing)
    with pytest.raises(LabProblem, match="Say which class"):
        lab.save()


def test_only_what_is_the_notebooks_is_saved(file: Path, cell: Cell) -> None:
    with pytest.raises(LabProblem, match=r"RpcClient comes from chatrpc\.client"):
        lab.save(cell("from chatrpc import RpcClient")["RpcClient"])
    assert not file.exists()


def test_what_comes_from_the_module_itself(
    file: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not imported into itself; and if it has gone, that is a sentence."""
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.delitem(sys.modules, "my_chatrpc", raising=False)
    file.write_text("class Table:\n    pass\n")
    names = cell("from my_chatrpc import Table\n\n\nclass Mine:\n    table = Table")
    lab.save(names["Mine"], names["Table"])
    assert "import Table" not in file.read_text()
    file.write_text("")
    with pytest.raises(LabProblem, match="Table is imported from my_chatrpc, which no longer has"):
        lab.save(names["Mine"])
    monkeypatch.delitem(sys.modules, "my_chatrpc")


def test_imports_stand_in_their_order() -> None:
    """Python's own first; those of one module together, a line each when they are many."""
    module = Module('"""Mine."""\n\nimport json\n\nfrom chatrpc import Ran\n\nX = 1\n', "mine")
    for text in (
        "import sys",
        "import ast",
        "from typing import Any",
        "from chatrpc import CallTimeout",
    ):
        module.put({text.rpartition(" ")[2]: text})
    assert module.text == (
        '"""Mine."""\n\nfrom __future__ import annotations\n\n'
        "import ast\nimport json\nimport sys\nfrom typing import Any\n\n"
        "from chatrpc import CallTimeout, Ran\n\nX = 1\n"
    )
    names = ["BrokerError", "BrokerRefused", "InvalidParams", "InvalidRequest", "MethodNotFound"]
    for name in names:
        module.put({name: f"from chatrpc import {name}"})
    assert "from chatrpc import (\n    BrokerError,\n    BrokerRefused,\n" in module.text
