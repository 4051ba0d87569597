"""Small tables of results."""

from __future__ import annotations

import pytest

from chatrpc.lab.cups import Poured
from chatrpc.lab.tables import table


def test_columns_as_text_and_escaped_in_a_cell() -> None:
    shown = table("ack | cups", [("early", Poured(0)), ("late", Poured(2))])
    assert repr(shown) == "ack    cups\nearly  0\nlate   2 ☕☕"
    assert "&lt;b&gt;" in table("what", [("<b>",)])._repr_html_()


def test_a_row_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="2 values"):
        table("a | b", [("1",)])


def test_cups_in_words() -> None:
    assert [repr(Poured(many)) for many in (0, 1, 2)] == ["0 cups", "☕ 1 cup", "☕☕ 2 cups"]
