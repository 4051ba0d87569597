"""The command-line program: laboratory, chat, worker, broker, a call, and what is wrong."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

from . import broker
from .broker import BrokerProblem
from .errors import RpcError

COMMANDS = {
    "lab": "open the notebooks, with a broker and a worker behind them",
    "app": "serve the chat, with a broker and a worker behind it (options go to app.py)",
    "worker": "run a worker here (options go to worker/consumer.py)",
    "broker": "start, stop, or show the kit's own broker",
    "call": "call a method of the workers and print its answer",
    "judge": "see whether a client and a server of yours keep the promises",
    "catch-up": "write into my_chatrpc.py what the lessons before one leave there",
    "doctor": "what is here, what is missing, and what to do about it",
    "stop": "end everything that was started here: lab, app, workers, broker",
}
OWN_HELP = ("judge", "catch-up")  # these have a parser of their own
PASSES_ON = ("lab", "app", "worker", *OWN_HELP)  # what these do not know goes to what they start


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code: 0, 1 (it failed), 2 (not understood), 130."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except (BrokerProblem, ValueError) as problem:
        complain(str(problem))
    except RpcError as error:
        complain(f"{_sentence(str(error))} {error.advice}".strip())
    except KeyboardInterrupt:
        complain("interrupted.")
        return 130
    except BrokenPipeError:
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - nobody reads on; it is for the exit
    return 1


def say(text: str, stream: TextIO | None = None) -> None:
    """Write one line for the person at the terminal."""
    stream = stream or sys.stdout
    # A message of somebody else's must not move the cursor or change colours.
    clean = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    encoding = stream.encoding or "utf-8"
    stream.write(clean.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def complain(text: str) -> None:
    """Write one line about what went wrong."""
    say(f"chatrpc: {text}", sys.stderr)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _run(words: list[str]) -> int:
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        complain(f"there is no command {words[0]!r}; there are {', '.join(COMMANDS)}.")
        return 2
    parser = _parser()
    if not words:
        parser.print_help()
        return 0
    try:
        options, unknown = parser.parse_known_args(words)
        if unknown and (options.command not in PASSES_ON):
            parser.error(f"{options.command} does not know {' '.join(unknown)}")
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    # What a command needs is imported when it is asked for: help and errors come at once.
    match options.command:
        case "lab":
            from . import running

            return running.run_lab(options.port, options.browser, unknown, say)
        case "app":
            from . import running

            return running.run_app(unknown, say)
        case "worker":
            from . import running

            broker.use(say=say)
            running.run_worker(unknown)
        case "broker":
            return _broker(options.action, options.nodes)
        case "call":
            return _call(options)
        case "judge":
            from .lab import contract

            return int(contract.main(unknown) or 0)
        case "catch-up":
            from .lab import catchup

            return catchup.main(unknown)
        case "doctor":
            return _doctor()
        case _:
            from . import running

            running.stop_all(say)
            return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chatrpc", description="RPC over RabbitMQ, to learn it.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    of = {
        name: commands.add_parser(name, help=text, description=text, add_help=name not in OWN_HELP)
        for name, text in COMMANDS.items()
    }
    of["lab"].add_argument("--port", type=_port, default=8888, help="the first port to try (8888)")
    of["lab"].add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the address"
    )
    of["broker"].add_argument("action", choices=("start", "stop", "status"))
    of["broker"].add_argument(
        "--nodes", type=int, choices=(1, 3, 5, 7), default=1, help="start a cluster of so many (1)"
    )
    call = of["call"]
    call.add_argument("method", metavar="METHOD", help="its name, as in: say, fib, echo")
    call.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs="*",
        help="text or JSON (30, true, '[1, 2]', '\"30\"' for the text 30); NAME=VALUE names it",
    )
    call.add_argument("--service", help="whom to call (chat)")
    call.add_argument("--timeout", type=_seconds, help="seconds to wait (10)")
    return parser


def _port(text: str) -> int:
    if text.isdecimal() and 1 <= int(text[:6]) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 1024 to 65535")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) <= 86400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 86400")


def _broker(action: str, nodes: int) -> int:
    node = broker.private_node(say=say)
    cluster = broker.private_cluster(nodes=nodes if nodes > 1 else None, say=say)
    if action == "start":
        (cluster if nodes > 1 else node).start()
    elif action == "stop":
        runs = node.process is not None or cluster.folder.exists()
        node.stop()
        cluster.stop()
        say("The broker is stopped." if runs else "No broker of the kit's own was running.")
        return 0
    if node.running:
        say(f"The broker serves at {node.url} (process {node.process and node.process.pid}).")
        say(f"Its log: {node.log}")
    if some := [member for member in cluster.nodes if member.process is not None]:
        say(f"{len(some)} of {len(cluster.nodes)} nodes of the cluster run. To use it:")
        say(f"export CHATRPC_URL={cluster.url}")
    elif not node.running:
        say("No broker of the kit's own runs: chatrpc broker start.")
        return 1
    return 0


def _call(options: argparse.Namespace) -> int:
    from .client import RpcClient
    from .settings import Settings

    settings = Settings.from_env()
    positional, named = parse_arguments(options.arguments)
    if taken := {"timeout", "message_id"} & named.keys():
        raise ValueError(
            f"no parameter can be named {taken.pop()}: the call itself uses that name."
        )
    url = broker.use(start=False, say=say)
    timeout = options.timeout or settings.timeout
    with RpcClient(options.service or settings.service, url=url, timeout=timeout) as client:
        answer = client.call(options.method, *positional, **named)
    say(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False))
    return 0


def parse_arguments(words: Sequence[str]) -> tuple[list[object], dict[str, Any]]:
    """The positional and the named arguments that these words are.

    Raises ValueError if a name comes twice.
    """
    positional: list[object] = []
    named: dict[str, Any] = {}
    for word in words:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word, re.DOTALL)
        if not match:
            positional.append(_value(word))
        elif match[1] in named:
            raise ValueError(f"the argument {match[1]} was given twice.")
        else:
            named[match[1]] = _value(match[2])
    return positional, named


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return text


def _not_json(text: str) -> object:
    raise ValueError(text)


def _doctor() -> int:
    from . import doctor

    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        say(str(finding))
    fine = doctor.works(findings)
    say("\nA chat would work." if fine else "\nA chat would not work yet: see NO above.")
    return 0 if fine else 1
