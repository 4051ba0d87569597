"""The process of a worker or a page, which ends with the kernel that started it.

``python -m chatrpc.lab.runner PROGRAM …`` runs a program as a script. Its standard input is a
pipe that the kernel holds open: when the kernel is gone, even by kill -9, the pipe ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable

GRACE = 3.0  # seconds for the work in hand when the kernel is gone


def watch(before: Callable[[], object] = lambda: None) -> None:
    """Wait for the end of the pipe, then leave: politely, and after the grace in any case.

    ``before`` is called when the kernel is gone, before anything else.
    """
    while os.read(0, 1024):
        pass
    before()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os._exit(1)


def main() -> None:
    """Run the program named on the command line."""
    threading.Thread(target=watch, name="kernel-watch", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
