"""What students really answer in lessons 07 and 08: each gets a sentence that says what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chatrpc import topology
from chatrpc.errors import Busy, CallTimeout, MethodNotFound, NoWorker, TooLarge
from chatrpc.lab.checks import lesson_07, lesson_08
from chatrpc.lab.exercises import Outcome, judge_answer


@pytest.fixture(autouse=True)
def broker_of_the_notebook(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks find the broker where a notebook's tools do."""
    monkeypatch.setenv("CHATRPC_URL", url)


def broke(id: str, answer: Callable[..., Any]) -> str:
    card = judge_answer(id, answer)
    assert card.outcome is Outcome.BROKE, card
    return card.words


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda error: 500, "/nobody fails with NoWorker, and your function says 500"),
        (lambda error: 404 if isinstance(error, NoWorker) else 503, "4xx says that the phone"),
        (lambda error: 503 if isinstance(error, NoWorker) else 200, "takes that for success"),
        (lambda error: 413 if isinstance(error, TooLarge) else 503, "/misspelt fails with Method"),
        (lambda error: None if isinstance(error, Busy) else 503, "It says nothing for this one"),
        (lambda error: "503", "a whole number"),
    ],
)
def test_a_wrong_status(answer: Callable[..., Any], sentence: str) -> None:
    assert sentence in broke("07.2", answer)


def test_each_route_fails_as_its_table_says() -> None:
    with lesson_07._failures() as routes:
        assert list(routes) == list(lesson_07.KINDS)
        for route, kind in lesson_07.KINDS.items():
            with pytest.raises(kind):
                routes[route]()
    assert issubclass(CallTimeout, TimeoutError)
    assert not issubclass(MethodNotFound, TooLarge)


def built(
    *, kind: str = "headers", reasons: tuple[str, ...] = ("rejected", "delivery_limit"), **more: Any
) -> Callable[[str, int], list[Any]]:
    """An answer to 08.1 that is right but for what is said; None takes an argument away."""

    def declarations(service: str, limit: int) -> list[Any]:
        requests, dead = topology.request_queue(service), topology.dead_queue(service)
        arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": 10,
            "x-max-length": limit,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": topology.DEAD,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        about = {"x-match": "all-with-x", "x-first-death-queue": requests}
        return [
            topology.Exchange(topology.REQUESTS, "direct"),
            topology.Exchange(topology.DEAD, kind),
            topology.Queue(dead, {"x-queue-type": "quorum"}),
            topology.Queue(requests, {n: v for n, v in arguments.items() if v is not None}),
            topology.Binding(topology.REQUESTS, requests, key=service),
            *(
                topology.Binding(
                    topology.DEAD, dead, arguments={**about, "x-first-death-reason": reason}
                )
                for reason in reasons
            ),
        ]

    return declarations


def test_right_declarations_pass() -> None:
    lesson_08.check_declarations(built())


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (built(kind="fanout"), "does not look at headers"),
        (built(reasons=("rejected",)), "What has come back too often is not in the queue"),
        (built(reasons=("delivery_limit",)), "What a worker has rejected is not in the queue"),
        (built(reasons=("rejected", "delivery_limit", "expired")), "What merely expired lies"),
        (built(x_delivery_limit=1), "that limit of deliveries is too low"),
        (built(x_queue_type="classic", x_delivery_limit=None), "and comes still"),
        (built(x_overflow=None), "none was refused"),
        (built(x_max_length="5"), "The broker refuses the queue"),
        (lambda service, limit: {}, "A list of declarations is wanted"),
    ],
)
def test_wrong_declarations(answer: Callable[..., Any], sentence: str) -> None:
    assert sentence in broke("08.1", answer)


class Valve:
    """The right valve."""

    def limit(self, patience: float, seconds: float, hands: int) -> float:
        """Say how many may wait."""
        return max(1, int(0.8 * hands * patience / seconds) - 2 * hands)

    def refused(self, waiting: int, limit: int) -> Any:
        """Say what a nack means."""
        return Busy("full") if waiting >= limit else None

    def sending(self, size: int) -> Any:
        """Say whether it is too large."""
        return TooLarge("too large") if size > 1024 * 1024 else None


@pytest.mark.parametrize(
    ("method", "wrong", "sentence"),
    [
        ("limit", lambda self, patience, seconds, hands: 10, "was answered in time"),
        ("limit", lambda self, patience, seconds, hands: 1000, "waits for longer"),
        ("limit", lambda self, patience, seconds, hands: 1, "nearly nobody may wait"),
        ("refused", lambda self, waiting, limit: Busy("no"), "a nack alone is not Busy"),
        ("refused", lambda self, waiting, limit: Busy, "and not its class"),
        ("sending", lambda self, size: None, "is too large, and sending says None"),
    ],
)
def test_a_wrong_valve(method: str, wrong: Callable[..., Any], sentence: str) -> None:
    assert sentence in broke("08.2", type("Wrong", (Valve,), {method: wrong}))


PLAIN = ("amq.gen-", "amq.rabbitmq.reply-to.")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda to, user: True, "That is Bob's"),
        (lambda to, user: user in to or to.startswith(PLAIN), "ann2 is somebody else"),
        (lambda to, user: to.startswith((f"chatrpc.reply.{user}.", *PLAIN)), "another way"),
        (lambda to, user: to.startswith((topology.reply_queue(user, ""), *PLAIN)), "has no queue"),
        (lambda to, user: False, "That is her own queue"),
    ],
)
def test_a_wrong_look_at_the_sender(answer: Callable[..., Any], sentence: str) -> None:
    assert sentence in broke("08.3", answer)
