"""Checks of lesson 04, What can come back?"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ... import errors
from ...client import RpcClient
from ...server import RpcServer
from ...settings import Settings
from ..exercises import Broken, Exercise, NotYet, written
from ..firehose import Firehose
from ..promises import PROMISES
from ..trial import Broken as NotKept
from ..trial import Trial, sweep

FAILED, NO_METHOD, NO_PARAMS = -32004, -32601, -32602
ABSENT = object()


def check_handle(handle: Callable[..., Any], *, desk: type) -> None:
    """Want the right reply in each case, and C08 and C09 kept on the broker."""
    kitchen = _Kitchen()
    _good(handle, kitchen)
    _raises(handle, kitchen)
    _wrong_call(handle, kitchen)
    _no_json(handle, kitchen)

    class Yours(desk):  # type: ignore[misc]
        def handle(self, body: bytes) -> Any:
            return handle(self.methods, body)

    with _no_traceback():
        _keeps(RpcClient, Yours, "C08", "C09")


class _Kitchen:
    """Methods of each kind, and how often one of them ran."""

    def __init__(self) -> None:
        self.runs = 0
        self.methods: dict[str, Callable[..., Any]] = {
            "echo": lambda value: value,
            "join": lambda left, right: f"{left}-{right}",
            "fail": self.fail,
            "trip": self.trip,
            "lose": self.lose,
            "once": self.once,
            "bag": lambda: {"a", "set"},
        }

    def fail(self) -> None:
        raise ValueError("no coffee left")

    def trip(self, cups: int) -> int:
        return cups + "one"  # type: ignore[operator]

    def lose(self) -> str:
        return {"cups": "tea"}["sugar"]

    def once(self, text: str) -> str:
        self.runs += 1
        return text


def _reply(handle: Callable[..., Any], kitchen: _Kitchen, method: str, params: Any) -> Any:
    call = _shown(method, params)
    request = {"jsonrpc": "2.0", "id": "1f0c-7", "method": method, "params": params}
    try:
        body = written(handle(kitchen.methods, json.dumps(request).encode()))
    except NotYet:
        raise
    except Exception as error:
        raise Broken(
            f"At {call}, handle raised {type(error).__name__}: {error}. "
            "Nobody stands above it: it returns a reply, whatever happens."
        ) from error
    if isinstance(body, str):
        raise Broken("handle returned text; a body is bytes: .encode() makes them.")
    if not isinstance(body, bytes):
        raise Broken(f"handle returned {type(body).__name__}; a body is bytes.")
    if b"Traceback" in body or b'File \\"' in body:
        raise Broken(f"The reply to {call} carries a traceback over the wire.")
    try:
        reply = json.loads(body)
    except ValueError:
        raise Broken(f"The reply to {call} is no JSON: {body[:60]!r}.") from None
    if not isinstance(reply, dict):
        raise Broken(f"The reply to {call} is {body[:60]!r}, and no JSON-RPC reply.")
    if reply.get("id") != "1f0c-7" or reply.get("jsonrpc") != "2.0":
        raise Broken('A reply has "jsonrpc": "2.0" and the id of its request; this one has not.')
    if ("result" in reply) == ("error" in reply):
        raise Broken(f"The reply to {call} must have a result or an error, and not both.")
    return reply


def _shown(method: str, params: Any) -> str:
    if isinstance(params, dict):
        return f"{method}({', '.join(f'{k}={v!r}' for k, v in params.items())})"
    return f"{method}({', '.join(map(repr, params))})"


def _error(
    handle: Callable[..., Any], kitchen: _Kitchen, method: str, params: Any, code: int, because: str
) -> Any:
    reply, call = _reply(handle, kitchen, method, params), _shown(method, params)
    if "result" in reply:
        raise Broken(f"{call} was answered with the result {reply['result']!r}: {because}.")
    error = reply["error"]
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        raise Broken(f"The error of {call} is {error!r}: it has a code and a message, a text.")
    if error.get("code") != code:
        raise Broken(f"The error of {call} has the code {error.get('code')!r}: {because}.")
    return error


def _good(handle: Callable[..., Any], kitchen: _Kitchen) -> None:
    values: list[Any] = ["hola", "", None, 0, False, [], "¿qué tal?"]
    for value in values:
        reply = _reply(handle, kitchen, "echo", [value])
        got = reply.get("result", ABSENT)
        if got != value or type(got) is not type(value):
            shown = f"the error {reply['error']!r}" if got is ABSENT else repr(got)
            raise Broken(f"echo({value!r}) was answered with {shown}.")
    for params in (["a", "b"], {"left": "a", "right": "b"}):
        reply = _reply(handle, kitchen, "join", params)
        if reply.get("result") != "a-b":
            raise Broken(f"{_shown('join', params)} was answered with {reply!r}.")


def _raises(handle: Callable[..., Any], kitchen: _Kitchen) -> None:
    because = f"it ran and raised ValueError, which is {FAILED}"
    error = _error(handle, kitchen, "fail", [], FAILED, because)
    data = error.get("data")
    if not isinstance(data, dict) or data.get("type") != "ValueError":
        raise Broken(f'The error\'s data is {data!r}; {{"type": "ValueError"}} is wanted.')
    if error["message"] != "no coffee left":
        raise Broken(f"The error's message is {error['message']!r}, not the exception's text.")


def _wrong_call(handle: Callable[..., Any], kitchen: _Kitchen) -> None:
    because = f"there is no such method, which is {NO_METHOD}"
    for name in ("dance", "__init__"):
        _error(handle, kitchen, name, [], NO_METHOD, because)
    because = f"the parameters do not fit, which is {NO_PARAMS}"
    wrong: list[Any] = [[], ["a", "b"], {"txt": "a"}]
    for params in wrong:
        _error(handle, kitchen, "once", params, NO_PARAMS, because)
    if kitchen.runs:
        raise Broken("once ran, though its parameters did not fit.")
    because = f"it ran, and its {{}} is the method's own failure, which is {FAILED}"
    _error(handle, kitchen, "lose", [], FAILED, because.format("KeyError"))
    _error(handle, kitchen, "trip", [1], FAILED, because.format("TypeError"))


def _no_json(handle: Callable[..., Any], kitchen: _Kitchen) -> None:
    because = f"a set has no JSON form, which is {FAILED}"
    _error(handle, kitchen, "bag", [], FAILED, because)


def _keeps(client: type, server: type, *promises: str) -> None:
    """Put two classes to promises, on the broker.

    Raises:
        Broken: one is not kept.
    """
    for id in promises:
        url, service = Settings.from_env().url, f"lesson-04-{secrets.token_hex(6)}"
        trial = Trial(client, server, url=url, service=service, scale=0.01)
        try:
            PROMISES[id].test(trial)
        except NotKept as problem:
            raise Broken(f"On the broker, {id} is not kept: {problem}.") from None
        except Exception as error:
            raise Broken(
                f"On the broker, {id} is not kept: it raised {type(error).__name__}: {error}."
            ) from error
        finally:
            trial.clear()


@contextlib.contextmanager
def _no_traceback() -> Iterator[None]:
    """Listen to all that goes over the wire meanwhile.

    Raises:
        Broken: there was a traceback in it.
    """
    with Firehose() as firehose:
        yield
        firehose.settle()
        mine = [hop for hop in firehose.hops if "no coffee left" in hop.body_text]
    if not mine:
        raise Broken("On the broker, no reply said what the method had raised.")
    if any("Traceback" in hop.body_text for hop in mine):
        raise Broken("A traceback went over the wire.")


# A parameter is added


def check_greet(greet: Callable[..., Any]) -> None:
    """Put the new method behind a server, and call it as old and as new clients do."""
    # The stub takes two parameters, and both kinds of answers must be able to say "not yet".
    with contextlib.suppress(TypeError):
        written(greet("Ana", "es"))
    with _served(greet=greet) as (_, chat):
        for old in ({"args": ["Ana"]}, {"named": {"name": "Ana"}}):
            _greets(chat, "an old client", "¡Hola, Ana!", **old)
        for new in (
            {"args": ["Ana", "en"]},
            {"named": {"name": "Ana", "language": "en"}},
        ):
            _greets(chat, "a new client", "Hello, Ana!", **new)
        _greets(chat, "a new client", "¡Hola, Ana!", named={"name": "Ana", "language": "es"})


def _greets(
    chat: RpcClient,
    who: str,
    wanted: str,
    *,
    args: list[str] | None = None,
    named: dict[str, Any] | None = None,
) -> None:
    call = _shown("greet", named or args or [])
    try:
        got = chat.call("greet", *(args or []), **(named or {}))
    except errors.InvalidParams as error:
        raise Broken(f"{who.capitalize()} calls {call}, and is refused: {error}.") from None
    except errors.RpcError as error:
        raise Broken(f"{who.capitalize()} calls {call}, and it fails: {error}.") from None
    if got != wanted:
        raise Broken(f"{who.capitalize()} calls {call}, and gets {got!r}, not {wanted!r}.")


@contextlib.contextmanager
def _served(**methods: Callable[..., Any]) -> Iterator[tuple[RpcServer, RpcClient]]:
    """Serve methods by their names, on a service that is gone afterwards."""
    service = f"lesson-04-{secrets.token_hex(6)}"
    server = RpcServer(service)
    for name, method in methods.items():
        server.method(name)(method)
    try:
        with server, RpcClient(service, timeout=3) as chat:
            yield server, chat
    finally:
        sweep(Settings.from_env().url, [service])


class _Broke(Exception):
    """What a worker's method raises in the check."""


