"""The plumbing of app.py: one client for all threads, bounds, problem details, headers, serving.

Nothing here knows the chat's page or its routes. The installed ``chatrpc`` never imports it; it
needs the extra ``app``.
"""

from __future__ import annotations

import atexit
import errno
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, TextIO, cast

import waitress  # type: ignore[import-untyped]
from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, UnsupportedMediaType

from . import broker
from .client import RpcClient
from .errors import (
    BrokerError,
    BrokerRefused,
    Busy,
    CallTimeout,
    ClientClosed,
    InvalidRequest,
    NoWorker,
    Ran,
    RpcError,
    TooLarge,
)
from .machine.ports import lan_address
from .settings import Settings

log = logging.getLogger("chatrpc.web")

MAX_TEXT = 4_000  # characters of one message
MAX_BODY = 64 * 1024  # bytes: MAX_TEXT characters fit, however JSON spells them
THREADS = 32  # of the server
WAITING = 30  # of them may wait for answers; the rest can still say "busy", and who listens
A_MOMENT = 0.1  # seconds that one more may wait for a place, as quick answers free them
PATIENCE = 30.0  # seconds that a message waits for its answer, unless CHATRPC_TIMEOUT says other
LOOK_AGAIN = 0.5  # seconds after which broker and workers are looked at anew
DIAL_AGAIN = 1.0  # seconds between two attempts to find the broker


# -- settings -----------------------------------------------------------------------------------


def settings() -> Settings:
    """The environment's settings, of which the chat waits longer than a program does.

    Ends the program with one sentence if a variable makes no sense.
    """
    patient = os.environ.get("CHATRPC_TIMEOUT") or str(PATIENCE)
    try:
        return Settings.from_env({**os.environ, "CHATRPC_TIMEOUT": patient})
    except ValueError as error:
        sys.exit(str(error))


# -- one client for all threads -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether the broker is there, and how many workers listen."""

    broker: bool
    workers: int


class SharedClient:
    """One ``RpcClient`` for all threads of a process, opened when it is first needed.

    One connection and one table of calls serve any number of threads. Until the broker is
    found each ``get`` fails soon, and looks again every ``DIAL_AGAIN`` seconds; a client
    that was opened comes back by itself.
    """

    def __init__(self, service: str, *, timeout: float, waiting: int = WAITING) -> None:
        """Name the service; nothing is opened or started. ``timeout`` is in seconds."""
        self.service = service
        self.timeout = timeout
        self._client: RpcClient | None = None
        self._opening = threading.Lock()
        self._places = threading.BoundedSemaphore(waiting)
        self._failure = BrokerError("the broker is being looked for", ran=Ran.NO)
        self._dial_at = 0.0
        self._looking = threading.Lock()
        self._look_at = 0.0
        self._seen = Presence(False, 0)

    def get(self) -> RpcClient:
        """The client. Raises BrokerError while there is no broker to connect to."""
        if self._client is not None:
            return self._client
        # A private node takes some seconds to start: whoever comes meanwhile waits for it.
        if not self._opening.acquire(timeout=min(self.timeout, 10.0)):
            raise BrokerError("the broker is being looked for", ran=Ran.NO)
        try:
            if self._client is None:
                if time.monotonic() < self._dial_at:
                    raise type(self._failure)(str(self._failure), ran=Ran.NO)
                self._client = self._open()
                atexit.register(self.close)
            return self._client
        finally:
            self._opening.release()

    def _open(self) -> RpcClient:
        try:
            broker.use()
            return RpcClient(self.service, timeout=self.timeout)
        except broker.BrokerProblem as problem:
            self._failure = BrokerError(str(problem), ran=Ran.NO)
        except BrokerError as error:
            self._failure = error
        self._dial_at = time.monotonic() + DIAL_AGAIN
        log.warning("no broker: %s", self._failure)
        raise type(self._failure)(str(self._failure), ran=Ran.NO)

    @contextmanager
    def place(self) -> Iterator[RpcClient]:
        """The client, and one of the places of those who wait. Raises Busy when all are taken."""
        if not self._places.acquire(timeout=A_MOMENT):
            raise Busy("too many people are waiting for their answers", ran=Ran.NO)
        try:
            yield self.get()
        finally:
            self._places.release()

    def presence(self) -> Presence:
        """What was seen of broker and workers, ``LOOK_AGAIN`` seconds ago at most."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                self._seen = self._look()
            finally:
                self._look_at = time.monotonic() + LOOK_AGAIN
                self._looking.release()
        return self._seen

    def _look(self) -> Presence:
        try:
            return Presence(True, self.get().consumers())
        except NoWorker:
            return Presence(True, 0)
        except RpcError:
            return Presence(False, 0)

    def close(self) -> None:
        """Close the client if there is one; a later ``get`` opens another."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            atexit.unregister(self.close)
            client.close()


