"""How the chat holds up: people who send one message after the other, and what they wait.

    python benchmarks/load.py [--people 1 30 200] [--seconds 4] [--workers 2]

Beside it stands the same app with a client that polls, as in AMQPStorm's Flask example, under the
same server with as many threads; and ``no call``, which asks the same server for ``/healthz``: what
waitress and Flask take without any RPC, and so what no client can go beyond.

Everything is real and its own: a private broker in a temporary folder, worker processes, the app
under waitress, HTTP connections; all of it on loopback, and stopped at the end. It shares the
machine's cores with what it measures: the last columns say who used how much of them for a message.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chatrpc import broker

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 40.0  # seconds for one message, above what the app itself waits
APPS = {"chatrpc": ["app.py"], "polling": ["-m", "benchmarks.peers.polling"]}
WHO = ("people", "web", "broker", "workers")  # who shares the cores


@dataclass
class Tally:
    """What happened to the messages of one run: seconds of the answered, errors by kind."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lasted: float = 0.0
    cores: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether there were messages, and every one had its right answer."""
        return bool(self.seconds) and not self.errors

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.seconds) / self.lasted

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


# -- people -------------------------------------------------------------------------------------


class Person:
    """Sends a message over a connection that stays open, and the next one after its answer.

    With no message to send, it asks ``/healthz`` instead.
    """

    def __init__(self, port: int, number: int, writes: bool, into: Tally) -> None:
        self.port, self.number, self.writes, self.tally = port, number, writes, into
        self.sent = 0
        self.connect()

    def connect(self) -> None:
        """Open the connection."""
        self.wire = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""

    def send(self) -> None:
        """Send the next message."""
        self.sent += 1
        self.said = f"person {self.number}, message {self.sent}"
        request = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        if self.writes:
            body = json.dumps({"text": f"/echo {self.said}"})
            request = (
                "POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
        self.began = time.monotonic()
        self.wire.sendall(request.encode())

    def hear(self) -> bool:
        """Take in what has come; whether the answer is whole. Raises OSError if it cannot be."""
        if not (more := self.wire.recv(65536)):
            raise ConnectionError("closed")
        self.heard += more
        head, _, body = self.heard.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        if length is None or len(body) < int(length[1]):
            return False
        self.judge(int(head[9:12]), json.loads(body))
        self.heard = b""
        return True

    def judge(self, status: int, found: dict[str, str]) -> None:
        """Count the answer, which must be the one to this message."""
        if status != 200:
            self.tally.errors[f"{status} {found.get('title', '')}"] += 1
        elif self.writes and found.get("answer") != self.said:
            self.tally.errors["somebody else's answer"] += 1
        else:
            self.tally.seconds.append(time.monotonic() - self.began)


def run(
    port: int, people: int, seconds: float, pids: Mapping[str, list[int]], *, writes: bool = True
) -> Tally:
    """Let so many people write for so long, all from one thread, which costs the least."""
    tally = Tally()
    before = {who: used(pids[who]) for who in pids}
    with selectors.DefaultSelector() as selector:
        began = time.monotonic()
        for number in range(people):
            person = Person(port, number, writes, tally)
            selector.register(person.wire, selectors.EVENT_READ, person)
            person.send()
        end = began + seconds
        while selector.get_map() and time.monotonic() < end + PATIENCE:
            for key, _ in selector.select(1.0):
                person = key.data
                try:
                    if not person.hear():
                        continue
                except (OSError, ValueError) as error:
                    tally.errors[type(error).__name__] += 1
                    selector.unregister(person.wire)
                    person.wire.close()
                    person.connect()
                    selector.register(person.wire, selectors.EVENT_READ, person)
                if time.monotonic() < end:
                    person.send()
                else:
                    selector.unregister(person.wire)
                    person.wire.close()
        if hung := len(selector.get_map()):
            tally.errors["hung"] += hung
        tally.lasted = time.monotonic() - began
    tally.cores = {who: used(pids[who]) - before[who] for who in pids}
    return tally


def used(pids: list[int]) -> float:
    """Seconds of a core that these processes have used; 0.0 where nobody tells, as on macOS."""
    ticks = 0
    for pid in pids:
        path = Path(f"/proc/{pid}/stat")
        if path.exists():
            ticks += sum(map(int, path.read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


# -- programs -----------------------------------------------------------------------------------


def program(stack: ExitStack, ready: str, *arguments: str) -> tuple[int, str]:
    """Start a program, stopped when the stack unwinds; its pid, and the line that it is ready."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(stop, process)
    assert process.stdout is not None
    for line in process.stdout:
        if ready in line:
            return process.pid, line
    raise SystemExit(f"{' '.join(arguments)} did not start; what it said is above.")


def stop(process: subprocess.Popen[str]) -> None:
    """Ask it to leave, and see to it that it has."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# -- the table ----------------------------------------------------------------------------------


def head() -> None:
    """Print the first lines of the table."""
    tell(f"{'':>53}    ms of a core for a message")
    tell(
        f"{'client':>9} {'people':>6} {'messages':>9} {'per s':>7}"
        f" {'p50 ms':>8} {'p99 ms':>8} {'errors':>7}" + "".join(f" {who:>8}" for who in WHO)
    )


def show(client: str, people: int, tally: Tally) -> None:
    """Print a line of the table, and which errors there were."""
    count = len(tally.seconds)
    shares = "".join(f" {1000 * tally.cores[who] / max(count, 1):>8.2f}" for who in WHO)
    tell(
        f"{client:>9} {people:>6} {count:>9} {tally.rate:>7.0f}"
        f" {tally.percentile(0.5):>8.1f} {tally.percentile(0.99):>8.1f}"
        f" {tally.errors.total():>7}{shares}"
    )
    for kind, times in tally.errors.most_common(5):
        tell(f"{'':>6} {times} times {kind}")


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
        node = broker.private_node()
        stack.callback(node.stop)
        try:
            broker.use(private=True, say=tell)
        except broker.BrokerProblem as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        assert node.process is not None
        pids = {"people": [os.getpid()], "broker": [node.process.pid]}
        pids["workers"] = [
            program(stack, "serves", "worker/consumer.py")[0] for _ in range(options.workers)
        ]
        tell(f"\n{options.workers} workers, 32 server threads, {options.seconds} s each\n")
        head()
        rates: dict[tuple[str, int], float] = {}
        for name, script in APPS.items():
            with ExitStack() as served:
                pid, line = program(served, "The chat is at", *script, "--port", "0")
                found = re.search(r":(\d+)/", line)
                assert found is not None
                port, pids["web"] = int(found[1]), [pid]
                run(port, 1, 0.5, pids)  # the first message opens the connection
                for people in options.people:
                    tally = run(port, people, options.seconds, pids)
                    rates[name, people] = tally.rate
                    show(name, people, tally)
                    failed |= name == "chatrpc" and not tally.good
                if name == "chatrpc":
                    for people in options.people:
                        tally = run(port, people, options.seconds, pids, writes=False)
                        show("no call", people, tally)
        for people in options.people:
            times = rates["chatrpc", people] / rates["polling", people]
            tell(f"{people} people: {times:.1f} times what the polling client does.")
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
