"""What is answered when something went wrong: problem details (RFC 9457) that carry ``ran``."""

from __future__ import annotations

import json
import logging
import math
import re

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, TooManyRequests, default_exceptions

from ..errors import (
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

log = logging.getLogger("chatrpc.web")

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
    421: "Open the chat by the address that app.py prints; CHATRPC_ORIGINS names further ones.",
    429: "Wait a moment and send it again.",
    431: "Delete the cookies of this address.",
    500: "Look at the log of app.py.",
    501: "Send the body as it is, with a Content-Length.",
}

# What the server itself refuses never becomes a request of the app's.
NO_REQUEST = {
    400: "That is no HTTP request.",
    413: "The body is over a mebibyte.",
    431: "The headers are too long.",
    500: "The answer could not be sent.",
    501: "Only chunked bodies are understood.",
}


class Misdirected(HTTPException):
    """The request names a host that is none of ours."""

    code = 421
    name = "Misdirected Request"
    description = "This chat is not served under that name."


def answer_with_problems(app: Flask) -> None:
    """Let every error of an app be answered as problem details."""
    app.register_error_handler(RpcError, of_rpc_error)
    app.register_error_handler(TimeoutError, of_timeout)
    app.register_error_handler(HTTPException, of_http_error)


def problem(
    status: int, kind: str, title: str, detail: str, *, ran: Ran, advice: str = ""
) -> Response:
    """An error as problem details, with whether the method ran and what to do."""
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


def of_timeout(error: TimeoutError) -> Response:
    """The problem that a client is which has not kept its own deadline."""
    return of_rpc_error(CallTimeout("no answer in time"))


def of_http_error(error: HTTPException) -> Response | HTTPException:
    """The problem that a bad request, or a failure of the app itself, is."""
    status = error.code or 500
    if status < 400:
        return error
    kind = "too-large" if status == 413 else error.name.lower().replace(" ", "-")
    ran = Ran.NO if status < 500 or status == 501 else Ran.MAYBE
    answer = problem(
        status, kind, error.name, error.description or "", ran=ran, advice=ADVICE.get(status, "")
    )
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            answer.headers[name] = value
    return answer


def of_no_request(status: int) -> Response:
    """The problem that something is which is no request at all."""
    answer = of_http_error(default_exceptions[status](NO_REQUEST[status]))
    assert isinstance(answer, Response)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def too_many(rate: float, wait: float) -> TooManyRequests:
    """The error of whoever writes faster than ``rate`` a second, and may again after ``wait`` s."""
    sentence = f"More than {rate:g} messages a second are too many."
    return TooManyRequests(sentence, retry_after=math.ceil(wait))
