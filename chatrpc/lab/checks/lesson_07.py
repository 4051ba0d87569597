"""Checks of lesson 07, May thirty phones share one client?"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest import mock

from chatrpc import RpcClient, RpcServer
from chatrpc.errors import (
    BrokerError,
    Busy,
    CallTimeout,
    ClientClosed,
    MethodNotFound,
    NoWorker,
    RemoteError,
    RpcError,
    TooLarge,
)

from .. import faults
from ..carry import module_of
from ..contract import judge_file
from ..cups import ROOT
from ..exercises import Broken, Exercise, NotYet, written
from ..firehose import connect, exists
from ..services import service as own_service
from ..trial import environment

# 07.1

THREADS, EACH = 30, 20
PATIENCE = 0.4  # seconds that a call without an answer waits
GRACE = 0.5


def check_submit(cls: type) -> None:
    """Want a future at once that ends by its deadline or at close, and none crossed: C03, C18."""
    if not isinstance(cls, type):
        raise Broken("The decorator stands above a class here: leave the line with class.")
    with _kitchen("check-07-submit") as service, _opened(cls, service, timeout=5.0) as client:
        _is_at_once(client)
        _none_crossed(client)
        _ends_unasked(client)
        _ends_at_close(client)
    _keeps(cls, "C03 C18")


def _keeps(cls: type, promises: str) -> None:
    """Put a class to promises, without the board that a judge would show in the cell."""
    with tempfile.TemporaryDirectory(prefix="chatrpc-check-") as folder:
        path = Path(folder, "answer.py")
        path.write_text(module_of(cls), encoding="utf-8")
        report = judge_file(path, [cls.__name__], only=promises, trace=False)
    for row in report.rows:
        if row.promise.id in report.broken:
            raise Broken(f"{row.promise.id} is broken: {row.reason}.")


@contextlib.contextmanager
def _kitchen(label: str) -> Iterator[str]:
    def echo(value: Any) -> Any:
        return value

    def slow(value: Any, seconds: float) -> Any:
        time.sleep(seconds)
        return value

    server = RpcServer(own_service(label), threads=8)
    server.method(echo)
    server.method(slow)
    with server:
        yield server.service


@contextlib.contextmanager
def _opened(cls: type, service: str, **options: Any) -> Iterator[Any]:
    client = cls(service, **options)
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close()


def _future(client: Any, *args: Any, **options: Any) -> Future[Any]:
    future = written(client.submit(*args, **options))
    if isinstance(future, tuple):
        raise Broken("submit returned a tuple: begin gives you three things, return the future.")
    if not hasattr(future, "add_done_callback"):
        raise Broken(
            f"submit returned {future!r}, which is no future: the caller wants the thing "
            "that will have the answer, not the answer."
        )
    return future  # type: ignore[no-any-return]


def _is_at_once(client: Any) -> None:
    began = time.monotonic()
    future = _future(client, "slow", "hola", 0.4)
    if time.monotonic() - began > 0.3:
        raise Broken("submit came back only with the answer: it must not wait for it.")
    _brings(future, "hola")
    _brings(_future(client, "slow", value="by name", seconds=0.0), "by name")
    with contextlib.suppress(RpcError):
        _future(client, "echo", {1}).result(2.0)
        raise Broken("submit took a set, which has no JSON form, and said nothing.")
    _brings(_future(client, "echo", "named", message_id="an intention"), "named")


def _brings(future: Future[Any], wanted: object) -> None:
    try:
        came = future.result(3.0)
    except RpcError as error:
        raise Broken(f"The future should bring {wanted!r} and raised: {error}.") from None
    except TimeoutError:
        raise Broken(f"The future of an answer that came, {wanted!r}, never ends.") from None
    if came != wanted:
        raise Broken(f"The future should bring {wanted!r} and brought {came!r}.")


def _none_crossed(client: Any) -> None:
    crossed: list[str] = []

    def many(name: int) -> None:
        asked = [f"{name}.{turn}" for turn in range(EACH)]
        futures = [client.submit("echo", one) for one in asked]
        for one, future in zip(asked, futures, strict=True):
            if (came := future.result(5.0)) != one:
                crossed.append(f"{one!r} was asked for, and {came!r} came")

    threads = [threading.Thread(target=many, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(8.0)
    if crossed:
        raise Broken(f"With {THREADS} threads, answers went astray: {crossed[0]}.")


def _ends_unasked(client: Any) -> None:
    """A call without an answer ends by its deadline, though nobody calls ``result``."""
    ended = threading.Event()
    future = _future(client, "slow", "late", 3 * PATIENCE, timeout=PATIENCE)
    future.add_done_callback(lambda done: ended.set())
    if not ended.wait(PATIENCE + GRACE):
        raise Broken(
            f"No answer came within {PATIENCE:g} s, the deadline, and the future has not ended: "
            "nobody looked at the clock."
        )
    if not isinstance(error := future.exception(), CallTimeout):
        raise Broken(f"At the deadline the future ended with {error!r}, not with a CallTimeout.")
    if (left := _pending(client)) is not None and left:
        raise Broken(f"{left} call(s) are over and still stand in the table.")


def _pending(client: Any) -> int | None:
    table = getattr(client, "pending", None)
    return None if table is None else len(table)


def _ends_at_close(client: Any) -> None:
    ended = threading.Event()
    future = _future(client, "slow", "never", 3.0)
    future.add_done_callback(lambda done: ended.set())
    time.sleep(0.1)
    replies = getattr(client, "replies", "")
    began = time.monotonic()
    client.close()
    took = time.monotonic() - began
    if not ended.wait(0.3):
        raise Broken("close() has ended the link, and who waits for a future waits on.")
    if not isinstance(error := future.exception(), ClientClosed):
        raise Broken(f"After close() the future ended with {error!r}, not with ClientClosed.")
    if took > 2.0:
        raise Broken(f"close() took {took:.1f} s, and 2 s are promised.")
    _refuses(client)
    if replies and _is_there(replies):
        raise Broken("close() has left its queue of replies: it must call super().close().")


def _refuses(client: Any) -> None:
    try:
        future = client.submit("echo", "after the end")
        error = future.exception(1.0)
    except RpcError as problem:
        error = problem
    except TimeoutError:
        raise Broken(
            "submit after close() gave a future that never ends: let close() set self.closed, "
            "which begin looks at."
        ) from None
    if not isinstance(error, ClientClosed):
        raise Broken(f"submit after close() ended with {error!r}, not with ClientClosed.")


def _is_there(queue: str) -> bool:
    transport = connect()
    try:
        return exists(transport, queue)
    finally:
        transport.close()


# 07.2

FINE = {
    "/nobody": (503,),
    "/full": (503, 429),
    "/long": (413,),
    "/misspelt": (502, 500, 501),
    "/fails": (502, 500),
    "/silent": (504,),
    "/closed": (503,),
    "/away": (503, 502),
}
_WRONG = {
    "/nobody": "In a moment a worker may be there: the service is unavailable for now.",
    "/full": "Too much to do for now; a moment later it goes.",
    "/long": "This one is the phone's doing: what it sends is too large.",
    "/misspelt": "The phone has named no method: the web program did, and asked for one that the "
    "worker does not have. What it stands before has let it down.",
    "/fails": "The method behind the web program failed: that is bad news from behind.",
    "/silent": "Somebody behind did not answer in time: the gateway's wait has ended.",
    "/closed": "The web program is closing down: for now it serves nobody.",
    "/away": "The broker cannot be reached for now.",
}


def check_status(status: Callable[[RpcError], Any]) -> None:
    """Want a status of HTTP for each kind of failure, as eight routes of a real app answer it."""
    written(status(CallTimeout("no answer in time")))
    with _failures() as routes:
        for route, answer in _answers(routes, status).items():
            _is_fine(route, answer)


def _answers(
    routes: dict[str, Callable[[], Any]], status: Callable[[RpcError], Any]
) -> dict[str, tuple[Any, str]]:
    from flask import Flask

    app = Flask("check-07-2")
    said: list[Any] = []

    def handle(error: RpcError) -> tuple[str, int]:
        said.append(status(error))
        whole = isinstance(said[-1], int) and 100 <= said[-1] <= 599
        return type(error).__name__, int(said[-1]) if whole else 500

    app.register_error_handler(RpcError, handle)
    for route, act in routes.items():
        app.add_url_rule(route, route, act)
    page = app.test_client()
    found = {}
    for route in routes:
        said.clear()
        came = page.get(route)
        found[route] = (said[0] if said else came.status_code, came.get_data(as_text=True))
    return found


def _is_fine(route: str, answer: tuple[Any, str]) -> None:
    status, error = answer
    head = f"{route} fails with {error}, and your function says {status!r}."
    if status is ... or status is None:
        raise Broken(f"{head} It says nothing for this one.")
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise Broken(f"{head} A status is a whole number from 100 to 599.")
    if status in FINE[route]:
        return
    if status < 400:
        raise Broken(f"{head} The phone takes that for success, and shows an answer.")
    if status < 500 and route != "/long":
        raise Broken(f"{head} 4xx says that the phone did it wrong. {_WRONG[route]}")
    raise Broken(f"{head} {_WRONG[route]}")


@contextlib.contextmanager
def _failures() -> Iterator[dict[str, Callable[[], Any]]]:
    """Eight ways to fail, each for real, but those that would take a broker away."""

    def fail() -> None:
        raise ValueError("no coffee left")

    with _kitchen("check-07-status") as service, contextlib.ExitStack() as stack:
        client = stack.enter_context(RpcClient(service, timeout=2.0))
        nobody = stack.enter_context(RpcClient(own_service("check-07-nobody")))
        gone = RpcClient(service)
        gone.close()
        crowded = stack.enter_context(_full())
        failing = RpcServer(own_service("check-07-failing"))
        failing.method(fail)
        stack.enter_context(failing)
        unlucky = stack.enter_context(RpcClient(failing.service))

        def away() -> Any:
            return RpcClient(service, url="amqp://guest:guest@127.0.0.1:1/")

        yield {
            "/nobody": lambda: nobody.call("echo", "hola"),
            "/full": lambda: crowded.call("echo", "hola"),
            "/long": lambda: client.call("echo", "x" * 1_100_000),
            "/misspelt": lambda: client.call("eco", "hola"),
            "/fails": lambda: unlucky.call("fail"),
            "/silent": lambda: client.call("slow", "hola", 0.5, timeout=0.1),
            "/closed": lambda: gone.call("echo", "hola"),
            "/away": away,
        }


def _full() -> RpcClient:
    """A client of a service whose queue takes no more."""
    service = own_service("check-07-full")
    with environment(CHATRPC_QUEUE_LIMIT="5"):
        with RpcServer(service):
            pass  # it has declared the queue
        client = RpcClient(service, timeout=2.0)
    faults.fill(service)
    return client


KINDS = {
    "/nobody": NoWorker,
    "/full": Busy,
    "/long": TooLarge,
    "/misspelt": MethodNotFound,
    "/fails": RemoteError,
    "/silent": CallTimeout,
    "/closed": ClientClosed,
    "/away": BrokerError,
}
"""What each route fails with."""


# 07.3

_ID = re.compile(r"[A-Za-z0-9._:-]{8,64}")


def check_page(cls: type, *, service: str, cups: Any) -> None:
    """Want one cup for each message, however often its button is pressed, on app.py itself."""
    if not isinstance(cls, type):
        raise Broken("The decorator stands above a class here: leave the line with class.")
    written(cls(lambda body: {}).write("/coffee"))
    with _app(service) as app:
        ana, ben = cls(app.post), cls(app.post)
        message = ana.write("/coffee")
        if message is None:
            raise NotYet
        scene = _Scene(app, cups)
        scene.pours(1, lambda: _double_click(ana, message), "a double click")
        scene.pours(0, lambda: ana.click(message), "'send again', some time later,")
        second = ana.write("/coffee")
        scene.pours(1, lambda: ana.click(second), "a second message of Ana's")
        one, other = _at_the_same_moment(ana, ben, "/coffee")
        scene.pours(1, lambda: ben.click(other), "a message on Ben's phone")
        scene.pours(
            1, lambda: ana.click(one), "a message that Ana wrote at the moment when Ben did"
        )
        scene.pours(0, lambda: ana.click(message), "Ana's first button, once more,")


class _Scene:
    """Presses buttons, and counts what comes of it."""

    def __init__(self, app: _App, cups: Any) -> None:
        self._app, self._cups = app, cups

    def pours(self, wanted: int, act: Callable[[], Any], what: str) -> None:
        """Want so many cups of it, and something posted."""
        before, posts = self._cups.poured, self._app.posts
        act()
        poured = self._cups.poured - before
        if self._app.posts == posts:
            raise Broken(
                f"For {what} the page posted nothing: it cannot know that the first time arrived, "
                "or that the same text is the same wish."
            )
        if poured > wanted:
            raise Broken(
                f"For {what} {_cups(poured)} poured, where {wanted} should be: "
                "each press was a wish of its own."
            )
        if poured < wanted:
            raise Broken(
                f"For {what} no cup was poured: its id was that of another message, so it was "
                "taken for the same wish."
            )


def _cups(many: int) -> str:
    return "one cup was" if many == 1 else f"{many} cups were"


def _at_the_same_moment(ana: Any, ben: Any, text: str) -> tuple[Any, Any]:
    """Have both write while the clock stands still."""
    now, ns = time.time(), time.time_ns()
    with mock.patch("time.time", return_value=now), mock.patch("time.time_ns", return_value=ns):
        return ana.write(text), ben.write(text)


def _double_click(page: Any, message: Any) -> None:
    problems: list[BaseException] = []

    def press() -> None:
        try:
            page.click(message)
        except BaseException as problem:  # noqa: BLE001 - it belongs to whoever waits
            problems.append(problem)

    threads = [threading.Thread(target=press, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(8.0)
    if problems:
        raise problems[0]


class _App:
    """The real app on the notebook's worker; posts a body to it, and wants an answer."""

    def __init__(self, service: str) -> None:
        if str(ROOT) not in sys.path:
            sys.path.append(str(ROOT))
        from app import create_app

        self.posts = 0
        self._app = create_app(service=service, timeout=5.0)

    def post(self, body: Any) -> Any:
        """Post a body as the page does, and return what came."""
        if not isinstance(body, dict) or set(body) != {"text", "id"}:
            raise Broken(f'A body is {{"text": …, "id": …}}; click posted {body!r}.')
        if not isinstance(body["id"], str) or not _ID.fullmatch(body["id"]):
            raise Broken(
                "app.py takes 8 to 64 letters, digits, '.', '_', ':' or '-' for an id; "
                f"this is {body['id']!r}."
            )
        self.posts += 1
        answer = self._app.test_client().post("/api/messages", json=body)
        told = answer.get_json()
        if answer.status_code != 200:
            raise Broken(f"app.py answered {answer.status_code}: {told.get('detail')}")
        return told

    def close(self) -> None:
        """Close its client."""
        self._app.extensions["chatrpc"].close()