def check_ask(ask: Callable[..., Any]) -> None:
    """Let the new client meet a new worker, an old one, and one that fails."""
    runs: list[str] = []

    def new(name: str, language: str = "es") -> str:
        runs.append(language)
        return f"Hello, {name}!" if language == "en" else f"¡Hola, {name}!"

    def old(name: str) -> str:
        runs.append("old")
        return f"¡Hola, {name}!"

    def failing(name: str, language: str = "es") -> str:
        runs.append(language)
        raise _Broke("no voice today")

    for worker, wanted in ((new, "Hello, Ana!"), (old, "¡Hola, Ana!")):
        runs.clear()
        version = "version 2" if worker is new else "version 1"
        with _served(greet=worker) as (_, chat):
            try:
                got = written(ask(chat, "Ana"))
            except errors.RpcError as error:
                raise Broken(
                    f"With a worker of {version} it raised {type(error).__name__}: {error}."
                ) from None
        if got != wanted:
            raise Broken(f"With a worker of {version} it returned {got!r}, not {wanted!r}.")
        if len(runs) != 1:
            raise Broken(f"With a worker of {version}, greet ran {len(runs)} times.")
    runs.clear()
    with _served(greet=failing) as (_, chat):
        try:
            got = ask(chat, "Ana")
        except errors.RemoteError:
            pass
        except Exception as error:
            raise Broken(
                f"The worker's greet failed, and your caller gets {type(error).__name__} "
                "where a RemoteError would tell what happened."
            ) from error
        else:
            raise Broken(f"The worker's greet failed, and your caller never learns it: {got!r}.")
    if len(runs) != 1:
        raise Broken(
            "The worker's greet ran and failed, and you asked a second time: "
            "catch only the error that says the parameters do not fit."
        )


