"""Keep the notebooks and the package one: ``python -m chatrpc.lab.sync``.

A cell tagged ``ships:chatrpc.pending.PendingCalls`` shows a class in its shipping form, one
with several such tags several classes, in the tags' order. The package is the source: this
program rewrites such cells from it (with ``--check`` it only compares, by AST, and says what has
drifted), and with ``--run`` it runs the notebooks on real kernels and stores their outputs in the
clean form in which they are committed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .cells import same
from .source import module_source

SHIPS = "ships:"
CELL_SECONDS = 60
WIDGETS = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

# Which lesson ends which module, or which class where a module ends in two lessons.
TAUGHT = {
    "chatrpc.pending": "03",
    "chatrpc.messages": "04",
    "chatrpc.errors": "05",
    "chatrpc.deadline": "05",
    "chatrpc.answers": "06",
    "chatrpc.topology": "08",
    "chatrpc.methods": "08",
    "chatrpc.confirms": "09",
    "chatrpc.backoff": "09",
    "chatrpc.agenda": "09",
    "chatrpc.crew": "09",
    "chatrpc.calls": "09",
    "chatrpc.outbox": "09",
    "chatrpc.replies": "09",
    "chatrpc.caution": "09",
    "chatrpc.link": "09",
    "chatrpc.client": "09",
    "chatrpc.server": "09",
}


class Drift(Exception):
    """A notebook and the package do not agree; the text says where and what to do."""


def default_folder() -> Path:
    """Return the clone's folder of notebooks."""
    return Path(__file__).resolve().parents[2] / "notebooks"


def lessons(folder: Path) -> list[Path]:
    """Return the folder's notebooks, in order."""
    return sorted(folder.glob("*.ipynb"))


