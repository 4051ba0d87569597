"""Serving: waitress on an address, and how the phones in the room find it."""

from __future__ import annotations

import errno
import io
import logging
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

import click
import segno
import waitress  # type: ignore[import-untyped]
from flask import Flask, request
from flask.helpers import get_debug_flag
from waitress import wasyncore
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.server import BaseWSGIServer  # type: ignore[import-untyped]
from waitress.task import ErrorTask  # type: ignore[import-untyped]

from ..errors import BrokerError
from ..machine.ports import lan_address
from .client import SharedClient
from .problems import of_no_request

THREADS = 32  # of the server: client.WAITING of them may wait for answers
CONNECTIONS = 1_000  # two hundred pages, each with a few
PROMPT = 30.0  # seconds within which a request must have come in, and one must follow another
MAX_REQUEST = 1024 * 1024  # bytes that are read at all; over inbox.MAX_BODY the app refuses
A_LOOK = 10e-6  # seconds that it takes to see what one connection is ready for

EVERYWHERE = ("0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


# -- the room -----------------------------------------------------------------------------------


def room_address() -> str:
    """Where the room's phones find what serves this request; '' if it is for this machine only."""
    host, port = request.environ.get("SERVER_NAME", ""), request.environ.get("SERVER_PORT", "")
    lan = lan_address() if host in EVERYWHERE else ""
    return f"http://{lan}:{port}/" if lan else ""


def qr_code(address: str) -> bytes:
    """The QR code of an address as an SVG picture, which is dark on light in every theme."""
    picture = io.BytesIO()
    segno.make(address, micro=False).save(
        picture, kind="svg", border=4, light="#fff", omitsize=True, svgclass=None, lineclass=None
    )
    return picture.getvalue()


# -- serving ------------------------------------------------------------------------------------


def serve(app: Flask, client: SharedClient, *, host: str, port: int) -> int:
    """Serve with waitress until Ctrl-C or SIGTERM; return the exit status.

    The port is taken first, so that a second start costs no broker; a broker that is not there
    yet is reported and found later.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = listen(app, host=host, port=port)
    except (OSError, ValueError) as error:  # waitress makes a ValueError of an unknown host
        tell(_why_not(error, host, port), sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _leave)
    try:
        with suppress(BrokerError):  # it has been logged, and is tried again
            client.get()
        _invite(host, server.port)
        server.run()
    except (KeyboardInterrupt, SystemExit):
        pass
    finally:
        server.close()
        client.close()
    tell("Stopped.")
    return 0


def greet() -> None:
    """Say under ``flask run --host=0.0.0.0``, too, how the room comes in.

    Ends the program with one sentence if the room would get a debugger.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run":
        return
    host, port = context.params.get("host"), context.params.get("port")
    if host not in LOOPBACK and get_debug_flag():
        sys.exit("Flask's debugger would let the whole room run code here: leave --debug away.")
    if host in EVERYWHERE:
        _invite(host, cast(int, port))


def listen(app: Flask, *, host: str, port: int, prompt: float = PROMPT) -> Server:
    """A server that holds its port already. Raises OSError or ValueError."""
    sockets: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=sockets,
        host=host,
        port=port,
        threads=THREADS,
        server_name=host,  # as Flask's own server does: it tells whether the room is meant
        connection_limit=CONNECTIONS,
        channel_timeout=prompt,
        cleanup_interval=min(prompt, 5.0),
        max_request_body_size=MAX_REQUEST,
        ident=None,
    )
    for one in sockets.values():
        if isinstance(one, BaseWSGIServer):
            one.channel_class = PromptChannel
    return Server(server, sockets)


class Server:
    """Waitress, with a loop that does not mind many connections."""

    def __init__(self, server: Any, sockets: dict[int, Any]) -> None:
        self._server, self._sockets = server, sockets

    @property
    def port(self) -> int:
        """Where it listens."""
        port = getattr(self._server, "effective_port", None)
        return cast(int, port or self._server.effective_listen[0][1])

    def run(self) -> None:
        """Serve until it is closed, or KeyboardInterrupt or SystemExit comes."""
        try:
            while self._sockets:
                # Each round looks at every connection, and a message takes several rounds:
                # looking pays only if some news have gathered. Those who arrive do not wait.
                before = len(self._sockets)
                wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)
                if len(self._sockets) <= before:
                    time.sleep(before * A_LOOK)
        finally:
            self._server.task_dispatcher.shutdown()

    def close(self) -> None:
        """Let go of the port and of every connection."""
        self._server.close()


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """What waitress itself refuses is answered as problem details, as the app's errors are."""

    def execute(self) -> None:
        """Write the answer, and close."""
        answer = of_no_request(self.request.error.code)
        self.status = answer.status
        self.response_headers.extend(answer.headers)
        self.set_close_on_finish()
        self.content_length = len(answer.data)
        self.write(answer.data)


class PromptChannel(HTTPChannel):  # type: ignore[misc]
    """A connection whose requests must come in within ``PROMPT`` seconds, a drop at a time or not.

    Waitress closes one that has been silent for so long. Here the rest of a request that has
    begun is no sign of life.
    """

    error_task_class = ProblemTask
    last_activity: float

    def handle_read(self) -> None:
        """Read what has come."""
        before = self.last_activity if self.request is not None else None
        super().handle_read()
        if before is not None and self.request is not None:
            self.last_activity = before


def _leave(*_: object) -> NoReturn:
    raise SystemExit


def _why_not(error: OSError | ValueError, host: str, port: int) -> str:
    if isinstance(error, ValueError | socket.gaierror):
        return f"This machine has no address called {host}. Use 127.0.0.1, or --lan for the room."
    if error.errno == errno.EADDRINUSE:
        airplay = " On macOS, AirPlay Receiver may hold port 5000." if port == 5000 else ""
        return f"Port {port} is taken.{airplay} Use another: python app.py --port {port + 1}"
    if error.errno == errno.EACCES:
        return f"Port {port} needs root. Use one from 1024 on: python app.py --port 5000"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Use 127.0.0.1, or --lan for the room."
    return f"Cannot listen on {host} port {port}: {error.strerror}."


def _invite(host: str, port: int) -> None:
    """Say where the chat is; to the room with a QR code."""
    name = f"[{host}]" if ":" in host else host
    if host not in EVERYWHERE:
        tell(f"The chat is at http://{name}:{port}/. Ctrl-C stops it.")
        return
    here, lan = f"http://127.0.0.1:{port}/", lan_address()
    if not lan:
        tell(f"The chat is at {here}. This machine is in no network. Ctrl-C stops it.")
        return
    room = f"http://{lan}:{port}/"
    with suppress(UnicodeEncodeError):  # a terminal without blocks has the address all the same
        tell(_blocks(room))
    tell(f"The chat is at {here}, and for the room at {room}. Ctrl-C stops it.")


def _blocks(address: str) -> str:
    """The QR code for a terminal: white on black, whatever the colours of the theme."""
    picture = io.StringIO()
    segno.make(address, micro=False).terminal(picture, compact=True, border=2)
    rows = picture.getvalue().splitlines()
    return "\n".join(f"\033[97;40m{row}\033[0m" for row in rows if row.strip())


def tell(sentence: str, stream: TextIO | None = None) -> None:
    """Write a line for the person at the terminal."""
    stream = stream or sys.stdout
    stream.write(f"{sentence}\n")
    stream.flush()
