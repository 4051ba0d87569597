"""Solutions of lesson 04, each with its why; a cell begins at ``# %%`` and its number."""

import inspect
import json

import chatrpc
from chatrpc import lab

# %% 04.1
# Three things can go wrong, and the caller must be able to tell them apart. There is no such
# method: nothing ran. The parameters do not fit: nothing ran, and `bind` says so without calling.
# It ran and raised, or returned what cannot travel: it ran. Whoever catches TypeError around the
# call itself takes the method's own TypeError for wrong parameters, and tells the caller that
# nothing ran. `json.dumps` stands inside the try, since it is the last thing that can fail.


def failure(id, code, message, **more):
    told = {"code": code, "message": message, **more}
    return json.dumps({"jsonrpc": "2.0", "id": id, "error": told}).encode()


@lab.exercise("04.1", desk=Desk)  # noqa: F821 - the notebook's
def handle(methods, body):
    asked = json.loads(body)
    id, params = asked["id"], asked["params"]
    function = methods.get(asked["method"])
    if function is None:
        return failure(id, -32601, f"there is no method {asked['method']!r}")
    args, named = ([], params) if isinstance(params, dict) else (params, {})
    try:
        inspect.signature(function).bind(*args, **named)
    except TypeError as error:
        return failure(id, -32602, str(error))
    try:
        result = function(*args, **named)
        return json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode()
    except Exception as error:
        return failure(id, -32004, str(error), data={"type": type(error).__name__})


# %% 04.2
# The default is what the old clients got. `name` keeps its name and its place, for those who call
# by the one or by the other. Had Spanish not been what version 1 spoke, "en" as the default would
# have looked as good, and changed what every old client sees.


@lab.exercise("04.2")
def greet(name, language="es"):
    return f"Hello, {name}!" if language == "en" else f"¡Hola, {name}!"


# %% 04.3
# Ask in the new form; the old worker says that the parameters do not fit, which means that nothing
# ran, so asking once more cannot do anything twice. A RemoteError ran, a CallTimeout perhaps: these
# belong to whoever called us. To ask in the old form first would work with both workers, and never
# bring the English that was wanted.


@lab.exercise("04.3")
def ask_greeting(chat, name):
    try:
        return chat.call("greet", name=name, language="en")
    except chatrpc.InvalidParams:
        return chat.call("greet", name=name)


# %% 04.4
# `result` waits until the box is filled, with whatever, and wakes at once. That it is filled is one
# question, what with is another; nobody asks here whether the answer is true. `finally` strikes the
# call out on each way: when the answer came the line is gone already, and `take` does no harm.


@lab.exercise("04.4", line=Line)  # noqa: F821 - the notebook's
def call(self, method, *args, **params):
    id, box = self.send(method, params or list(args))
    try:
        reply = box.result(self.timeout)
    except TimeoutError:
        raise chatrpc.CallTimeout(f"no answer within {self.timeout:g} s") from None
    finally:
        self.pending.take(id)
    return json.loads(reply.body)["result"]
