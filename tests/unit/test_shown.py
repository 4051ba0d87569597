"""What a cell can show of a file and of a page; and how a load is told."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from chatrpc import lab
from chatrpc.errors import Busy, CallTimeout
from chatrpc.lab import services, turns
from chatrpc.lab.pressure import Fate, Load, Question, load
from chatrpc.lab.problem import LabProblem


def test_the_parts_of_a_file_are_the_whole_file() -> None:
    parts = [
        lab.listing("app.py", until="index"),
        lab.listing("app.py", "index", until="send"),
        lab.listing("app.py", "send"),
    ]
    whole = lab.listing("app.py")
    assert [line for part in parts for line in part.lines if line] == [
        line for line in whole.lines if line
    ]
    assert parts[1].lines[0].startswith("@")  # a decorator belongs to what it decorates
    assert repr(parts[2]).splitlines()[0].split(maxsplit=1)[0] == str(parts[2].first)


def test_a_file_is_shown_escaped_and_with_its_numbers() -> None:
    shown = lab.listing("app.py")._repr_html_()
    assert "&lt;" not in repr(lab.listing("app.py"))
    assert "<b>app.py</b>, lines 1 to" in shown
    assert "<script" not in shown


@pytest.mark.parametrize("wrong", [("nothing.py", ""), ("app.py", "no_such_function")])
def test_what_is_not_there_is_one_sentence(wrong: tuple[str, str]) -> None:
    with pytest.raises(LabProblem, match=r"There is no|has no"):
        lab.listing(*wrong)


def test_a_page_is_told_as_text_and_as_what_runs() -> None:
    page = lab.browser("<p>hola<script>steal()</script></p><img src=x onerror='run()'>")
    assert repr(page) == "shows: hola\nruns:  steal()\nruns:  onerror=run()"
    assert 'sandbox="allow-scripts"' in page._repr_html_()
    assert "allow-same-origin" not in page._repr_html_()
    assert "<script" not in page._repr_html_()


def test_an_escaped_page_runs_nothing() -> None:
    assert repr(lab.browser("<p>&lt;script&gt;x()&lt;/script&gt;</p>")) == (
        "shows: <script>x()</script>\nruns:  nothing"
    )


class Crowded:
    """A client whose service takes two, is late with the next two, and refuses the rest."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def submit(self, method: str, *args: object) -> Future[object]:
        """Answer, be late, or refuse."""
        self.asked.append(time.monotonic())
        future: Future[object] = Future()
        place = len(self.asked)
        if place > 4:
            raise Busy("full")
        if place > 2:
            future.set_exception(CallTimeout("late"))
        else:
            future.set_result(None)
        return future


def test_a_load_keeps_its_pace_and_tells_what_became_of_each() -> None:
    client = Crowded()
    began = time.monotonic()
    seen = load(client, "job", rate=50, seconds=0.2, burst=2)
    assert [q.fate for q in seen.questions] == [
        Fate.IN_TIME,
        Fate.IN_TIME,
        Fate.TOO_LATE,
        Fate.TOO_LATE,
        *[Fate.BUSY] * 8,
    ]
    assert client.asked[-1] - began >= 9 / 50
    assert seen.share(seen.accepted) == 0.5
    assert "refused                       some, at once" in repr(seen)


@pytest.mark.parametrize(
    ("in_time", "word"), [(10, "most"), (5, "most"), (4, "some"), (2, "hardly any"), (0, "hardly")]
)
def test_a_load_is_judged_in_words(in_time: int, word: str) -> None:
    quarter = [Question(Fate.IN_TIME, 0.1)] * in_time + [Question(Fate.TOO_LATE, 0.5)] * (
        10 - in_time
    )
    told = repr(Load(quarter * 4, rate=12)).splitlines()
    assert word in told[2]
    assert word in told[3]


def test_a_panel_says_the_label_and_not_the_name_made_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "_tell_janitor", lambda **what: None)
    monkeypatch.setattr(services, "_names", {})
    name = lab.service("lesson-99")
    assert turns.explain(CallTimeout(f"no answer from {name!r} in time"))[0] == (
        "no answer from 'lesson-99' in time"
    )
