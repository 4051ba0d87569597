"""What the worker answers: the procedures that a client may call by name.

All are harmless but one: ``coffee`` pours a cup, and a cup that was poured stays poured.
Bad values raise ``ValueError`` or ``TypeError`` with a sentence that says what is accepted;
the caller sees it as a ``RemoteError``.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from datetime import datetime
from time import sleep
from typing import Any

from chatrpc import Request, RpcServer
from worker import smalltalk
from worker.ledger import Ledger

MAX_TEXT = 65_536  # characters
MAX_FIB = 1_000
MAX_SLOW = 60.0  # seconds

WORKER = f"worker-{platform.node() or 'here'}-{os.getpid()}"


def register(server: RpcServer) -> None:
    """Let the server answer all methods of this module."""
    for name, method in METHODS.items():
        server.method(name)(method)


def echo(text: str) -> str:
    """Return the text as it came."""
    return bounded(text)


def shout(text: str) -> str:
    """Return the text in capitals."""
    return bounded(text).upper()


def time() -> str:
    """Return the worker's clock, as ISO 8601 with its offset from UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def fib(n: int) -> int:
    """Return the n-th Fibonacci number, from fib(0) = 0 to fib(1000)."""
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= MAX_FIB:
        raise ValueError(f"fib takes a whole number from 0 to {MAX_FIB}")
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def slow(seconds: float = 3) -> float:
    """Do nothing for some seconds, at most 60, and return how many."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds <= MAX_SLOW:
        raise ValueError(f"slow takes a number of seconds from 0 to {MAX_SLOW:.0f}")
    sleep(seconds)
    return seconds


def fail(message: str = "this method always fails, so that one can see what a failure is") -> None:
    """Raise ``RuntimeError`` with the message."""
    raise RuntimeError(smalltalk.shorten(bounded(message), 200))


def coffee(request: Request, key: str | None = None) -> dict[str, Any]:
    """Pour a cup into the ledger; with a key, once, however often it is asked for.

    Returns ``{"cup": its number, "poured": how many cups there are, "fresh": poured just now}``.
    A caller whose message id names the intention sends that id as the key.
    """
    if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= 200):
        raise ValueError("coffee takes a key of 1 to 200 characters, or none")
    ledger = Ledger()
    cup, fresh = ledger.pour(WORKER, key)
    return {"cup": cup.number, "poured": ledger.poured(), "fresh": fresh}


def say(text: str, request: Request) -> str:
    """Answer a sentence, or a command that begins with a slash; /help names them."""
    text = bounded(text).strip()
    if not text.startswith("/"):
        return smalltalk.reply(text, seed=request.message_id)
    word, _, rest = text[1:].partition(" ")
    command = COMMANDS.get(word.casefold())
    if command is None:
        return UNKNOWN[smalltalk.language_of(rest)].format(word=smalltalk.shorten(word, 30))
    run, language = command
    return run(rest.strip(), request, language)


METHODS: dict[str, Callable[..., Any]] = {
    "say": say,
    "echo": echo,
    "shout": shout,
    "time": time,
    "fib": fib,
    "slow": slow,
    "fail": fail,
    "coffee": coffee,
}


def bounded(text: str) -> str:
    """Return the text, or raise if it is none or too long."""
    if not isinstance(text, str):
        raise TypeError(f"a text is needed, not {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise ValueError(f"the text is too long: {len(text)} characters, at most {MAX_TEXT} go")
    return text


# The chat's commands: each takes the rest of the line, the request and the language of the answer.

EN, ES = smalltalk.EN, smalltalk.ES

HELP = {
    EN: """Talk to me, or try one of these:
/echo text: says it back
/shout text: LOUDER
/time: what my clock says
/fib 30: a Fibonacci number
/slow 3: takes three seconds; write on meanwhile
/fail: fails, on purpose
/coffee: pours a cup into the ledger
Or ask me for a joke.""",
    ES: """Háblame, o prueba uno de estos:
