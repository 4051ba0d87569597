"""The first connection, and the last: C16, C18."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from ...errors import BrokerRefused, ClientClosed
from ..firehose import Firehose, connect, exists
from ..trial import GRACE, Broken, NotJudged, Trial, check, short, told
from .registry import echo, promise, timed


@promise(
    "C16",
    "09",
    hints=(
        "Your first connection is refused: does it help to try again?",
        "Let the first connection fail at once; dial again only one that once stood.",
        "Raise BrokerRefused from the constructor, with user, host and port in its text, and "
        "never the address as it was given: the password stands in it.",
    ),
    seconds=15.0,
    spare=True,
)
def refused(trial: Trial) -> None:
    """Wrong password, virtual host or certificate at the first connection: one clear error at once,
    no secret in it."""
    parts = urlsplit(trial.url)
    place = parts.netloc.rpartition("@")[2]
    wrong_password = urlunsplit(parts._replace(netloc=f"{quote('guest')}:{SECRET}@{place}"))
    _is_refused(trial, "password", wrong_password)
    _is_refused(trial, "virtual host", urlunsplit(parts._replace(path="/no-such-vhost")))
    if not trial.spare.tls:
        raise NotJudged("without openssl there is no certificate to be refused")
    _is_refused(trial, "certificate", trial.spare.tls)


SECRET = "s3cret-that-nobody-may-see"
SAYING = 2.0  # seconds within which a refusal is told


def _is_refused(trial: Trial, what: str, url: str) -> None:
    openers: dict[str, Callable[[], Any]] = {
        "client": lambda: trial.client(url=url, opening=SAYING + GRACE),
        "server": lambda: trial.server(echo, url=url, opening=SAYING + GRACE),
    }
    for who, opens in openers.items():
        start = time.monotonic()
        try:
            opens()
        except BrokerRefused as error:
            said = f"{error} {error!r} {vars(error)}"
            check(SECRET not in said, f"the {who}'s error shows the password")
            check("\n" not in str(error), f"the {who}'s error is not one sentence")
        except Broken:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a judged class raises
            raise Broken(
                f"a wrong {what}: the {who} should raise BrokerRefused and raised {told(error)}"
            ) from None
        else:
            raise Broken(f"a wrong {what}: the {who} says nothing")
        seconds = time.monotonic() - start
        check(seconds < SAYING, f"a wrong {what}: the {who} said so only after {seconds:.1f} s")


@promise(
    "C18",
    "07",
    hints=(
        "Who still waits, runs or is connected after your close()?",
        "close() tells every waiting caller, ends the threads, and deletes the reply queue.",
        "Set a flag, end each call in the table with ClientClosed, close the connection, join "
        "the threads with a limit; delete the reply queue while the channel still stands.",
    ),
)
def closes(trial: Trial) -> None:
    """close() returns within 2 s; pending calls end at once; no thread, socket or reply queue is
    left."""

    def hold() -> None:
        time.sleep(0.8)

    trial.server(hold, echo)
    first = trial.client()  # what a first use starts for good is not its concern
    first.call("echo", "")
    first.close()
    time.sleep(0.3)
    before = _footprint()
    with Firehose(only=trial.service, url=trial.url) as firehose:
        client = trial.client()
        client.call("echo", "")
        firehose.settle()
        replies = {hop.reply_to for hop in firehose.hops if hop.reply_to}
    outcome: list[BaseException | str] = []

    def wait() -> None:
        try:
            client.call("hold")
            outcome.append("an answer")
        except BaseException as error:  # noqa: BLE001 - whatever a judged class raises
            outcome.append(error)

    waiting = threading.Thread(target=wait, daemon=True, name="judged")
    waiting.start()
    time.sleep(0.2)
    _, seconds = timed(client.close)
    check(seconds <= 2.0, f"close() took {seconds:.1f} s")
    waiting.join(0.3)
    check(outcome, "a call that was waiting still waits after close()")
    check(
        isinstance(outcome[0], ClientClosed),
        f"a call that was waiting ended with {short(outcome[0])}, not with ClientClosed",
    )
    end = time.monotonic() + 1.0
    while any(n > b for n, b in zip(_footprint(), before, strict=True)) and time.monotonic() < end:
        time.sleep(0.02)
    threads, sockets = (now - then for now, then in zip(_footprint(), before, strict=True))
    check(threads <= 0, f"close() leaves {threads} thread(s) behind")
    check(sockets <= 0, f"close() leaves {sockets} socket(s) behind")
    transport = connect(trial.url)
    try:
        left = [q for q in replies if not q.startswith("amq.") and exists(transport, q)]
    finally:
        transport.close()
    check(not left, "close() leaves its reply queue on the broker")


def _footprint() -> tuple[int, int]:
    """How many threads and sockets this process has; sockets where the system tells."""
    threads = sum(t.name != "judged" for t in threading.enumerate())
    sockets = 0
    with contextlib.suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                sockets += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    return threads, sockets
