"""The judge: puts a client class and a server class to the promises, and shows a board.

lab.judge(MyClient, MyServer, upto="06")      in a notebook
chatrpc judge my_chatrpc.py                   in a terminal

The classes run in a process of their own (courtroom.py), so one that hangs, prints or exits
disturbs nobody. What kills a broker is done to a broker of the judge's own (spare.py).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..settings import Settings
from .board import Report, Result, Row
from .boardcard import LiveBoard
from .carry import carry
from .cell import is_live
from .courtroom import Courtroom, Ended, StoodStill
from .ears import HEARD, Ears
from .firehose import connect
from .hearing import is_client, is_server
from .problem import LabProblem
from .promises import PROMISES, Promise
from .spare import SpareBroker, lent
from .trial import NO_SPARE, sweep

SCALE = 0.01
"""A judge's usual scale: the 50,000 calls of C03 are 500."""

CLEARING = 4.0
"""Seconds that a process gets after a promise's time to close what it opened."""

LOADING = 10.0
"""Seconds that a file may take to be run."""

Tell = Callable[[Row], None]


def judge(
    client: type | None = None,
    server: type | None = None,
    *,
    upto: str | int | None = None,
    only: str | Iterable[str] | None = None,
    scale: float = SCALE,
    seed: int = 0,
    url: str | None = None,
    spare: SpareBroker | None = None,
    trace: bool = True,
    show: bool = True,
) -> Report:
    """Put the classes to the promises, on the real broker; chatrpc's own stand in for one left out.

    In a notebook the board is shown in the cell, verdict by verdict, if ``show``. It can be
    stopped there.

    ``upto`` is a lesson ("06" or 6): later promises are not reached. ``only`` names promises
    ("C01", or several). ``scale`` is how much of the long tests is done, 1 being all; ``seed``
    decides what they leave to chance. ``spare`` is a broker that may be killed, where several
    boards share one. ``trace`` keeps the ladder of each promise that is broken; not ``show``
    leaves the cell to who asked.

    Raises:
        LabProblem: what was given is no client or server class, no lesson or no promise, or
        no broker answers.
    """
    from chatrpc import RpcClient, RpcServer

    client, server = client or RpcClient, server or RpcServer
    _check(client, server)
    terms = _terms(upto=upto, only=only, scale=scale, seed=seed)
    with _room(url) as (room, folder):
        pair = carry(client, folder), carry(server, folder)
        if not show:
            return _board(room, pair, terms, spare=spare, trace=trace)
        live = LiveBoard(_names(pair), _own(pair))
        live.begin(terms.promises, [one for one in terms.promises if terms.reached(one)])
        report = _board(room, pair, terms, spare=spare, tell=live.tell, trace=trace)
        live.end(report)
    return report


def judge_file(
    path: Path,
    names: Sequence[str] = (),
    *,
    upto: str | int | None = None,
    only: str | Iterable[str] | None = None,
    scale: float = SCALE,
    seed: int = 0,
    url: str | None = None,
    spare: SpareBroker | None = None,
    tell: Tell = lambda row: None,
    trace: bool = True,
) -> Report:
    """Put the classes of a file to the promises; ``names`` says which, where it has several.

    Raises:
        LabProblem: as ``judge``, and: the file cannot be run, or has no such class.
    """
    terms = _terms(upto=upto, only=only, scale=scale, seed=seed)
    with _room(url, str(path.parent)) as (room, folder):
        pair = load(room, folder, path, names)
        return _board(room, pair, terms, spare=spare, tell=tell, trace=trace)


@dataclass(frozen=True)
class _Terms:
    """What is asked: which promises, up to which lesson, how much, by which chance."""

    promises: list[Promise]
    lesson: str
    scale: float
    seed: int

    def reached(self, promise: Promise) -> bool:
        return promise.lesson <= self.lesson


def _terms(
    *, upto: str | int | None, only: str | Iterable[str] | None, scale: float, seed: int
) -> _Terms:
    if not 0 < scale <= 10:
        raise LabProblem("The scale is a number over 0, and 1 for all that the promises say.")
    wanted = _wanted(only)
    promises = [promise for promise in PROMISES.values() if promise.id in wanted]
    return _Terms(promises, _lesson(upto), scale, seed)


def _check(client: object, server: object) -> None:
    if not is_client(client):
        raise LabProblem(f"{_name(client)} is no client class: it needs a method call or submit.")
    if not is_server(server):
        missing = [n for n in ("method", "start", "close") if not hasattr(server, n)]
        needs = " and ".join(missing) or "to be a class"
        raise LabProblem(f"{_name(server)} is no server class: it needs {needs}.")


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
def _room(url: str | None, *more: str) -> Iterator[tuple[Courtroom, Path]]:
    """A process for judged classes, and a folder on its path; ``more`` comes last on that."""
    at = url or Settings.from_env().url
    connect(at).close()
    with tempfile.TemporaryDirectory(prefix="chatrpc-judge-") as folder:
        path = [folder, *(os.path.abspath(place) for place in sys.path), *more]
        with Courtroom(at, path=path, folder=folder) as room:
            yield room, Path(folder)


