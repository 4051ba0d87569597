"""One list of dependencies, one direction of imports: what tells of it elsewhere must agree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.no_broker

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINT = Path(sys.executable).with_name("lint-imports")


def name_and_range(requirement: str) -> tuple[str, str]:
    match = re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*([<>=!~].*)?", requirement)
    assert match, requirement
    return match[1].lower().replace("_", "-"), (match[2] or "").replace(" ", "")


def wanted(*extras: str) -> dict[str, str]:
    requirements = list(PROJECT["dependencies"])
    for extra in extras:
        requirements += PROJECT["optional-dependencies"][extra]
    return dict(map(name_and_range, requirements))


def conda() -> tuple[dict[str, str], list[str]]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    by_pip = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return dict(map(name_and_range, plain)), by_pip[0]


def test_conda_takes_the_same_python_and_the_same_ranges() -> None:
    ranges, by_pip = conda()
    assert ranges.pop("python") == PROJECT["requires-python"]
    assert ranges.pop("rabbitmq-server") == ">=3.10,<5"
    assert ranges.pop("pip") == ""
    everything = wanted("app", "lab", "test")
    assert ranges == {name: everything.get(name) for name in ranges}
    assert set(wanted("app", "lab")) - {"amqpstorm"} <= set(ranges)
    # The rest, and the kit itself, come from pyproject.toml and from nowhere else.
    assert by_pip == ["-e .[app,lab,test]"]


def test_constraints_are_names_and_versions_only_and_fit_the_ranges() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!]+", pin) for pin in pins)
    pinned = dict(map(name_and_range, pins))
    needed = wanted("app", "bench", "lab", "test")
    assert set(needed) <= set(pinned)
    for name, bounds in needed.items():
        version = tuple(map(int, re.findall(r"\d+", pinned[name])))
        for operator, text in re.findall(r"(==|>=|<)([\d.]+)", bounds):
            bound = tuple(map(int, text.split(".")))
            fits = {"==": version == bound, ">=": version >= bound, "<": version < bound}
            assert fits[operator], f"{name} {pinned[name]} is outside {bounds}"


def test_the_core_needs_amqpstorm_alone() -> None:
    assert [name_and_range(text)[0] for text in PROJECT["dependencies"]] == ["amqpstorm"]


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("client.py", "import amqpstorm", "only the transport knows AMQPStorm BROKEN"),
        ("link.py", "from . import broker", "arrows go down only BROKEN"),
        ("pending.py", "import socket", "the pure modules have no socket and no thread BROKEN"),
        ("stray.py", "", "stray"),
    ],
)
def test_an_arrow_that_goes_up_is_seen(module: str, line: str, broken: str, tmp_path: Path) -> None:
    for package in ("chatrpc", "worker"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    target = tmp_path / "chatrpc" / module
    before = target.read_text() if target.exists() else ""
    target.write_text(f"{before}\n{line}\n")
    # Its own folder goes first on the path, before the installed package.
    done = subprocess.run(
        [LINT, "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, said
    assert broken in said
