"""The kit's state folder: where it is, files written whole, and one program at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .problem import BrokerProblem


def clone() -> Path | None:
    """The clone that this package is run from; None if it is installed elsewhere."""
    folder = Path(__file__).resolve().parent.parent.parent
    return folder if (folder / "pyproject.toml").is_file() else None


def state_folder() -> Path:
    """Where the kit keeps its node, its logs and what it started; it may not exist yet.

    ``CHATRPC_HOME`` if set; else ``.chatrpc`` in the clone; else the user's state folder.
    """
    if home := os.environ.get("CHATRPC_HOME"):
        return Path(home).expanduser().absolute()
    if (here := clone()) is not None:
        return here / ".chatrpc"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "chatrpc"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into that folder into a BrokerProblem."""
    try:
        yield
    except OSError as error:
        what = "is full" if error.errno == errno.ENOSPC else "cannot be written"
        raise BrokerProblem(
            f"The folder {folder} {what}: {error.strerror}.",
            "Let CHATRPC_HOME name a folder that can be written.",
        ) from None


def made(folder: Path) -> Path:
    """The folder, made if need be, for this user alone. Raises BrokerProblem."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def plain(folder: Path) -> Path:
    """The folder by a name without spaces and accents: its own, or a link's in the temp folder.

    RabbitMQ itself takes any name, but the `df` and `sh` that it starts do not. Raises
    BrokerProblem.
    """
    if re.fullmatch(r"[\w./+-]+", str(folder), re.ASCII):
        return folder
    link = _link(folder, os.getuid())
    with writing(link.parent):
        try:
            link.symlink_to(folder)
        except FileExistsError:
            if os.readlink(link) != str(folder) or link.lstat().st_uid != os.getuid():
                raise BrokerProblem(f"{link} is somebody else's.", f"Remove {link}.") from None
    return link


def forget_plain(folder: Path) -> None:
    """Remove the links that ``plain`` made, ours and, where root stops it, the owner's."""
    with suppress(OSError):
        for user in {os.getuid(), folder.stat().st_uid}:
            if (link := _link(folder, user)).is_symlink() and os.readlink(link) == str(folder):
                link.unlink()


def _link(folder: Path, user: int) -> Path:
    # A name of its own for each user: in the temp folder nobody may follow another's link.
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"chatrpc-{user}-{digest}"


@contextmanager
def alone(folder: Path, timeout: float, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the folder's lock, which ends with its holder; ``waits`` is called once if it is taken.

    Raises BrokerProblem after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while (lock := _lock(folder)) is None:
        if time.monotonic() > deadline:
            raise BrokerProblem(
                f"Another program has been busy in {folder} for {timeout:g} s.",
                "See what it does, or end everything: chatrpc stop.",
            )
        waits()
        waits = _nothing
        time.sleep(0.05)
    with lock:
        yield


def _nothing() -> None:
    pass


def _lock(folder: Path) -> IO[bytes] | None:
    """The folder's lock, held until it is closed; None if somebody else holds it."""
    made(folder)
    with writing(folder):
        lock = (folder / "lock").open("wb")
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before us may have removed the whole folder.
        if os.fstat(lock.fileno()).st_nlink:
            return lock
    lock.close()
    return None


def save(path: Path, facts: Mapping[str, object]) -> None:
    """Write facts as JSON, so that a reader sees the old file or the new one, never a half."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with writing(path.parent):
        draft.write_text(json.dumps(facts))
        draft.replace(path)


def load(path: Path) -> dict[str, object]:
    """The facts in a file written by ``save``; none if there is no such file, or a broken one."""
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def last_line(text: str | Path) -> str:
    """The last line with something in it, of a text or a file."""
    if isinstance(text, Path):
        text = text.read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
