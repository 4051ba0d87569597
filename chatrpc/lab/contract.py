"""The judge: puts a client class and a server class to the promises, and shows a board.

lab.judge(MyClient, MyServer, upto="06")      in a notebook
chatrpc judge my_chatrpc.py                   in a terminal
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any

from ..settings import Settings
from .problem import LabProblem
from .promises import PROMISES, Promise
from .trial import Broken, NotJudged, Trial, told, within

SCALE = 0.01
"""A judge's usual scale: the 50,000 calls of C03 are 500."""


class Result(Enum):
    """What became of a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"
    NOT_REACHED = "not reached"


SIGNS = {
    Result.KEPT: "✓",
    Result.BROKEN: "✗",
    Result.NOT_JUDGED: "-",
    Result.NOT_REACHED: "·",
}
COLOURS = {
    Result.KEPT: "#1a7f37",
    Result.BROKEN: "#cf222e",
    Result.NOT_JUDGED: "#6e7781",
    Result.NOT_REACHED: "#6e7781",
}


@dataclass(frozen=True)
class Row:
    """One promise's line on the board; ``reason`` is one sentence, ``seconds`` what it took."""

    promise: Promise
    result: Result
    reason: str = ""
    seconds: float = 0.0


class Report:
    """The board: one row a promise. As text it holds no times, so it can be compared."""

    def __init__(self, client: str, server: str, rows: Sequence[Row]) -> None:
        self.client = client
        self.server = server
        self.rows = list(rows)

    @property
    def broken(self) -> list[str]:
        """The ids of the promises that were not kept."""
        return [row.promise.id for row in self.rows if row.result is Result.BROKEN]

    @property
    def kept(self) -> list[str]:
        """The ids of the promises that were kept."""
        return [row.promise.id for row in self.rows if row.result is Result.KEPT]

    @property
    def verdict(self) -> str:
        """The board in one line."""
        reached = len(self.kept) + len(self.broken)
        return f"{self.client} and {self.server}: {len(self.kept)} of {reached} promises kept"

    @property
    def text(self) -> str:
        """The board for a terminal and for a comparison."""
        lines = [self.verdict]
        for row in self.rows:
            named = f"{SIGNS[row.result]} {row.promise.id} {row.result.value:<11}"
            if row.result is Result.NOT_REACHED:
                lines.append(f"{named} lesson {row.promise.lesson}")
                continue
            lines.append(f"{named} {row.promise.sentence}")
            if row.reason:
                lines.append(f"      why:  {row.reason}")
            if row.result is Result.BROKEN:
                lines.append(f"      hint: {row.promise.hint}")
        return "\n".join(lines)

    @property
    def html(self) -> str:
        """The board for a cell: sign, word and colour; the hint opens on a click."""
        body = "".join(self._html_row(row) for row in self.rows)
        return (
            '<table style="border-collapse:collapse;text-align:left">'
            f'<caption style="text-align:left;font-weight:600;padding:4px 0">'
            f"{escape(self.verdict)}</caption>{body}</table>"
        )

    def _html_row(self, row: Row) -> str:
        cell = 'style="text-align:left;vertical-align:top;padding:3px 12px 3px 0"'
        more = escape(row.promise.sentence)
        if row.result is Result.NOT_REACHED:
            more = f"lesson {escape(row.promise.lesson)}"
        if row.reason:
            more += f"<br><b>{escape(row.reason)}</b>"
        if row.result is Result.BROKEN:
            more += f"<details><summary>hint</summary>{escape(row.promise.hint)}</details>"
        return (
            f"<tr><th {cell}>{escape(row.promise.id)}</th>"
            f'<td {cell}><span style="color:{COLOURS[row.result]};font-weight:600;'
            f'white-space:nowrap">{SIGNS[row.result]} {row.result.value}</span></td>'
            f"<td {cell}>{more}</td></tr>"
        )

    def __repr__(self) -> str:
        """Return the board as text."""
        return self.text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}


def judge(
    client: type | None = None,
    server: type | None = None,
    *,
    upto: str | int | None = None,
    only: str | Iterable[str] | None = None,
    scale: float = SCALE,
    url: str | None = None,
) -> Report:
    """Put the classes to the promises, on the real broker; chatrpc's own stand in for one left out.

    ``upto`` is a lesson ("06" or 6): later promises are not reached. ``only`` names promises
    ("C01", or several). ``scale`` is how much of the long tests is done, 1 being all.

    Raises:
        LabProblem: what was given is no client or server class, no lesson or no promise.
    """
    from chatrpc import RpcClient, RpcServer

    client, server = client or RpcClient, server or RpcServer
    _check_client(client)
    _check_server(server)
    wanted, lesson = _wanted(only), _lesson(upto)
    if not 0 < scale <= 10:
        raise LabProblem("The scale is a number over 0, and 1 for all that the promises say.")
    at = url or Settings.from_env().url
    rows = []
    with _at(at):
        for promise in PROMISES.values():
            if promise.id not in wanted:
                continue
            if promise.lesson > lesson:
                rows.append(Row(promise, Result.NOT_REACHED))
            else:
                rows.append(judge_one(promise, client, server, url=at, scale=scale))
    return Report(client.__name__, server.__name__, rows)


