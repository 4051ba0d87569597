"""The judgement sees everything that it should, in logs made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from judge import Begun, Called, Hands, Outage, Verdict, judge

pytestmark = pytest.mark.no_broker

OUTAGE = Outage(begin=10.0, end=12.0, losses=((10.0, 10.0),))
Logs = tuple[dict[str, Called], list[Begun]]


@pytest.fixture
def logs() -> Logs:
    """Ten good calls; the fifth is under way at the loss, the last three are sent after it."""
    sent = [1.0, 3.0, 5.0, 7.0, 9.95, 10.5, 11.0, 12.1, 13.0, 14.0]
    calls = {str(n): Called(str(n), at, at + 5, at + 0.1, str(n)) for n, at in enumerate(sent)}
    return calls, [Begun(text, call.sent + 0.05, 1) for text, call in calls.items()]


def verdict(logs: Logs, *, hands: Hands = Hands(), outage: Outage = OUTAGE) -> Verdict:  # noqa: B008
    """Judge them; ten executions suffice."""
    return judge(logs[0].values(), logs[1], outage, hands, now=30.0, least=10)


def test_a_good_trial_is_good(logs: Logs) -> None:
    found = verdict(logs)
    assert found.complaints == []
    assert (found.calls, found.answered, found.executions) == (10, 10, 10)
    assert found.recovered == pytest.approx(0.2)


Change = Callable[[Called], Called]
BREAKS: dict[str, tuple[Change, str]] = {
    "lost": (lambda c: replace(c, answer=None, error="CallTimeout", ran="maybe"), "1 lost"),
    "wrong": (lambda c: replace(c, answer="3"), "1 wrong"),
    "hung": (lambda c: replace(c, answer=None, over=None), "1 hung"),
    "late": (lambda c: replace(c, over=c.deadline + 0.6), "1 late"),
    "ghost": (lambda c: replace(c, deadline=c.sent - 0.6, over=c.sent - 0.2), "1 ghost"),
    "a lie": (lambda c: replace(c, answer=None, error="BrokerError", ran="no"), "1 ran, though"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_must_not_be_is_complained_of(name: str, logs: Logs) -> None:
    change, complaint = BREAKS[name]
    logs[0]["5"] = change(logs[0]["5"])
    assert any(text.startswith(complaint) for text in verdict(logs).complaints)


def test_an_answer_that_nobody_worked_for_is_wrong(logs: Logs) -> None:
    del logs[1][5]
    assert verdict(logs).wrong == 1


def test_work_that_nobody_asked_for_is_a_ghost(logs: Logs) -> None:
    logs[1].append(Begun("stranger", 13.0, 1))
    assert verdict(logs).ghost == 1


def test_a_copy_is_allowed_only_for_what_was_in_doubt(logs: Logs) -> None:
    logs[1].append(Begun("4", 12.0, 2))
    assert verdict(logs).complaints == ["1 ran twice, 0 may"]
    assert verdict(logs, hands=Hands(unconfirmed=True)).good  # call 4 was under way
    logs[1].append(Begun("5", 12.0, 2))
    assert verdict(logs, hands=Hands(unconfirmed=True)).complaints == ["2 ran twice, 1 may"]
    assert verdict(logs, hands=Hands(prefetched=8)).allowed == 8


def test_each_loss_brings_its_own_doubts(logs: Logs) -> None:
    twice = replace(OUTAGE, losses=((10.0, 10.0), (11.05, 11.05), (13.5, 13.5)))
    assert verdict(logs, hands=Hands(8, unconfirmed=True), outage=twice).allowed == 3 * 8 + 2


def test_too_few_executions_show_nothing(logs: Logs) -> None:
    logs[0].pop("5")
    del logs[1][5]
    assert verdict(logs).complaints == [
        "only 9 calls were executed, 10 are needed to show anything"
    ]
    logs[1].append(Begun("4", 10.0, 1))  # and a copy makes up for none
    assert len(verdict(logs, hands=Hands(8)).complaints) == 1


def test_a_loss_at_an_unknown_time_puts_all_in_doubt_that_was_under_way_meanwhile(
    logs: Logs,
) -> None:
    silent = replace(OUTAGE, losses=((10.0, 12.0),))
    assert verdict(logs, hands=Hands(unconfirmed=True), outage=silent).allowed == 3


@pytest.mark.parametrize(("late", "seconds"), [("7", 0.2), ("8", 1.1), ("9", 2.1)])
def test_it_has_recovered_when_work_begun_after_the_end_is_answered(
    late: str, seconds: float, logs: Logs
) -> None:
    for text in "789":
        if text < late:
            logs[0][text].over = 16.0
    found = verdict(logs)
    assert found.recovered == pytest.approx(seconds)
    assert found.good is (late == "7")
    assert verdict(logs, outage=replace(OUTAGE, recovery=3.0)).good


def test_the_answer_to_what_was_begun_before_is_no_recovery(logs: Logs) -> None:
    logs[1][7:] = [replace(run, at=11.9) for run in logs[1][7:]]
    assert "no call was answered after the fault" in verdict(logs).complaints


def test_what_a_deleted_queue_took_along_is_counted_apart(logs: Logs) -> None:
    gone = replace(OUTAGE, spilled=True)
    logs[0]["4"] = replace(logs[0]["4"], answer=None, error="CallTimeout", ran="maybe")
    assert verdict(logs, outage=gone).lost == 1  # it was begun, so it was not in the queue
    del logs[1][4]
    logs[0]["10"], found = Called("10", 15.0, 20.0, 15.1, "10"), Begun("10", 15.05, 1)
    logs[1].append(found)
    assert verdict(logs).lost == 1  # nothing was spilled
    assert (verdict(logs, outage=gone).lost, verdict(logs, outage=gone).spilled) == (0, 1)
    assert verdict(logs, outage=gone).good
