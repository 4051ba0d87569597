"""The command-line program, as a process, in a terminal where it matters."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatrpc import RpcServer, cli
from chatrpc.machine import folder, processes

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 90  # a busy machine may be slow; a hang is longer


def chatrpc(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "chatrpc", *words],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture
def server(service: str) -> Iterator[RpcServer]:
    server = RpcServer(service)

    @server.method
    def show(*arguments: object, **named: object) -> str:
        return json.dumps([arguments, named], sort_keys=True)

    @server.method
    def twice(number: int) -> int:
        return 2 * number

    @server.method
    def colour() -> str:
        return "\x1b[31mred\x1b[0m"

    with server:
        yield server


def test_call_prints_the_answer(server: RpcServer, service: str) -> None:
    words = ["hola", "30", "true", "[1]", '"30"']
    done = chatrpc("call", "show", *words, "--service", service)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [["hola", 30, True, [1], "30"], {}]
    done = chatrpc("call", "show", "x=1.5", "y=ñ", "--service", service)
    assert json.loads(done.stdout) == [[], {"x": 1.5, "y": "ñ"}]
    assert chatrpc("call", "twice", "-4", "--service", service).stdout == "-8\n"


def test_an_answer_cannot_steer_the_terminal(server: RpcServer, service: str) -> None:
    assert "\x1b" not in chatrpc("call", "colour", "--service", service).stdout


def test_a_failed_call_is_one_sentence_with_advice(server: RpcServer, service: str) -> None:
    done = chatrpc("call", "nix", "--service", service)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "nix" in done.stderr


def test_nobody_listening_says_what_to_do(service: str) -> None:
    done = chatrpc("call", "say", "hola", "--service", service)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "worker" in done.stderr


def test_a_wrong_password_is_told_and_not_shown(url: str) -> None:
    wrong = url.replace("guest:guest", "guest:s3cret")
    for words in (["call", "say", "x"], ["worker"], ["app"], ["lab"], ["doctor"]):
        done = chatrpc(*words, CHATRPC_URL=wrong)
        assert done.returncode == 1, words
        assert "refuse" in done.stdout + done.stderr
        assert "s3cret" not in done.stdout + done.stderr


def test_an_unknown_command_lists_the_commands() -> None:
    done = chatrpc("serve")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(name in done.stderr for name in cli.COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ["broker"],
        ["broker", "restart"],
        ["call"],
        ["call", "--timeout", "soon", "say"],
        ["call", "say", "--loud"],
        ["lab", "--port", "99999"],
        ["--nope"],
        ["call", "say", "x=1", "x=2"],
        ["call", "say", "timeout=2"],
    ],
)
def test_what_is_not_understood_is_told(words: list[str], tmp_path: Path) -> None:
    done = chatrpc(*words, CHATRPC_HOME=str(tmp_path))
    assert done.returncode in (1, 2)
    assert done.stderr.strip()


def test_a_bad_setting_is_told() -> None:
    done = chatrpc("call", "say", "x", CHATRPC_TIMEOUT="soon")
    assert done.returncode == 1
    assert "CHATRPC_TIMEOUT" in done.stderr


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("hola", "hola"),
        ("", ""),
        ("30", 30),
        ("NaN", "NaN"),
        ("9" * 5000, "9" * 5000),
        ("[" * 100_000, "[" * 100_000),
        ('"30"', "30"),
        ("¿2=2?", "¿2=2?"),
    ],
)
def test_an_argument_is_json_or_else_text(word: str, value: object) -> None:
    assert cli.parse_arguments([word]) == ([value], {})


def test_doctor_fits_on_a_screen_and_says_that_a_chat_would_work(url: str) -> None:
    done = chatrpc("doctor")
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) <= 24
    for word in ("Python", "amqpstorm", "RabbitMQ", "broker", "workers", "port 5000", "network"):
        assert word in done.stdout


def test_doctor_names_a_gap_and_what_to_do(tmp_path: Path) -> None:
    done = chatrpc("doctor", RABBITMQ_BIN=str(tmp_path), CHATRPC_URL="", CHATRPC_HOME=str(tmp_path))
    assert done.returncode == 1
    assert re.search(r"NO +RabbitMQ", done.stdout)
    assert "Unset it" in done.stdout


def test_status_and_stop_where_nothing_runs(tmp_path: Path) -> None:
    home = str(tmp_path)
    assert chatrpc("broker", "status", CHATRPC_HOME=home).returncode == 1
    for words in (["broker", "stop"], ["stop"]):
        assert chatrpc(*words, CHATRPC_HOME=home).returncode == 0


class Terminal:
    """A program in a terminal of its own, where Ctrl-C can be typed."""

    def __init__(self, *words: str, home: Path) -> None:
        environment = os.environ | {"CHATRPC_HOME": str(home), "CHATRPC_SERVICE": home.name}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            environment.pop(name, None)
        self.shown = ""
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, "-m", "chatrpc", *words], environment)
        self.code: int | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._screen, 4096):
                self.shown += data.decode(errors="replace")
        except OSError:
            pass  # the program has gone, and its terminal with it

    def until(self, pattern: str) -> str:
        deadline = time.monotonic() + SECONDS
        while not (match := re.search(pattern, self.shown)):
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.05)
        return match[0]

    def ctrl_c(self) -> None:
        os.write(self._screen, b"\x03")

    def ended(self) -> int:
        if self.code is None:
            self._reader.join(SECONDS)
            assert not self._reader.is_alive(), self.shown
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._screen)
        return self.code


@pytest.fixture
def home(tmp_path: Path, service: str) -> Iterator[Path]:
    place = tmp_path / service
    place.mkdir()
    yield place
    chatrpc("stop", CHATRPC_HOME=str(place))


def alive(home: Path, kind: str) -> list[processes.Process]:
    found = [processes.recall(path) for path in (home / "run").glob(f"{kind}-*.json")]
    return [process for process in found if process is not None]


def test_two_laboratories_share_a_worker_which_the_last_one_ends(home: Path) -> None:
    first = Terminal("lab", home=home)
    address = first.until(
        r"http://127\.0\.0\.1:\d+/lab/tree/notebooks/00_first_chat.ipynb\?token=\w+"
    )
    api = re.sub(r"/lab/tree/(.*)\?", r"/api/contents/\1?content=0&", address)
    with urllib.request.urlopen(api, timeout=30) as answer:
        assert json.load(answer)["name"] == "00_first_chat.ipynb"
    second = Terminal("lab", home=home)
    other = second.until(r"http://127\.0\.0\.1:\d+/lab/\S+")
    assert other.split("/")[2] != address.split("/")[2]
    [worker] = alive(home, "worker")
    assert len(alive(home, "child")) == 2

    first.ctrl_c()
    assert first.ended() == 0
    assert worker.alive
    assert len(alive(home, "child")) == 1
    assert chatrpc("call", "say", "hola", CHATRPC_SERVICE=home.name).returncode == 0

    [left] = alive(home, "child")
    os.kill(second.pid, signal.SIGKILL)  # the laboratory is an orphan now
    second.ended()
    assert left.alive
    assert "JupyterLab" in chatrpc("stop", CHATRPC_HOME=str(home)).stdout
    assert not left.alive
    assert not worker.alive
    assert not list((home / "run").glob("*.json"))


def test_the_chat_and_its_worker_end_with_ctrl_c(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app = Terminal("app", "--port", str(port), home=home)
    app.until(rf"127\.0\.0\.1:{port}")
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                assert json.load(answer)["workers"] == 1
                break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    [worker], [child] = alive(home, "worker"), alive(home, "child")
    app.ctrl_c()
    assert app.ended() in (0, 130)
    assert not worker.alive
    assert not child.alive
    assert "Traceback" not in app.shown


def test_a_taken_port_is_one_sentence_and_the_worker_ends_too(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = Terminal("app", "--port", str(taken.getsockname()[1]), home=home)
        assert app.ended() != 0
    assert "Traceback" not in app.shown
    assert not alive(home, "worker")


def test_a_worker_in_the_foreground_leaves_when_told(home: Path) -> None:
    worker = Terminal("worker", home=home)
    worker.until("serves")
    assert "worker" in chatrpc("stop", CHATRPC_HOME=str(home)).stdout
    assert worker.ended() == 0


def test_the_state_folder_is_where_it_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATRPC_HOME", str(tmp_path))
    assert folder.state_folder() == tmp_path
    monkeypatch.delenv("CHATRPC_HOME")
    assert folder.state_folder() == ROOT / ".chatrpc"
    monkeypatch.setattr(folder, "clone", lambda: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert folder.state_folder() == tmp_path / "state" / "chatrpc"