/eco texto: lo repite
/grita texto: MÁS FUERTE
/hora: lo que dice mi reloj
/fib 30: un número de Fibonacci
/lento 3: tarda tres segundos; sigue escribiendo
/falla: falla, a propósito
/cafe: sirve una taza y la anota
O pídeme un chiste.""",
}

UNKNOWN = {
    EN: "I do not know the command /{word}. Type /help to see those that I know.",
    ES: "No conozco el comando /{word}. Escribe /help o /ayuda y verás los que conozco.",
}


def say_help(rest: str, request: Request, language: str) -> str:
    """Name the commands."""
    return HELP[language]


def say_echo(rest: str, request: Request, language: str) -> str:
    """Repeat the rest of the line."""
    return echo(rest) or {EN: "(silence)", ES: "(silencio)"}[language]


def say_shout(rest: str, request: Request, language: str) -> str:
    """Repeat the rest of the line in capitals."""
    return shout(rest) or {EN: "AAAH!", ES: "¡AAAH!"}[language]


def say_time(rest: str, request: Request, language: str) -> str:
    """Tell the time in a sentence."""
    now = datetime.now().astimezone()
    return {EN: "My clock says {}.", ES: "Mi reloj dice {}."}[language].format(
        now.strftime("%H:%M:%S, %Y-%m-%d")
    )


def say_fib(rest: str, request: Request, language: str) -> str:
    """Compute a Fibonacci number, or say which ones go."""
    if not (rest.isascii() and rest.isdigit()) or len(rest) > 6 or int(rest) > MAX_FIB:
        return {
            EN: f"Type /fib and a whole number from 0 to {MAX_FIB}, like /fib 30.",
            ES: f"Escribe /fib y un número entero de 0 a {MAX_FIB}, como /fib 30.",
        }[language]
    return f"fib({int(rest)}) = {fib(int(rest))}"


def say_slow(rest: str, request: Request, language: str) -> str:
    """Take some seconds, or say how many go."""
    try:
        seconds = float(rest.replace(",", ".")) if rest else 3.0
        slow(seconds)
    except ValueError:
        return {
            EN: f"Type /slow and a number of seconds from 0 to {MAX_SLOW:.0f}, like /slow 3.",
            ES: f"Escribe /lento y un número de segundos de 0 a {MAX_SLOW:.0f}, como /lento 3.",
        }[language]
    return {
        EN: f"Done: that took {seconds:g} s, and nobody else had to wait.",
        ES: f"Listo: tardé {seconds:g} s, y nadie más tuvo que esperar.",
    }[language]


def say_fail(rest: str, request: Request, language: str) -> str:
    """Fail, which is what was asked for."""
    fail(rest) if rest else fail()
    raise AssertionError("fail() returned")


def say_coffee(rest: str, request: Request, language: str) -> str:
    """Pour one cup for this message: its id is the key, so sending it again pours no second."""
    made = coffee(request, key=request.message_id)
    if made["fresh"]:
        return {
            EN: f"☕ Here you are: cup number {made['cup']}.",
            ES: f"☕ Aquí tienes: la taza número {made['cup']}.",
        }[language]
    return {
        EN: f"☕ You have it already: this message's cup is number {made['cup']}.",
        ES: f"☕ Ya la tienes: la taza de este mensaje es la número {made['cup']}.",
    }[language]


COMMANDS: dict[str, tuple[Callable[[str, Request, str], str], str]] = {
    "help": (say_help, EN),
    "ayuda": (say_help, ES),
    "echo": (say_echo, EN),
    "eco": (say_echo, ES),
    "shout": (say_shout, EN),
    "grita": (say_shout, ES),
    "time": (say_time, EN),
    "hora": (say_time, ES),
    "fib": (say_fib, EN),
    "slow": (say_slow, EN),
    "lento": (say_slow, ES),
    "fail": (say_fail, EN),
    "falla": (say_fail, ES),
    "coffee": (say_coffee, EN),
    "cafe": (say_coffee, ES),
    "café": (say_coffee, ES),
}
