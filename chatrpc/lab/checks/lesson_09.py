"""Checks of lesson 09, What survives a restart?"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from ...broker import Node
from ...confirms import Outcome
from ...errors import BrokerError, BrokerRefused, RpcError
from ...server import RpcServer
from ...settings import Address, Settings
from ...transport import Transport
from .. import services
from ..board import Result
from ..contract import judge
from ..exercises import Broken, Exercise, NotYet, written
from ..wire import Wire

# 09.1


def check_confirms(cls: Callable[[], Any]) -> None:
    """Put it through what a broker may say: one by one, several at once, late, and never."""
    _want_written(cls)
    made = cls()
    tags = [made.publishing(id) for id in "abc"]
    if any(written(tag) is None for tag in tags) or tags != [1, 2, 3]:
        raise Broken(f"Three publishes have the tags 1, 2, 3; publishing returned {tags!r}.")
    _settles(made, 2, False, True, [("b", Outcome.CONFIRMED)], "2 before 1, as brokers may")
    _settles(made, 1, False, False, [("a", Outcome.NACKED)], "a nack of 1")
    _settles(made, 1, False, True, [], "1 a second time, which is unknown now")
    _settles(made, 9, False, True, [], "9, which nobody has published")
    if (tag := made.publishing("d")) != 4:
        raise Broken(f"The fourth publish has the tag 4, whatever is settled; it got {tag!r}.")
    for id in "efg":
        made.publishing(id)
    several = [(id, Outcome.CONFIRMED) for id in "cde"]
    _settles(made, 5, True, True, several, "all up to 5, of which 3, 4 and 5 are still open")
    _settles(made, 7, False, True, [("g", Outcome.CONFIRMED)], "7 alone, while 6 is open")
    lost = made.lost()
    if not isinstance(lost, list) or lost != ["f"]:
        raise Broken(
            f"The connection was lost while only 'f' was unconfirmed; lost returned {lost!r}."
        )
    if again := made.lost():
        raise Broken(f"What was lost is to be forgotten then; a second lost returned {again!r}.")
    _many(cls)


def _settles(
    made: Any, tag: int, multiple: bool, ok: bool, wanted: list[tuple[str, Outcome]], what: str
) -> None:
    try:
        said = made.answered(tag, multiple=multiple, ok=ok)
    except Exception as error:  # noqa: BLE001 - whatever an answer of theirs raises
        raised = f"{type(error).__name__}: {error}"
        raise Broken(f"The broker speaks of {what}, and answered raises {raised}.") from None
    try:
        settled = sorted(((str(id), Outcome(outcome)) for id, outcome in said), key=_by_id)
    except (TypeError, ValueError):
        raise Broken(f"answered returns a list of pairs (id, outcome), not {said!r}.") from None
    if settled != sorted(wanted, key=_by_id):
        told = ", ".join(f"{id} {outcome.name}" for id, outcome in settled) or "nothing"
        want = ", ".join(f"{id} {outcome.name}" for id, outcome in wanted) or "nothing"
        raise Broken(f"The broker speaks of {what}: that settles {want}, not {told}.")


def _by_id(pair: tuple[str, Outcome]) -> str:
    return pair[0]


def _many(cls: Callable[[], Any]) -> None:
    made = cls()
    chance, open_, heard = Random(9), list(range(1, 301)), 0
    for number in open_:
        made.publishing(f"m{number}")
    while open_:
        tag = chance.choice(open_)
        multiple = chance.random() < 0.2
        gone = [n for n in open_ if n <= tag] if multiple else [tag]
        said = made.answered(tag, multiple=multiple, ok=True)
        if sorted(id for id, _ in said) != sorted(f"m{n}" for n in gone):
            raise Broken("Of 300 publishes, confirmed in a shuffled order, some were mistaken.")
        open_ = [n for n in open_ if n not in gone]
        heard += len(gone)
    if left := made.lost():
        raise Broken(f"300 publishes were confirmed, and lost still knows of {len(left)}.")


# 09.2

CLIENTS, AWAY = 30, 3.0


def check_backoff(cls: Callable[..., Any]) -> None:
    """Let one dial alone, then thirty dial a broker that is away for three seconds."""
    _want_written(cls)
    one = cls(["a", "b"], random=Random(1))
    first, wait = _next(one)
    if first not in ("a", "b"):
        raise Broken(f"next returns one of the addresses and the wait; its address is {first!r}.")
    if wait:
        raise Broken(f"The first dial after a loss waits for nothing; yours waits {wait:.2f} s.")
    one.failed()
    second, wait = _next(one)
    if second == first:
        raise Broken(f"{first!r} has failed, and there is another: yours dials {first!r} again.")
    if wait:
        raise Broken(f"Each address is tried once before any wait; yours waits {wait:.2f} s.")
    one.failed()
    if _next(one)[0] != first:
        raise Broken("After the last address it is the first one's turn again.")
    _grows(cls)
    one.failed()
    one.succeeded()
    address, wait = _next(one)
    if wait:
        raise Broken(f"After a success all begins anew; yours still waits {wait:.2f} s.")
    if address != second:
        raise Broken(f"{second!r} took us in, and is the first choice; yours dials {address!r}.")
    _crowd(cls)


def _next(one: Any) -> tuple[Any, float]:
    answer = written(one.next())
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Broken(f"next returns a pair, the address and the seconds; this is {answer!r}.")
    address, wait = answer
    if isinstance(wait, bool) or not isinstance(wait, int | float) or wait < 0:
        raise Broken(f"A wait is a number of seconds from 0; this is {wait!r}.")
    return address, float(wait)


def _grows(cls: Callable[..., Any]) -> None:
    """Look at the waits of many clients, round by round."""
    rounds: list[list[float]] = [[] for _ in range(8)]
    for seed in range(200):
        one = cls(["a"], random=Random(seed))
        for waits in rounds:
            one.failed()
            waits.append(_next(one)[1])
    for number, (waits, longest) in enumerate(
        zip(rounds, (0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5), strict=True), start=1
    ):
        if max(waits) > longest + 1e-9:
            raise Broken(
                f"After {number} failed round{'s' * (number > 1)} the longest wait is {longest} s; "
                f"yours waited {max(waits):.2f} s."
            )
        if len({round(wait, 6) for wait in waits}) < 100:
            raise Broken(
                f"Two hundred clients waited after {number} failed round{'s' * (number > 1)}, "
                f"most of them equally long: they come back together."
            )
        if max(waits) < 0.9 * longest or min(waits) > 0.1 * longest:
            raise Broken(
                f"After {number} failed round{'s' * (number > 1)} the wait is drawn from 0 to "
                f"{longest} s; yours were all from {min(waits):.2f} to {max(waits):.2f} s."
            )


def _crowd(cls: Callable[..., Any]) -> None:
    dials: list[float] = []
    ways: list[tuple[float, int, Any]] = []
    numbers = itertools.count()
    for seed in range(CLIENTS):
        one = cls(["a"], random=Random(seed))
        heapq.heappush(ways, (_next(one)[1], next(numbers), one))
    back: list[float] = []
    while ways:
        now, _, one = heapq.heappop(ways)
        dials.append(now)
        if len(dials) > CLIENTS * 60:
            raise Broken(
                f"Thirty clients dialled {len(dials)} times in the first {now:.1f} s: "
                "a broker that gets up is knocked down again."
            )
        if now >= AWAY:
            one.succeeded()
            back.append(now)
        else:
            one.failed()
            heapq.heappush(ways, (now + _next(one)[1], next(numbers), one))
    worst = max(sum(t <= other < t + 0.05 for other in back) for t in back)
    if worst > CLIENTS // 2:
        raise Broken(f"{worst} of thirty clients came back within the same 50 ms.")
    if (last := max(back) - AWAY) > 1.0:
        raise Broken(f"The broker was back, and the last client came {last:.1f} s later.")


# 09.3

YOUNG = 3.0  # seconds after which RabbitMQ 3.10 finds a new queue again when it was killed


@dataclass
class _Bench:
    """A service of the check's own: what ran, and for how long it should."""

    server: RpcServer
    runs: list[str] = field(default_factory=list)
    slow: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def work(self, text: str) -> str:
        """Note it, and take some time."""
        self.runs.append(text)
        time.sleep(self.slow)
        return text


