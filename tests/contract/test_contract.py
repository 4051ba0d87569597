"""The judge: chatrpc keeps its promises, and each mutant is caught."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from chatrpc import RpcClient
from chatrpc.broker import Node
from chatrpc.lab import contract, courtroom
from chatrpc.lab.contract import Report, Result, Row, judge, main
from chatrpc.lab.jobs import ROOT
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.promises import PROMISES
from chatrpc.lab.spare import SpareBroker
from chatrpc.machine.processes import Process, birth
from tests.programs import Program

sys.path.insert(0, str(Path(__file__).parent))
from mutants import MUTANTS, Plain, as_pair
from rogues import (
    Exits,
    Hangs,
    HoldsTheLock,
    Kills,
    NeverAnswers,
    NeverCloses,
    NeverOpens,
    NeverStarts,
    Raises,
    ShowsWhatItGot,
    Spins,
    StumblesOnce,
    Talks,
)


@pytest.fixture(scope="module")
def spare() -> Iterator[SpareBroker]:
    """A broker that may be killed."""
    with SpareBroker() as broker:
        yield broker


@pytest.fixture(scope="module")
def own(url: str, spare: SpareBroker) -> Report:
    """The board of chatrpc's own client and server."""
    return judge(url=url, spare=spare)


@pytest.mark.parametrize("id", list(PROMISES))
def test_chatrpc_keeps(id: str, own: Report) -> None:
    """Each promise, on the real broker."""
    row = next(row for row in own.rows if row.promise.id == id)
    assert row.result is Result.KEPT, row.reason


def test_there_are_eighteen() -> None:
    """And they come in their order."""
    assert list(PROMISES) == [f"C{n:02}" for n in range(1, 19)]


RESTARTS = "C13"
"""It kills the broker that another looks at, and takes ten seconds: it is judged alone, and
only where a mutant is made to break it."""


@pytest.fixture(scope="module")
def reports(url: str, spare: SpareBroker) -> dict[type, Report]:
    """Every mutant's board: what must fall, and what shows that it is not simply dead.

    Most of them wait most of the time, so three are judged at once, each in two lanes.
    """
    wanted = {m: {own, *more, "C01", "C09"} for m, (own, more) in MUTANTS.items()}

    def put_to_trial(mutant: type) -> Report:
        return judge(
            *as_pair(mutant), only=wanted[mutant] - {RESTARTS}, url=url, spare=spare, trace=False
        )

    with ThreadPoolExecutor(3) as pool:
        boards = dict(zip(MUTANTS, pool.map(put_to_trial, MUTANTS), strict=True))
    for mutant, (own, _) in MUTANTS.items():
        if own == RESTARTS:
            alone = judge(*as_pair(mutant), only=RESTARTS, url=url, spare=spare)
            boards[mutant].rows += alone.rows
    return boards


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(mutant: type, reports: dict[type, Report]) -> None:
    """It breaks its promise and the neighbours that the table names, and no other of those."""
    own, neighbours = MUTANTS[mutant]
    report = reports[mutant]
    assert set(report.broken) == {own, *(neighbours - {RESTARTS})}, report.text
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


def test_a_hanging_class_costs_seconds(url: str) -> None:
    """Each test ends, and says that it hung."""
    start = time.monotonic()
    report = judge(Hangs, only="C01", url=url)
    assert time.monotonic() - start < 8
    assert report.broken == ["C01"]
    assert "hung" in report.rows[0].reason


@pytest.mark.parametrize(
    "rogue", [Hangs, Spins, HoldsTheLock, NeverOpens, NeverStarts, NeverAnswers]
)
def test_a_class_that_always_hangs_costs_a_second_a_promise(
    rogue: type, url: str, spare: SpareBroker
) -> None:
    """It is given time once, and little from then on; a busy machine is tried again."""
    for last in (False, False, True):
        start = time.monotonic()
        report = judge(*as_pair(rogue), url=url, spare=spare)
        took = time.monotonic() - start
        assert len(report.broken) >= 13, report.text
        median = statistics.median(row.seconds for row in report.rows)
        if last or (took < 2.0 * len(PROMISES) and median < 2.0):
            break
    assert took < 2.0 * len(PROMISES)
    assert median < 2.0


def test_a_close_that_hangs_breaks_its_own_promise(url: str) -> None:
    """And what it leaves running disturbs no other."""
    report = judge(NeverCloses, only="C01 C02 C08 C09 C11 C17 C18", url=url)
    assert report.broken == ["C18"], report.text
    assert "close() hung" in report.text


