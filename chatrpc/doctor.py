"""One screen on what is here, what is missing, and what to do about each gap."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from . import bootstrap, broker, running
from .broker import BrokerProblem
from .client import RpcClient
from .errors import NoWorker, RpcError
from .machine import folder, rabbitmq
from .machine.ports import is_free, lan_address
from .machine.probe import DEFAULT_URL, probe
from .settings import Settings


@dataclass(frozen=True)
class Finding:
    """One line of the screen; ``needed`` marks what a chat cannot do without."""

    what: str
    found: str
    fine: bool = True
    needed: bool = False
    advice: str = ""

    def __str__(self) -> str:
        """Return the line, and a second one with the advice."""
        mark = "ok" if self.fine else "NO" if self.needed else "--"
        line = f" {mark}  {self.what:<11} {self.found}"
        return line if self.fine or not self.advice else f"{line}\n{'':17}→ {self.advice}"


def examine() -> Iterator[Finding]:
    """Look at everything, in the order in which a chat needs it; starts and changes nothing."""
    yield _kit()
    yield _python()
    yield from _packages()
    yield _state_folder()
    installed = _rabbitmq()
    yield installed
    chosen, url = _broker(installed.fine)
    yield chosen
    yield _listeners(url)
    yield from _ports()
    address = lan_address()
    yield Finding("network", address or "no local network", bool(address), advice="Phones need one")
    yield _chromium()


def works(findings: list[Finding]) -> bool:
    """Whether a chat would work, with these findings."""
    return all(finding.fine for finding in findings if finding.needed)


def _kit() -> Finding:
    try:
        return Finding("kit", str(running.clone()), needed=True)
    except BrokerProblem as problem:
        return Finding("kit", problem.sentence, False, True, problem.advice)


def _python() -> Finding:
    fits = bootstrap.OLDEST <= sys.version_info[:2] <= bootstrap.NEWEST
    found = f"{platform.python_version()} in {sys.prefix}"
    return Finding("Python", found, fits, True, bootstrap.python_advice())


def _packages() -> Iterator[Finding]:
    wanted: dict[str, list[str]] = {"core": [], "app": [], "lab": [], "test": []}
    for requirement in metadata.requires("chatrpc") or []:
        name = re.split(r"[ <>=!~;\[(]", requirement)[0]
        match = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        wanted.setdefault(match[1] if match else "core", []).append(name)
    for extra, names in wanted.items():
        there, missing = [], []
        for name in names:
            try:
                there.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                missing.append(name)
        shown = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
        found = f"missing: {', '.join(missing)}" if missing else shown
        yield Finding(extra, found, not missing, extra == "core", "Type `make setup`")


def _state_folder() -> Finding:
    place = folder.state_folder()
    above = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(above).free // 2**20
    fine = os.access(above, os.W_OK) and free >= 100
    found = f"{place} ({free} MB free)" if os.access(above, os.W_OK) else f"{place}: read-only"
    return Finding("files", found, fine, True, "Let CHATRPC_HOME name another folder")


def _rabbitmq() -> Finding:
    needed = not broker.demanded()
    try:
        installed = rabbitmq.find()
    except BrokerProblem as problem:
        return Finding("RabbitMQ", problem.sentence, False, needed, problem.advice)
    if installed.version == "unknown" or not installed.old:
        return Finding("RabbitMQ", f"{installed.version} in {installed.scripts}", needed=needed)
    found = f"{installed.version}, older than 3.10"
    return Finding("RabbitMQ", found, False, advice="Not everything may work: install a newer one")


def _broker(startable: bool) -> tuple[Finding, str]:
    """What would be used; and its URL, if it serves now."""
    if url := broker.demanded():
        found = probe(url)
        shown = f"CHATRPC_URL: {found.answer.value} ({found.detail}) {found.version}"
        advice = "Correct CHATRPC_URL, or unset it"
        return Finding("broker", shown, found.serves, True, advice), url if found.serves else ""
    node = broker.private_node()
    if node.running:
        shown = f"the kit's own, at port {node.url.rsplit(':', 1)[1].strip('/')}; log: {node.log}"
        return Finding("broker", shown, needed=True), node.url
    found = probe(DEFAULT_URL, timeout=1.0)
    if found.serves:
        shown = f"localhost:5672, RabbitMQ {found.version} (laboratory: the kit's own)"
        return Finding("broker", shown, needed=True), DEFAULT_URL
    shown = "none runs; the kit's own will be started" if startable else "none"
    return Finding("broker", shown, startable, True, "See RabbitMQ above"), ""


def _listeners(url: str) -> Finding:
    advice = "`make lab` and `make app` bring a worker; alone: `chatrpc worker`"
    try:
        service = Settings.from_env().service
    except ValueError as error:
        return Finding("workers", str(error), False, True, "Correct or unset it")
    if not url:
        return Finding("workers", "none: no broker runs", False, advice=advice)
    try:
        with RpcClient(service, url=url) as client:
            count = client.consumers()
    except NoWorker:
        count = 0
    except RpcError as error:
        return Finding("workers", str(error), False, advice=error.advice)
    found = f"{count} listening to {service!r}" if count else f"nobody listens to {service!r}"
    return Finding("workers", found, count > 0, advice=advice)


def _ports() -> Iterator[Finding]:
    for port, what, advice in (
        (5000, "chat", "The chat can use another: `make app` or `python app.py --port 5001`"),
        (8888, "JupyterLab", "`make lab` takes the next free one"),
    ):
        free = is_free(port)
        yield Finding(
            f"port {port}", f"{'free' if free else 'taken'} ({what})", free, advice=advice
        )
    if is_free(5672):
        yield Finding("port 5672", "free (the kit's own broker takes another)")
    else:
        found = probe(DEFAULT_URL, timeout=1.0)
        shown = f"RabbitMQ {found.version}" if found.version else "taken, and not by RabbitMQ"
        yield Finding("port 5672", f"{shown} ({found.answer.value})")


def _chromium() -> Finding:
    paths = [path for name in bootstrap.CHROMIUM if (path := shutil.which(name))]
    advice = "Only `make test` needs it, and installs it where it can"
    return Finding("Chromium", paths[0] if paths else "missing", bool(paths), advice=advice)