# The empty answer


def check_call(call: Callable[..., Any], *, line: type) -> None:
    """Want C01 kept by a client with this call, a deadline, and nothing left in the table."""
    if _is_stub(call):
        raise NotYet
    kind = type("Yours", (line,), {"call": call})
    _answers(kind)
    _keeps(kind, RpcServer, "C01")
    _deadline(kind)


class _Nobody:
    """A line on which nothing can be sent."""

    timeout = 0.05


def _is_stub(call: Callable[..., Any]) -> bool:
    try:
        return call(_Nobody(), "echo") is ...
    except Exception:  # noqa: BLE001 - it is written, and needs a real line
        return False


def _answers(kind: type) -> None:
    """Ask for answers of all sorts, one after the other."""

    def echo(value: Any) -> Any:
        return value

    values: list[Any] = ["hola", "", 0, False, [], None]
    with _served(echo=echo) as (server, _):
        client = kind(server.service, timeout=2.0)
        try:
            for value in values:
                _answer(client, value, args=(value,))
                _answer(client, value, named={"value": value})
        finally:
            client.close()


def _answer(
    client: Any, value: Any, *, args: tuple[Any, ...] = (), named: dict[str, Any] | None = None
) -> None:
    given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in (named or {}).items())])
    try:
        got = client.call("echo", *args, **(named or {}))
    except errors.CallTimeout:
        raise Broken(
            f"echo({given}) was answered with {value!r}, and your call says that no answer came."
        ) from None
    except Exception as error:
        raise Broken(
            f"echo({given}) was answered, and your call raised {type(error).__name__}: {error}."
        ) from error
    if got != value or type(got) is not type(value):
        raise Broken(f"echo({given}) was answered with {value!r}, and your call returned {got!r}.")


