"""The ledger: no cup lost, none poured twice for one key, from several threads and processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from worker.ledger import Ledger, default_path

ROOT = Path(__file__).parents[2]

POURER = """
import sys
from worker.ledger import Ledger
ledger = Ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for i in range(25):
    ledger.pour(sys.argv[2])
    print(ledger.pour(sys.argv[2], key=f"key-{i}")[1], flush=True)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger in a folder that does not exist yet."""
    return Ledger(tmp_path / "deep" / "ledger.sqlite3")


def test_cups_without_a_key_are_all_poured(ledger: Ledger) -> None:
    """Asking twice is two cups, numbered from 1."""
    first, fresh = ledger.pour("w1")
    second, fresh_too = ledger.pour("w2")
    assert (first.number, second.number, fresh, fresh_too) == (1, 2, True, True)
    assert ledger.poured() == 2
    assert ledger.cups() == [first, second]
    assert [cup.worker for cup in ledger.cups()] == ["w1", "w2"]


def test_a_key_pours_once(ledger: Ledger) -> None:
    """The second time, the first cup comes back, with who poured it then."""
    cup, fresh = ledger.pour("w1", key="k")
    again, second = ledger.pour("w2", key="k")
    assert (fresh, second) == (True, False)
    assert again == cup
    assert ledger.poured() == 1
    assert ledger.pour("w2", key="other")[1]


def test_the_list_is_bounded(ledger: Ledger) -> None:
    """Only the last cups, oldest first."""
    for _ in range(5):
        ledger.pour("w")
    assert [cup.number for cup in ledger.cups(last=2)] == [4, 5]


def test_threads_pour_at_once(ledger: Ledger) -> None:
    """Sixteen threads, one key: one cup; without keys: all of them."""
    with ThreadPoolExecutor(16) as pool:
        fresh = list(pool.map(lambda _: ledger.pour("w", key="k")[1], range(32)))
        list(pool.map(lambda _: ledger.pour("w"), range(32)))
    assert Counter(fresh) == {True: 1, False: 31}
    assert ledger.poured() == 33


def test_processes_pour_at_once(tmp_path: Path) -> None:
    """Four processes meet in a new ledger: no cup is lost, and each key has one."""
    path = tmp_path / "ledger.sqlite3"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", POURER, str(path), f"w{n}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(line.count("True") for line in told) == 25
    ledger = Ledger(path)
    assert ledger.poured() == 4 * 25 + 25
    keys = Counter(cup.key for cup in ledger.cups(last=1000) if cup.key)
    assert set(keys.values()) == {1}
    assert len(keys) == 25


def test_a_new_ledger_waits_for_whoever_makes_it(ledger: Ledger) -> None:
    """Another process has just created the file and holds it: pouring waits, and does not fail."""
    ledger.path.parent.mkdir()
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            pouring = pool.submit(ledger.pour, "w")
            time.sleep(0.3)
            assert not pouring.done()
            other.execute("COMMIT")
            assert pouring.result(timeout=20)[1]


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CHATRPC_LEDGER names the file; else it is in the kit's state folder."""
    monkeypatch.setenv("CHATRPC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CHATRPC_LEDGER", raising=False)
    assert default_path() == tmp_path / "home" / "ledger.sqlite3"
    monkeypatch.setenv("CHATRPC_LEDGER", str(tmp_path / "mine"))
    assert default_path() == tmp_path / "mine"
