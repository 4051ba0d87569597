"""The colours of the three places where a notebook's code lives."""

from __future__ import annotations

from html import escape

# A square for the eye, a word for everybody, a colour for the cell's edge: light, then dark.
PLACES = {
    "client": ("🟦", "asks: this notebook, as the one who writes", "#0969da", "#58a6ff"),
    "worker": ("🟩", "answers: another process", "#1a7f37", "#3fb950"),
    "laboratory": ("⬜", "looks on: the tools of this course", "#8c959f", "#8b949e"),
}


class Legend:
    """What the squares before the code cells mean; shown live, it also paints the cells' edges.

    The cell after a Markdown cell that holds ``<span class="at-client">`` gets the client's
    colour: plain CSS, which needs no extension, and of which nothing is missed where it does
    not work, since the square and the word stay.
    """

    def __repr__(self) -> str:
        width = max(map(len, PLACES))
        return "\n".join(f"{s} {name:<{width}}  {what}" for name, (s, what, *_) in _items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<div>{square} <b>{escape(name)}</b> {escape(what)}</div>"
            for name, (square, what, *_) in _items()
        )
        return f"<style>{_css()}</style>{rows}"


def legend() -> Legend:
    """Return the legend of the cells' colours."""
    return Legend()


def _items() -> list[tuple[str, tuple[str, str, str, str]]]:
    return list(PLACES.items())


def _css() -> str:
    rule = (
        ".jp-MarkdownCell:has(.at-{name}) + .jp-CodeCell .jp-InputArea-editor"
        "{{border-left:5px solid {colour}}}"
    )
    light = [rule.format(name=n, colour=c) for n, (_, _, c, _) in _items()]
    rule = "[data-jp-theme-light=false] " + rule
    dark = [rule.format(name=n, colour=c) for n, (_, _, _, c) in _items()]
    return "".join(light + dark)
