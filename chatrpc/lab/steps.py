"""The wrong versions on the way, held to what a lesson says of them.

A cell that shows one is tagged ``step``, ``breaks=C05``, ``keeps=C01``, ``keeps=C02``: a tag for
each promise, as Jupyter allows no commas in one. And ``with=Name``, if its client is to be judged
with a server class of an earlier cell, or its server with a client class.
``python -m chatrpc.lab.steps [NOTEBOOK…]`` puts them all to the promises that they name.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import sync
from .board import Report
from .cells import definitions, gathered, python
from .contract import judge_file
from .problem import LabProblem
from .promises import PROMISES
from .spare import SpareBroker

STEP = "step"
ABOUT = ("breaks", "keeps", "with")


@dataclass(frozen=True)
class Step:
    """One such cell: ``module`` is the text of its classes and all that they use."""

    where: str
    classes: tuple[str, ...]
    breaks: tuple[str, ...]
    keeps: tuple[str, ...]
    module: str

    def judged(self, *, url: str | None = None, spare: SpareBroker | None = None) -> Report:
        """Put its classes to the promises that it names, and to no other.

        Raises:
            LabProblem: they are no client and no server class, or cannot be run.
        """
        with tempfile.TemporaryDirectory(prefix="chatrpc-step-") as folder:
            path = Path(folder) / "step.py"
            path.write_text(self.module, encoding="utf-8")
            named = (*self.breaks, *self.keeps)
            return judge_file(path, self.classes, only=named, url=url, spare=spare)


def steps(path: Path) -> list[Step]:
    """Return the steps of a notebook.

    Raises:
        Drift: a step's tags say something that cannot be.
    """
    notebook = sync.read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        _step(path, number, code[: number + 1])
        for number, cell in enumerate(code)
        if STEP in cell.metadata.get("tags", [])
    ]


def wrong(step: Step, report: Report) -> list[str]:
    """Return a sentence for each promise that fares otherwise than the step says."""
    found = []
    for row in report.rows:
        expected = "broken" if row.promise.id in step.breaks else "kept"
        if row.result.value != expected:
            why = f": {row.reason}" if row.reason else ""
            says = "breaks" if expected == "broken" else "keeps"
            found.append(
                f"{step.where} {says} {row.promise.id}, it says, and it is {row.result.value}{why}"
            )
    return found


def _step(path: Path, number: int, code: Sequence[Any]) -> Step:
    where = f"{path.name}, code cell {number + 1}"
    tags = code[-1].metadata["tags"]
    told = {
        name: tuple(tag.partition("=")[2] for tag in tags if tag.startswith(f"{name}="))
        for name in ABOUT
    }
    for id in (*told["breaks"], *told["keeps"]):
        if id not in PROMISES:
            raise sync.Drift(f"{where} names a promise {id!r}; there are {', '.join(PROMISES)}")
        if PROMISES[id].lesson > path.name[:2]:
            raise sync.Drift(
                f"{where} names {id}, which is reached in lesson {PROMISES[id].lesson} only"
            )
    if not told["breaks"]:
        raise sync.Drift(f"{where} is a step that breaks nothing: say what, as in breaks=C05")
    if both := set(told["breaks"]) & set(told["keeps"]):
        raise sync.Drift(f"{where} both breaks and keeps {', '.join(sorted(both))}")
    texts = [python(cell.source) for cell in code]
    own = [n.name for n in ast.parse(texts[-1]).body if isinstance(n, ast.ClassDef)]
    if not own:
        raise sync.Drift(f"{where} is a step, and defines no class")
    known = definitions(texts)
    if missing := set(told["with"]) - known.keys():
        raise sync.Drift(f"{where} is to be judged with {missing.pop()}, which no cell defines")
    classes = (*own, *told["with"])
    parts = gathered(classes, known).values()
    module = "\n\n\n".join(["from __future__ import annotations", *parts])
    return Step(where, classes, told["breaks"], told["keeps"], f"{module}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program: 0 if every step is as it says, 1 if not."""
    from .. import broker

    parser = argparse.ArgumentParser(prog="python -m chatrpc.lab.steps", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="the notebooks; all without any")
    chosen = parser.parse_args(arguments)
    try:
        paths = chosen.notebooks or sync.lessons(sync.default_folder())
        found = [step for path in paths for step in steps(path)]
        url = broker.use(private=True)
        failed = False
        for step in found:
            report = step.judged(url=url)
            mistakes = wrong(step, report)
            failed |= bool(mistakes)
            sys.stdout.write(f"{step.where}: {'as it says' if not mistakes else 'OTHERWISE'}\n")
            sys.stdout.write(f"{report.text}\n\n")
            sys.stdout.writelines(f"{mistake}\n" for mistake in mistakes)
    except (sync.Drift, LabProblem, broker.BrokerProblem) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{len(found)} steps judged.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
