"""Serving: waitress on an address, and how the phones in the room find it."""

from __future__ import annotations

import errno
import io
import logging
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

import segno
import waitress  # type: ignore[import-untyped]
from flask import Flask, request
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.server import BaseWSGIServer  # type: ignore[import-untyped]

from ..errors import BrokerError
from ..machine.ports import lan_address
from .client import SharedClient

THREADS = 32  # of the server: client.WAITING of them may wait for answers
CONNECTIONS = 1_000  # two hundred pages, each with a few
PROMPT = 30.0  # seconds within which a request must have come in, and one must follow another
MAX_REQUEST = 1024 * 1024  # bytes that are read at all; over inbox.MAX_BODY the app refuses

EVERYWHERE = ("0.0.0.0", "::")


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
        _invite(host, _port(server))
        server.run()
    except (KeyboardInterrupt, SystemExit):
        pass
    finally:
        server.close()
        client.close()
    tell("Stopped.")
    return 0


def listen(app: Flask, *, host: str, port: int, prompt: float = PROMPT) -> Any:
    """A waitress server that holds its port already. Raises OSError or ValueError."""
    sockets: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=sockets,
        host=host,
        port=port,
        threads=THREADS,
        server_name=host,  # as Flask's own server does: it tells whether the room is meant
        connection_limit=CONNECTIONS,
        asyncore_use_poll=True,  # select() ends at 1,024 open files
        channel_timeout=prompt,
        cleanup_interval=min(prompt, 5.0),
        max_request_body_size=MAX_REQUEST,
        ident=None,
    )
    for one in sockets.values():
        if isinstance(one, BaseWSGIServer):
            one.channel_class = PromptChannel
    return server


class PromptChannel(HTTPChannel):  # type: ignore[misc]
    """A connection whose requests must come in within ``PROMPT`` seconds, a drop at a time or not.

    Waitress closes one that has been silent for so long. Here the rest of a request that has
    begun is no sign of life.
    """

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


def _port(server: Any) -> int:
    port = getattr(server, "effective_port", None)
    return cast(int, port or getattr(server, "effective_listen", [("", 0)])[0][1])


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