def check_sends_again(cls: type, *, node: Node) -> None:
    """Cut the wire when it hurts, and then the broker."""
    _want_written(cls)
    bench = _Bench(RpcServer(services.service("lesson-09-check"), url=node.url))
    bench.server.method(bench.work)
    bench.server.start()
    try:
        with Wire(node.url) as wire:
            client = cls(bench.server.service, url=wire.url, timeout=4)
            try:
                _alone(client, bench)
                _away(client, wire)
                _never_arrived(client, wire, bench)
                _confirm_lost(client, wire, bench)
            finally:
                client.close()
        row = judge(cls, only="C12", url=node.url, trace=False, show=False).rows[0]
        if row.result is not Result.KEPT:
            raise Broken(f"C12: {row.reason}.")
        _killed(cls, bench, node)
    finally:
        bench.server.close()


def _alone(client: Any, bench: _Bench) -> None:
    got = _got(client, "alone", "Nothing was cut, and a call")
    end = time.monotonic() + 1.5  # a fresh server takes its second request a little later
    while len(bench.runs) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    if got != "alone" or bench.runs != ["alone"]:
        raise Broken(f"Nothing was cut, and one call ran {len(bench.runs)} times.")


def _away(client: Any, wire: Wire) -> None:
    wire.refuse()
    wire.cut()
    time.sleep(0.1)
    asked = _aside(lambda: client.call("work", "away"))
    time.sleep(0.3)
    wire.mend()
    _answer(asked, "away", "A call was made while there was no connection, and it")


