"""What students write in lesson 04: right answers, wrong ones, and what each is told."""

from __future__ import annotations

import inspect
import json
import traceback
from typing import Any

from committed import FOLDER

import chatrpc
from chatrpc.lab import sync


def _of_the_lesson() -> dict[str, Any]:
    """The lesson's own classes, as its cells define them."""
    known: dict[str, Any] = {}
    cells = [
        c for c in sync.read(FOLDER / "04_what_came_back.ipynb").cells if c.cell_type == "code"
    ]
    exec(cells[0].source.partition("broker.use")[0], known)
    for cell in cells:
        if cell.source.startswith(("class Plumbing", "class Desk", "class Line")):
            exec(cell.source, known)
    return known


LESSON = _of_the_lesson()


def given(url: str) -> dict[str, dict[str, Any]]:
    """What the cells of the exercises hand over."""
    return {"04.1": {"desk": LESSON["Desk"]}, "04.4": {"line": LESSON["Line"]}, "": {}}


# 04.1


def reply(id, **more):
    return json.dumps({"jsonrpc": "2.0", "id": id, **more}).encode()


def failed(id, error, code=-32004):
    about = {"type": type(error).__name__}
    return reply(id, error={"code": code, "message": str(error), "data": about})


def parts(methods, body):
    asked = json.loads(body)
    params = asked["params"]
    args, named = ([], params) if isinstance(params, dict) else (params, {})
    return asked["id"], methods.get(asked["method"]), args, named


def right(methods, body):
    id, function, args, named = parts(methods, body)
    if function is None:
        return failed(id, KeyError("no such method"), -32601)
    try:
        inspect.signature(function).bind(*args, **named)
    except TypeError as error:
        return failed(id, error, -32602)
    try:
        return reply(id, result=function(*args, **named))
    except Exception as error:  # noqa: BLE001 - as the lesson has it
        return failed(id, error)


def dots(methods, body):
    return ...


def as_at_home(methods, body):
    id, function, args, named = parts(methods, body)
    return reply(id, result=function(*args, **named))


def as_text(methods, body):
    id, function, args, named = parts(methods, body)
    try:
        return reply(id, result=function(*args, **named))
    except Exception as error:  # noqa: BLE001
        return reply(id, result=repr(error))


def says_what_failed(methods, body):
    id, function, args, named = parts(methods, body)
    try:
        return reply(id, result=function(*args, **named))
    except Exception as error:  # noqa: BLE001
        return failed(id, error)


def no_look_at_the_parameters(methods, body):
    id, function, args, named = parts(methods, body)
    if function is None:
        return failed(id, KeyError("no such method"), -32601)
    try:
        return reply(id, result=function(*args, **named))
    except Exception as error:  # noqa: BLE001
        return failed(id, error)


def type_error_around_the_call(methods, body):
    id, function, args, named = parts(methods, body)
    if function is None:
        return failed(id, KeyError("no such method"), -32601)
    try:
        return reply(id, result=function(*args, **named))
    except TypeError as error:
        return failed(id, error, -32602)
    except Exception as error:  # noqa: BLE001
        return failed(id, error)


def key_error_around_the_call(methods, body):
    asked = json.loads(body)
    params = asked["params"]
    args, named = ([], params) if isinstance(params, dict) else (params, {})
    try:
        function = methods[asked["method"]]
        inspect.signature(function).bind(*args, **named)
        return reply(asked["id"], result=function(*args, **named))
    except KeyError as error:
        return failed(asked["id"], error, -32601)
    except TypeError as error:
        return failed(asked["id"], error, -32602)
    except Exception as error:  # noqa: BLE001
        return failed(asked["id"], error)


def encodes_outside(methods, body):
    id, function, args, named = parts(methods, body)
    if function is None:
        return failed(id, KeyError("no such method"), -32601)
    try:
        inspect.signature(function).bind(*args, **named)
    except TypeError as error:
        return failed(id, error, -32602)
    try:
        result = function(*args, **named)
    except Exception as error:  # noqa: BLE001
        return failed(id, error)
    return reply(id, result=result)


