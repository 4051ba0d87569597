"""Names and folders of a notebook's own, which go when the kernel goes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from chatrpc.machine.folder import state_folder
from chatrpc.topology import check_service, request_queue

_names: dict[str, str] = {}
_lock = threading.Lock()
_janitor: subprocess.Popen[str] | None = None


def service(label: str) -> str:
    """Return a service name that no other kernel uses; the same label gives the same name here.

    Its queues are deleted when the kernel has ended, however it ends.

    Raises:
        ValueError: the label is not made of letters, digits, dots, dashes and underscores.
    """
    check_service(label)
    with _lock:
        if label not in _names:
            _names[label] = f"{label}-{secrets.token_hex(4)}"
            _tell_janitor(service=_names[label], url=os.environ.get("CHATRPC_URL", ""))
        return _names[label]


def queue(label: str) -> str:
    """Return a queue's name that no other kernel uses, for those who declare their own.

    The same label gives the same name here; the queue is deleted when the kernel has ended.

    Raises:
        ValueError: the label is not made of letters, digits, dots, dashes and underscores.
    """
    return service(label)


def folder(kind: str) -> Path:
    """Make an empty folder, ``chatrpc-KIND-…``, which is deleted when the kernel has ended."""
    path = Path(tempfile.mkdtemp(prefix=f"chatrpc-{kind}-"))
    with _lock:
        _tell_janitor(folder=str(path))
    return path


def ledger(service: str) -> Path | None:
    """Return the file of the cups that a service of this kernel has poured, which goes with it.

    None for any other service, or where CHATRPC_LEDGER names one: then the workers know.
    """
    with _lock:
        own = service in _names.values()
    return _ledger(service) if own and not os.environ.get("CHATRPC_LEDGER") else None


def _ledger(service: str) -> Path:
    return state_folder() / "ledgers" / f"{service}.sqlite3"


def forget_ledger(service: str) -> None:
    """Delete a service's cups."""
    for end in ("", "-wal", "-shm"):
        path = _ledger(service)
        path.with_name(path.name + end).unlink(missing_ok=True)


def labels() -> dict[int | str, str]:
    """Return the label of each name that was given out here, and of its request queue."""
    with _lock:
        places = [
            (place, label)
            for label, name in _names.items()
            for place in (name, request_queue(name))
        ]
    return dict(places)


def plain(text: str) -> str:
    """Return a sentence with labels in the place of the names that were made of them here."""
    with _lock:
        for label, name in _names.items():
            text = text.replace(name, label)
    return text


def _tell_janitor(**what: str) -> None:
    global _janitor
    if _janitor is None or _janitor.poll() is not None:
        _janitor = subprocess.Popen(
            [sys.executable, "-m", "chatrpc.lab.janitor"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # the kernel's own interrupt must not reach it
        )
    # What is not written down costs an empty queue or a small folder, and no more.
    with contextlib.suppress(OSError):
        if _janitor.stdin is not None:
            _janitor.stdin.write(f"{json.dumps(what)}\n")
            _janitor.stdin.flush()