def _never_arrived(client: Any, wire: Wire, bench: _Bench) -> None:
    _got(client, "between", "After the wire was mended, a call")
    wire.stall(to_client=False)
    asked = _aside(lambda: client.call("work", "held"))
    time.sleep(0.3)
    wire.cut()
    wire.mend()
    _answer(asked, "held", "A request was written into a wire that then was cut, and the call")


def _confirm_lost(client: Any, wire: Wire, bench: _Bench) -> None:
    _got(client, "between", "After the wire was mended, a call")
    bench.slow = 0.8
    wire.stall(to_broker=False)
    asked = _aside(lambda: client.call("work", "once"))
    time.sleep(0.3)
    wire.cut()
    wire.mend()
    _answer(asked, "once", "A request arrived and its confirm was lost, and the call")
    bench.slow = 0.0
    time.sleep(0.2)
    if (times := bench.runs.count("once")) != 1:
        raise Broken(
            f"A request arrived and its confirm was lost: it ran {times} times, so it was sent "
            "again as another one. Publish the same call."
        )


def _killed(cls: type, bench: _Bench, node: Node) -> None:
    client = cls(bench.server.service, url=node.url, timeout=25)
    try:
        _got(client, "before", "Before the broker was killed, a call")
        time.sleep(max(0.0, bench.began + YOUNG - time.monotonic()))
        node.kill()
        asked = [_aside(partial(client.call, "work", f"away {n}")) for n in range(3)]
        node.start()
        for number, one in enumerate(asked):
            what = "C13: a call was made while the broker was dead, and it"
            _answer(one, f"away {number}", what)
    finally:
        node.start()
        client.close()


def _got(client: Any, text: str, what: str) -> Any:
    return _answer(_aside(lambda: client.call("work", text)), text, what)


