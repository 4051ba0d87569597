"""A chat panel for a notebook: what was said, who answered, and what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from html import escape
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from .turns import State, Turn, explain, spoken, still, text

LONGEST = 2000  # characters of one message
MOST = 100  # turns that the panel keeps in sight: each update sends them all
SETTLE = 0.05  # seconds after which what stands in the box is what was meant to be sent
LATE = 1.0  # seconds that a busy page may take to tell of a text that it was told to send

_LIVE_CSS = """
.chatrpc-panel{max-width:48em;font-size:var(--jp-content-font-size1,14px);
 border:1px solid var(--jp-border-color1,#bdbdbd);
 border-radius:14px;background:var(--jp-layout-color1,#fff);overflow:hidden;margin:4px 0}
.chatrpc-panel .widget-html,.chatrpc-panel .widget-html-content{margin:0;line-height:1.45;
 font-size:inherit;height:auto}
.chatrpc-beside{display:flex;flex-wrap:wrap;gap:12px;overflow:visible}
.chatrpc-beside .chatrpc-panel{flex:1 1 300px;max-width:34em}
.chatrpc-head{padding:8px 16px;border-bottom:1px solid var(--jp-border-color2,#e0e0e0);
 background:var(--jp-layout-color2,#eee);color:var(--jp-ui-font-color1,#212121)}
.chatrpc-head b{font-weight:600}
.chatrpc-log{display:flex;flex-direction:column-reverse;height:24em;overflow-y:auto;
 overflow-x:hidden;padding:10px 16px}
.chatrpc-log>.widget-html{flex:0 0 auto;width:100%}
.chatrpc-turn{display:flex;flex-direction:column}
.chatrpc-bubble{font-size:1.07em;max-width:82%;margin:3px 0 0;padding:7px 13px;border-radius:16px;
 white-space:pre-wrap;overflow-wrap:anywhere;align-self:flex-start;
 color:var(--jp-ui-font-color1,#212121);background:var(--jp-layout-color2,#eee)}
.chatrpc-mine{align-self:flex-end;background:#0969da;color:#fff;border-bottom-right-radius:5px}
.chatrpc-theirs,.chatrpc-waiting,.chatrpc-error{border-bottom-left-radius:5px}
.chatrpc-waiting{color:var(--jp-ui-font-color2,#616161);background:transparent;
 border:1px dashed var(--jp-border-color1,#bdbdbd)}
.chatrpc-error{background:transparent;border:1px solid var(--jp-error-color1,#d32f2f)}
.chatrpc-error b{color:var(--jp-error-color1,#d32f2f)}
.chatrpc-note{align-self:flex-start;margin:1px 6px 8px;font-size:.86em;
 color:var(--jp-ui-font-color2,#616161)}
.chatrpc-mine+.chatrpc-note{align-self:flex-end;margin-bottom:4px}
.chatrpc-empty{color:var(--jp-ui-font-color2,#616161);text-align:center;padding:24px}
.chatrpc-dots span{display:inline-block;width:6px;height:6px;margin-right:4px;border-radius:50%;
 background:currentColor;animation:chatrpc-dot 1.2s infinite}
.chatrpc-dots span:nth-child(2){animation-delay:.2s}
.chatrpc-dots span:nth-child(3){animation-delay:.4s}
@keyframes chatrpc-dot{0%,60%,100%{opacity:.25}30%{opacity:1}}
@media (prefers-reduced-motion:reduce){.chatrpc-dots span{animation:none}}
.chatrpc-entry{padding:10px 12px;gap:8px;border-top:1px solid var(--jp-border-color2,#e0e0e0);
 align-items:center;overflow:visible}
.chatrpc-entry .widget-text{flex:1 1 auto;width:auto;margin:0;height:auto}
.chatrpc-entry .widget-text input[type=text]{height:2.5em;border-radius:1.25em;
 padding:0 1em;font-size:calc(1.07*var(--jp-content-font-size1,14px));
 color:var(--jp-ui-font-color1,#212121);background:var(--jp-layout-color1,#fff);
 border:1px solid var(--jp-border-color1,#bdbdbd)}
.chatrpc-entry .widget-text input[type=text]:focus{border-color:#0969da;
 box-shadow:0 0 0 2px rgba(9,105,218,.35)}
.chatrpc-entry .chatrpc-send{flex:0 0 auto;width:auto;margin:0;height:2.5em;line-height:2.5em;
 border-radius:1.25em;padding:0 1.3em;font-size:calc(1.07*var(--jp-content-font-size1,14px));
 font-weight:600;background:#0969da;color:#fff}
.chatrpc-entry .chatrpc-send:focus-visible{outline:2px solid var(--jp-ui-font-color1,#212121);
 outline-offset:2px}
.chatrpc-spoken{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
"""


class ChatPanel:
    """A conversation with whoever answers a client's calls.

    `client` is anything with ``submit`` or ``call``; `name` is who writes here, `method` the
    procedure that gets each message. Put the panel last in a cell to see it; with a kernel it
    is live, and without one the page keeps a still of what had been said.
    """

    def __init__(self, client: Any, *, name: str = "Ana", method: str = "say") -> None:
        if not (hasattr(client, "submit") or hasattr(client, "call")):
            raise TypeError(
                "a ChatPanel needs a client with call or submit; "
                f"{type(client).__name__} has neither"
            )
        self.name = name
        self.method = method
        self.turns: list[Turn] = []
        self._client = client
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._asked_at = -LATE
        self._log = widgets.HTML()
        self._spoken = widgets.HTML()
        self._text = widgets.Text(
            placeholder="Write a message, then Enter",
            continuous_update=False,
            tooltip=f"{name}'s message",
        )
        self._button = widgets.Button(description="Send", tooltip="Send the message")
        self.widget = self._build()
        self._draw()

    def say(self, message: str) -> Turn:
        """Send a message, wait for what becomes of it, and return the turn.

        The client's own deadline ends the wait; for one that has none, a guard of 60 seconds.
        """
        return self.send(message).wait()

    def send(self, message: str) -> Turn:
        """Send a message and return its turn at once, most likely still waiting."""
        turn = Turn(self.name, message)
        with self._lock:
            self.turns.append(turn)
            self._draw()
        future = self._submit(message)
        future.add_done_callback(lambda done: self._settle(turn, done))
        return turn

    def _submit(self, message: str) -> Future[Any]:
        try:
            if hasattr(self._client, "submit"):
                return self._client.submit(self.method, message)  # type: ignore[no-any-return]
            return _in_thread(lambda: self._client.call(self.method, message))
        except Exception as error:  # noqa: BLE001 - shown in the bubble, whatever it is
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def _settle(self, turn: Turn, done: Future[Any]) -> None:
        with self._lock:
            turn.settle(done)
            self._draw()

    # The page tells of the Enter key or the button first and of the text after it, or of the
    # text long before, or, if it did not change since the box lost the focus, not at all.

    def _asked(self, *_: Any) -> None:
        with self._lock:
            self._asked_at = time.monotonic()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(SETTLE, self._send_box)
            self._timer.daemon = True
            self._timer.start()

    def _on_key(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("event") == "submit":
            self._asked()

    def _on_text(self, change: Any) -> None:
        if change["new"].strip() and time.monotonic() - self._asked_at < LATE:
            self._send_box()

    def _send_box(self) -> None:
        with self._lock:
            message = self._text.value.strip()
            self._text.value = ""
            if message:
                self._asked_at = -LATE
                if self._timer is not None:
                    self._timer.cancel()
        if message:
            self.send(message[:LONGEST])

    def _build(self) -> widgets.VBox:
        style = widgets.HTML(f"<style>{_LIVE_CSS}</style>", layout={"display": "none"})
        head = widgets.HTML(f'<div class="chatrpc-head">Chat as <b>{escape(self.name)}</b></div>')
        log = widgets.Box([self._log])
        log.add_class("chatrpc-log")
        self._text.add_class("chatrpc-text")
        self._text.on_msg(self._on_key)
        self._text.observe(self._on_text, "value")
        self._button.add_class("chatrpc-send")
        self._button.on_click(self._asked)
        entry = widgets.HBox([self._text, self._button])
        entry.add_class("chatrpc-entry")
        panel = widgets.VBox([style, head, log, entry, self._spoken])
        panel.add_class("chatrpc-panel")
        return panel

    def _draw(self) -> None:
        turns = self.turns[-MOST:]
        if turns:
            self._log.value = "".join(map(_live, turns))
            self._spoken.value = _aloud(turns[-1])
        else:
            self._log.value = '<div class="chatrpc-empty">Nothing has been said yet.</div>'

    def __repr__(self) -> str:
        return text(self.turns)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle = dict(self.widget._repr_mimebundle_())
        bundle["text/html"] = still(self.turns)
        bundle["text/plain"] = text(self.turns)
        return bundle


class Beside:
    """Panels side by side, in a row that breaks where the page is narrow."""

    def __init__(self, *panels: ChatPanel) -> None:
        self.panels = panels

    def __repr__(self) -> str:
        return "\n\n".join(f"{one.name}'s panel\n{one!r}" for one in self.panels)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        row = widgets.HBox([one.widget for one in self.panels])
        row.add_class("chatrpc-beside")
        bundle = dict(row._repr_mimebundle_())
        stills = "".join(
            f'<div style="flex:1 1 300px;min-width:0"><b>{escape(one.name)}</b>'
            f"{still(one.turns)}</div>"
            for one in self.panels
        )
        bundle["text/html"] = (
            f'<div style="display:flex;flex-wrap:wrap;gap:12px;max-width:980px">{stills}</div>'
        )
        bundle["text/plain"] = repr(self)
        return bundle


def beside(*panels: ChatPanel) -> Beside:
    """Show panels side by side: who sees what."""
    return Beside(*panels)


def _live(turn: Turn) -> str:
    mine = (
        f'<div class="chatrpc-bubble chatrpc-mine">{escape(turn.message)}</div>'
        f'<div class="chatrpc-note">{turn.sent_at}</div>'
    )
    if turn.error is not None:
        sentence, advice = explain(turn.error)
        theirs = (
            f'<div class="chatrpc-bubble chatrpc-error" role="alert"><b>{escape(sentence)}</b>'
            f"<br>{escape(advice)}</div>"
        )
        note = f"after {turn.milliseconds:.0f} ms"
    elif turn.state is State.ANSWERED:
        theirs = f'<div class="chatrpc-bubble chatrpc-theirs">{escape(spoken(turn.answer))}</div>'
        note = f"{turn.worker or 'the worker'} · {turn.milliseconds:.0f} ms"
    else:
        theirs = (
            '<div class="chatrpc-bubble chatrpc-waiting">'
            '<span class="chatrpc-dots" aria-hidden="true">'
            "<span></span><span></span><span></span></span> waiting for an answer</div>"
        )
        note = ""
    about = f'<div class="chatrpc-note">{escape(note)}</div>'
    return f'<div class="chatrpc-turn">{mine}{theirs}{about}</div>'


def _aloud(turn: Turn) -> str:
    """Return the newest news for a screen reader, for which the log is redrawn too often."""
    return f'<div class="chatrpc-spoken" role="status">{escape(text([turn]))}</div>'


def _in_thread(call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - handed to the future, which shows it
            future.set_exception(error)

    threading.Thread(target=run, name="chat-panel-call", daemon=True).start()
    return future
