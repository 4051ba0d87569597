"""Who may ask, and how fast; and the headers of every answer."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
import sys
import time
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import Forbidden

from .inbox import MAX_BODY
from .limits import Rates
from .problems import Misdirected, answer_with_problems, too_many

RATE = 5.0  # messages a second of one page, unless CHATRPC_RATE says other; four seconds' at once
PAGES = 40  # so many pages may share one address: a room behind one router
COOKIE = "chatrpc-page"

_SOURCES = re.compile(r"[\w:/.*'\[\] -]+")
_ORIGIN = re.compile(r"https?://[\w.-]+(:\d{1,5})?|https?://\[[\da-f:]+\](:\d{1,5})?")
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?")
_PAGE = re.compile(r"[\w-]{22}")


def protect(app: Flask) -> None:
    """Give an app its bounds, its errors as problem details, its headers and its checks.

    CHATRPC_ORIGINS names further origins under which it is served or that may write, with
    commas; CHATRPC_FRAME_ANCESTORS who may show the page in a frame, as in a content security
    policy; CHATRPC_RATE how many messages a second a page may send, 0 for no bound. Ends the
    program with one sentence if one of them makes no sense.
    """
    origins = _origins()
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    cast(DefaultJSONProvider, app.json).ensure_ascii = False  # JSON that a person can read
    answer_with_problems(app)
    _check_hosts(app, origins)
    _check_origins(app, origins)
    _check_rates(app, _rate())
    _add_headers(app, _ancestors())


# -- settings -----------------------------------------------------------------------------------


def _origins() -> set[str]:
    found = {o.strip() for o in os.environ.get("CHATRPC_ORIGINS", "").split(",") if o.strip()}
    if not all(_ORIGIN.fullmatch(origin) for origin in found):
        sys.exit("CHATRPC_ORIGINS must be origins with commas between, like https://example.org.")
    return found


def _ancestors() -> str:
    found = os.environ.get("CHATRPC_FRAME_ANCESTORS") or "'self'"
    if not _SOURCES.fullmatch(found):
        sys.exit("CHATRPC_FRAME_ANCESTORS must be origins with spaces between, or 'none'.")
    return found


def _rate() -> float:
    text = os.environ.get("CHATRPC_RATE") or str(RATE)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        sys.exit(f"CHATRPC_RATE is {text!r}: it must be messages a second, or 0 for no bound.")
    return float(text)


# -- checks -------------------------------------------------------------------------------------


def _check_hosts(app: Flask, origins: set[str]) -> None:
    # Another site's name may lead to this machine, and its page would then be of our origin
    # (DNS rebinding). A name that is an address cannot be led anywhere.
    here = socket.gethostname().lower()
    names = {"localhost", here, f"{here}.local"} | {urlsplit(o).hostname for o in origins}

    def check_host() -> None:
        found = _HOST.fullmatch(request.headers.get("Host", ""))
        name = found["name"].lower() if found else ""
        if name not in names and not _is_address(name.strip("[]")):
            raise Misdirected

    app.before_request(check_host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origins(app: Flask, origins: set[str]) -> None:
    def check_origin() -> None:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        origin = request.headers.get("Origin")
        own = origin is None or origin == request.host_url.rstrip("/") or origin in origins
        if not own or (origin is None and request.headers.get("Sec-Fetch-Site") == "cross-site"):
            raise Forbidden("Another site's page may not write here.")

    app.before_request(check_origin)


def _check_rates(app: Flask, rate: float) -> None:
    if not rate:
        return
    pages, addresses = (Rates(rate * n, max(1, round(4 * rate * n))) for n in (1, PAGES))

    def check_rate() -> None:
        if request.method != "POST":
            return
        # A cookie is easily left away or invented: the address bounds whoever does.
        for rates, key in (addresses, request.remote_addr), (pages, _page()):
            if key and (wait := rates.wait(key, time.monotonic())):
                raise too_many(rates.rate, wait)

    app.before_request(check_rate)


def _page() -> str:
    """The cookie that this app has given to a page; '' if there is none."""
    cookie = request.cookies.get(COOKIE, "")
    return cookie if _PAGE.fullmatch(cookie) else ""


# -- headers ------------------------------------------------------------------------------------


def _add_headers(app: Flask, ancestors: str) -> None:
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

    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        if response.is_json:
            response.headers["Cache-Control"] = "no-store"
        if response.mimetype == "text/html" and not _page():
            response.set_cookie(COOKIE, secrets.token_urlsafe(16), httponly=True, samesite="Strict")
        return response

    app.after_request(add_headers)
