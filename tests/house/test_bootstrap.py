"""The set-up: any old Python can read it, it does nothing twice, and it says what is wrong."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chatrpc import bootstrap

pytestmark = pytest.mark.no_broker

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone, as far as the set-up looks at it, and the module pointed there."""
    root = tmp_path / "clon con eñe"
    (root / "chatrpc").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "chatrpc/bootstrap.py"):
        shutil.copy(ROOT / name, root / name)
    venv = root / ".venv"
    for name, path in {
        "ROOT": root,
        "VENV": venv,
        "PYTHON": venv / "bin" / "python",
        "STAMP": venv / "chatrpc-setup.json",
        "STATE": root / ".chatrpc",
        "LOG": root / ".chatrpc" / "setup.log",
    }.items():
        monkeypatch.setattr(bootstrap, name, str(path))
    monkeypatch.chdir(root)
    monkeypatch.delenv("RABBITMQ_BIN", raising=False)
    return root


def finished(root: Path) -> None:
    """Make the clone one where everything was done."""
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    stamp = {"fingerprint": bootstrap.fingerprint(), "rabbitmq": str(root), "chosen": ""}
    bootstrap.write_json(bootstrap.STAMP, stamp)


def test_python_3_6_can_read_it() -> None:
    ast.parse((ROOT / "chatrpc" / "bootstrap.py").read_text(), feature_version=(3, 6))


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse((ROOT / "chatrpc" / "bootstrap.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
        )
    }
    assert imported <= sys.stdlib_module_names


def test_the_second_time_it_does_nothing_and_says_nothing(clone: Path) -> None:
    finished(clone)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-I", "chatrpc/bootstrap.py"],
        cwd=clone,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - began < 2.0  # 0.06 s on an idle machine
    assert not (clone / ".chatrpc").exists()


def test_it_begins_again_when_the_dependencies_change_or_the_clone_moves(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(clone)
    assert bootstrap.packages_done(bootstrap.read_stamp())
    monkeypatch.setattr(bootstrap, "VENV", str(clone.parent / "elsewhere" / ".venv"))
    assert not bootstrap.packages_done(bootstrap.read_stamp())
    monkeypatch.undo()


def test_a_changed_list_of_dependencies_is_noticed(clone: Path) -> None:
    finished(clone)
    with (clone / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    assert not bootstrap.packages_done(bootstrap.read_stamp())


def test_a_broken_stamp_is_no_stamp(clone: Path) -> None:
    finished(clone)
    Path(bootstrap.STAMP).write_text('{"fingerprint": ')
    assert not bootstrap.packages_done(bootstrap.read_stamp())


def test_a_moved_venv_is_made_anew_and_a_good_one_kept(clone: Path) -> None:
    venv = [sys.executable, "-m", "venv", "--without-pip", bootstrap.VENV]
    subprocess.run(venv, check=True, timeout=120)
    assert not bootstrap.venv_fits()
    [packages] = Path(bootstrap.VENV, "lib").glob("python3.*/site-packages")
    (packages / "pip.py").touch()
    pip = Path(bootstrap.VENV, "bin", "pip")
    pip.write_text(f"#!{bootstrap.PYTHON}\n")
    assert bootstrap.venv_fits()
    moved = clone / "moved"
    shutil.move(bootstrap.VENV, moved)
    moved.rename(bootstrap.VENV)
    assert bootstrap.venv_fits()
    pip.write_text(pip.read_text().replace(str(clone), "/somewhere/else"))
    assert not bootstrap.venv_fits()


def test_rabbitmq_that_was_removed_is_noticed_but_not_needed_with_a_broker_elsewhere(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHATRPC_URL", raising=False)
    finished(clone)
    stamp = bootstrap.read_stamp()
    assert bootstrap.rabbitmq_done(stamp)
    gone = stamp | {"rabbitmq": str(clone / "gone")}
    assert not bootstrap.rabbitmq_done(gone)
    monkeypatch.setenv("CHATRPC_URL", "amqp://broker.example/")
    assert bootstrap.rabbitmq_done(gone)


def test_no_python_that_fits_is_one_sentence(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "OLDEST", (4, 0))
    monkeypatch.setattr(bootstrap, "NEWEST", (4, 1))
    assert bootstrap.main([]) == 1
    said = capsys.readouterr().out
    assert "Python 3.11, 3.12 or 3.13 is needed" in said
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("WARNING: Retrying: NewConnectionError(...)\nERROR: No matching", "network"),
        ("E: Could not get lock /var/lib/dpkg/lock", "another program"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("fine\nERROR: something special\nhint", "something special"),
        ("", "it said nothing"),
    ],
)
def test_a_failed_step_is_explained_in_one_line(output: str, told: str) -> None:
    said = bootstrap.explain("installing", output.splitlines())
    assert told in said
    assert "\n" not in said


def test_a_step_that_fails_can_be_tried_again(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        bootstrap, "make_venv", lambda: bootstrap.run(["sh", "-c", "echo E: no; exit 1"], "trying")
    )
    for _ in range(2):
        assert bootstrap.main([]) == 1
        assert "trying failed: E: no." in capsys.readouterr().out
    assert not Path(bootstrap.STAMP).exists()


def test_progress_is_told_from_what_pip_writes() -> None:
    lines = ["Collecting flask<4,>=3.1 (from chatrpc)", "Downloading", "Collecting jupyterlab"]
    assert bootstrap.packages_progress(lines) == "2 found, jupyterlab is the newest"
    assert "unpacking" in bootstrap.packages_progress([*lines, "Installing collected packages: a"])
