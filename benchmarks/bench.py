"""What a call costs: chatrpc beside AMQPStorm and pika as their examples use them, and aio-pika.

    python benchmarks/bench.py [--rounds 5] [--seconds 0.7] [--size 1024] [--picture FILE]

Every peer is a worker process and a client process, started anew in each round. The rounds
interleave the peers and each ratio is taken inside a round before its median is, so that a
noisy machine hits all alike. Compare ratios, and only those of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = {
    "chatrpc": "chatrpc, safe (its default)",
    "chatrpc@fast": "chatrpc, fast (safe=False)",
    "amqpstorm_simple": "AMQPStorm, its RPC example",
    "amqpstorm_threads": "AMQPStorm, its threaded example",
    "pika_simple": "pika, its RPC tutorial",
    "aio_pika_pattern": "aio-pika, its RPC pattern",
}
NEEDED = {"pika_simple": "pika", "aio_pika_pattern": "aio_pika"}  # from the extra `bench`
THREADS = 30
LONGEST = 20.0


class PeerFailed(Exception):
    """A peer's process ended or gave no answer."""


class Role:
    """A worker or a client process; it answers each line with one line of JSON."""

    def __init__(self, role: str, peer: str, url: str, queue: str) -> None:
        """Start it."""
        command = [sys.executable, str(HERE / "bench.py"), role, peer, url, queue]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ},
            start_new_session=True,  # Ctrl-C is for us: we end it
        )

    def answer(self) -> Any:
        """Return its next line."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], LONGEST)[0]:
            raise PeerFailed("no answer")
        if not (line := self.process.stdout.readline()):
            raise PeerFailed("ended")
        return json.loads(line)

    def ask(self, **what: Any) -> Any:
        """Ask for a measurement."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def load(peer: str) -> tuple[Any, str]:
    """Return a peer's module and its mode."""
    name, _, mode = peer.partition("@")
    return importlib.import_module(f"peers.{name}"), mode or "plain"


def say(**what: Any) -> None:
    """Answer the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def run_worker(peer: str, url: str, queue: str) -> None:
    """Be a worker until killed."""
    module, mode = load(peer)
    module.worker(url, queue, mode, lambda: say(ready=True))


def run_client(peer: str, url: str, queue: str) -> None:
    """Be a client: measure whatever each line of stdin asks for."""
    module, mode = load(peer)
    client = module.Client.open(url, queue, mode)
    say(most=getattr(client, "max_in_flight", None))
    for line in sys.stdin:
        wanted = json.loads(line)
        payload = module.body(wanted["size"])
        measure(client, payload, wanted["threads"], 0.1)
        say(**measure(client, payload, wanted["threads"], wanted["seconds"]))


def measure(client: Any, payload: Any, threads: int, seconds: float) -> dict[str, float]:
    """Call from so many threads for so long; return the p50 in µs and the calls per second."""
    start = time.perf_counter()
    stop = start + seconds
    if hasattr(client, "crowd"):  # it has an event loop, and tasks instead of threads
        took = client.crowd(payload, threads, stop)
    else:
        took = by_threads(client, payload, threads, stop)
    every = [seconds for mine in took for seconds in mine]
    rate = len(every) / (time.perf_counter() - start)
    return {"p50": statistics.median(every) * 1e6, "rate": rate}


def by_threads(client: Any, payload: Any, threads: int, stop: float) -> list[list[float]]:
    """Call from so many threads until the clock says ``stop``; return what each call took."""
    took: list[list[float]] = [[] for _ in range(threads)]
    errors: list[BaseException] = []

    def run(mine: list[float]) -> None:
        try:
            now = time.perf_counter()
            while now < stop:
                if client.call(payload) != payload:
                    raise RuntimeError("a wrong answer")
                then, now = now, time.perf_counter()
                mine.append(now - then)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    callers = [threading.Thread(target=run, args=(mine,)) for mine in took]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    if errors:
        raise errors[0]
    return took


def one_round(peer: str, url: str, *, size: int, seconds: float) -> dict[str, float]:
    """Start a peer, measure it alone and in a crowd, end it, and tidy up."""
    queue = f"bench-{uuid.uuid4().hex[:12]}"
    roles = []
    try:
        for role in ("worker", "client"):
            roles.append(Role(role, peer, url, queue))
            about = roles[-1].answer()
        alone = roles[1].ask(size=size, threads=1, seconds=seconds)
        found = {"p50": alone["p50"]}
        if not about["most"]:
            found["rate"] = roles[1].ask(size=size, threads=THREADS, seconds=seconds)["rate"]
        return found
    finally:
        for started in reversed(roles):
            started.end()
        tidy(url, queue)


def tidy(url: str, service: str) -> None:
    """Delete the durable queues of a service."""
    from chatrpc.lab.firehose import connect
    from chatrpc.topology import queues

    transport = connect(url)
    try:
        for queue in queues(service):
            transport.delete(queue)
    finally:
        transport.close()


def table(rounds: list[dict[str, dict[str, float]]]) -> str:
    """Return the medians, and the medians of each round's ratios to chatrpc's default."""

    def column(peer: str, field: str) -> tuple[str, str]:
        value = median(rounds, peer, field)
        ratios = [
            r[peer][field] / r["chatrpc"][field]
            for r in rounds
            if field in r.get(peer, {}) and field in r.get("chatrpc", {})
        ]
        times = f"{statistics.median(ratios):.2f}" if ratios else "-"
        return ("-", "-") if value is None else (f"{value:,.0f}", times)

    lines = [
        f"| peer | one at a time, p50 in µs | x chatrpc | {THREADS} threads, calls/s | x chatrpc |",
        "|---|---:|---:|---:|---:|",
    ]
    for peer, name in PEERS.items():
        cells = [*column(peer, "p50"), *column(peer, "rate")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def median(rounds: list[dict[str, dict[str, float]]], peer: str, field: str) -> float | None:
    """Return the median of a peer's figure, if it has one."""
    values = [r[peer][field] for r in rounds if field in r.get(peer, {})]
    return statistics.median(values) if values else None


