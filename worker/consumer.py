"""The worker as a process: python worker/consumer.py, from anywhere. Ctrl-C stops it."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TextIO

# Run as a script, Python looks beside this file and not in the folder that holds the package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chatrpc import RpcError, RpcServer, broker
from chatrpc.machine import processes
from chatrpc.settings import Settings
from worker import answers


def main() -> int:
    """Serve the answers until Ctrl-C or SIGTERM; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until serve_forever takes over
    processes.one_heap()
    try:
        service = Settings.from_env().service
        where = ", ".join(map(str, Settings(url=broker.use(say=tell)).addresses))
        server = RpcServer(service, name=answers.WORKER)
        answers.register(server)
        server.start()
        show_log()  # not before: what hinders the start is said once
        tell(f"{server.name} serves {service!r} at the broker {where}.")
        tell(f"It answers {', '.join(answers.METHODS)}.")
        tell("Ctrl-C stops it, after the work in hand.")
        server.serve_forever(drain=answers.MAX_SLOW + 5)
    except (ValueError, broker.BrokerProblem) as problem:
        tell(str(problem), sys.stderr)
        return 1
    except RpcError as error:
        tell(f"{error}. {error.advice}", sys.stderr)
        return 1
    except KeyboardInterrupt:
        tell("Stopped before it began.")
        return 0
    tell("Stopped; the work in hand is done.")
    return 0


def show_log() -> None:
    """Let the terminal show what the library logs: methods that fail, links lost and found."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("chatrpc").setLevel(logging.INFO)


def tell(sentence: str, stream: TextIO | None = None) -> None:
    """Write a line for the person at the terminal."""
    stream = stream or sys.stdout
    stream.write(f"{sentence}\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
