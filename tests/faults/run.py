"""The long form of the fault suite: every storm, on every side, with one worker and with two.

    python tests/faults/run.py [--seeds 1,2,3] [--only cut] [--lanes 2]

Each trial is a process of its own, on the node of its lane. It ends in a table with a row for
each storm; the exit code is 1 if any trial has something to complain of.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from judge import Verdict
from storms import CLUSTER, STORMS
from trial import Trial

from chatrpc.broker import BrokerProblem, Cluster, Node

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("trial.py")
LIMIT = 180.0  # seconds that one trial may take
NUMBERS = ("calls", "lost", "spilled", "wrong", "hung", "late", "ghost")

Results = dict[str, list[Verdict]]


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def trials(seeds: Sequence[int], only: str) -> list[Trial]:
    """All trials: one seed after the other."""
    return [
        Trial(name, side, workers, seed)
        for seed in seeds
        for name, storm in STORMS.items()
        if only in name
        for side in storm.sides
        for workers in storm.workers
    ]


class Lane(threading.Thread):
    """Runs one trial after the other on a node of its own, or a cluster, until none is left."""

    def __init__(self, node: Node | Cluster, todo: queue.SimpleQueue[Trial], done: Ledger) -> None:
        super().__init__(daemon=True)
        self._node, self._todo, self._done = node, todo, done
        self._trial: subprocess.Popen[str] | None = None
        self._told = False

    def run(self) -> None:
        """Run them."""
        with contextlib.suppress(queue.Empty):
            while not self._told:
                trial, began = self._todo.get_nowait(), time.monotonic()
                verdict = self._try(trial)
                if self._told:
                    return  # it was ended, so it shows nothing
                self._done.note(trial, verdict, time.monotonic() - began)

    def end(self) -> None:
        """End the trial that still runs, and the node."""
        self._told = True
        if self._trial is not None and self._trial.poll() is None:
            os.killpg(self._trial.pid, signal.SIGKILL)
        self.join(100.0)
        self._node.stop()

    def _try(self, trial: Trial) -> Verdict:
        try:
            self._node.start()  # the trial before this one may have left it dead
        except BrokerProblem as problem:
            return Verdict(complaints=[str(problem)])
        arguments = [trial.storm, trial.side, str(trial.workers), str(trial.seed)]
        self._trial = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self._node.folder), *arguments],
            env=os.environ | {"TMPDIR": str(self._node.folder.parent)},  # removed with it
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said, complained = self._trial.communicate(timeout=LIMIT)
            return Verdict(**json.loads(said))
        except subprocess.TimeoutExpired:
            os.killpg(self._trial.pid, signal.SIGKILL)
            self._trial.communicate()
            return Verdict(complaints=[f"the trial did not end within {LIMIT:g} s"])
        except (ValueError, TypeError):
            return Verdict(complaints=[f"the trial broke off: {complained[-300:].strip()}"])


class Ledger:
    """What all trials came to."""

    def __init__(self, count: int) -> None:
        self.results: Results = defaultdict(list)
        self._count, self._done, self._lock = count, 0, threading.Lock()

    def note(self, trial: Trial, verdict: Verdict, seconds: float) -> None:
        """Keep a verdict, and tell of it."""
        with self._lock:
            self._done += 1
            self.results[trial.storm].append(verdict)
            word = "good" if verdict.good else "FAILED: " + "; ".join(verdict.complaints)
            what = f"{trial}, seed {trial.seed}"
            say(f"[{self._done:>3}/{self._count}] {what:<48}{seconds:>6.1f} s  {word}")

    @property
    def good(self) -> bool:
        """Whether every trial was run and nothing is to be complained of."""
        verdicts = [verdict for found in self.results.values() for verdict in found]
        return len(verdicts) == self._count and all(verdict.good for verdict in verdicts)

    def table(self) -> str:
        """A row for each storm: sums, and the slowest recovery."""
        head = ["fault", "trials", *NUMBERS, "duplicates/allowed", "recovered", "verdict"]
        rows = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
        rows += [_row(name, self.results[name]) for name in STORMS if name in self.results]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return "\n".join(
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
            for row in rows
        )


def _row(name: str, verdicts: list[Verdict]) -> list[str]:
    sums = [str(sum(getattr(verdict, number) for verdict in verdicts)) for number in NUMBERS]
    duplicates = sum(verdict.duplicates for verdict in verdicts)
    allowed = sum(verdict.allowed for verdict in verdicts)
    times = [verdict.recovered for verdict in verdicts if verdict.recovered is not None]
    recovered = f"{max(times):.2f} s" if len(times) == len(verdicts) else "not"
    failed = sum(not verdict.good for verdict in verdicts)
    word = f"{failed} FAILED" if failed else "good"
    return [name, str(len(verdicts)), *sums, f"{duplicates}/{allowed}", recovered, word]


def main() -> int:
    """Run them all; 0 if all are good, 130 if a person stopped it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", default="1,2,3", help="as 1,2,3")
    parser.add_argument("--only", default="", help="storms whose name holds this")
    parser.add_argument("--lanes", type=int, default=2, help="how many trials at a time")
    chosen = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("CHATRPC_")]:
        del os.environ[name]
    # The workers and trials find this very package, installed or not.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    todo = trials([int(seed) for seed in chosen.seeds.split(",")], chosen.only)
    if not todo:
        parser.error(f"no storm's name holds {chosen.only!r}: {', '.join(STORMS)}")
    return run(todo, chosen.lanes)


def run(todo: list[Trial], count: int) -> int:
    """Run trials in so many lanes; the exit code."""
    began, ledger = time.monotonic(), Ledger(len(todo))
    alone = [trial for trial in todo if trial.side not in CLUSTER]
    clustered = [trial for trial in todo if trial.side in CLUSTER]
    with tempfile.TemporaryDirectory(prefix="chatrpc-faults-") as home:
        try:
            _run(alone, [Node(Path(home) / str(n)) for n in range(count)], ledger)
            _run(clustered, [Cluster(Path(home) / "cluster")], ledger)
        except KeyboardInterrupt:
            say("\nInterrupted.")
            return 130
        finally:
            say(f"\n{ledger.table()}\n\n{time.monotonic() - began:.0f} s in all.")
    return 0 if ledger.good else 1


def _run(todo: list[Trial], nodes: Sequence[Node | Cluster], ledger: Ledger) -> None:
    waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
    for trial in todo:
        waiting.put(trial)
    lanes = [Lane(node, waiting, ledger) for node in nodes if todo]
    try:
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    finally:
        for lane in lanes:
            lane.end()


if __name__ == "__main__":
    sys.exit(main())