def picture(rounds: list[dict[str, dict[str, float]]], about: str) -> str:
    """Return the medians as bars: two columns, each on a scale of its own, as SVG."""
    columns = [
        ("p50", "one at a time: µs a call, shorter is better"),
        ("rate", f"{THREADS} at once: calls a second, longer is better"),
    ]
    height = 74 + 30 * len(PEERS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 {height}" width="980" '
        f'height="{height}" font-family="sans-serif" font-size="14" role="img" '
        f'aria-label="{escape(table(rounds))}">',
        f'<rect width="980" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="{height - 12}" fill="#59636e" font-size="12">{escape(about)}</text>',
    ]
    for column, (field, title) in enumerate(columns):
        left = 264 + 364 * column
        values = {peer: median(rounds, peer, field) for peer in PEERS}
        longest = max((v for v in values.values() if v), default=1.0)
        parts.append(f'<text x="{left}" y="24" fill="#1f2328">{escape(title)}</text>')
        for row, (peer, value) in enumerate(values.items()):
            y = 40 + 30 * row
            colour = "#0969da" if peer.startswith("chatrpc") else "#8c959f"
            if not column:
                name = escape(PEERS[peer])
                parts.append(f'<text x="12" y="{y + 15}" fill="#1f2328">{name}</text>')
            width = 0 if value is None else max(2, round(260 * value / longest))
            said = "one call at a time only" if value is None else f"{value:,.0f}"
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width}" height="20" rx="3" fill="{colour}"/>'
                f'<text x="{left + width + 6}" y="{y + 15}" fill="#1f2328">{said}</text>'
            )
    return "".join([*parts, "</svg>\n"])


def fetch_peers() -> None:
    """Install the packages that are only measured here, if they are missing."""
    if all(importlib.util.find_spec(package) for package in NEEDED.values()):
        return
    sys.stderr.write("installing pika and aio-pika, to measure them (the extra `bench`) …\n")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "-c", "constraints.txt"]
    subprocess.run([*command, "-e", ".[bench]"], cwd=HERE.parent, check=False)


def main() -> int:
    """Measure every peer and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=120, help="seconds; no round ends later")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of one measurement")
    parser.add_argument("--size", type=int, default=1024, help="bytes of a payload")
    parser.add_argument("--picture", type=Path, help="a file for the picture, as SVG")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0 or not 0 <= options.size <= 1_000_000:
        parser.error("at least one round, more than 0 seconds, and 0 to 1,000,000 bytes")
    fetch_peers()
    for peer in [p for p, package in NEEDED.items() if not importlib.util.find_spec(package)]:
        sys.stderr.write(f"{PEERS.pop(peer)} is left out: its package is missing\n")
    from chatrpc.broker import BrokerProblem

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end the broker
    try:
        with a_broker() as url:
            rounds, failed = measured(url, options)
    except BrokerProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nended; nothing runs any more\n")
        return 130
    about = f"{options.size} bytes there and back, medians of {len(rounds)} rounds"
    if options.picture:
        options.picture.write_text(picture(rounds, about), encoding="utf-8")
    sys.stdout.write(f"\n{about}; x is a ratio to chatrpc's default\n\n{table(rounds)}\n")
    return 1 if failed else 0


@contextlib.contextmanager
def a_broker() -> Iterator[str]:
    """Yield the URL of CHATRPC_URL's broker, or of one that runs for these measurements alone.

    It does not trace: the kit's own broker does, for the notebooks, which costs every message.
    """
    from chatrpc import broker

    if broker.demanded():
        yield broker.use()
        return
    with tempfile.TemporaryDirectory(prefix="chatrpc-bench-") as folder:
        node = broker.Node(folder, say=lambda line: sys.stderr.write(f"{line}\n"))
        try:
            node.start()
            node.ctl("trace_off")
            yield node.url
        finally:
            node.stop()


def measured(
    url: str, options: argparse.Namespace
) -> tuple[list[dict[str, dict[str, float]]], int]:
    """Return what every peer did in each round, and how many failed."""
    rounds: list[dict[str, dict[str, float]]] = []
    peers, failed, start, longest = list(PEERS), 0, time.monotonic(), 0.0
    for number in range(options.rounds):
        begun = time.monotonic()
        if rounds and begun - start + longest > options.limit:
            sys.stderr.write(f"no time for round {number + 1}\n")
            break
        rounds.append({})
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            sys.stderr.write(f"round {number + 1} of {options.rounds}: {PEERS[peer]}\n")
            try:
                rounds[-1][peer] = one_round(peer, url, size=options.size, seconds=options.seconds)
            except PeerFailed as problem:
                failed += 1
                sys.stderr.write(f"    failed: {problem}\n")
        longest = max(longest, time.monotonic() - begun)
    return rounds, failed


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] in ("worker", "client"):
        {"worker": run_worker, "client": run_client}[sys.argv[1]](*sys.argv[2:])
    else:
        sys.exit(main())
