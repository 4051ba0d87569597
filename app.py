"""The chat in the browser: each message is a call through RabbitMQ to a worker process.

    python app.py                                 this machine only, http://127.0.0.1:5000/
    python app.py --lan                           the room too
    flask run --host=0.0.0.0 --port=5000          the same app under Flask's own server
    CHATRPC_CLIENT=my_chatrpc:RpcClient python app.py     with a client class of your own

The API, whose errors are problem details (RFC 9457) that carry ``ran`` and ``advice``:

    POST /api/messages {"text": …, "id": …}   →   {"answer": …, "worker": …, "milliseconds": …}
    GET  /api/presence                        →   {"broker": true, "workers": 1}
    GET  /healthz, /readyz                        is the process there; are broker and workers?
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, cast

from flask import Blueprint, Flask, Response, abort, current_app, render_template

from chatrpc import BrokerError, NoWorker, Ran, web

pages = Blueprint("pages", __name__)
api = Blueprint("api", __name__)


def create_app(*, service: str | None = None, timeout: float | None = None) -> Flask:
    """Build the app; nothing is opened until the first request needs it.

    Args:
        service: whom it calls; CHATRPC_SERVICE, or "chat".
        timeout: seconds that a message waits; CHATRPC_TIMEOUT, or 30.
    """
    found = web.settings()
    app = Flask(__name__)
    app.extensions["chatrpc"] = web.SharedClient(
        service or found.service, timeout=timeout or found.timeout, make=web.client_class()
    )
    web.protect(app)
    app.register_blueprint(pages)
    app.register_blueprint(api)
    web.greet()
    return app


def shared() -> web.SharedClient:
    """The one client that all threads of the app use."""
    return cast(web.SharedClient, current_app.extensions["chatrpc"])


@pages.get("/")
def index() -> str:
    """The page."""
    return render_template(
        "index.html", limit=web.MAX_TEXT, timeout=shared().timeout, room=web.room_address()
    )


@pages.get("/room.svg")
def room() -> Response:
    """The QR code of the address for the room."""
    address = web.room_address() or abort(404)
    return Response(web.qr_code(address), content_type="image/svg+xml")


@api.post("/api/messages")
def send() -> dict[str, Any]:
    """Call the worker and wait for its answer; this thread waits, and no other."""
    message = web.read_message()
    with shared().place() as client:
        begun = time.perf_counter()
        # The message's id is the call's: sent again, it is the same message and no second one.
        future = client.submit("say", message.text, message_id=message.id)
        answer = future.result(shared().timeout + 1)  # ours keeps its deadline; yours may not
        took = time.perf_counter() - begun
    return {"answer": answer, "worker": future.worker, "milliseconds": round(took * 1000, 1)}


@api.get("/api/presence")
def presence() -> dict[str, Any]:
    """Who is there, from what was seen a moment ago."""
    seen = shared().presence()
    return {"broker": seen.broker, "workers": seen.workers}


@api.get("/healthz")
def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@api.get("/readyz")
def readyz() -> dict[str, Any]:
    """Messages would be answered."""
    seen = shared().presence()
    if not seen.broker:
        raise BrokerError("the broker cannot be reached", ran=Ran.NO)
    if not seen.workers:
        raise NoWorker("nobody is listening")
    return {"status": "ok", "workers": seen.workers}


def main() -> int:
    """Serve the chat from the command line."""
    parser = argparse.ArgumentParser(description="The chat in the browser.")
    parser.add_argument("--port", type=port_number, default=5000, help="5000 unless given")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    where.add_argument("--lan", action="store_true", help="listen for the room's phones too")
    options = parser.parse_args()
    app = create_app()
    host = "0.0.0.0" if options.lan else options.host
    return web.serve(app, app.extensions["chatrpc"], host=host, port=options.port)


def port_number(text: str) -> int:
    """A port's number; 0 lets the system choose."""
    if text.isascii() and text.isdigit() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: use a number from 1 to 65535")


if __name__ == "__main__":
    sys.exit(main())