def _aside(act: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - it is told by who waits
            future.set_exception(error)

    threading.Thread(target=run, name="exercise-check", daemon=True).start()
    return future


def _answer(asked: Future[Any], wanted: str, what: str) -> Any:
    try:
        got = asked.result(30.0)
    except Exception as error:  # noqa: BLE001 - whatever an answer of theirs raises
        told = str(error) if isinstance(error, RpcError) else repr(error)
        raise Broken(f"{what} ended with {type(error).__name__}: {told}.") from None
    if got != wanted:
        raise Broken(f"{what} got {got!r} in the place of {wanted!r}.")
    return got


# 09.4


def check_first_dial(first_dial: Callable[[list[Address]], Any]) -> None:
    """Dial the real broker with a wrong password, a wrong vhost, nobody there, and rightly."""
    (right,) = Settings.from_env().addresses[:1]
    secret = "s3cret-of-09"
    wrong = Address(right.host, right.port, right.user, secret, right.vhost, right.tls)
    nowhere = Address(right.host, right.port, right.user, right.password, "no-such", right.tls)
    dark = Address("localhost", 1, right.user, secret, right.vhost, False)
    _opened(first_dial, [right], "the right address")
    _refused(first_dial, [wrong, right], "a wrong password", BrokerRefused, secret)
    _refused(first_dial, [nowhere], "a virtual host that is not there", BrokerRefused, secret)
    _refused(first_dial, [dark, dark], "two addresses where nobody is", BrokerError, secret)
    _opened(first_dial, [dark, right], "an address where nobody is, and then the right one")


def _opened(
    first_dial: Callable[[list[Address]], Any], addresses: list[Address], what: str
) -> None:
    try:
        transport = _bounded(first_dial, addresses, what)
    except RpcError as error:
        raise Broken(f"It was given {what}, and raised {type(error).__name__}: {error}.") from None
    if not isinstance(written(transport), Transport):
        raise Broken(f"It was given {what}, and returned {transport!r}, which is no Transport.")
    try:
        transport.channel()
    except RpcError:
        raise Broken(
            f"It was given {what}, and the Transport that it returned is not open."
        ) from None
    finally:
        transport.close()


def _refused(
    first_dial: Callable[[list[Address]], Any],
    addresses: list[Address],
    what: str,
    wanted: type[RpcError],
    secret: str,
) -> None:
    try:
        transport = _bounded(first_dial, addresses, what)
    except RpcError as error:
        if not isinstance(error, wanted):
            raise Broken(
                f"It was given {what}, and raised {type(error).__name__} in the place of "
                f"{wanted.__name__}."
            ) from None
        if wanted is BrokerError and isinstance(error, BrokerRefused):
            raise Broken(f"It was given {what}: nobody refused it, and it says so.") from None
        if secret in str(error):
            raise Broken(f"It was given {what}, and its error shows the password.") from None
        return
    except Broken:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an answer of theirs raises
        raise Broken(
            f"It was given {what}, and raised {type(error).__name__}, which is none of chatrpc's "
            "errors."
        ) from None
    if isinstance(transport, Transport):
        transport.close()
    raise Broken(f"It was given {what}, and raised nothing; it returned {transport!r}.")


def _bounded(
    first_dial: Callable[[list[Address]], Any], addresses: list[Address], what: str
) -> Any:
    future = _aside(lambda: first_dial(addresses))
    try:
        return future.result(3.0)
    except TimeoutError:
        if future.done():
            raise
        raise Broken(
            f"It was given {what}, and after 3 seconds it still tries: what is wrong stays wrong."
        ) from None


def _want_written(cls: Any) -> None:
    """Raise NotYet if a method of the class itself still returns the stub's three dots."""
    codes = [getattr(method, "__code__", None) for method in vars(cls).values()]
    if any(code is not None and ... in code.co_consts for code in codes):
        raise NotYet


EXERCISES = [
    Exercise(
        "09.1",
        "Write MyConfirms, so that you know of each publish what the broker has said of it.",
        check_confirms,
        "A confirm names a number, not a message, and numbers come in any order, alone or all up "
        "to one at once. What is still in the table when the connection ends is what you must "
        "send again: not what failed, but what you know nothing of.",
        (
            "The table leads from tag to id. Who puts an entry in, who takes it out, and when?",
            "multiple=True speaks of every tag up to this one that is still in the table; "
            "multiple=False of this one, if it is there.",
            "tags = [t for t in self.waiting if t <= tag] if multiple else [tag]; then pop each "
            "that is there, and pair its id with CONFIRMED or NACKED.",
        ),
    ),
    Exercise(
        "09.2",
        "Write MyBackoff, so that thirty clients that have lost their broker come back one by one.",
        check_backoff,
        "Longer waits spare a broker that is away for long; only chance keeps those who wait "
        "apart. Drawn from the whole interval, thirty clients come back spread over half a second, "
        "and the first of them nearly at once.",
        (
            "What must differ between two clients that have lost the same broker at the same time?",
            "Count the failures since the last success. A round is as many failures as there are "
            "addresses; after none, the wait is 0.",
            "rounds = failures // len(addresses); longest = min(0.5, 0.1 * 2 ** (rounds - 1)); "
            "the wait is self.random.uniform(0, longest). succeeded() sets the failures to 0 and "
            "leaves the turn where it is.",
        ),
    ),
    Exercise(
        "09.3",
        "Write send, settled and up, so that a cut wire and a dead broker cost time and nothing "
        "else.",
        check_sends_again,
        "What could not be sent waits; what nothing is known of goes again, under the same id. So "
        "nothing is lost, and what arrives twice is known by its name. Three short methods are "
        "the difference between reconnected and recovered.",
        (
            "Three things can go wrong with a publish: it could not be made, its outcome is LOST, "
            "the broker said NACKED. Where do you hear of each?",
            "Keep in self.unsent what must be sent when the link stands; up() sends it all. "
            "Publish the same call: a new one would be another intention.",
            "send: if publish returns False, put the call into self.unsent, and look once more "
            "whether the link stands by now. settled: a LOST call that is still pending goes into "
            "self.unsent. up: take each out, and send it if it is still pending.",
        ),
        patience=75.0,
    ),
    Exercise(
        "09.4",
        "Write first_dial, so that a wrong password is one clear error, at once.",
        check_first_dial,
        "Away may get better by itself; refused does not. Whoever treats both alike either gives "
        "up when it should wait, or hammers at a closed door and hides a typing mistake in a log.",
        (
            "Which of the two errors is a reason to try the next address?",
            "BrokerRefused is a kind of BrokerError: catch the narrower one first, or it is taken "
            "for the wider.",
            "for each address: try to open and return; except BrokerRefused: raise; except "
            "BrokerError as error: remember it. After the loop, raise the one you remember.",
        ),
    ),
]
