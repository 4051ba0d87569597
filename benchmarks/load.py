"""How the chat holds up: people who send one message after the other, and what they wait.

    python benchmarks/load.py [--people 1 30 200] [--seconds 4] [--workers 2]

Beside it stands the same app with a client that polls, as in AMQPStorm's Flask example.
Everything is real and its own: a private broker in a temporary folder, worker processes, the app
under waitress, HTTP connections; all of it on loopback, and stopped at the end.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chatrpc import broker

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 40.0  # seconds for one message, above what the app itself waits


@dataclass
class Tally:
    """What happened to the messages of one run: seconds of the answered, errors by kind."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lasted: float = 0.0

    @property
    def good(self) -> bool:
        """Whether there were messages, and every one had its right answer."""
        return bool(self.seconds) and not self.errors

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def person(port: int, number: int, start: threading.Barrier, seconds: float, into: Tally) -> None:
    """Send messages over one connection until the time is up; each answer must be the right one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    own = Tally()
    start.wait()
    end = time.monotonic() + seconds
    for n in itertools.count():
        began = time.monotonic()
        if began >= end:
            break
        said = f"person {number}, message {n}"
        try:
            body = json.dumps({"text": f"/echo {said}"})
            connection.request("POST", "/api/messages", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            found = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            own.errors[type(error).__name__] += 1
            connection.close()
            continue
        if response.status != 200:
            own.errors[f"{response.status} {found.get('title', '')}"] += 1
        elif found.get("answer") != said:
            own.errors["somebody else's answer"] += 1
        else:
            own.seconds.append(time.monotonic() - began)
    connection.close()
    with LOCK:
        into.seconds += own.seconds
        into.errors += own.errors


LOCK = threading.Lock()
CLIENTS = {"chatrpc": {}, "polling": {"CHATRPC_CLIENT": "benchmarks.peers.polling:RpcClient"}}


def run(port: int, people: int, seconds: float) -> Tally:
    """Let so many people write for so long."""
    tally = Tally()
    start = threading.Barrier(people + 1)
    threads = [
        threading.Thread(target=person, args=(port, n, start, seconds, tally), daemon=True)
        for n in range(people)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join(began + seconds + PATIENCE + 5 - time.monotonic())
    tally.lasted = time.monotonic() - began
    hung = sum(thread.is_alive() for thread in threads)
    if hung:
        tally.errors["hung"] += hung
    return tally


def program(stack: ExitStack, ready: str, *arguments: str, **variables: str) -> str:
    """Start a program, stopped when the stack unwinds; return the line that says it is ready."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(stop, process)
    assert process.stdout is not None
    for line in process.stdout:
        if ready in line:
            return line
    raise SystemExit(f"{arguments[0]} did not start; what it said is above.")


def show(client: str, people: int, tally: Tally) -> None:
    """Print a line of the table, and which errors there were."""
    count = len(tally.seconds)
    tell(
        f"{client:>9} {people:>6} {count:>9} {count / tally.lasted:>7.0f}"
        f" {tally.percentile(0.5):>8.1f} {tally.percentile(0.99):>8.1f}"
        f" {tally.errors.total():>7}"
    )
    for kind, times in tally.errors.most_common(5):
        tell(f"{'':>6} {times} times {kind}")


def stop(process: subprocess.Popen[str]) -> None:
    """Ask it to leave, and see to it that it has."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Measure, and print the table; the status is 1 if any message had no right answer."""
    parser = argparse.ArgumentParser(description="What people wait for the chat's answers.")
    parser.add_argument("--people", type=bounded(1, 300), nargs="+", default=[1, 30, 200])
    parser.add_argument("--seconds", type=bounded(1, 60), default=4)
    parser.add_argument("--workers", type=bounded(1, 8), default=2)
    options = parser.parse_args()
    failed = False
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatrpc-load-"))
        for name in [name for name in os.environ if name.startswith("CHATRPC_")]:
            del os.environ[name]
        os.environ["CHATRPC_HOME"] = home
        os.environ["CHATRPC_SERVICE"] = "load"
        os.environ["CHATRPC_RATE"] = "0"  # all these people share one address, and do not read
        stack.callback(lambda: broker.private_node().stop())
        try:
            broker.use(private=True, say=tell)
        except broker.BrokerProblem as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        for _ in range(options.workers):
            program(stack, "serves", "worker/consumer.py")
        tell(f"\n{options.workers} workers, 32 server threads, {options.seconds} s each")
        tell(
            f"{'client':>9} {'people':>6} {'messages':>9} {'per s':>7}"
            f" {'p50 ms':>8} {'p99 ms':>8} {'errors':>7}"
        )
        for name, variables in CLIENTS.items():
            with ExitStack() as served:
                line = program(served, "The chat is at", "app.py", "--port", "0", **variables)
                found = re.search(r":(\d+)/", line)
                assert found is not None
                port = int(found[1])
                run(port, 1, 0.5)  # the first message opens the connection
                for people in options.people:
                    tally = run(port, people, options.seconds)
                    show(name, people, tally)
                    failed |= name == "chatrpc" and not tally.good
    return 1 if failed else 0


def bounded(least: int, most: int):
    """Make an argument's type: a whole number within bounds."""

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return number


def tell(line: str) -> None:
    """Write a line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