def read(path: Path) -> Any:
    """Return a notebook.

    Raises:
        Drift: it cannot be read.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - nbformat lets through whatever it meets
        raise Drift(f"{path.name} is no readable notebook: {error}") from None


def sources(path: Path) -> Any:
    """Return a notebook of which each cell has its type and its source alone: that is quick.

    Raises:
        Drift: it cannot be read.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return SimpleNamespace(
            cells=[
                SimpleNamespace(cell_type=cell["cell_type"], source="".join(cell["source"]))
                for cell in cells
            ]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Drift(f"{path.name} is no readable notebook: {error}") from None


def write(notebook: Any, path: Path) -> None:
    """Store a notebook."""
    import nbformat

    nbformat.validate(notebook)
    text = nbformat.writes(notebook, version=4)  # type: ignore[no-untyped-call]
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def shipped(dotted: str) -> str:
    """Return a class's source from the package, by its name like chatrpc.pending.PendingCalls.

    Raises:
        Drift: there is no such module or class.
    """
    module, _, name = dotted.rpartition(".")
    source = module_source(module)
    if source is None:
        raise Drift(f"the package has no module {module!r}")
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(source.splitlines()[start - 1 : node.end_lineno])
    raise Drift(f"{module} has no class {name!r}")


def classes(module: str) -> list[str]:
    """Return the names of a module's classes, or nothing if there is no such module."""
    source = module_source(module)
    return [n.name for n in ast.parse(source or "").body if isinstance(n, ast.ClassDef)]


def drifts(folder: Path, *, taught: dict[str, str] | None = None) -> list[str]:
    """Return a sentence for each cell that differs and each taught class that is not shown once.

    Only lessons that exist are asked for their classes.
    """
    found: list[str] = []
    shown: dict[str, list[str]] = {}
    numbers = set()
    for path in lessons(folder):
        numbers.add(path.name[:2])
        for cell, names in _shipping(read(path)):
            for dotted in names:
                shown.setdefault(dotted, []).append(path.name)
            try:
                drifted = not same(cell.source, _shipped(names))
            except Drift as problem:
                found.append(f"{path.name}: {problem}")
                continue
            if drifted:
                found.append(
                    f"{path.name}: its cell of {', '.join(names)} differs from the package"
                )
    for dotted, lesson in wanted(TAUGHT if taught is None else taught).items():
        where = shown.get(dotted, [])
        if lesson in numbers and len(where) != 1:
            found.append(
                f"lesson {lesson} ends {dotted}: exactly one cell tagged {SHIPS}{dotted} "
                f"is wanted, there are {len(where)}"
            )
        elif where and not where[0].startswith(lesson):
            found.append(f"{dotted} belongs to lesson {lesson}, and is shown in {where[0]}")
    return found


def wanted(taught: dict[str, str]) -> dict[str, str]:
    """Return each taught class, dotted, with its lesson."""
    whole: dict[str, str] = {}
    for name, lesson in taught.items():
        for cls in classes(name):
            whole[f"{name}.{cls}"] = lesson
    for name, lesson in taught.items():
        module, _, cls = name.rpartition(".")
        if cls in classes(module):
            whole[name] = lesson
    return whole


def rewrite(path: Path) -> list[str]:
    """Rewrite a notebook's shipping cells from the package; return the names of those changed.

    Raises:
        Drift: a cell's tag names nothing in the package.
    """
    notebook = read(path)
    changed = []
    for cell, names in _shipping(notebook):
        source = _shipped(names)
        if not same(cell.source, source):
            cell.source = source
            cell.outputs, cell.execution_count = [], None
            changed += names
    if changed:
        write(notebook, path)
    return changed


def run(path: Path) -> Any:
    """Run a notebook on a fresh kernel and return it, cleaned.

    Raises:
        Drift: as ``execute``.
    """
    notebook = read(path)
    execute(notebook, path)
    clean(notebook)
    return notebook


def execute(notebook: Any, path: Path) -> None:
    """Run a notebook that lies, or might lie, at this path on a fresh kernel, in its folder.

    Raises:
        Drift: a cell raised that is not tagged ``raises-exception``, or took over 60 seconds.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="chatrpc-lesson-") as elsewhere:
            # What the lesson saves must not replace what a student has saved beside it.
            mine = {"CHATRPC_MODULE": str(Path(elsewhere) / "my_chatrpc.py")}
            client.execute(env=os.environ | mine)
    except CellExecutionError as error:
        raise Drift(f"{path.name}: a cell failed with {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise Drift(f"{path.name}: a cell took over {CELL_SECONDS} seconds") from None
    except DeadKernelError:
        raise Drift(f"{path.name}: the kernel died") from None


def clean(notebook: Any) -> None:
    """Take away what differs from run to run or between machines, and what needs a kernel."""
    notebook.metadata = {"kernelspec": KERNEL}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}
            if "data" in output:
                output.data.pop(WIDGETS, None)


def _shipped(names: Sequence[str]) -> str:
    """Return the classes of a cell, in the order of its tags."""
    return "\n\n\n".join(map(shipped, names))


def _shipping(notebook: Any) -> Iterator[tuple[Any, list[str]]]:
    """Return each cell that shows classes in their shipping form, and their names."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        names = [tag.removeprefix(SHIPS) for tag in tags if tag.startswith(SHIPS)]
        if cell.cell_type == "code" and names:
            yield cell, names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m chatrpc.lab.sync", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="the notebooks; all without any")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="compare only; exit 1 on a drift")
    how.add_argument("--run", action="store_true", help="rewrite, run, and store clean outputs")
    chosen = parser.parse_args(arguments)
    missing = [str(path) for path in chosen.notebooks if not path.is_file()]
    if missing:
        parser.error(f"no such notebook: {', '.join(missing)}")
    paths = chosen.notebooks or lessons(default_folder())
    try:
        if chosen.check:
            folders = dict.fromkeys(path.resolve().parent for path in paths)
            found = [drift for folder in folders for drift in drifts(folder)]
            _tell(*found, *(["Rewrite the cells: python -m chatrpc.lab.sync"] if found else []))
            return 1 if found else 0
        for path in paths:
            changed = rewrite(path)
            _tell(f"{path.name}: {', '.join(changed) if changed else 'nothing to rewrite'}")
            if chosen.run:
                write(run(path), path)
                _tell(f"{path.name}: run, outputs stored")
    except Drift as problem:
        _tell(str(problem), to=sys.stderr)
        return 1
    return 0


def _tell(*lines: str, to: Any = None) -> None:
    stream = to or sys.stdout
    stream.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