def _deadline(kind: type) -> None:
    asked: list[str] = []

    def never(text: str) -> str:
        asked.append(text)
        done.wait(2.0)
        return text

    done = threading.Event()
    with _served(never=never) as (server, _):
        client = kind(server.service, timeout=0.3)
        try:
            got = client.call("never", "Ana")
        except errors.CallTimeout:
            pass
        except Exception as error:
            raise Broken(
                f"No answer came in time, and it raised {type(error).__name__}, no CallTimeout."
            ) from error
        else:
            raise Broken(f"No answer came in time, and it returned {got!r}.")
        finally:
            done.set()
            left = len(client.pending)
            client.close()
    if left:
        raise Broken("After a CallTimeout the call still stands in the table: take it out.")


EXERCISES = [
    Exercise(
        "04.1",
        "Replace the dots: decode the request, run the method, and return a reply as bytes, "
        "whatever happens.",
        check_handle,
        "Whoever calls must learn one thing above all: did it run? An unknown method and "
        "parameters that do not fit say no; an exception says yes, and failed. So what may go "
        "wrong before the call is looked at before it, and only the call itself stands in the "
        "try that says failed.",
        (
            "Go through the table from its end: look the name up with methods.get, then bind the "
            "parameters, and only then run the method. Three steps, three places to return.",
            "inspect.signature(function).bind(*args, **named) raises TypeError where the "
            "parameters do not fit, and runs nothing. A TypeError that the method itself raises is "
            "another thing: it ran.",
            "json.dumps raises TypeError for a set. Put it into the same try as the call: "
            'then the answer that cannot travel becomes an error, like {"code": -32004, …}.',
        ),
    ),
    Exercise(
        "04.2",
        "Replace the dots with the greeting in the language that is asked for, and think of those "
        "who ask for none.",
        check_greet,
        "A new parameter has a default, and the default is what everybody got before: then an old "
        "call means what it always meant. Names and order of the old parameters stay, since some "
        "callers use the one and some the other.",
        (
            "An old client calls greet with one parameter. What must be the second one, then?",
            "A parameter with a default may be left out. Which language did version 1 speak?",
            'def greet(name, language="es"): …',
        ),
    ),
    Exercise(
        "04.3",
        'Replace the dots: ask for "en", and be content with less where the worker is older.',
        check_ask,
        "InvalidParams says that nothing ran, so asking again in the old form is safe. Of no other "
        "error is that true: who repeats after a RemoteError or a timeout may have it done twice. "
        "And as long as old workers may be there, the new client must speak both forms.",
        (
            "How does a worker of version 1 answer to a parameter that it does not know?",
            "try: return chat.call(…, language=…). Which exception says that the parameters do not "
            "fit, and that nothing ran?",
            "except chatrpc.InvalidParams: return chat.call('greet', name). No other exception.",
        ),
    ),
    Exercise(
        "04.4",
        "Replace the dots: send, wait for the box, and return what is in it, or raise CallTimeout.",
        check_call,
        "The box knows two states, filled or not, whatever it is filled with: None is an answer, "
        "and no mark for none. And it wakes its waiter when it is filled, so nobody needs to look.",
        (
            "self.send(method, params or list(args)) gives you the id and the box; "
            "box.result(seconds) waits, and raises TimeoutError when nothing comes.",
            "Return json.loads(reply.body)['result'] and ask nothing about it. try … except "
            "TimeoutError … finally is the frame.",
            "In finally: self.pending.take(id). It does no harm if the answer has taken it before.",
        ),
    ),
]
