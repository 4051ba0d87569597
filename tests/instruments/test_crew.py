"""A crew dies by schedule, and what a notebook stages with it is what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatrpc import NoWorker, RpcClient, RpcServer, lab
from chatrpc.lab import points
from chatrpc.lab.crew import Crew
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.silence import CAUSES, Silences

SERVED = """
from chatrpc import RpcServer, lab

cups = lab.ledger()


def coffee(key=None):
    lab.point("before pouring")
    cups.pour("crew", key)
    lab.point("after pouring")
    return cups.poured()
"""


@pytest.fixture
def coffee(cell: Callable[[str], dict[str, object]]) -> Callable[..., object]:
    """A method of a notebook, with two points."""
    return cell(SERVED)["coffee"]  # type: ignore[return-value]


@pytest.fixture
def crew(service: str, coffee: Callable[..., object]) -> Iterator[Crew]:
    with lab.Crew(service, RpcServer, coffee) as made:
        yield made


@pytest.mark.parametrize(("point", "cups"), [("before pouring", 1), ("after pouring", 2)])
def test_exactly_one_dies_at_the_point_and_the_other_pours_on(
    service: str, crew: Crew, point: str, cups: int
) -> None:
    assert repr(crew).startswith("2 of 2 workers alive")
    with RpcClient(service, timeout=20) as client:
        crew.dies(point)
        client.call("coffee")
        assert crew.wait_for_death()
        assert (crew.deaths, crew.cups.poured) == (1, cups)
        assert repr(crew).startswith("1 of 2 workers alive")
        client.call("coffee")
        assert (crew.deaths, crew.cups.poured) == (1, cups + 1)


def test_an_order_to_die_that_nobody_met_is_taken_back(service: str, crew: Crew) -> None:
    crew.dies("never passed")
    with RpcClient(service, timeout=20) as client:
        client.call("coffee")
        assert not crew.wait_for_death(0.1)
        assert not crew.spare()
        crew.dies("after pouring")
        client.call("coffee")
        assert crew.wait_for_death()
        assert crew.spare()
    assert crew.deaths == 1


def test_a_cell_that_is_run_again_has_one_crew(
    service: str, crew: Crew, coffee: Callable[..., object]
) -> None:
    with lab.Crew(service, RpcServer, coffee, workers=1) as again, RpcClient(service) as client:
        assert client.consumers() == 1
        assert not any(one.alive for one in crew.workers)
        client.call("coffee")
        assert again.cups.poured == 1
    assert not any(one.alive for one in again.workers)
    assert not again.cups.path.exists()


def test_a_crew_that_does_not_come_up_is_a_sentence_and_leaves_nobody(
    service: str, cell: Callable[[str], dict[str, object]]
) -> None:
    broken = cell(
        "class Broken:\n    def __init__(self, service):\n        raise ValueError('no')\n"
        "    def method(self, f): ...\n    def start(self): ...\n"
        "    def close(self): ..."
    )["Broken"]
    with pytest.raises(LabProblem, match="died at its start: ValueError: no"):
        lab.Crew(service, broken)  # type: ignore[arg-type]
    with RpcClient(service) as client, pytest.raises(NoWorker):
        client.consumers()


@pytest.mark.no_broker
def test_a_point_without_an_order_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.point("anywhere")
    monkeypatch.setenv(points.ORDER, str(tmp_path / "order"))
    lab.point("anywhere")
    points.give(tmp_path / "order", "elsewhere")
    lab.point("anywhere")
    assert (tmp_path / "order").read_text() == "elsewhere"


# Four silences


@pytest.fixture(scope="module")
def four() -> Silences:
    return lab.silences()


def test_covered_the_four_silences_are_one(four: Silences) -> None:
    """Each caller knows that it asked, and that nothing came."""
    told = set(four.seen_by_the_client.values())
    assert told == {
        "covered: only what Ana sent and received\n#1  → sent  coffee()\n#1  ✗ nothing came"
    }
    assert repr(four).count("covered: only what Ana") == 4
    html = four._repr_mimebundle_()["text/html"]
    assert html.count("<svg") == 4
    assert "worker" not in html


SIGNS = {
    "lost": "no queue",
    "slow": "replies   ○ waits: nobody took it",
    "dead": "no reply was sent",
    "reply lost": "there is no queue",
}


def test_uncovered_each_has_its_own_cause(four: Silences) -> None:
    assert sorted(four.causes) == list("ABCD")
    assert sorted(four.causes.values()) == sorted(CAUSES)
    whole = dict(zip("ABCD", repr(four.uncover()).split("\n\n"), strict=True))
    for letter, cause in four.causes.items():
        head, _, ladder = whole[letter].partition("\n")
        assert head.startswith(f"{letter}: the ")
        assert SIGNS[cause] in ladder, (cause, ladder)
    assert four.uncover()._repr_mimebundle_()["text/html"].count("<svg") == 4


def test_guesses_are_counted_and_another_seed_is_another_riddle(four: Silences) -> None:
    assert four.right(four.causes) == 4
    assert four.right({letter: f" {cause.upper()} " for letter, cause in four.causes.items()}) == 4
    assert four.right(dict.fromkeys("ABCD", "lost")) == 1
    assert four.right({}) == four.right({"A": 7}) == 0
    assert lab.silences(seed=3).causes != four.causes


# Five riddles


def test_each_riddle_holds_what_makes_it_one(url: str) -> None:
    """A stranger's lie, a silence, a question sent again, nowhere to go, an answer twice."""
    riddles = lab.riddles()
    whole = {letter: riddles[letter].uncover().text for letter in "ABCDE"}
    assert "forged" in whole["A"]
    assert "forged" in riddles["A"].text
    assert whole["B"].splitlines() == [  # and nothing of the four traces beside this one
        "lanes: Ana | dead letters (exchange) | cafe-B (queue)",
        '#1  Ana    → cafe-B        publish      order("tea")',
        "#1  cafe-B → dead letters  dead letter  expired",
    ]
    assert "publish again" in whole["C"]
    assert "missing: " in whole["D"]
    assert "NO_ROUTE" in whole["D"]
    assert riddles["E"].text.count('received  "one tea"') == 2
