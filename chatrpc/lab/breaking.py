"""The break-it panel: a drill's buttons, the newest fault with what to watch, and the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from .faults import POISONS, Fault
from .problem import LabProblem

if TYPE_CHECKING:
    from .drill import Count, Drill

GLANCE = 0.3  # seconds between two looks at the ledger while orders are under way
CUPS = 20

_CSS = """<style>
.chatrpc-break{max-width:64em;border:1px solid var(--jp-border-color1,#bdbdbd);
 border-radius:14px;padding:10px 14px;color:var(--jp-ui-font-color1,#212121);
 background:var(--jp-layout-color1,#fff)}
.chatrpc-break .widget-html,.chatrpc-break .widget-html-content{height:auto;margin:0;
 line-height:1.45;font-size:var(--jp-content-font-size1,14px)}
.chatrpc-break .jupyter-button{width:auto;height:2.3em;line-height:2.3em;border-radius:8px;
 font-size:var(--jp-content-font-size1,14px);color:var(--jp-ui-font-color1,#212121);
 background:var(--jp-layout-color2,#eee);border:1px solid var(--jp-border-color1,#bdbdbd)}
.chatrpc-break .jupyter-button:focus-visible{outline:3px solid #0969da;outline-offset:1px}
.chatrpc-break .chatrpc-break-order{background:#0969da;color:#fff;font-weight:600}
.chatrpc-break .chatrpc-break-undo{background:#1a7f37;color:#fff;font-weight:600}
.chatrpc-break b.group{display:inline-block;width:6.2em}
.chatrpc-count table{border-collapse:collapse;font-size:var(--jp-content-font-size1,14px)}
.chatrpc-count td{padding:1px 10px 1px 0;text-align:left}
.chatrpc-count td.n{text-align:right;font-variant-numeric:tabular-nums;font-weight:600}
.chatrpc-count tr.bad td{color:var(--jp-error-color1,#d32f2f)}
.chatrpc-watch{border-left:4px solid var(--jp-border-color1,#bdbdbd);padding-left:10px;
 margin:8px 0;min-height:3em}
</style>"""
_BAD = ("wrong answer", "hung", "lost", "poured twice")


def bundle(drill: Drill) -> dict[str, Any]:
    """Return a drill's panel, live, still and as text."""
    made = dict(_Panel(drill).widget._repr_mimebundle_())
    made["text/html"] = _still(drill)
    made["text/plain"] = repr(drill)
    return made


def _still(drill: Drill) -> str:
    said = f"<p>{_told(drill.faults[-1])}</p>" if drill.faults else ""
    return f'<div class="chatrpc-count">{_table(drill.ledger)}</div>{said}'


def _table(count: Count) -> str:
    rows = "".join(
        f'<tr{_bad(word, number)}><td>{escape(word)}</td><td class="n">{number}</td>'
        f"<td>{escape(more)}</td></tr>"
        for word, number, more in count.rows()
    )
    return f"<table>{rows}</table>"


def _bad(word: str, number: int) -> str:
    return ' class="bad"' if number and (word in _BAD or word.startswith("failed")) else ""


def _told(fault: Fault) -> str:
    return f"<b>{escape(fault.what)}.</b><br>Watch: {escape(fault.watch)}"


class _Panel:
    """The widgets of one showing of a drill."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._count = widgets.HTML()
        self._count.add_class("chatrpc-count")
        self._watch = widgets.HTML()
        self._watch.add_class("chatrpc-watch")
        self._kind = widgets.Dropdown(options=POISONS, layout={"width": "12em"})
        self._kind.add_class("chatrpc-break-kind")
        self._busy = threading.Lock()
        self.widget = self._build()
        self._draw()

    def _build(self) -> Any:
        drill = self._drill
        groups: dict[str, list[tuple[str, Callable[[], Fault]]]] = {
            "worker": [
                ("kill -9", drill.kill),
                ("kill after work", partial(drill.kill_at, "after work")),
                ("kill before ack", partial(drill.kill_at, "before ack")),
                ("slow", drill.slow),
                ("start another", drill.another),
            ],
            "wire": [
                ("cut", drill.cut),
                ("reset", drill.reset),
                ("stall", drill.stall),
                ("delay", drill.delay),
            ],
            "broker": [
                ("restart", drill.restart_broker),
                ("kill", drill.kill_broker),
                ("kill the leader", drill.kill_leader),
                ("delete the queue", drill.delete_queue),
                ("fill the queue", drill.fill),
            ],
            "messages": [
                ("poison:", lambda: drill.poison(self._kind.value)),
                ("late replies", drill.late_replies),
                ("double replies", drill.duplicate_replies),
                ("forged replies", drill.forge_replies),
            ],
        }
        order = self._button(f"Order {CUPS} coffees", self._order, "order")
        undo = self._button("Undo all", self._undo, "undo")
        rows: list[Any] = [widgets.HBox([order, undo])]
        for group, buttons in groups.items():
            label = widgets.HTML(f'<b class="group">{group}</b>')
            row: list[Any] = [
                label,
                *(self._button(w, partial(self._break, a)) for w, a in buttons),
            ]
            if group == "messages":
                row.insert(2, self._kind)
            rows.append(
                widgets.HBox(row, layout={"flex_flow": "row wrap", "align_items": "center"})
            )
        left = widgets.VBox([*rows, self._watch], layout={"flex": "1 1 34em"})
        right = widgets.VBox([self._count], layout={"flex": "0 0 15em", "margin": "0 0 0 12px"})
        panel = widgets.VBox(
            [
                widgets.HTML(_CSS, layout={"display": "none"}),
                widgets.HBox([left, right], layout={"flex_flow": "row wrap"}),
            ]
        )
        panel.add_class("chatrpc-break")
        return panel

    def _button(self, word: str, act: Callable[[], Any], name: str = "") -> Any:
        button = widgets.Button(description=word)
        button.add_class(f"chatrpc-break-{name or word.strip(':').replace(' ', '-')}")
        button.on_click(lambda _: act())
        return button

    # A fault may take seconds, and a handler that takes seconds stops the page's other buttons.

    def _break(self, act: Callable[[], Fault]) -> None:
        self._in_turn(lambda: _told(act()))

    def _undo(self) -> None:
        def act() -> str:
            self._drill.undo()
            return "<b>Everything that can be mended is mended.</b>"

        self._in_turn(act)

    def _in_turn(self, act: Callable[[], str]) -> None:
        def run() -> None:
            with self._busy:
                self._watch.value = "…"
                try:
                    self._watch.value = act()
                except LabProblem as problem:
                    self._watch.value = escape(str(problem))
                except Exception as error:  # noqa: BLE001 - a thread's exception shows nowhere else
                    self._watch.value = escape(f"{type(error).__name__}: {error}")
                self._draw()

        threading.Thread(target=run, name="break-it", daemon=True).start()

    def _order(self) -> None:
        try:
            self._drill.order(CUPS, wait=False)
        except LabProblem as problem:
            self._watch.value = escape(str(problem))
            return
        threading.Thread(target=self._follow, name="break-it-count", daemon=True).start()

    def _follow(self) -> None:
        while True:
            count = self._drill.ledger
            self._draw(count)
            if not count.waiting:
                return
            threading.Event().wait(GLANCE)

    def _draw(self, count: Count | None = None) -> None:
        self._count.value = _table(count or self._drill.ledger)