def test_who_hangs_once_is_judged_rightly_in_the_next(url: str) -> None:
    """Little patience is enough for what a good class does."""
    report = judge(StumblesOnce, only="C08 C09 C10 C12", url=url)
    assert report.broken == ["C08"], report.text
    assert "hung" in report.rows[0].reason


def test_a_class_that_exits_is_a_sentence(url: str) -> None:
    """And so is the next promise: the judge goes on."""
    report = judge(Exits, only="C01 C09", url=url)
    assert [row.reason for row in report.rows] == ["it raised SystemExit: enough"] * 2


def test_a_class_that_ends_its_process_leaves_nothing(
    url: str, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process that it started, and no queue of its trial."""
    monkeypatch.setenv("SLEEPER", str(tmp_path / "sleeper"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = judge(Kills, only="C01", url=url)
    assert report.rows[0].reason == "it ended the process that it ran in (exit code 7)"
    assert _gone(int((tmp_path / "sleeper").read_text()))
    assert [path.name for path in tmp_path.iterdir()] == ["sleeper"]
    queues = node.ctl("list_queues", "name")
    assert "chatrpc.req.judge-" not in queues
    assert "chatrpc.dead.judge-" not in queues


def test_a_class_that_holds_the_lock_is_ended(url: str) -> None:
    """Nothing in its process can interrupt it."""
    start = time.monotonic()
    report = judge(HoldsTheLock, only="C01", url=url)
    assert time.monotonic() - start < 15
    assert "could not be interrupted" in report.rows[0].reason


def test_a_class_that_talks_is_not_listened_to(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Its answers count, and nothing of what it writes comes out."""
    assert judge(Talks, only="C01", url=url).kept == ["C01"]
    assert capfd.readouterr() == ("", "")


def test_the_seed_decides_what_is_left_to_chance(url: str) -> None:
    """The same seed, the same values."""

    def shown(seed: int) -> str:
        return judge(ShowsWhatItGot, only="C01", url=url, seed=seed).rows[0].reason

    assert shown(1) == shown(1) != shown(2)


OPENS_BOTH = """
from chatrpc.lab.courtroom import Courtroom
from chatrpc.lab.spare import SpareBroker
import os, sys, time
with SpareBroker() as spare, Courtroom("amqp://localhost/", path=sys.path) as room:
    try:
        room.ask({"do": "classes", "module": "no_such_module", "seconds": 5}, 5)
    finally:
        facts = spare.ready()
        print("opened", room._process.pid, facts.node.process.pid, facts.folder, flush=True)
        time.sleep(60)
"""


def test_what_the_judge_opened_ends_with_it() -> None:
    """Also if it is killed: the process of the classes, the broker, and its folder."""
    with Program("-c", OPENS_BOTH) as program:
        _, room, broker, folder = program.wait_for("opened").split()
        assert Path(folder).is_dir()
        program.process.kill()
        assert _gone(int(room))
        assert _gone(int(broker))
        end = time.monotonic() + 10
        while Path(folder).exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not Path(folder).exists()


def _gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    return Process(pid, birth(pid) or "gone already").wait(10.0)


def test_without_a_broker_to_kill_the_board_says_so(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rest of the promises is judged all the same."""
    monkeypatch.setenv("RABBITMQ_BIN", str(tmp_path))
    report = judge(only="C01 C13 C16", url=url)
    assert report.kept == ["C01"]
    reasons = [row.reason for row in report.rows if row.result is Result.NOT_JUDGED]
    assert len(reasons) == 2
    assert all("a broker that may be killed: RABBITMQ_BIN" in reason for reason in reasons)


CELLS = [
    """
    import json as jay, logging, threading
    from chatrpc import lab, RpcClient, RpcServer
    log = logging.getLogger("student")
    BANG = "!"
    gates = [threading.Lock() for _ in range(2)]
    """,
    """
    def plain(text):
        return jay.loads(jay.dumps(text))
    class Base(RpcServer):
        pass
    """,
    """
    class Mine(Base):
        def method(self, function):
            log.info(plain("serving") + BANG)
            return super().method(function)
    class Stuck(RpcClient):
        def call(self, *args, **params):
            while True:
                pass
    for gate in gates:
        pass
    class Tied(RpcServer):
        def start(self):
            with gate:
                super().start()
    """,
    "lab.judge(server=Mine, only='C01 C10')",
    "lab.judge(Stuck, only='C01')",
    "lab.judge(server=Tied, only='C01')",
]


def test_classes_of_a_notebook_are_judged(url: str) -> None:
    """With what they use; a class that uses what cannot be carried is told so, in one sentence."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in CELLS]
    )
    nbclient.NotebookClient(notebook, timeout=60, allow_errors=True).execute()
    mine, stuck, tied = (cell.outputs[0] for cell in notebook.cells[-3:])
    assert mine.data["text/plain"].startswith("chatrpc's RpcClient and Mine: 2 of 2 promises kept")
    assert "hung" in stuck.data["text/plain"]
    assert tied.traceback == [
        "Tied uses gate, which no other process can have: "
        "define it in the notebook, in a line of its own, or inside the class."
    ]


def test_what_a_class_raises_is_one_escaped_sentence(url: str) -> None:
    """In the text one line, in the page no markup."""
    report = judge(Raises, only="C01", url=url)
    assert report.rows[0].reason == "it raised ValueError: <b>no</b>"
    assert "<b>no</b>" in report.text
    assert "&lt;b&gt;no&lt;/b&gt;" in report.html
    assert "ValueError: <b>" not in report.html


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
              hint: {promise.hints[0]}
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


FILE = textwrap.dedent(
    """
    from chatrpc import RpcClient, RpcServer
    class Mine(RpcClient): pass
    class Wrong(RpcClient):
        def call(self, method, *args): return super().call(method, *args) or None
    """
)


@pytest.fixture
def file(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's file, and a broker."""
    monkeypatch.setenv("CHATRPC_URL", url)
    path = tmp_path / "queue.py"  # a name that a module of Python's has
    path.write_text(FILE)
    return path


def test_a_file_is_judged_in_a_terminal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for kept, 1 for broken; the classes are found or named."""
    assert main([f"{file}:Mine", "--only", "C01"]) == 0
    assert "Mine and chatrpc's RpcServer: 1 of 1 promises kept" in capsys.readouterr().out
    assert main([f"{file}:Wrong", "--only", "C01"]) == 1
    assert "✗ C01 broken" in capsys.readouterr().out
    assert main([str(file)]) == 2
    assert "several client classes" in capsys.readouterr().err


def test_a_teacher_marks_from_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was judged, by which seed, and each promise's result."""
    out = file.with_name("result.json")
    options = ["--only", "C01,C08,C18", "--upto", "06", "--seed", "7", "--out", str(out)]
    assert main([f"{file}:Wrong", *options]) == 1
    marks = json.loads(out.read_text())
    assert (marks["file"], marks["client"], marks["server"]) == ("queue.py", "Wrong", "RpcServer")
    assert marks["own"] == {"client": True, "server": False}
    assert (marks["seed"], marks["scale"], marks["kept"], marks["of"]) == (7, 0.01, 1, 3)
    assert [p["result"] for p in marks["promises"]] == ["broken", "kept", "not reached"]
    assert marks["promises"][0]["reason"] == "echo('') answered None"
    assert len(marks["sha256"]) == 64


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [
        (None, "", "There is no file"),
        ("x = 1", "", "no class with call or submit"),
        ("raise KeyError('x')", "", "cannot be run: KeyError"),
        ("def (", "", "cannot be run: SyntaxError"),
        ("raise SystemExit", "", "cannot be run: SystemExit"),
        ("import os\nos._exit(1)", "", "it ended the process"),
        ("while True: pass", "", "it stood still for 2 s"),
        ("class A:\n    def call(self): pass", ":B", "has no class 'B'"),
    ],
)
def test_a_file_that_cannot_be_judged(
    file: Path,
    text: str | None,
    names: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence, and nothing of it runs here."""
    monkeypatch.setattr(contract, "LOADING", 2.0)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert main([f"{file}{names}"]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("longer", "end"),
    [
        (courtroom.LONGER, "it stood still for 2 s and could not be interrupted"),
        (-1.0, "it ended the process"),
    ],
)
def test_a_job_ends_by_itself_only_after_its_judge_would_have_ended_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longer: float, end: str
) -> None:
    """A judge who lives has the word; without one, even Python's own lock keeps nothing alive."""
    monkeypatch.setattr(courtroom, "LONGER", longer)
    (tmp_path / "stubborn.py").write_text("import re\nre.match('(a+)+$', 'a' * 60 + 'b')\n")
    with (
        courtroom.Courtroom(url, path=[str(tmp_path), str(ROOT)]) as room,
        pytest.raises(courtroom.Ended, match=end),
    ):
        room.ask({"do": "classes", "module": "stubborn"}, 2.0)


def test_a_result_that_cannot_be_written_is_said_first(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before half a minute of judging."""
    assert main([f"{file}:Mine", "--out", str(file.parent / "none" / "result.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main([f"{file}:Mine", "--only", "C01", "--out", str(file.parent)]) == 2
    assert "Is a directory" in capsys.readouterr().err