def judge_one(promise: Promise, client: type, server: type, *, url: str, scale: float) -> Row:
    """Put the classes to one promise; it takes bounded time, whatever they do."""
    start = time.monotonic()
    trial = Trial(client, server, url=url, scale=scale)
    limit = promise.seconds * (1 if scale <= SCALE else scale / SCALE)
    result, reason = Result.KEPT, ""
    try:
        within(limit, "the test", lambda: promise.test(trial))
    except Broken as problem:
        result, reason = Result.BROKEN, str(problem)
    except NotJudged as problem:
        result, reason = Result.NOT_JUDGED, str(problem)
    except LabProblem:
        raise
    except Exception as problem:  # noqa: BLE001 - whatever a judged class raises is its result
        result, reason = Result.BROKEN, f"it raised {told(problem)}"
    finally:
        trial.clear()
    return Row(promise, result, reason, time.monotonic() - start)


def _check_client(cls: object) -> None:
    if not (isinstance(cls, type) and (hasattr(cls, "call") or hasattr(cls, "submit"))):
        raise LabProblem(f"{_name(cls)} is no client class: it needs a method call or submit.")


def _check_server(cls: object) -> None:
    missing = [n for n in ("method", "start", "close") if not hasattr(cls, n)]
    if not isinstance(cls, type) or missing:
        needs = " and ".join(missing) or "to be a class"
        raise LabProblem(f"{_name(cls)} is no server class: it needs {needs}.")


def _name(thing: object) -> str:
    return thing.__name__ if isinstance(thing, type) else repr(thing)[:60]


def _wanted(only: str | Iterable[str] | None) -> set[str]:
    if only is None:
        return set(PROMISES)
    names = only.replace(",", " ").split() if isinstance(only, str) else list(only)
    for name in names:
        if name not in PROMISES:
            raise LabProblem(f"There is no promise {name!r} here: there are {', '.join(PROMISES)}.")
    return set(names)


def _lesson(upto: str | int | None) -> str:
    text = "99" if upto is None else str(upto)[:2].zfill(2)
    if not text.isdecimal():
        raise LabProblem(f"{upto!r} is no lesson: say '06' or 6.")
    return text


@contextlib.contextmanager
def _at(url: str) -> Any:
    """Classes that take no address find it where the settings look; faults are no news here."""
    before = os.environ.get("CHATRPC_URL")
    log = logging.getLogger("chatrpc")
    level = log.level
    os.environ["CHATRPC_URL"] = url
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        if before is None:
            del os.environ["CHATRPC_URL"]
        else:
            os.environ["CHATRPC_URL"] = before


# chatrpc judge FILE[:names]


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the classes of a file: 0 if every promise is kept, 1 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="chatrpc judge",
        description="Put a client class and a server class to chatrpc's promises.",
    )
    parser.add_argument("file", metavar="FILE[:CLIENT[,SERVER]]", help="a Python file")
    parser.add_argument("--upto", metavar="LESSON", help="judge only what this lesson has reached")
    parser.add_argument("--only", metavar="IDS", help="judge only these promises: C01,C05")
    parser.add_argument("--scale", type=float, default=SCALE, help="1 is all that they say")
    options = parser.parse_args(argv)
    from .. import broker

    try:
        client, server = load(options.file)
        url = broker.use(private=True)
        report = judge(
            client, server, upto=options.upto, only=options.only, scale=options.scale, url=url
        )
    except (LabProblem, broker.BrokerProblem) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    sys.stdout.write(f"{report.text}\n")
    return 1 if report.broken else 0


def load(where: str) -> tuple[type | None, type | None]:
    """Find the client and the server class in a file: ``FILE`` or ``FILE:CLIENT,SERVER``.

    Raises:
        LabProblem: the file cannot be run, or has no such class.
    """
    file, _, names = where.partition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise LabProblem(f"There is no file {file}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise LabProblem(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - whatever a student's file raises
        raise LabProblem(f"{file} cannot be run: {told(error)}") from None
    found = [
        cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == path.stem
    ]
    if names:
        by_name = {cls.__name__: cls for cls in found}
        wanted = [name.strip() for name in names.split(",")]
        for name in wanted:
            if name not in by_name:
                raise LabProblem(f"{file} has no class {name!r}.")
        found = [by_name[name] for name in wanted]
    clients = [c for c in found if hasattr(c, "call") or hasattr(c, "submit")]
    servers = [c for c in found if hasattr(c, "method") and hasattr(c, "start")]
    if not clients and not servers:
        raise LabProblem(
            f"{file} has no class with call or submit, and none with method and start."
        )
    for kind, several in (("client", clients), ("server", servers)):
        if len(several) > 1:
            names = ", ".join(c.__name__ for c in several)
            raise LabProblem(
                f"{file} has several {kind} classes: say which, {file}:NAME ({names})."
            )
    return next(iter(clients), None), next(iter(servers), None)
