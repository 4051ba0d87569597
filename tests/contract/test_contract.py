"""The judge: chatrpc keeps its promises, and each mutant is caught."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chatrpc import RpcClient, RpcServer
from chatrpc.lab import contract
from chatrpc.lab.contract import Report, Result, Row, judge, load, main
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.promises import PROMISES

sys.path.insert(0, str(Path(__file__).parent))
from mutants import MUTANTS, NeverCloses, Plain, as_pair


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """End what a mutant leaves behind."""
    yield
    while NeverCloses.left:
        RpcClient.close(NeverCloses.left.pop())


def test_chatrpc_keeps_every_promise(url: str) -> None:
    """Its own client and server, on the real broker."""
    report = judge(url=url)
    assert report.broken == [], report.text
    assert report.kept == list(PROMISES), report.text


WHOLE_PROCESS = {"C05", "C18"}
"""These look at the memory and the threads of the process, so they want to be alone in it."""


@pytest.fixture(scope="module")
def reports(url: str) -> dict[type, Report]:
    """Every mutant's board: what must fall, and what shows that it is not simply dead.

    Most of them wait most of the time, so six are judged at once.
    """
    wanted = {m: {own, *more, "C01", "C09"} for m, (own, more) in MUTANTS.items()}

    def put_to_trial(mutant: type) -> Report:
        return judge(*as_pair(mutant), only=wanted[mutant] - WHOLE_PROCESS, url=url)

    with ThreadPoolExecutor(6) as pool:
        boards = dict(zip(MUTANTS, pool.map(put_to_trial, MUTANTS), strict=True))
    for mutant, board in boards.items():
        if alone := wanted[mutant] & WHOLE_PROCESS:
            board.rows += judge(*as_pair(mutant), only=alone, url=url).rows
    return boards


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(mutant: type, reports: dict[type, Report]) -> None:
    """It breaks its promise and the neighbours that the table names, and no other of those."""
    own, neighbours = MUTANTS[mutant]
    report = reports[mutant]
    assert set(report.broken) == {own, *neighbours}, report.text
    row = next(row for row in report.rows if row.promise.id == own)
    assert row.reason
    assert "\n" not in row.reason


def test_every_promise_has_a_mutant() -> None:
    """A test that nothing fails is no test."""
    assert {own for own, _ in MUTANTS.values()} == set(PROMISES)


def test_an_honest_stranger_passes(url: str) -> None:
    """Another client than chatrpc's, which keeps what it promises."""
    report = judge(Plain, only="C01 C02 C03 C04 C06 C09", url=url)
    assert report.broken == [], report.text


class Hangs:
    """A client that never answers."""

    def __init__(self, service: str) -> None:
        """Take only a service, as an early lesson's class does."""

    def call(self, method: str, *args: Any) -> Any:
        """Hang."""
        time.sleep(60)


class Raises:
    """A client that cannot be made."""

    def __init__(self, service: str) -> None:
        """Fail with a text that must be escaped."""
        raise ValueError("<b>no</b>\nsecond line")

    def submit(self, method: str, *args: Any) -> Any:
        """Do nothing."""


def test_a_hanging_class_costs_seconds(url: str) -> None:
    """Each test ends, and says that it hung."""
    start = time.monotonic()
    report = judge(Hangs, only="C01", url=url)
    assert time.monotonic() - start < 4
    assert report.broken == ["C01"]
    assert "hung" in report.rows[0].reason


def test_what_a_class_raises_is_one_escaped_sentence(url: str) -> None:
    """In the text one line, in the page no markup."""
    report = judge(Raises, only="C01", url=url)
    assert report.rows[0].reason == "it raised ValueError: <b>no</b>"
    bundle = report._repr_mimebundle_()
    assert "<b>no</b>" in bundle["text/plain"]
    assert "&lt;b&gt;no&lt;/b&gt;" in bundle["text/html"]
    assert "ValueError: <b>" not in bundle["text/html"]


def test_upto_stops_at_a_lesson(url: str) -> None:
    """Later promises are on the board, as not reached."""
    report = judge(upto="02", url=url)
    assert report.kept == ["C02"]
    assert {r.result for r in report.rows if r.promise.id != "C02"} == {Result.NOT_REACHED}
    assert "· C18 not reached lesson 07" in report.text


def test_the_board_as_text_is_the_same_each_time() -> None:
    """No times, no names of services."""
    promise = PROMISES["C01"]
    rows = [Row(promise, Result.BROKEN, "so", 1.23), Row(PROMISES["C02"], Result.KEPT, "", 4.56)]
    assert Report("Mine", "RpcServer", rows).text == textwrap.dedent(
        f"""\
        Mine and RpcServer: 1 of 2 promises kept
        ✗ C01 broken      {promise.sentence}
              why:  so
              hint: {promise.hint}
        ✓ C02 kept        {PROMISES["C02"].sentence}"""
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"client": int}, "int is no client class"),
        ({"client": "RpcClient"}, "is no client class"),
        ({"server": RpcClient}, "RpcClient is no server class: it needs method and start"),
        ({"only": "C99"}, "There is no promise 'C99'"),
        ({"upto": "last"}, "'last' is no lesson"),
        ({"scale": 0}, "over 0"),
    ],
)
def test_bad_input_is_a_sentence(given: dict[str, Any], says: str) -> None:
    """And nothing is judged."""
    with pytest.raises(LabProblem, match=says):
        judge(**given)


def test_a_file_is_judged_in_a_terminal(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 for kept, 1 for broken; the classes are found or named."""
    monkeypatch.setenv("CHATRPC_URL", url)
    file = tmp_path / "my_chatrpc.py"
    file.write_text(
        textwrap.dedent(
            """
            from chatrpc import RpcClient, RpcServer
            class Mine(RpcClient): pass
            class Wrong(RpcClient):
                def call(self, method, *args): return super().call(method, *args) or None
            """
        )
    )
    assert main([f"{file}:Mine", "--only", "C01"]) == 0
    assert "Mine and RpcServer: 1 of 1 promises kept" in capsys.readouterr().out
    assert main([f"{file}:Wrong", "--only", "C01"]) == 1
    assert "✗ C01 broken" in capsys.readouterr().out
    assert main([str(file)]) == 2
    assert "several client classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [
        (None, "", "There is no file"),
        ("x = 1", "", "no class with call or submit"),
        ("raise KeyError('x')", "", "cannot be run: KeyError"),
        ("def (", "", "cannot be run: SyntaxError"),
        ("class A:\n    def call(self): pass", ":B", "has no class 'B'"),
    ],
)
def test_a_file_that_cannot_be_judged(
    tmp_path: Path, text: str | None, names: str, says: str
) -> None:
    """One sentence."""
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(LabProblem, match=says):
        load(f"{file}{names}")


def test_settings_are_as_before(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging leaves the environment alone."""
    monkeypatch.setenv("CHATRPC_URL", "amqp://elsewhere/")
    report = judge(RpcClient, RpcServer, only="C01", url=url)
    assert report.kept == ["C01"]
    assert contract.os.environ["CHATRPC_URL"] == "amqp://elsewhere/"