Pair = tuple[tuple[str, str], tuple[str, str]]


def _board(
    room: Courtroom,
    pair: Pair,
    terms: _Terms,
    *,
    spare: SpareBroker | None = None,
    tell: Tell = lambda row: None,
    trace: bool = False,
) -> Report:
    """Put a pair of classes to each promise, in lanes beside each other: a test mostly waits.

    What kills a broker of its own has a lane of its own. A class that has hung in a promise gets
    little time in the lane's next. Which lane a promise is in does not depend on how quick the
    others are, so that the same classes have the same board each time.
    """
    rows = {p.id: Row(p, Result.NOT_REACHED) for p in terms.promises if not terms.reached(p)}
    asked = [promise for promise in terms.promises if terms.reached(promise)]
    apart = [promise for promise in asked if promise.spare]
    others = [promise for promise in asked if not promise.spare]
    telling, over = threading.Lock(), threading.Event()

    def put(room: Courtroom, promises: Sequence[Promise], ears: Ears) -> None:
        hung = False
        for promise in promises:
            if over.is_set():
                return
            with telling:
                tell(Row(promise, Result.ON_TRIAL))
            row, hung = _judged(room, pair, promise, terms, spare, ears, hung)
            with telling:
                rows[promise.id] = row
                tell(row)

    with contextlib.ExitStack() as stack:
        if spare is None and apart:
            spare = stack.enter_context(lent())
        at = room.url if trace and terms.scale <= HEARD else None
        lanes = [(lane, url) for lane, url in ((others[1::2], at), (apart, None)) if lane]
        ears = stack.enter_context(Ears(at))
        beside = stack.enter_context(ThreadPoolExecutor(2))
        putting = [
            beside.submit(
                put,
                stack.enter_context(Courtroom(room.url, path=room.path, folder=room.folder)),
                promises,
                stack.enter_context(Ears(url)),
            )
            for promises, url in lanes
        ]
        stack.callback(over.set)
        try:
            put(room, others[::2], ears)
            for one in putting:
                one.result()
        except KeyboardInterrupt:
            if not is_live():
                raise
            done = dict(rows)
            rows = {p.id: Row(p, Result.NOT_JUDGED, "it was stopped") for p in asked} | done
    return Report(*_names(pair), [rows[p.id] for p in terms.promises], own=_own(pair))


def _names(pair: Pair) -> tuple[str, str]:
    return pair[0][1], pair[1][1]


def _own(pair: Pair) -> tuple[bool, bool]:
    """Whether client and server are not chatrpc's own, which stand in for one left out."""
    client, server = (module.partition(".")[0] != "chatrpc" for module, _ in pair)
    return client, server


def _judged(
    room: Courtroom,
    pair: Pair,
    promise: Promise,
    terms: _Terms,
    spare: SpareBroker | None,
    ears: Ears,
    hung: bool,
) -> tuple[Row, bool]:
    """Put a pair of classes to one promise, and say whether they hung in it.

    It takes bounded time, whatever they do, and less if they have ``hung`` in the one before.
    """
    service = f"judge-{secrets.token_hex(6)}"
    seconds = promise.seconds * max(1.0, terms.scale / SCALE if promise.scales else 1.0)
    job = {
        "do": "try",
        "promise": promise.id,
        "client": pair[0],
        "server": pair[1],
        "service": service,
        "url": room.url,
        "seconds": seconds,
        "scale": terms.scale,
        "seed": terms.seed,
        "spare": _spare(promise, spare),
        "hung": hung,
    }
    ears.begin(service)
    start = time.monotonic()
    try:
        told = room.ask(job, LOADING + seconds + CLEARING, hung=hung)
    except Ended as end:
        told = {"result": "broken", "reason": str(end), "hung": isinstance(end, StoodStill)}
        told["took"] = time.monotonic() - start
    if "problem" in told:
        raise LabProblem(f"These classes cannot be judged: {told['problem']}.")
    result, ladder = Result(told["result"]), None
    if result is not Result.KEPT or told["hung"]:
        room.close()  # who knows what still runs there
        ladder = ears.ladder() if result is Result.BROKEN else None
        sweep(room.url, [service, *(f"{service}-{n}" for n in range(1, 10))])
    reason = re.sub(rf"{service}(-\d+)?", "judged", told["reason"])
    return Row(promise, result, reason, told["took"], ladder), told["hung"]


