"""Processes that outlive the program that started them: started, recognised again, ended.

A pid alone proves nothing: after a crash or a power cut it may belong to a stranger. So a
process is remembered as its pid together with the moment of its birth, and is ended only
while both still fit.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from . import folder

_ARENA_MAX = -8  # as malloc.h has it

_children: list[subprocess.Popen[bytes]] = []


def birth(pid: int) -> str | None:
    """When process ``pid`` was born, as an opaque text; None if it is gone or only a zombie."""
    for child in _children:
        if child.poll() is not None and child.pid == pid:
            return None
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _birth_by_ps(pid)
    state, *rest = text[text.rindex(")") + 1 :].split()
    threads, born = int(rest[16]), rest[18]
    # A leader can be a zombie while its other threads still hold files and ports.
    return None if state in "ZX" and threads <= 1 else f"{_boot_id()}/{born}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _birth_by_ps(pid: int) -> str | None:
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(shown) < 2 or "Z" in shown[0] else shown[1].strip()


@dataclass(frozen=True)
class Process:
    """A process group's leader, by pid and birth."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return birth(self.pid) == self.born

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        end = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        return True

    def pause(self) -> None:
        """Hold it where it is, by SIGSTOP: its connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, if it was paused."""
        self._signal(signal.SIGCONT)

    def end(self, grace: float = 5.0) -> None:
        """End it: SIGTERM, and ``kill`` if it still runs after ``grace`` seconds.

        Raises PermissionError if it belongs to another user.
        """
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # who is paused hears nothing
        if not self.wait(grace):
            self.kill()

    def kill(self) -> None:
        """End it, its group and its descendants at once, by SIGKILL."""
        if self.alive:
            self.pause()  # it must not start one more while we look
            doomed = _descendants(self.pid)
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, signal.SIGKILL)
                else:
                    os.kill(self.pid, signal.SIGKILL)
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait(5.0)

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _descendants(pid: int) -> list[int]:
    """The processes that it has started, and those that they have."""
    parents = _parents()
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


def _parents() -> dict[int, int]:
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False
        ).stdout
        return {int(pid): int(parent) for pid, parent in map(str.split, shown.splitlines())}
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text(errors="replace")
            parents[int(stat.parent.name)] = int(text[text.rindex(")") + 1 :].split()[1])
    return parents


def this_process() -> Process:
    """The process that runs this."""
    return Process(os.getpid(), birth(os.getpid()) or "")


def one_heap() -> None:
    """Have all threads that this process will start share one heap, where the C library is GNU's.

    It gives each thread one (mallopt(3), M_ARENA_MAX), which Python's threads do not need: they
    take turns anyway. What a worker remembers lies scattered in all of them, so that none can be
    given back: of 16 threads the heaps had 26 MB for nothing after 500,000 calls, one has 2.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def launch(
    argv: Sequence[str | Path],
    *,
    output: Path | None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a process in a session of its own, which no Ctrl-C of ours reaches.

    What it writes goes to the file ``output``, or with None where our own output goes.
    Raises OSError if it cannot be started.
    """
    with nullcontext() if output is None else output.open("wb") as out:
        child = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=None if out is None else subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    _children.append(child)
    return Process(child.pid, birth(child.pid) or "")


def exit_code(process: Process) -> int | None:
    """How a process that ``launch`` started here ended; None if it runs, or is not ours."""
    return next((child.poll() for child in _children if child.pid == process.pid), None)


def remember(path: Path, process: Process, **more: object) -> None:
    """Keep a process in a file, with what else is worth knowing about it."""
    folder.save(path, asdict(process) | more)


def recall(path: Path) -> Process | None:
    """The process kept in a file, if it still runs."""
    match folder.load(path):
        case {"pid": int(pid), "born": str(born)} if pid > 0 and born:
            process = Process(pid, born)
            return process if process.alive else None
    return None
