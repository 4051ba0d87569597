"""The board of the judge: its forms, its ladders, and what it says while and after it judges."""

from __future__ import annotations

import re
import sys
import textwrap
from html import escape
from pathlib import Path

import nbclient
import nbformat
import pytest

from chatrpc import RpcClient
from chatrpc.lab import sync
from chatrpc.lab.board import Report, Result, Row
from chatrpc.lab.boardcard import HINTS, html
from chatrpc.lab.contract import judge
from chatrpc.lab.promises import PROMISES
from chatrpc.machine.processes import Process, birth

sys.path.insert(0, str(Path(__file__).parent))
from rogues import Deaf  # not from here: what is judged is imported there, with all that it imports

CELLS = [
    """
    from chatrpc import RpcClient, lab
    class Mine(RpcClient):
        def call(self, *args, **params):
            return super().call(*args, **params) or None
    """,
    "lab.judge(Mine, only='C01 C02 C05', upto='04')",
    "report = lab.judge(Mine, only='C01', upto='04')",
    "report",
    "report.broken",
]


def test_in_a_notebook_it_is_shown_once_and_can_be_compared(url: str) -> None:
    """Whoever runs it for its outputs gets the end alone, in two forms, the same each time."""
    boards = []
    for _ in range(2):
        cells = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in CELLS]
        ran = nbformat.v4.new_notebook(cells=cells)
        nbclient.NotebookClient(ran, timeout=60).execute()
        sync.clean(ran)
        assert [len(cell.outputs) for cell in ran.cells] == [0, 1, 1, 1, 1]
        boards.append([dict(cell.outputs[0].data) for cell in ran.cells[1:4]])
    assert boards[0] == boards[1]
    whole, alone, again = boards[0]
    assert alone == again
    assert set(whole) == {"text/html", "text/plain"}
    assert whole["text/plain"].splitlines()[:4] == [
        "Mine and chatrpc's RpcServer: 1 of 2 promises kept",
        f"✗ C01 broken      {PROMISES['C01'].sentence}",
        "      why:  echo('') answered None",
        f"      hint: {PROMISES['C01'].hints[0]}",
    ]
    assert whole["text/plain"].endswith("· C05 not reached lesson 05")
    for hint in PROMISES["C01"].hints:
        assert hint.replace("'", "&#x27;") in whole["text/html"]
    assert "<svg" not in whole["text/html"]


def test_the_ladder_of_what_was_broken(url: str) -> None:
    """Of this promise's own messages and no other's; in the board it is one click away."""
    report = judge(Deaf, only="C01 C02", url=url)
    assert report.broken == ["C01", "C02"]
    assert set(report.ladders) == {"C01", "C02"}, report.text
    ladder = report.ladders["C01"]
    assert "nobody_knows_this" in ladder.text
    assert "error -32601" in ladder.text
    own = {hop.correlation_id for hop in ladder.hops}
    other = {hop.correlation_id for hop in report.ladders["C02"].hops}
    assert len(own) == 1
    assert other
    assert not own & other
    assert html(report, ladders=True).count("<svg") == 2
    assert ladder.text.splitlines() == report.marks["promises"][0]["ladder"]
    assert judge(Deaf, only="C01", url=url, trace=False).ladders == {}


def test_what_differs_from_run_to_run_is_not_in_the_reason(url: str) -> None:
    """The trial's service has a name of chance."""

    class Silent(RpcClient):
        def call(self, method: str, /, *args: object, **params: object) -> object:
            raise ValueError(f"nothing from {self.service}-1 or {self.service}")

    report = judge(Silent, only="C01", url=url)
    assert report.rows[0].reason == "it raised ValueError: nothing from judged or judged"


@pytest.mark.parametrize("result", list(Result))
def test_a_row_has_sign_word_and_colour(result: Result) -> None:
    """So that nobody needs the colour."""
    shown = html(Report("Mine", "Yours", [Row(PROMISES["C01"], result, "a <b>")]), ladders=False)
    row = shown[shown.index("<tr") :]
    assert f"> {result.value}" not in row
    assert f" {result.value}</span>" in row
    assert "a &lt;b&gt;" in row
    assert row.count("<details") == (3 if result is Result.BROKEN else 0)


def test_the_hints_open_from_the_slightest_to_the_plainest() -> None:
    """Each lies within the one before: nobody sees the plainest first."""
    promise = PROMISES["C01"]
    shown = html(Report("Mine", "Yours", [Row(promise, Result.BROKEN)]), ladders=False)
    folds = shown.split("<details")[1:]
    assert [escape(hint) in fold for hint, fold in zip(promise.hints, folds, strict=True)] == (
        [True] * 3
    )
    assert [re.findall(r"<summary[^>]*>([^<]+)", fold) for fold in folds] == [
        [name] for name in HINTS
    ]
    assert folds[-1].count("</details>") == 3


def test_each_promise_has_three_hints_and_no_more_than_a_sentence_or_two() -> None:
    for promise in PROMISES.values():
        assert len(promise.hints) == 3
        assert all(hint[-1] in ".?" and len(hint) < 260 for hint in promise.hints), promise.id


def test_whoever_stops_it_outside_a_page_stops_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal Ctrl-C is not a verdict."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chatrpc.lab.contract._judged", stop)
    with pytest.raises(KeyboardInterrupt):
        judge(only="C01", url=url)


TWICE = """
from chatrpc import lab
from chatrpc.lab import spare
kept = [lab.judge(only="C16", show=False).kept for _ in range(2)]
print(*kept, len(spare._kept), spare._kept[0].ready().node.process.pid)
"""


def test_a_kernel_keeps_the_broker_that_may_be_killed_till_it_ends(url: str) -> None:
    """The second board need not wait for another to start; and nothing is left behind."""
    cells = [nbformat.v4.new_code_cell(TWICE)]
    ran = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(ran, timeout=120).execute()
    *told, pid = ran.cells[0].outputs[0].text.split()
    assert told == ["['C16']", "['C16']", "1"]
    assert Process(int(pid), birth(int(pid)) or "gone already").wait(30.0)
