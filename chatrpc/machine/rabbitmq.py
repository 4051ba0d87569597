"""Where RabbitMQ is on this machine, which version, and how to get it where it is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import bootstrap
from .ports import LOOPBACK, end_epmd, free_ports
from .problem import BrokerProblem

OLDEST = (3, 10)


@dataclass(frozen=True)
class RabbitMQ:
    """An installed RabbitMQ: the folder of its scripts, and its version ('3.10.8')."""

    scripts: Path
    version: str

    @property
    def old(self) -> bool:
        """Whether it is older than what the kit is tested with."""
        return _numbers(self.version) < OLDEST


def find() -> RabbitMQ:
    """The RabbitMQ to start nodes with.

    ``RABBITMQ_BIN`` names a folder of scripts and then wins. Raises BrokerProblem if there is none.
    """
    if chosen := os.environ.get("RABBITMQ_BIN"):
        folder = Path(chosen).expanduser()
        if not _usable(folder):
            raise BrokerProblem(
                f"RABBITMQ_BIN names {folder}, which holds no rabbitmq-server that can be started.",
                "Unset it, or let it name RabbitMQ's own folder of scripts.",
            )
        return RabbitMQ(folder, version(folder))
    for folder in _places():
        if _usable(folder):
            return RabbitMQ(folder, version(folder))
    raise BrokerProblem("RabbitMQ is not installed on this machine.", bootstrap.rabbitmq_advice())


def _places() -> Iterator[Path]:
    for prefix in (sys.prefix, sys.base_prefix, os.environ.get("CONDA_PREFIX")):
        if prefix:
            yield Path(prefix) / "sbin"
            yield Path(prefix) / "bin"
    if on_path := shutil.which("rabbitmq-server"):
        yield Path(on_path).resolve().parent
    yield Path("/usr/lib/rabbitmq/bin")
    for lib in ("/usr/lib/rabbitmq/lib", "/usr/local/lib/rabbitmq/lib", "/usr/local/lib", "/opt"):
        versions = Path(lib).glob("rabbitmq_server-*/sbin")
        yield from sorted(versions, key=lambda path: _numbers(path.parent.name), reverse=True)
    for brew in ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"):
        yield Path(brew) / "opt" / "rabbitmq" / "sbin"
    yield Path("/opt/rabbitmq/sbin")
    yield Path("/usr/lib/rabbitmq/sbin")


def _usable(folder: Path) -> bool:
    """Whether any user can start it, which Debian's wrapper in /usr/sbin refuses."""
    script = folder / "rabbitmq-server"
    try:
        text = script.read_text(errors="replace")
    except OSError:
        return False
    return os.access(script, os.X_OK) and "id -u rabbitmq" not in text


def version(scripts: Path) -> str:
    """The version of the RabbitMQ whose scripts these are."""
    home = (scripts / "rabbitmq-server").resolve().parent.parent
    for plugin in home.glob("plugins/rabbit-[0-9]*"):
        return plugin.name.removeprefix("rabbit-").removesuffix(".ez")
    match = re.search(r"\d+\.\d+(\.\d+)?", _said(scripts))
    return match[0] if match else "unknown"


def _said(scripts: Path) -> str:
    # rabbitmqctl starts a port mapper if none is there, and one of its own making stays, and
    # listens to everybody.
    [port] = free_ports(1)
    own = {"ERL_EPMD_ADDRESS": LOOPBACK, "ERL_EPMD_PORT": str(port)}
    try:
        return subprocess.run(
            [str(scripts / "rabbitmqctl"), "version"],
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    finally:
        end_epmd(port)


def _numbers(text: str) -> tuple[int, ...]:
    # A version that cannot be read counts as new: only a known old one is warned of.
    return tuple(int(number) for number in re.findall(r"\d+", text)) or (999,)
