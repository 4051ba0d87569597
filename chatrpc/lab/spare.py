"""A broker of the judge's own, which a promise may kill; it also listens with TLS.

It belongs to a process that lives as long as its standard input: whoever opened it leaves no
broker behind, however it ends. ``python -m chatrpc.lab.spare`` is that process. A notebook that
kills a broker has one, too: ``lab.own_broker()``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from ..broker import BrokerProblem, Node
from ..machine.ports import free_ports
from . import cell
from .problem import LabProblem, told_in_a_cell
from .trial import Spare

START = 120.0  # seconds that its start may take on a busy machine

TLS = """\
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
"""


class SpareBroker:
    """``with SpareBroker() as spare: spare.ready()``; it starts at once, in the background."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chatrpc.lab.spare"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ready(self) -> Spare:
        """Wait until it serves, also after somebody has killed it, and say where.

        Raises:
            LabProblem: it cannot be had on this machine.
        """
        if not self._told:
            self._told = self._listen()
        if "folder" not in self._told:
            raise LabProblem(self._told["problem"])
        facts = Spare(self._told["folder"], self._told["tls"])
        with told_in_a_cell():
            facts.node.start()
        return facts

    def _listen(self) -> dict[str, str]:
        pipe = self._process.stdout
        assert pipe is not None
        line = pipe.readline() if select.select([pipe], [], [], START)[0] else b""
        facts: dict[str, str] = json.loads(line or b'{"problem": "it does not start in time"}')
        return facts

    @property
    def failed(self) -> bool:
        """Whether it has said that it cannot be had, or is no more."""
        return bool(self._told.get("problem")) or self._process.poll() is not None

    def close(self) -> None:
        """End the broker, and delete its folder."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def __enter__(self) -> SpareBroker:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


_kept: list[SpareBroker] = []
_lending = threading.Lock()


@contextlib.contextmanager
def lent() -> Iterator[SpareBroker]:
    """Lend a broker that may be killed; a kernel keeps it for the next board, till it ends.

    Whoever comes while it is lent gets another, which ends with the block.
    """
    if not cell.in_kernel() or not _lending.acquire(blocking=False):
        with SpareBroker() as spare:
            yield spare
        return
    try:
        if not _kept or _kept[0].failed:
            _kept[:] = [SpareBroker()]
        yield _kept[0]
    finally:
        _lending.release()


_own: SpareBroker | None = None


def own_broker() -> Node:
    """Start a broker of this kernel's own, make it the one in use, and return its node.

    It may be killed: nobody else uses it. It goes with the kernel, however that ends; the same
    one comes back when the cell is run again.

    Raises:
        LabProblem: it cannot be had on this machine.
    """
    node = own_spare().ready().node
    os.environ["CHATRPC_URL"] = node.url
    return node


def own_spare() -> SpareBroker:
    """Return the broker of this kernel's own, which is started if there is none."""
    global _own
    if _own is None:
        _own = SpareBroker()
    return _own


def main() -> None:
    """Start a broker, say where it is, and end it when the standard input ends."""
    folder = Path(tempfile.mkdtemp(prefix="chatrpc-judge-"))
    node = Node(folder)
    try:
        try:
            tls = _certified(folder)
            node.start()
            facts = {"folder": str(folder), "tls": tls}
        except (BrokerProblem, OSError) as problem:
            facts = {"problem": str(problem)}
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(facts), flush=True)  # noqa: T201 - it is for who started us
        sys.stdin.read()
    finally:
        node.kill()
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _certified(folder: Path) -> str:
    """Have the node listen with a certificate that nobody trusts; return where, or nothing."""
    certificate, key, (port,) = folder / "certificate.pem", folder / "key.pem", free_ports(1)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return ""
    conf = TLS.format(port=port, certificate=certificate, key=key)
    (folder / "rabbitmq.conf").write_text(conf)
    return f"amqps://guest:guest@localhost:{port}/"


if __name__ == "__main__":
    main()
