"""One RabbitMQ node of the kit's own: no root, no installed service, nothing beyond loopback."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from . import folder as files
from . import processes, rabbitmq
from .ports import LOOPBACK, end_epmd, free_ports, is_free
from .probe import probe
from .problem import BrokerProblem
from .processes import Process

log = logging.getLogger("chatrpc.broker")

Say = Callable[[str], None]

ROOM = 100 * 2**20  # bytes; RabbitMQ takes no more messages when less than 50 MB are free
PORTS = ("port", "dist_port", "epmd_port")
TRACING_ON = '[{rabbit, [{trace_vhosts, [<<"/">>]}]}].\n'


def checked(folder: Path, say: Say) -> rabbitmq.RabbitMQ:
    """The installed RabbitMQ, once nothing is known to stand in its way. Raises BrokerProblem."""
    installed = rabbitmq.find()
    if installed.old:
        say(f"RabbitMQ {installed.version} is older than 3.10: it may not do everything.")
    try:
        socket.getaddrinfo("localhost", None, socket.AF_INET)
    except OSError:
        raise BrokerProblem(
            "This machine does not know the name localhost, and RabbitMQ needs it.",
            "Add the line `127.0.0.1 localhost` to /etc/hosts.",
        ) from None
    if (free := shutil.disk_usage(folder).free) < ROOM:
        raise BrokerProblem(
            f"Only {free // 2**20} MB are free in {folder}; RabbitMQ needs 100.",
            "Free some, or let CHATRPC_HOME name a folder on another disk.",
        )
    return installed


class Node:
    """One RabbitMQ node in one folder: started, asked, stopped, or killed.

    The folder holds everything: data, log, cookie, ports. A node that is started again keeps its
    ports and its data, if both can still be used. ``name`` tells nodes of one folder tree apart.
    """

    def __init__(self, folder: Path | str, *, name: str = "chatrpc", say: Say = log.info) -> None:
        """Name a node; nothing is started or written."""
        self.folder = Path(folder).absolute()
        self.name = f"{name}@localhost"
        self.log = self.folder / "log" / "rabbitmq.log"
        self._say = say
        self._home = self.folder  # with Erlang's cookie
        self._facts_file = self.folder / "node.json"
        self._output = self.folder / "log" / "start.log"

    # -- what it is -------------------------------------------------------------------------

    @property
    def process(self) -> Process | None:
        """Its process, if that runs."""
        return processes.recall(self._facts_file)

    @property
    def running(self) -> bool:
        """Whether it runs and serves now."""
        return self.process is not None and probe(self.url, timeout=2.0).serves

    @property
    def url(self) -> str:
        """Its address; the ports are chosen at the first start. Raises BrokerProblem before."""
        port = self._ports().get("port")
        if port is None:
            raise BrokerProblem(f"The broker in {self.folder} has not been started yet.")
        return f"amqp://guest:guest@localhost:{port}/"

    def ctl(self, *arguments: str, timeout: float = 30.0) -> str:
        """What ``rabbitmqctl`` with these arguments says; about a second. Raises BrokerProblem."""
        installed = rabbitmq.find()
        command = [str(installed.scripts / "rabbitmqctl"), "-q", "-n", self.name, *arguments]
        env = self._environment(installed, self._ports())
        try:
            done = subprocess.run(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BrokerProblem(f"rabbitmqctl gave no answer within {timeout:g} s.") from None
        if done.returncode:
            raise BrokerProblem(
                f"rabbitmqctl {arguments[0]} failed: {files.last_line(done.stderr)}"
            )
        return done.stdout

    # -- what it does -----------------------------------------------------------------------

    def start(self, *, timeout: float = 90.0) -> None:
        """Start it and wait until it serves; nothing happens if it does already.

        Of several programs that call this at once, one starts the node. Raises BrokerProblem
        with what to do if it does not serve within ``timeout`` seconds.
        """
        with self._alone(timeout):
            if self.running:
                return
            if (deaf := self.process) is not None:
                self._say("The broker runs but does not answer: replacing it.")
                deaf.kill()
            self._start(checked(self.folder, self._say), timeout)

    def stop(self) -> None:
        """End it and its port mapper (epmd); what its durable queues hold is kept."""
        if not self.folder.exists():
            return
        with self._alone(90.0):
            if (process := self.process) is not None:
                process.end(grace=20.0)
            if ports := self._ports():
                files.save(self._facts_file, ports)
            self._leave(ports)

    def kill(self) -> None:
        """End it as a crash would (kill -9); ``start`` brings it back on the same ports."""
        if (process := self.process) is not None:
            process.kill()

    def pause(self) -> None:
        """Hold it where it is (SIGSTOP): its connections stay, and it says nothing more."""
        if (process := self.process) is not None:
            process.pause()

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        if (process := self.process) is not None:
            process.resume()

    # -- how --------------------------------------------------------------------------------

    def _start(self, installed: rabbitmq.RabbitMQ, timeout: float) -> None:
        data = self._data(installed)
        if not data.exists():
            for other in self.folder.glob("data-*"):
                self._say(f"RabbitMQ {installed.version} starts empty; {other.name} stays.")
            return self._boot(installed, timeout)
        try:
            self._boot(installed, timeout)
        except Died:
            aside = data.with_name(f"{data.name}.unusable-{time.time_ns()}")
            data.rename(aside)
            self._say(f"The broker cannot use its data: it starts empty; {aside.name} stays.")
            self._boot(installed, timeout)

    def _ports(self) -> dict[str, int]:
        facts = files.load(self._facts_file)
        ports = {name: port for name in PORTS if isinstance(port := facts.get(name), int)}
        return ports if len(ports) == len(PORTS) else {}

    def _data(self, installed: rabbitmq.RabbitMQ) -> Path:
        # One folder a version: a node's data cannot be read by every other version.
        return self.folder / f"data-{installed.version}"

    def _boot(self, installed: rabbitmq.RabbitMQ, timeout: float) -> None:
        ports = self._ports()
        for _ in range(3):
            if not ports or not is_free(ports["port"]) or not is_free(ports["dist_port"]):
                if ports:
                    self._say(f"Port {ports['port']} is no longer free: choosing another.")
                    end_epmd(ports["epmd_port"])
                ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
            try:
                return self._boot_on(ports, installed, timeout)
            except PortTaken:
                ports = {}
        raise BrokerProblem("RabbitMQ found its ports taken three times.", "Try again.")

    def _boot_on(self, ports: dict[str, int], installed: rabbitmq.RabbitMQ, timeout: float) -> None:
        self._say(f"Starting RabbitMQ {installed.version}, which takes a few seconds …")
        began = time.monotonic()
        process = self._launch(ports, installed)
        with ExitStack() as undo:
            undo.callback(self._leave, ports)
            undo.callback(process.kill)
            self._until_it_serves(process, installed, began, timeout)
            undo.pop_all()
        took = time.monotonic() - began
        self._say(f"RabbitMQ serves on port {ports['port']} after {took:.1f} s.")

    def _launch(self, ports: dict[str, int], installed: rabbitmq.RabbitMQ) -> Process:
        env = self._environment(installed, ports)
        with files.writing(self.folder):
            (self.folder / "rabbitmq.conf").touch()
            (self.folder / "advanced.config").write_text(TRACING_ON)
            (self.folder / "rabbitmq-env.conf").touch()
            (self.folder / "plugins").write_text("[].\n")
            self._output.parent.mkdir(exist_ok=True)
            server = installed.scripts / "rabbitmq-server"
            process = processes.launch([server], output=self._output, env=env, cwd=self.folder)
            processes.remember(self._facts_file, process, **ports)
        return process

    def _until_it_serves(
        self, process: Process, installed: rabbitmq.RabbitMQ, began: float, timeout: float
    ) -> None:
        next_word = time.monotonic() + 10
        while not probe(self.url, timeout=2.0).serves:
            if not process.alive:
                raise self._failure(installed)
            now = time.monotonic()
            if now - began > timeout:
                raise BrokerProblem(
                    f"RabbitMQ does not serve after {timeout:g} s.", f"Its log: {self.log}"
                )
            if now > next_word:
                self._say(f"Still starting RabbitMQ ({now - began:.0f} s) …")
                next_word = now + 10
            time.sleep(0.1)

    def _leave(self, ports: dict[str, int]) -> None:
        """Remove what is left of it beside its folder."""
        if ports:
            end_epmd(ports["epmd_port"])
        files.forget_plain(self.folder)

    def _failure(self, installed: rabbitmq.RabbitMQ) -> BrokerProblem:
        text = self._output.read_text(errors="replace")
        if re.search("eaddrinuse|duplicate_name|already running|in use", text):
            return PortTaken(self.name)
        return Died(
            f"RabbitMQ {installed.version} did not start: {files.last_line(text)}",
            f"Look into {self._output}.",
        )

    def _alone(self, timeout: float) -> AbstractContextManager[None]:
        busy = "Another program is starting or stopping the broker: waiting …"
        return files.alone(self.folder, timeout, lambda: self._say(busy))

    def _environment(self, installed: rabbitmq.RabbitMQ, ports: dict[str, int]) -> dict[str, str]:
        """The variables that keep the node inside its folder and on loopback."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RABBITMQ_", "ERL_", "NOTIFY_SOCKET"))
        }
        home = files.plain(self._home)
        folder = home / self.folder.relative_to(self._home)
        # In conda's and Homebrew's folders Erlang is beside RabbitMQ, and may not be on the PATH.
        beside = [str(installed.scripts), str(installed.scripts.parent / "bin")]
        path = [*beside, os.environ.get("PATH", os.defpath), "/usr/bin", "/bin"]
        loopback_only = f"-kernel inet_dist_use_interface {{{LOOPBACK.replace('.', ',')}}}"
        return inherited | {
            "PATH": os.pathsep.join(path),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(ports.get("port", 0)),
            "RABBITMQ_DIST_PORT": str(ports.get("dist_port", 0)),
            "ERL_EPMD_PORT": str(ports.get("epmd_port", 0)),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_MNESIA_BASE": str(folder / self._data(installed).name),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / "log" / self.log.name),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            # File names are UTF-8, whatever the locale says.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+fnu {loopback_only}",
            "RABBITMQ_CTL_ERL_ARGS": f"+fnu {loopback_only}",
            # The start script then becomes the node, instead of a shell that waits for it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


class PortTaken(BrokerProblem):
    """Somebody was quicker."""

    def __init__(self, name: str) -> None:
        """Say whose port it is."""
        super().__init__(
            f"A port of {name} is used by another program.",
            "End that program, or stop the whole broker and start it anew.",
        )


class Died(BrokerProblem):
    """The node ended while it started."""