@contextlib.contextmanager
def _app(service: str) -> Iterator[_App]:
    app = _App(service)
    try:
        yield app
    finally:
        app.close()


EXERCISES = [
    Exercise(
        "07.1",
        "Write submit: note the call, see to its deadline, return its future. Then let close end "
        "whoever still waits.",
        check_submit,
        "Thirty threads or one thread with thirty futures: to the wire it is the same, and the "
        "table keeps them apart. Each entry leaves by one of three doors, reply, deadline or "
        "close, and whoever comes second finds it gone. Promises C03 and C18 are kept.",
        (
            "What does call do, and where does it wait? submit does the same without waiting, so "
            "somebody else has to look at the clock.",
            "begin returns the id, the future and the deadline. self.agenda.at(when, act) does "
            "act at that time of time.monotonic(); deadline.at is one.",
            "submit: self.agenda.at(deadline.at, lambda: self.expire(id)), and return the future. "
            "close: set self.closed, then self.end(id, ClientClosed(…)) for each id of "
            "self.pending.ids(), then super().close().",
        ),
    ),
    Exercise(
        "07.2",
        "Return a status of HTTP for each error: who could do something about it, the phone or "
        "what is behind you?",
        check_status,
        "413 is the only 4xx: only there can the phone change something. 503 says later, 504 says "
        "that somebody behind was silent, 502 that they answered badly. The status is for "
        "programs; for people app.py sends the sentence, the advice and ran beside it.",
        (
            "Ask of each: is it the phone's doing? If not, it is 5xx. Will it go in a moment? Did "
            "it answer at all?",
            "The web program stands between: it is a gateway. 502 Bad Gateway, 503 Service "
            "Unavailable, 504 Gateway Timeout, and one 413 Content Too Large.",
            "TooLarge 413, before InvalidRequest 502, of which it is a kind; NoWorker, Busy, "
            "BrokerError and ClientClosed 503; CallTimeout 504; all else 502.",
        ),
    ),
    Exercise(
        "07.3",
        "Let write make what click sends, with an id; where is the id to be made, and of what?",
        check_page,
        "One wish, one name, made before the first send, by the one who wishes. Two presses at the "
        "same time, or ten minutes apart, over another connection, to another worker: the "
        "ledger knows the name. In chat.js it is the line this.id = id, in the Turn's constructor.",
        (
            "What is made in click is new at each press. What is made of the text is the same for "
            "all who write the same.",
            "The id belongs to the message, so write makes it; it must be one that no other phone "
            "can have.",
            'write returns {"text": text, "id": secrets.token_hex(16)}; click posts what it is '
            "given.",
        ),
    ),
]