# -- what is accepted ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """What a person wrote, and the id that names it, also when it is sent again."""

    text: str
    id: str


_ID = re.compile(r"[A-Za-z0-9._:-]{8,64}")


def read_message() -> Message:
    """The message in the request's body, ``{"text": …, "id": …}``; without an id it gets one.

    Raises BadRequest, UnsupportedMediaType or TooLarge, with a sentence that says what is wrong.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, with the header Content-Type: application/json.")
    try:
        found = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise BadRequest('The body must be an object, {"text": "hola"}.')
    text, id = found.get("text"), found.get("id")
    if not isinstance(text, str):
        raise BadRequest('"text" is missing, or is not a text.')
    if not text.strip():
        raise BadRequest("The message is empty.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("The text holds half a character.") from None
    if len(text) > MAX_TEXT:
        raise TooLarge(f"the message has {len(text):,} characters, at most {MAX_TEXT:,} go")
    if id is None:
        id = uuid.uuid4().hex
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise BadRequest('"id" must be 8 to 64 letters, digits, or one of ".", "_", ":", "-".')
    return Message(text, id)


# -- what is answered ---------------------------------------------------------------------------

STATUS: dict[type[Exception], int] = {
    TooLarge: 413,
    InvalidRequest: 502,  # what the app asks for is right, so the worker lacks it
    NoWorker: 503,
    Busy: 503,
    BrokerError: 503,
    ClientClosed: 503,
    CallTimeout: 504,
    RpcError: 502,
}

# The broker's own sentences name its address: they are for the log.
UNSAID = {
    BrokerRefused: "The broker refuses the login.",
    BrokerError: "The broker cannot be reached.",
}

ADVICE = {
    400: "Correct the message and send it again.",
    403: "Send from the chat's own page.",
    404: "Open / for the chat; the API is under /api/.",
    405: "Use the method that the header Allow names.",
    413: "Send less.",
    415: "Send JSON.",
    500: "Look at the log of app.py.",
}


def problem(
    status: int, kind: str, title: str, detail: str, *, ran: Ran, advice: str = ""
) -> Response:
    """An error as problem details (RFC 9457), with whether the method ran and what to do."""
    told = {
        "type": f"urn:chatrpc:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "ran": ran.value,
        "advice": advice,
    }
    body = json.dumps(told, ensure_ascii=False)
    return Response(body, status=status, content_type="application/problem+json")


def of_rpc_error(error: RpcError) -> Response:
    """The problem that a call's failure is."""
    family = type(error).__mro__
    status = next(STATUS[kind] for kind in family if kind in STATUS)
    detail = next((UNSAID[kind] for kind in family if kind in UNSAID), "")
    if detail:
        log.warning("%s: %s", type(error).__name__, error)
    words = re.findall("[A-Z][a-z]*", type(error).__name__) or ["Error"]
    title = " ".join(words).capitalize()
    kind = "-".join(words).lower()
    answer = problem(status, kind, title, detail or str(error), ran=error.ran, advice=error.advice)
    if status == 503:
        answer.headers["Retry-After"] = "1"
    return answer


