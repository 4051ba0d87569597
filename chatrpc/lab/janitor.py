"""Deletes a kernel's queues and folders when it is gone: ``python -m chatrpc.lab.janitor``.

Each line of the standard input names, in JSON, a service and the broker that has it, or a
folder. The input is a pipe that the kernel holds open, so its end is the kernel's end, also
by kill -9.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterable

from chatrpc.errors import NoWorker, RpcError
from chatrpc.topology import queues, request_queue
from chatrpc.transport import Transport

from .firehose import connect
from .problem import LabProblem
from .services import forget_ledger

PATIENCE = 10.0  # seconds that the workers get to leave: who listens would declare the queue anew
POLL = 0.1


def main(lines: Iterable[str]) -> None:
    """Read what there is until the kernel is gone, then delete it."""
    told = [json.loads(line) for line in lines]
    end = time.monotonic() + PATIENCE
    for name, url in [(one["service"], one["url"]) for one in told if "service" in one]:
        with contextlib.suppress(OSError):
            forget_ledger(name)
        # Whatever is wrong with the broker now, nobody is left who could be told.
        with contextlib.suppress(RpcError, LabProblem):
            transport = connect(url or None)
            try:
                _delete(transport, name, end)
            finally:
                transport.close()
    for folder in [one["folder"] for one in told if "folder" in one]:  # no worker writes any more
        shutil.rmtree(folder, ignore_errors=True)


def _delete(transport: Transport, service: str, end: float) -> None:
    with contextlib.suppress(NoWorker):
        while transport.look(request_queue(service))[1] and time.monotonic() < end:
            time.sleep(POLL)
    for queue in (*queues(service), service):  # or the name was that of a queue itself
        transport.delete(queue)


if __name__ == "__main__":
    main(sys.stdin)
