"""Clients that do what no client should, to the judge and to the machine."""

from __future__ import annotations

import functools
import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from chatrpc import RpcClient, RpcServer


class Hangs:
    """A client that never answers."""

    def __init__(self, service: str) -> None:
        """Take only a service, as an early lesson's class does."""

    def call(self, method: str, *args: Any) -> Any:
        """Hang."""
        time.sleep(60)


class Spins(Hangs):
    """A client that is busy for ever, in Python."""

    def call(self, method: str, *args: Any) -> Any:
        """Turn round and round."""
        while True:
            pass


class NeverOpens(Hangs):
    """A client that does not come to be."""

    def __init__(self, service: str) -> None:
        """Hang."""
        threading.Event().wait()


class NeverCloses(RpcClient):
    """A client that does not go."""

    def close(self) -> None:
        """Hang."""
        threading.Event().wait()


class NeverStarts(RpcServer):
    """A server that does not come to serve."""

    def start(self) -> None:
        """Hang."""
        threading.Event().wait()


class NeverAnswers(RpcServer):
    """A server of which each method hangs."""

    def method(self, function: Any) -> Any:
        """Take another in its place."""

        @functools.wraps(function)
        def hang(*args: Any, **params: Any) -> None:
            threading.Event().wait()

        return super().method(hang)


class StumblesOnce(RpcClient):
    """A client that hangs in one kind of call, and else does all that it should."""

    def call(self, method: str, /, *args: Any, **params: Any) -> Any:
        """Hang if the method is one that fails."""
        if method == "fail":
            threading.Event().wait()
        return super().call(method, *args, **params)


class Exits(Hangs):
    """A client that has had enough."""

    def call(self, method: str, *args: Any) -> Any:
        """End the process, if that is possible."""
        sys.exit("enough")


class Kills(Hangs):
    """A client that ends its process without a word, and leaves another behind."""

    def call(self, method: str, *args: Any) -> Any:
        """Start a sleeper, note its id, keep something for a while, and go."""
        sleeper = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
        Path(os.environ["SLEEPER"]).write_text(str(sleeper))
        tempfile.mkdtemp()
        os._exit(7)


class HoldsTheLock(Hangs):
    """A client that never gives Python's own lock back."""

    def call(self, method: str, *args: Any) -> Any:
        """Match what takes for ever."""
        re.match("(a+)+$", "a" * 60 + "b")


class Talks(RpcClient):
    """A client that writes a lot, and waits for somebody to type."""

    def call(self, method: str, /, *args: Any, **params: Any) -> Any:  # type: ignore[override]
        """Write to every stream, and read."""
        for _ in range(100):
            os.write(1, b"x" * 10_000)
            print("{}", file=sys.stderr)  # noqa: T201 - that it prints is what is tested
            print('{"result": "kept"}')  # noqa: T201
        assert sys.stdin.readline() == ""
        return super().call(method, *args, **params)


class Deaf(RpcClient):
    """Calls a method that nobody asked for."""

    def call(self, method: str, /, *args: object, **params: object) -> object:
        """Call it."""
        return super().call("nobody_knows_this", *args, **params)


class Raises:
    """A client that cannot be made."""

    def __init__(self, service: str) -> None:
        """Fail with a text that must be escaped."""
        raise ValueError("<b>no</b>\nsecond line")

    def submit(self, method: str, *args: Any) -> Any:
        """Do nothing."""


class ShowsWhatItGot(Hangs):
    """A client that shows what the judge has made up."""

    def call(self, method: str, *args: Any) -> Any:
        """Raise it."""
        raise ValueError(ascii(args))