def _spare(promise: Promise, spare: SpareBroker | None) -> dict[str, str] | str:
    """What a promise is told of the broker that it may kill, or why there is none."""
    if not promise.spare or spare is None:
        return NO_SPARE
    try:
        return asdict(spare.ready())
    except LabProblem as problem:
        return str(problem)


# chatrpc judge FILE[:names]


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the classes of a file: 0 if every promise is kept, 1 if not, 2 for bad input."""
    from .. import broker

    options = _parser().parse_args(argv)
    try:
        asked = {name: getattr(options, name) for name in ("upto", "only", "scale", "seed")}
        _terms(**asked)
        out = _writable(options.out)
        path, names = _parted(options.file)
        report = judge_file(path, names, **asked, url=broker.use(private=True), tell=_progress)
    except (LabProblem, broker.BrokerProblem) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    sys.stdout.write(f"{report.told(options.hints)}\n")
    if out is not None:
        out.write_text(json.dumps(_marks(report, path, asked), indent=1, ensure_ascii=False) + "\n")
    return 1 if report.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatrpc judge",
        description="Put a client class and a server class to chatrpc's promises.",
    )
    parser.add_argument("file", metavar="FILE[:CLIENT[,SERVER]]", help="a Python file")
    parser.add_argument("--upto", metavar="LESSON", help="judge only what this lesson has reached")
    parser.add_argument("--only", metavar="IDS", help="judge only these promises: C01,C05")
    parser.add_argument("--scale", type=float, default=SCALE, help="1 is all that they say")
    parser.add_argument("--seed", type=int, default=0, help="decides what is left to chance (0)")
    parser.add_argument("--hints", type=int, default=1, help="how many, from slight to plain (1)")
    parser.add_argument("--out", metavar="FILE", help="write the result there, as JSON")
    return parser


def _progress(row: Row) -> None:
    """Show a person at a terminal that it goes on."""
    if row.result is not Result.ON_TRIAL and sys.stderr.isatty():
        sys.stderr.write(f"{row.promise.id} {row.result.value}\n")


def _writable(name: str | None) -> Path | None:
    if name is None:
        return None
    try:
        with open(name, "a"):
            return Path(name)
    except OSError as error:
        raise LabProblem(f"The result cannot be written to {name}: {error.strerror}.") from None


def _marks(report: Report, path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What a teacher marks from: the board, and what it was made of."""
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "judged": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **asked,
        **report.marks,
    }


def _parted(where: str) -> tuple[Path, list[str]]:
    """Part ``FILE:CLIENT,SERVER`` into the file and the names."""
    file, _, names = where.partition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise LabProblem(f"There is no file {file}.")
    return path, [name.strip() for name in names.split(",") if name.strip()]


def load(room: Courtroom, folder: Path, path: Path, names: Sequence[str]) -> Pair:
    """Find the client and the server class in a file; chatrpc's own stand in for a missing one.

    The file is copied under a name that no module of Python's has, and runs in the room alone.

    Raises:
        LabProblem: the file cannot be run, or has no such class.
    """
    module = "judged_" + re.sub(r"\W", "_", path.stem)
    (folder / f"{module}.py").write_bytes(path.read_bytes())
    try:
        told = room.ask({"do": "classes", "module": module}, LOADING)
    except Ended as end:
        raise LabProblem(f"{path.name} cannot be judged: {end}.") from None
    if "problem" in told:
        raise LabProblem(f"{path.name} cannot be judged: {told['problem']}.")
    found: list[dict[str, Any]] = told["classes"]
    if names:
        by_name = {cls["name"]: cls for cls in found}
        for name in names:
            if name not in by_name:
                raise LabProblem(f"{path.name} has no class {name!r}.")
        found = [by_name[name] for name in names]
    if not any(cls["client"] or cls["server"] for cls in found):
        raise LabProblem(
            f"{path.name} has no class with call or submit, and none with method, start and close."
        )
    client, server = (
        _chosen(path, kind, [cls["name"] for cls in found if cls["own"] and cls[kind]])
        for kind in ("client", "server")
    )
    return (
        (module, client) if client else ("chatrpc", "RpcClient"),
        (module, server) if server else ("chatrpc", "RpcServer"),
    )


def _chosen(path: Path, kind: str, names: Sequence[str]) -> str:
    """Return the class to judge of those of a kind: the only one, or that of the usual name."""
    usual = f"Rpc{kind.title()}"
    if len(names) > 1 and usual not in names:
        raise LabProblem(
            f"{path.name} has several {kind} classes: say which, "
            f"{path.name}:NAME ({', '.join(names)})."
        )
    return usual if usual in names else "".join(names)
