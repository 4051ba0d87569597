"""Checks of lesson 01, One message."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..exercises import Broken, Exercise, NotYet
from ..glances import Moments
from .desk import Desk, run, told

DRINKS = ("espresso", "cortado", "latte")
SIX = tuple(f"espresso {number}" for number in range(1, 7))

Connect = Callable[[], Any]


# 01.1


class PowerCut(BaseException):
    """Not an Exception: no barista can catch a power cut and go on."""


def check_careful(careful: Callable[..., Any], *, connect: Connect) -> None:
    """Want all made and released on a quiet day, and neither loss nor repetition after a cut."""
    with Desk(connect) as desk:
        _quiet_day(desk, careful)
    with Desk(connect) as desk:
        _accident(desk, careful)


def _quiet_day(desk: Desk, careful: Callable[..., Any]) -> None:
    queue, connection = desk.queue("orders", DRINKS), desk.connection()
    made: list[str] = []
    returned = _work(careful, connection.channel(), queue, lambda text: made.append(_text(text)))
    connection.close()
    left = _gauge(desk, queue, "the barista has gone home", 0)
    if made != list(DRINKS):
        raise Broken(f"Three orders waited, {', '.join(DRINKS)}; made was {_list(made)}.")
    if left:
        raise Broken(
            f"All three were made, and when the barista went home, {_orders(left)} in the queue "
            "again: whoever comes next makes them a second time."
        )
    if isinstance(returned, bool) or returned != len(DRINKS):
        raise Broken(f"It made three orders and returned {returned!r}: return how many.")


def _accident(desk: Desk, careful: Callable[..., Any]) -> None:
    queue, connection = desk.queue("orders", DRINKS), desk.connection()
    begun: list[str] = []

    def make(text: str) -> None:
        begun.append(_text(text))
        if len(begun) == 2:
            connection.close()
            raise PowerCut

    try:
        _work(careful, connection.channel(), queue, make)
    except (PowerCut, NotYet):
        pass
    except Broken:
        if len(begun) < 2:
            raise
    left = _gauge(desk, queue, "the power has failed", 2)
    if left == 2:
        return
    cut = "The power failed while the second of three orders was being made. "
    if left > 2:
        raise Broken(
            f"{cut}Now {_orders(left)} in the queue again, also the first, which was made "
            "already: somebody will make it once more."
        )
    raise Broken(
        f"{cut}It should be in the queue again, and with the third that makes two; "
        f"the gauges show {left}. The broker had been told to forget it before it was made."
    )


def _work(careful: Callable[..., Any], channel: Any, queue: str, make: Callable[..., None]) -> Any:
    try:
        return run(
            "Your barista",
            lambda: careful(channel, queue, make),
            "basic.get returns None when the queue is empty: that is when to stop. "
            "And an order that is given back is there again.",
        )
    except (NotYet, Broken):
        raise
    except AttributeError as error:
        if "NoneType" not in str(error):
            raise
        raise Broken(
            "It asked None for its body: basic.get returns None when nothing waits, and that is "
            "the moment to stop."
        ) from None


def _text(text: object) -> str:
    if isinstance(text, str):
        return text
    raise Broken(
        f"make() was given a {type(text).__name__}; it wants the text that the message carries: "
        "order.body."
    )


def _gauge(desk: Desk, queue: str, moment: str, expected: int) -> int:
    """Return what the gauges show once the broker has had its moment."""
    desk.left(queue, expected)
    return Moments(queue).look(moment).waiting or 0


def _orders(count: int) -> str:
    return "one order is" if count == 1 else f"{count} orders are"


def _list(made: list[str]) -> str:
    return ", ".join(made) if made else "nothing"


# 01.2


def check_screen(screen: Callable[..., Any], *, connect: Connect) -> None:
    """Want six orders on the screen and six with the baristas."""
    with Desk(connect) as desk:
        queue = desk.queue("baristas")
        exchange = desk.fanout("cafe", queue)
        connection = desk.connection()
        name = run(
            "Your function",
            lambda: screen(connection.channel(), exchange, queue),
            "It is only to prepare a queue; the check reads it.",
        )
        if isinstance(name, dict):
            raise Broken(
                "It returned a dictionary, which is what queue.declare returns; the queue's name "
                "is in it, under 'queue'."
            )
        if not isinstance(name, str) or not name:
            raise Broken(f"Return the name of the queue that the screen reads; this is {name!r}.")
        desk.forget(name)
        for text in SIX:
            desk.publish(text, exchange=exchange)
        seen, served = _read_in_turn(connection, name, queue)
    if name == queue:
        raise Broken(
            f"The screen reads from the baristas' own queue. Of six orders it saw {len(seen)}, "
            f"and {len(served)} were left for the baristas: it steals."
        )
    if served != list(SIX):
        raise Broken(f"Of six orders the baristas got {len(served)}: their queue is to get all.")
    if seen != list(SIX):
        raise Broken(
            f"The baristas got all six, and the screen saw {len(seen)} of them: what tells the "
            "exchange that your queue wants a copy?"
        )


def _read_in_turn(connection: Any, screen: str, baristas: str) -> tuple[list[str], list[str]]:
    """Let both read until nothing is left, one message each in turn; return what each got."""
    channel = connection.channel()
    seen: list[str] = []
    served: list[str] = []
    more = True
    while more:
        more = False
        for queue, got in ((screen, seen), (baristas, served)):
            try:
                message = channel.basic.get(queue, no_ack=True)
            except Exception as error:  # noqa: BLE001 - AMQPStorm's, which is not imported here
                raise Broken(
                    f"The screen cannot read {queue!r} on the connection whose channel you were "
                    f"given. The broker says: {told(error)}"
                ) from None
            if message is not None:
                got.append(message.body)
                more = True
    return seen, served


# 01.3

RETURNED = 0.3  # seconds within which a message that comes back is here
CLOSED = (
    "After the misspelt queue your channel is closed, so the next message finds no way: who asks "
    "for a queue that is not there loses the channel. Let the message itself find out."
)


def check_arrives(arrives: Callable[..., Any], *, connect: Connect) -> None:
    """Want True where a queue keeps the text and False where none does, each time."""
    with Desk(connect) as desk:
        queue, missing = desk.queue("orders"), desk.missing("oders")
        channel = desk.connection().channel()
        sent: list[str] = []
        for number in range(8):
            good, text = number % 2 == 0, f"espresso {number}"
            said = _ask(arrives, channel, queue if good else missing, text, good)
            if said is not True and said is not False:
                raise Broken(f"Return True or False; this is {said!r}.")
            if said and not good:
                raise Broken(_too_sure(channel))
            if good and not said:
                if not channel.is_open:
                    raise Broken(CLOSED)
                raise Broken(
                    "It said False of a queue that is there."
                    + (" Is that the return of the message before?" if number else "")
                )
            if good:
                sent.append(text)
        if (left := desk.left(queue, len(sent))) != len(sent):
            raise Broken(f"{len(sent)} times it said True, and the queue holds {left} messages.")
        reader = desk.connection().channel()
        got = [reader.basic.get(queue, no_ack=True).body for _ in sent]
        if got != sent:
            raise Broken(f"It was asked to publish {sent[0]!r}, and in the queue lies {got[0]!r}.")


def _ask(arrives: Callable[..., Any], channel: Any, queue: str, text: str, good: bool) -> Any:
    try:
        return run("Your function", lambda: arrives(channel, queue, text), "What does it wait for?")
    except (NotYet, Broken):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a student's function raises
        if not channel.is_open:
            raise Broken(CLOSED) from None
        if good:
            raise Broken(f"For a queue that is there it raised {told(error)}") from None
        raise Broken(
            f"For the misspelt queue it raised {told(error)} Whoever calls it wants False."
        ) from None


def _too_sure(channel: Any) -> str:
    end = time.monotonic() + RETURNED
    while not channel.exceptions and time.monotonic() < end:  # where AMQPStorm puts a return
        time.sleep(0.02)
    if channel.exceptions:
        return (
            "It said True of a queue that is not there. The message did come back, a moment after "
            "your function had ended. What makes publish wait?"
        )
    return (
        "It said True of a queue that is not there. What was published is lost, and nobody was "
        "told: did the message carry the wish to come back?"
    )


EXERCISES = [
    Exercise(
        "01.1",
        "Make every order that waits, release each at the right moment, and return how many.",
        check_careful,
        "First make, then ack, one by one. Until the ack the broker keeps the order for whoever "
        "comes next; after it, nobody has it but you. The one order that was in the making when "
        "the power failed may be made twice: that choice is lesson 06.",
        (
            "Who holds the order while you make it? Say aloud what the broker does when your "
            "connection ends at that moment.",
            "basic.get without no_ack leaves the order with the broker until you call "
            "order.ack(): before make, after make, or after all three?",
            "while order := channel.basic.get(queue): call make(order.body), then order.ack(), "
            "and count.",
        ),
    ),
    Exercise(
        "01.2",
        "Return the name of a queue that gets a copy of every order from now on.",
        check_screen,
        "One queue for each who wants everything, one queue shared by those who divide the work: "
        "the same two pieces make a radio and a workshop. The exchange makes the copies, and "
        "Ana, who publishes, knows nothing of either.",
        (
            "Two readers of one queue share its messages. How many queues does the café need?",
            "Declare a second queue; declare() without a name lets the broker find one, and "
            "returns it. Then the exchange must hear of it.",
            "name = channel.queue.declare(exclusive=True)['queue'], then "
            "channel.queue.bind(name, exchange), and return the name.",
        ),
    ),
    Exercise(
        "01.3",
        "Publish the text; return True if a queue keeps it and False if it came back.",
        check_arrives,
        "mandatory asks for the return, the confirmation tells you when to look: the broker sends "
        "the return first. Without the wish it confirms even what it throws away; without the "
        "confirmation you look before the return is there.",
        (
            "Ask for both: the wish on the message, and the wait on the channel.",
            "With both, publish raises amqpstorm.AMQPMessageError when the message came back.",
            "try: return channel.basic.publish(text, queue, mandatory=True), and in "
            "except amqpstorm.AMQPMessageError: return False; before that, "
            "channel.confirm_deliveries().",
        ),
    ),
]