def with_the_traceback(methods, body):
    id, function, args, named = parts(methods, body)
    try:
        return reply(id, result=function(*args, **named))
    except Exception as error:  # noqa: BLE001
        about = {"type": type(error).__name__}
        told = {"code": -32004, "message": traceback.format_exc(), "data": about}
        return reply(id, error=told)


def empty_is_an_error(methods, body):
    id, function, args, named = parts(methods, body)
    result = function(*args, **named)
    return reply(id, result=result) if result else failed(id, ValueError("nothing"))


def as_a_dictionary(methods, body):
    id, function, args, named = parts(methods, body)
    return {"jsonrpc": "2.0", "id": id, "result": function(*args, **named)}


def as_string(methods, body):
    return as_at_home(methods, body).decode()


def without_id(methods, body):
    _, function, args, named = parts(methods, body)
    return reply(None, result=function(*args, **named))


def both(methods, body):
    id, function, args, named = parts(methods, body)
    return reply(id, result=function(*args, **named), error=None)


def no_names(methods, body):
    asked = json.loads(body)
    return reply(asked["id"], result=methods[asked["method"]](*asked["params"]))


def wrong_type_name(methods, body):
    id, function, args, named = parts(methods, body)
    try:
        return reply(id, result=function(*args, **named))
    except Exception as error:  # noqa: BLE001
        about = {"type": str(type(error))}
        return reply(id, error={"code": -32004, "message": str(error), "data": about})


# 04.2


def greet(name, language="es"):
    return f"Hello, {name}!" if language == "en" else f"¡Hola, {name}!"


def greet_dots(name, language):
    return ...


def no_default(name, language):
    return greet(name, language)


def english_first(name, language="en"):
    return greet(name, language)


def language_first(language="es", name="Ana"):
    return greet(name, language)


def renamed(who, language="es"):
    return greet(who, language)


def by_name_only(name, *, language="es"):
    return greet(name, language)


def only_spanish(name, language="es"):
    return f"¡Hola, {name}!"


# 04.3


def ask(chat, name):
    try:
        return chat.call("greet", name=name, language="en")
    except chatrpc.InvalidParams:
        return chat.call("greet", name=name)


def ask_by_place(chat, name):
    try:
        return chat.call("greet", name, "en")
    except chatrpc.InvalidParams:
        return chat.call("greet", name)


def ask_dots(chat, name):
    return ...


def new_only(chat, name):
    return chat.call("greet", name, "en")


def old_only(chat, name):
    return chat.call("greet", name)


def whatever_fails(chat, name):
    try:
        return chat.call("greet", name, "en")
    except chatrpc.RpcError:
        return chat.call("greet", name)


def swallows(chat, name):
    try:
        return chat.call("greet", name, "en")
    except chatrpc.InvalidParams:
        return chat.call("greet", name)
    except chatrpc.RemoteError:
        return "Hello?"


def asks_old_first(chat, name):
    chat.call("greet", name)
    try:
        return chat.call("greet", name, "en")
    except chatrpc.InvalidParams:
        return chat.call("greet", name)


# 04.4


def call(self, method, *args, **params):
    id, box = self.send(method, params or list(args))
    try:
        answer = box.result(self.timeout)
    except TimeoutError:
        raise chatrpc.CallTimeout("no answer") from None
    finally:
        self.pending.take(id)
    return json.loads(answer.body)["result"]


def call_dots(self, method, *args, **params):
    return ...


def waits_for_truth(self, method, *args, **params):
    answer = call(self, method, *args, **params)
    if not answer:
        raise chatrpc.CallTimeout("no answer")
    return answer


def none_is_none(self, method, *args, **params):
    answer = call(self, method, *args, **params)
    if answer is None:
        raise chatrpc.CallTimeout("no answer")
    return answer