def of_http_error(error: HTTPException) -> Response | HTTPException:
    """The problem that a bad request, or a failure of the app itself, is."""
    status = error.code or 500
    if status < 400:
        return error
    kind = "too-large" if status == 413 else error.name.lower().replace(" ", "-")
    ran = Ran.NO if status < 500 else Ran.MAYBE
    answer = problem(
        status, kind, error.name, error.description or "", ran=ran, advice=ADVICE.get(status, "")
    )
    for name, value in error.get_headers():
        if name.lower() == "allow":
            answer.headers[name] = value
    return answer


# -- who may ask --------------------------------------------------------------------------------

_SOURCES = re.compile(r"[\w:/.*'\[\] -]+")


def protect(app: Flask) -> None:
    """Give an app its bounds, its errors as problem details, its headers and the origin check.

    CHATRPC_ORIGINS names further origins that may write, with commas; CHATRPC_FRAME_ANCESTORS
    who may show the page in a frame, as in a content security policy.
    """
    ancestors = os.environ.get("CHATRPC_FRAME_ANCESTORS") or "'self'"
    if not _SOURCES.fullmatch(ancestors):
        sys.exit("CHATRPC_FRAME_ANCESTORS must be origins with spaces between, or 'none'.")
    origins = {o.strip() for o in os.environ.get("CHATRPC_ORIGINS", "").split(",") if o.strip()}
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
            " connect-src 'self'; base-uri 'none'; form-action 'none';"
            f" frame-ancestors {ancestors}"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }

    def check_origin() -> None:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        origin = request.headers.get("Origin")
        own = origin is None or origin == request.host_url.rstrip("/") or origin in origins
        if not own or (origin is None and request.headers.get("Sec-Fetch-Site") == "cross-site"):
            raise Forbidden("Another site's page may not write here.")

    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        if response.is_json:
            response.headers["Cache-Control"] = "no-store"
        return response

    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    cast(DefaultJSONProvider, app.json).ensure_ascii = False  # JSON that a person can read
    app.before_request(check_origin)
    app.after_request(add_headers)
    app.register_error_handler(RpcError, of_rpc_error)
    app.register_error_handler(HTTPException, of_http_error)


# -- serving ------------------------------------------------------------------------------------


def serve(app: Flask, client: SharedClient, *, host: str, port: int) -> int:
    """Serve with waitress until Ctrl-C or SIGTERM; return the exit status.

    The port is taken first, so that a second start costs no broker; a broker that is not there
    yet is reported and found later.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = waitress.create_server(
            app,
            host=host,
            port=port,
            threads=THREADS,
            channel_timeout=30,
            connection_limit=1000,
            max_request_body_size=1024 * 1024,
            ident=None,
        )
    except (OSError, ValueError) as error:  # waitress makes a ValueError of an unknown host
        tell(_why_not(error, host, port), sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _leave)
    try:
        with suppress(BrokerError):  # it has been logged, and is tried again
            client.get()
        tell(f"The chat is at {_addresses(host, server)}. Ctrl-C stops it.")
        server.run()
    except (KeyboardInterrupt, SystemExit):
        pass
    finally:
        server.close()
        client.close()
    tell("Stopped.")
    return 0


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


def _addresses(host: str, server: object) -> str:
    port = getattr(server, "effective_port", None)
    if port is None:
        port = getattr(server, "effective_listen", [(host, 0)])[0][1]
    if host not in ("0.0.0.0", "::"):
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    here = f"http://127.0.0.1:{port}/"
    lan = lan_address()
    return f"{here}, and for the room at http://{lan}:{port}/" if lan else here


def tell(sentence: str, stream: TextIO | None = None) -> None:
    """Write a line for the person at the terminal."""
    stream = stream or sys.stdout
    stream.write(f"{sentence}\n")
    stream.flush()
