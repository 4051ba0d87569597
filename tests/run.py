"""Every check, stage by stage: what ``make test`` runs, and a summary of it at the end.

A stage that fails does not keep the next ones from running; the exit code tells of it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chatrpc.bootstrap import CHROMIUM
from chatrpc.broker import Cluster, Node

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LIMIT = 2700  # seconds a stage may take before it is interrupted
APART = ("unit", "lessons", "web")  # folders of tests with a stage of their own


@dataclass(frozen=True)
class Stage:
    """One tool and what it checks."""

    name: str
    command: Sequence[str]
    needs: Sequence[str] = ()  # one of these programs must be there


@dataclass(frozen=True)
class Outcome:
    """How a stage ended, in words and seconds."""

    name: str
    verdict: str
    what: str
    seconds: float


def stages() -> list[Stage]:
    """All stages, the quick ones first."""
    pytest = [str(BIN / "python"), "-m", "pytest", "-q"]
    folders = sorted(p.name for p in (ROOT / "tests").iterdir() if any(p.glob("test_*.py")))
    with_broker = [f"tests/{name}" for name in folders if name not in APART]
    no_browser = ["-m", "not browser"]
    return [
        Stage("style", [str(BIN / "ruff"), "check"]),
        Stage("format", [str(BIN / "ruff"), "format", "--check"]),
        Stage("types", [str(BIN / "mypy")]),
        Stage("layers", [str(BIN / "lint-imports"), "--no-logo"]),
        Stage("without a broker", [*pytest, "tests/unit"]),
        Stage("with a broker", [*pytest, *no_browser, *with_broker]),
        Stage("lessons", [*pytest, *no_browser, "tests/lessons"]),
        Stage("web", [*pytest, *no_browser, "tests/web"]),
        Stage("browser", [*pytest, "-m", "browser", "tests"], CHROMIUM),
        Stage("notebooks", [*pytest, "--nbval", "notebooks"]),
    ]


def main() -> int:
    """Run all stages; 0 if none failed, 130 if a person stopped it."""
    began = time.monotonic()
    outcomes = []
    todo = stages()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="chatrpc-tests-") as home:
        os.environ["CHATRPC_TESTS_HOME"] = home
        try:
            for number, stage in enumerate(todo, 1):
                say(f"\n== {number}/{len(todo)} {stage.name}: {shown(stage)}")
                outcomes.append(run(stage))
        except KeyboardInterrupt:
            say("\nInterrupted.")
        finally:
            Node(Path(home) / "broker").stop()  # one node served all stages
            Cluster(Path(home) / "cluster").stop()
    say("\n== What ran\n")
    for outcome in outcomes:
        say(f"  {outcome.verdict:<8}{outcome.name:<18}{outcome.seconds:>6.1f} s  {outcome.what}")
    for stage in todo[len(outcomes) :]:
        say(f"  {'NOT RUN':<8}{stage.name}")
    failed = [outcome.name for outcome in outcomes if outcome.verdict == "FAILED"]
    say(f"\n  {time.monotonic() - began:.0f} s in all.")
    if any(outcome.verdict == "NOT RUN" for outcome in outcomes):
        say("\n  !! THE BROWSER TESTS DID NOT RUN: Chromium is missing and could not be installed.")
    if len(outcomes) < len(todo):
        return 130
    say(f"\n  FAILED: {', '.join(failed)}." if failed else "\n  Everything that ran passed.")
    return 1 if failed else 0


def run(stage: Stage) -> Outcome:
    """Run one stage, showing what it writes, and remember its last words."""
    if stage.needs and not any(map(shutil.which, stage.needs)):
        say("!! No Chromium on this machine: these do not run.")
        return Outcome(stage.name, "NOT RUN", "no Chromium", 0.0)
    began = time.monotonic()
    lines: list[str] = []
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # some hundred programs start: compile once
    with subprocess.Popen(
        stage.command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        # SIGINT, because pytest then still tidies up.
        limit = threading.Timer(LIMIT, child.send_signal, [signal.SIGINT])
        limit.start()
        try:
            for line in child.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                lines = [*lines[-9:], line.strip()]
            code = child.wait()
        except KeyboardInterrupt:
            child.wait(60)  # the terminal has interrupted it too
            raise
        finally:
            limit.cancel()
    seconds = time.monotonic() - began
    return Outcome(stage.name, "FAILED" if code else "ok", last_words(lines), seconds)


def last_words(lines: Sequence[str]) -> str:
    """The line in which a tool sums up; of pytest's, the counts."""
    said = [line for line in lines if re.search(r"\w", line)]
    counts = r"passed|failed|error|Success|Contracts:|All checks|formatted"
    summing = [line for line in said if re.search(counts, line)]
    return re.sub(r" in [\d.]+s.*|^=+ | =+$", "", (summing or said or ["said nothing"])[-1])


def shown(stage: Stage) -> str:
    """The command as a person would type it."""
    return " ".join(word.removeprefix(f"{BIN}/") for word in stage.command)


def say(text: str) -> None:
    """Write a line at once, so that it stands before what a tool writes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
