"""The programs that the kit runs for a person: worker, laboratory, chat; begun and ended together.

Each leaves a small file in the state folder's ``run``, so that ``chatrpc stop`` finds it, also
after a crash of the program that started it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import broker
from .broker import BrokerProblem, Say
from .client import RpcClient
from .errors import BrokerError, NoWorker
from .machine import folder, processes
from .machine.ports import is_free
from .machine.processes import Process
from .settings import Settings

FIRST_NOTEBOOK = "notebooks/00_first_chat.ipynb"


def clone() -> Path:
    """The folder with the worker, the chat and the notebooks. Raises BrokerProblem."""
    for place in (folder.clone(), Path.cwd()):
        if place is not None and (place / "worker" / "consumer.py").is_file():
            return place
    raise BrokerProblem(
        "The worker, the chat and the notebooks are not in the installed package.",
        "Clone the kit, and run this in there.",
    )


def run_folder() -> Path:
    """The folder of the files that tell what runs. Raises BrokerProblem if it cannot be made."""
    return folder.made(folder.state_folder() / "run")


# -- a worker ---------------------------------------------------------------------------------


def need_worker(say: Say) -> None:
    """Start a worker in the background, unless one of ours serves this service already."""
    url = os.environ["CHATRPC_URL"]
    service = Settings.from_env().service
    key = hashlib.sha256(f"{url} {service}".encode()).hexdigest()[:12]
    record = run_folder() / f"worker-{key}.json"
    with folder.alone(run_folder(), 30.0, lambda: say("Another start is under way …")):
        if processes.recall(record) is None:
            output = record.with_suffix(".log")
            command = [sys.executable, str(clone() / "worker" / "consumer.py")]
            process = processes.launch(command, output=output, cwd=clone())
            processes.remember(record, process, what="worker")
            _until_someone_listens(url, service, process, output)


def _until_someone_listens(url: str, service: str, process: Process, output: Path) -> None:
    deadline = time.monotonic() + 20.0
    with RpcClient(service, url=url) as client:
        while time.monotonic() < deadline and process.alive:
            try:
                if client.consumers():
                    return
            except (NoWorker, BrokerError):
                pass
            time.sleep(0.1)
    process.end()
    raise BrokerProblem(f"The worker did not start: {folder.last_line(output)}", f"See {output}.")


def run_worker(options: Sequence[str]) -> NoReturn:
    """Become a worker, in the foreground."""
    me = processes.this_process()
    processes.remember(run_folder() / f"foreground-{me.pid}.json", me, what="worker")
    script = str(clone() / "worker" / "consumer.py")
    os.execv(sys.executable, [sys.executable, script, *options])


# -- in the foreground ------------------------------------------------------------------------


class _Leave(BaseException):
    """SIGTERM or SIGHUP came."""


@contextmanager
def supervisor(what: str, say: Say) -> Iterator[None]:
    """While in here this process is known to ``stop``; at the end the last one ends the worker."""
    me = processes.this_process()
    record = run_folder() / f"foreground-{me.pid}.json"
    processes.remember(record, me, what=what)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        yield
    except (KeyboardInterrupt, _Leave):
        say("")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing may cut the tidying short
        record.unlink(missing_ok=True)
        if not any(path.name.startswith("foreground-") for path, _ in _running()):
            for path, process in _running():
                if path.name.startswith("worker-"):
                    process.end(grace=20.0)
                    path.unlink(missing_ok=True)
            say("Ended. The broker stays for the next start: `chatrpc stop` ends it too.")


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise _Leave


def attend(process: Process, what: str) -> int:
    """Wait for a child of ours, and end it when we are told to go; its exit code."""
    record = _remember_child(process, what)
    try:
        while process.alive:
            time.sleep(0.2)
    finally:
        process.end(grace=10.0)
        record.unlink(missing_ok=True)
    return processes.exit_code(process) or 0


def _remember_child(process: Process, what: str) -> Path:
    record = run_folder() / f"child-{process.pid}.json"
    processes.remember(record, process, what=what)
    return record


def run_app(options: Sequence[str], say: Say) -> int:
    """Serve the Flask chat until told to go; its exit code."""
    home = clone()
    broker.use(say=say)
    with supervisor("chat", say):
        need_worker(say)
        command = [sys.executable, str(home / "app.py"), *options]
        return attend(processes.launch(command, output=None, cwd=home), "chat")
    return 0


# -- the laboratory ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lab:
    """A JupyterLab that was launched, and may not answer yet."""

    process: Process
    port: int
    token: str
    output: Path


def run_lab(port: int, browser: bool, options: Sequence[str], say: Say) -> int:
    """Run JupyterLab on the first notebook until told to go; its exit code."""
    home = clone()
    if broker.demanded():
        broker.use(say=say)  # a wrong address is told before anything starts
    with supervisor("laboratory", say):
        # JupyterLab needs no broker itself: the two take their seconds side by side.
        lab = _launch_lab(home, port, options)
        try:
            broker.use(private=True, say=say)
            need_worker(say)
            while not _answers(lab):
                if "already in use" not in lab.output.read_text(errors="replace"):
                    why = folder.last_line(lab.output)
                    raise BrokerProblem(f"JupyterLab did not start: {why}", f"See {lab.output}.")
                lab = _launch_lab(home, lab.port + 1, options)
        except BaseException:
            lab.process.end()
            raise
        address = f"http://127.0.0.1:{lab.port}/lab/tree/{FIRST_NOTEBOOK}?token={lab.token}"
        say(f"\nJupyterLab is at\n\n    {address}\n\nCtrl-C ends it. Its log: {lab.output}")
        if browser and _has_screen():
            webbrowser.open(address)
        return attend(lab.process, "JupyterLab")
    return 0


def _launch_lab(home: Path, wanted: int, options: Sequence[str]) -> _Lab:
    port = next(filter(is_free, range(wanted, min(wanted + 20, 65536))), None)
    if port is None:
        raise BrokerProblem(f"Port {wanted} and those after it are taken.", "Choose with --port.")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={home}"]
    if os.getuid() == 0:
        command.append("--allow-root")
    token = secrets.token_hex(24)
    env = os.environ | jupyter_folders() | {"JUPYTER_TOKEN": token}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # each next start is seconds quicker with bytecode
    output = run_folder() / f"lab-{port}.log"
    process = processes.launch([*command, *options], output=output, env=env, cwd=home)
    _remember_child(process, "JupyterLab")
    return _Lab(process, port, token, output)


def jupyter_folders(home: Path | None = None) -> dict[str, str]:
    """Where Jupyter and IPython keep their files: with the kit's own, not in the home folder."""
    home = folder.made(home or folder.state_folder() / "jupyter")  # IPython wants it to be there
    return {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }


def _answers(lab: _Lab) -> bool:
    """Wait until it answers; False, and it is ended, if it does not."""
    address = f"http://127.0.0.1:{lab.port}/api/status?token={lab.token}"
    deadline = time.monotonic() + 90.0
    # A proxy from the environment has no business on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and lab.process.alive:
        try:
            with opener.open(address, timeout=5.0):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    lab.process.end()
    return False


def _has_screen() -> bool:
    variables = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in variables)


# -- the end ----------------------------------------------------------------------------------


def _running() -> list[tuple[Path, Process]]:
    """What runs and was started by the kit; files of what has ended are removed."""
    found = []
    for path in sorted(run_folder().glob("*.json")):
        if (process := processes.recall(path)) is not None:
            found.append((path, process))
        else:
            path.unlink(missing_ok=True)
    return found


def stop_all(say: Say) -> None:
    """End every process that the kit started, foreground programs first; then its broker."""
    some = False
    for kind in ("foreground-", "child-", "worker-"):
        for path, process in _running():
            if path.name.startswith(kind) and process != processes.this_process():
                what = folder.load(path).get("what", "process")
                process.end(grace=20.0)
                path.unlink(missing_ok=True)
                say(f"Ended: {what} (process {process.pid}).")
                some = True
    node, cluster = broker.private_node(say=say), broker.private_cluster(say=say)
    if node.process is not None or cluster.folder.exists():
        some = True
        say("Stopping the broker …")
    node.stop()
    cluster.stop()
    say("Everything is stopped." if some else "Nothing was running.")
