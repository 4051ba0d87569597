"""Exercise cards: they say not yet, passed or what broke, and never raise."""

from __future__ import annotations

import itertools
import re
import time
from html import escape
from pathlib import Path
from typing import Any

import pytest

from chatrpc.lab import exercises
from chatrpc.lab.checks import lesson_00
from chatrpc.lab.exercises import Outcome, exercise, judge_answer
from chatrpc.lab.solutions import solution


@pytest.fixture(autouse=True)
def _first_try() -> None:
    exercises._tries.clear()


def test_the_stub_is_not_yet() -> None:
    assert judge_answer("00.1", lambda: ...).outcome is Outcome.NOT_YET
    assert judge_answer("00.1", lambda: None).outcome is Outcome.NOT_YET


def test_exactly_the_two_right_orders_pass() -> None:
    passed = {
        order
        for order in map("".join, itertools.permutations("ABCDEF"))
        if judge_answer("00.1", lambda order=order: order).outcome is Outcome.PASSED
    }
    assert passed == {lesson_00.ORDER, lesson_00.ALSO}


@pytest.mark.parametrize("answer", ["", "ABC", "DCFAEE", 7, ["D", "C"], "DCFAEB!"])
def test_an_answer_of_another_form_is_told_the_form(answer: Any) -> None:
    card = judge_answer("00.1", lambda: answer)
    assert card.outcome is Outcome.BROKE
    assert "letter" in card.words


def test_hints_get_plainer_and_end_at_the_solution() -> None:
    """Each try shows one, the plainer ones are folded; after the last, the solution and its why."""
    cards = [judge_answer("00.1", lambda: "ABCDEF") for _ in range(5)]
    hints = lesson_00.EXERCISES[0].hints
    assert [card.hint for card in cards] == [*hints, "", ""]
    assert [card.plainer for card in cards] == [hints[1:], hints[2:], (), (), ()]
    first, last = cards[0], cards[4]
    assert repr(first) == (f"00.1 it broke\n   {first.words}\n   hint: {hints[0]}")
    assert "D first: nothing is on its way before it is published." in repr(last)
    assert 'return "DCFAEB"' in repr(last)
    assert "# noqa" not in repr(last)
    folds = re.findall(r"<summary[^>]*>([^<]+)", first._repr_html_())
    assert folds == ["a plainer hint", "a plainer hint", "the solution, and why"]
    assert re.findall(r"<summary[^>]*>([^<]+)", last._repr_html_()) == ["the solution, and why"]


def test_the_solution_lies_beside_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There first, else in the kit; without any, the card says where it would be."""
    (tmp_path / "solutions").mkdir()
    file = tmp_path / "solutions" / "00_first_chat.py"
    file.write_text(
        "head = 1\n\n# %% 00.1\n# Since <b>.\n# So it is.\n\n\nhops = 1 < 2  # noqa: F821\n"
    )
    monkeypatch.chdir(tmp_path)
    known = solution("00.1")
    assert known is not None
    assert (known.why, known.code) == ("Since <b>. So it is.", "hops = 1 < 2")
    shown = judge_answer("00.1", lambda: lesson_00.ORDER)._repr_html_()
    assert "our solution" in shown
    assert "Since &lt;b&gt;" in shown
    assert "1 &lt; 2" in shown
    file.write_text("# %% 00.1\n# %% \n# %% 00.2")
    assert solution("00.9") is None
    monkeypatch.setattr(exercises, "solution", lambda id: None)
    tries = [judge_answer("00.1", lambda: "ABCDEF") for _ in range(5)]
    assert "in the folder solutions, under 00.1" in tries[3].hint == tries[4].hint


def test_a_stub_shows_nothing_of_what_is_to_come() -> None:
    assert "<details" not in judge_answer("00.1", lambda: ...)._repr_html_()


def test_checks_that_cannot_be_read_are_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise SyntaxError("oops")

    monkeypatch.setattr(exercises, "import_module", broken)
    assert "cannot be read: SyntaxError: oops" in judge_answer("00.1", lambda: 1).words


def test_what_the_check_misses_is_a_card() -> None:
    """A cell that forgot to hand over what the check needs."""
    assert "TypeError" in judge_answer("00.2", lambda: 3).words


def test_a_pass_says_why_it_is_right() -> None:
    card = judge_answer("00.1", lambda: lesson_00.ORDER)
    assert card.words == lesson_00.EXERCISES[0].why
    assert card.words in repr(card)
    assert escape(card.words) in card._repr_html_()


def test_a_pass_begins_the_hints_anew() -> None:
    judge_answer("00.1", lambda: "ABCDEF")
    judge_answer("00.1", lambda: lesson_00.ORDER)
    assert judge_answer("00.1", lambda: "ABCDEF").hint == lesson_00.EXERCISES[0].hints[0]


def crash() -> Any:
    raise SystemExit("bye")


def test_an_answer_that_raises_or_hangs_is_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge_answer("00.1", lambda: 1 / 0).words == "ZeroDivisionError: division by zero"
    assert judge_answer("00.1", crash).words == "SystemExit: bye"
    monkeypatch.setattr(exercises, "PATIENCE", 0.05)
    assert "still running" in judge_answer("00.1", lambda: time.sleep(0.5)).words


@pytest.mark.parametrize("id", ["99.1", "00.9", "", "x", "../x", "00"])
def test_an_unknown_exercise_is_a_card(id: str) -> None:
    assert "There is no exercise" in judge_answer(id, lambda: 1).words


def test_the_answer_stays_usable() -> None:
    @exercise("00.1")
    def hops() -> str:
        return "DCFAEB"

    assert hops() == "DCFAEB"


class Slow:
    """A client whose calls take a known time."""

    def call(self, method: str, /, *args: Any) -> Any:
        time.sleep(0.001)
        return args[0]


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [(0.01, Outcome.BROKE), (1, Outcome.PASSED), (100, Outcome.BROKE)],
)
def test_the_cost_must_be_of_the_right_size(factor: float, outcome: Outcome) -> None:
    low, high = lesson_00.measure(Slow())
    guess = (low * high) ** 0.5 * factor
    assert judge_answer("00.2", lambda: guess, chat=Slow()).outcome is outcome


@pytest.mark.parametrize("guess", [0, -3, True, "many", float("nan")])
def test_a_cost_that_is_no_number_is_told_so(guess: Any) -> None:
    assert "Return a number" in judge_answer("00.2", lambda: guess, chat=Slow()).words


def test_a_card_is_escaped() -> None:
    card = judge_answer("00.1", lambda: "<script>")
    assert "<script>" not in card._repr_html_()