def gives_back_the_box(self, method, *args, **params):
    return self.send(method, params or list(args))[1].result(self.timeout)


def no_names_either(self, method, *args, **params):
    id, box = self.send(method, list(args))
    try:
        return json.loads(box.result(self.timeout).body)["result"]
    finally:
        self.pending.take(id)


def bare_timeout(self, method, *args, **params):
    id, box = self.send(method, params or list(args))
    try:
        return json.loads(box.result(self.timeout).body)["result"]
    finally:
        self.pending.take(id)


def nothing_on_timeout(self, method, *args, **params):
    try:
        return call(self, method, *args, **params)
    except chatrpc.CallTimeout:
        return None


def stays_behind(self, method, *args, **params):
    _, box = self.send(method, params or list(args))
    try:
        return json.loads(box.result(self.timeout).body)["result"]
    except TimeoutError:
        raise chatrpc.CallTimeout("no answer") from None


RIGHT = [
    ("04.1", right),
    ("04.2", greet),
    ("04.3", ask),
    ("04.3", ask_by_place),
    ("04.4", call),
]
STUBS = [("04.1", dots), ("04.2", greet_dots), ("04.3", ask_dots), ("04.4", call_dots)]
WRONG = [
    ("04.1", as_at_home, "At fail(), handle raised ValueError: no coffee left"),
    ("04.1", as_text, "was answered with the result \"ValueError('no coffee left')\""),
    ("04.1", says_what_failed, "there is no such method, which is -32601"),
    ("04.1", no_look_at_the_parameters, "the parameters do not fit, which is -32602"),
    ("04.1", type_error_around_the_call, "its TypeError is the method's own failure"),
    ("04.1", key_error_around_the_call, "its KeyError is the method's own failure"),
    ("04.1", encodes_outside, "At bag(), handle raised TypeError"),
    ("04.1", with_the_traceback, "carries a traceback over the wire"),
    ("04.1", empty_is_an_error, "echo('') was answered with the error"),
    ("04.1", as_a_dictionary, "handle returned dict; a body is bytes"),
    ("04.1", as_string, ".encode() makes them"),
    ("04.1", without_id, "the id of its request"),
    ("04.1", both, "must have a result or an error, and not both"),
    ("04.1", no_names, "join(left='a', right='b')"),
    ("04.1", wrong_type_name, '{"type": "ValueError"} is wanted'),
    ("04.2", no_default, "An old client calls greet('Ana'), and is refused"),
    ("04.2", english_first, "gets 'Hello, Ana!', not '¡Hola, Ana!'"),
    ("04.2", language_first, "A new client calls greet('Ana', 'en'), and gets '¡Hola, en!'"),
    ("04.2", renamed, "An old client calls greet(name='Ana'), and is refused"),
    ("04.2", by_name_only, "A new client calls greet('Ana', 'en'), and is refused"),
    ("04.2", only_spanish, "A new client calls greet('Ana', 'en'), and gets"),
    ("04.3", new_only, "With a worker of version 1 it raised InvalidParams"),
    ("04.3", old_only, "With a worker of version 2 it returned '¡Hola, Ana!'"),
    ("04.3", whatever_fails, "ran and failed, and you asked a second time"),
    ("04.3", swallows, "your caller never learns it"),
    ("04.3", asks_old_first, "greet ran 2 times"),
    ("04.4", waits_for_truth, "echo('') was answered with '', and your call says that no answer"),
    ("04.4", none_is_none, "echo(None) was answered with None, and your call says that no"),
    ("04.4", gives_back_the_box, "echo('hola') was answered with 'hola', and your call returned"),
    ("04.4", no_names_either, "echo(value='hola') was answered, and your call raised KeyError"),
    ("04.4", bare_timeout, "raised TimeoutError, no CallTimeout"),
    ("04.4", nothing_on_timeout, "No answer came in time, and it returned None"),
    ("04.4", stays_behind, "still stands in the table"),
]
