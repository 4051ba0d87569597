"""``python app.py`` and ``flask run`` as a person types them."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import zxingcpp

from chatrpc.machine.ports import lan_address
from tests.programs import ROOT, Program


def get(url: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def send(site: str, text: str) -> dict:
    """Post a message."""
    request = urllib.request.Request(
        f"{site}api/messages",
        data=json.dumps({"text": text}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def free_port() -> int:
    """A port that nobody holds now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_python_app(service: str, worker: Program, number: signal.Signals) -> None:
    """It serves on loopback alone, answers, and leaves with 0."""
    with Program("app.py", "--port", "0", CHATRPC_SERVICE=service) as program:
        line = program.wait_for("The chat is at")
        site = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        assert get(f"{site}healthz") == (200, '{"status":"ok"}\n')
        assert send(site, "hola")["answer"].startswith("¡Hola!")
        began = time.monotonic()
        assert program.stop(number) == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in program.output
        assert program.output.endswith("Stopped.\n")


def test_flask_run(service: str, worker: Program) -> None:
    """The same app under Flask's own server."""
    port = free_port()
    flask = ("-m", "flask", "run", "--host=127.0.0.1", f"--port={port}")
    with Program(*flask, CHATRPC_SERVICE=service) as program:
        program.wait_for("Running on")
        assert send(f"http://127.0.0.1:{port}/", "hola")["answer"].startswith("¡Hola!")
        assert "Debug mode: off" in program.output
        program.stop(signal.SIGINT)
        assert "Traceback" not in program.output


def test_a_port_that_is_taken_is_one_sentence() -> None:
    """It names another port, and ends before any broker is asked."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with Program("app.py", "--port", str(port), CHATRPC_URL="amqp://127.0.0.1:1/") as program:
            assert program.wait(30) == 1
            assert program.output.splitlines() == [
                f"Port {port} is taken. Use another: python app.py --port {port + 1}"
            ]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--port", "70000"], 2, "from 1 to 65535"),
        (["--port", "-1"], 2, "expected one argument|from 1 to 65535"),
        (["--port", "http"], 2, "from 1 to 65535"),
        (["--lan", "--host", "127.0.0.1"], 2, "not allowed with"),
        (["--host", "192.0.2.77", "--port", "0"], 1, "is no address of this machine"),
        (["--host", "no such host", "--port", "0"], 1, "no address called"),
    ],
)
def test_a_bad_option_is_one_sentence(arguments: list[str], status: int, says: str) -> None:
    """The status is not 0, and there is no traceback."""
    done = subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert re.search(says, done.stderr), done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_setting_that_makes_no_sense_is_one_sentence() -> None:
    """Under both servers."""
    for command in (("app.py", "--port", "0"), ("-m", "flask", "run", "--port=0")):
        with Program(*command, CHATRPC_TIMEOUT="soon") as program:
            assert program.wait(30) != 0
            assert "CHATRPC_TIMEOUT is 'soon'" in program.output
            assert "Traceback" not in program.output


def test_it_starts_without_a_broker(service: str, tmp_path: Path) -> None:
    """Nobody at CHATRPC_URL: it serves, says so once, and holds no secret."""
    url = f"amqp://guest:hunter2-secret@127.0.0.1:{free_port()}/"
    with Program("app.py", "--port", "0", CHATRPC_SERVICE=service, CHATRPC_URL=url) as program:
        line = program.wait_for("The chat is at")
        site = re.search(r"http://\S+/", line)[0]
        assert get(site)[0] == 200
        status, body = get(f"{site}readyz")
        assert (status, json.loads(body)["type"]) == (503, "urn:chatrpc:broker-error")
        assert "CHATRPC_URL" in program.output
        assert program.stop() == 0
        assert "hunter2" not in program.output
        assert "Traceback" not in program.output


ADDRESS = lan_address()
IN_A_NETWORK = pytest.mark.skipif(not ADDRESS, reason="this machine is in no network")
LIGHT = {"█": "11", "▀": "10", "▄": "01", " ": "00", "\N{NO-BREAK SPACE}": "00"}


def read_terminal(output: str) -> str:
    """What a phone reads from the terminal's QR code, if it is dark on light as phones want it."""
    rows = re.findall(r"\033\[97;40m(.+)\033\[0m", output)
    lines = ["".join(LIGHT[c][half] for c in row) for row in rows for half in (0, 1)]
    size = 8  # pixels of one module
    pixels = b"".join(
        bytes(255 * int(light) for light in line for _ in range(size)) * size for line in lines
    )
    picture = memoryview(pixels).cast("B", [len(lines) * size, len(lines[0]) * size])
    found = zxingcpp.read_barcodes(picture, try_invert=False)
    assert len(found) == 1, output
    return found[0].text


@IN_A_NETWORK
def test_the_room(service: str, worker: Program) -> None:
    """--lan listens for everybody, and a phone reads from the terminal where."""
    with Program("app.py", "--lan", "--port", "0", CHATRPC_SERVICE=service) as program:
        line = program.wait_for("The chat is at")
        room = re.search(r"for the room at (http://[\d.]+:\d+/)", line)[1]
        assert room.startswith(f"http://{ADDRESS}:")
        assert read_terminal(program.output) == room
        assert send(room, "hola")["answer"].startswith("¡Hola!")


@IN_A_NETWORK
def test_the_room_under_flask_run(service: str, worker: Program) -> None:
    """The same code there, once; the page shows it too."""
    port = free_port()
    flask = ("-m", "flask", "run", "--host=0.0.0.0", f"--port={port}")
    with Program(*flask, CHATRPC_SERVICE=service) as program:
        program.wait_for("Running on")
        room = f"http://{ADDRESS}:{port}/"
        assert read_terminal(program.output) == room
        assert send(room, "hola")["answer"].startswith("¡Hola!")
        assert room in get(room)[1]
        assert program.output.count("for the room at") == 1


def test_without_a_room_there_is_no_code(service: str) -> None:
    """On loopback the terminal shows none, under both servers."""
    for command in (("app.py", "--port", "0"), ("-m", "flask", "run", f"--port={free_port()}")):
        with Program(*command, CHATRPC_SERVICE=service) as program:
            program.wait_for("http://127.0.0.1:")
            assert "█" not in program.output
            assert "for the room" not in program.output


def test_the_room_gets_no_debugger() -> None:
    """Whoever reaches Flask's debugger runs code here."""
    for host in ("0.0.0.0", "192.0.2.77"):
        flask = ("-m", "flask", "run", "--debug", f"--host={host}", f"--port={free_port()}")
        with Program(*flask) as program:
            assert program.wait(30) == 1
            assert program.output.splitlines()[-1].endswith("leave --debug away.")
