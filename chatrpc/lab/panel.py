"""A chat panel for a notebook: what was said, who answered, and what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from html import escape
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from chatrpc.errors import NoWorker

from .turns import State, Turn, explain, spoken, still, text

LONGEST = 2000  # characters of one message
MOST = 200  # turns that the panel keeps in sight
CHUNK = 10  # turns that are drawn as one: what has changed sends no more than these
LOOK = 1.0  # seconds between two looks at who is there
BLIND = 60  # looks without an answer, after which nobody looks any more
SETTLE = 0.05  # seconds after which what stands in the box is what was meant to be sent
LATE = 1.0  # seconds that a busy page may take to tell of a text that it was told to send

_LIVE_CSS = """
.chatrpc-panel{max-width:48em;font-size:var(--jp-content-font-size1,14px);
 border:1px solid var(--jp-border-color1,#bdbdbd);
 border-radius:14px;background:var(--jp-layout-color1,#fff);overflow:hidden;margin:4px 0}
.chatrpc-panel .widget-html,.chatrpc-panel .widget-html-content{margin:0;line-height:1.45;
 font-size:inherit;height:auto}
.chatrpc-head{padding:8px 16px;border-bottom:1px solid var(--jp-border-color2,#e0e0e0);
 background:var(--jp-layout-color2,#eee);color:var(--jp-ui-font-color1,#212121)}
.chatrpc-head b{font-weight:600}
.chatrpc-head{display:flex;justify-content:space-between;gap:12px}
.chatrpc-light{color:var(--jp-ui-font-color2,#616161)}
.chatrpc-light i{font-style:normal;margin-right:5px}
.chatrpc-light .on{color:var(--jp-success-color1,#2e7d32)}
.chatrpc-light .off{color:var(--jp-error-color1,#d32f2f)}
.chatrpc-beside{display:flex;flex-flow:row wrap;gap:16px}
.chatrpc-beside>.chatrpc-panel{flex:1 1 22em}
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
        self._head = widgets.HTML()
        self._chunks: list[widgets.HTML] = []
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
            self._draw(turn)
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
            self._draw(turn)

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
        self._head.value = self._title("")
        self._log = widgets.Box()
        self._log.add_class("chatrpc-log")
        self._text.add_class("chatrpc-text")
        self._text.on_msg(self._on_key)
        self._text.observe(self._on_text, "value")
        self._button.add_class("chatrpc-send")
        self._button.on_click(self._asked)
        entry = widgets.HBox([self._text, self._button])
        entry.add_class("chatrpc-entry")
        panel = widgets.VBox([style, self._head, self._log, entry, self._spoken])
        panel.add_class("chatrpc-panel")
        return panel

    def _draw(self, changed: Turn | None = None) -> None:
        """Draw the chunk of a turn, and no other: a page that redraws all of them stutters."""
        if changed is None:
            empty = '<div class="chatrpc-empty">Nothing has been said yet.</div>'
            self._log.children = (widgets.HTML(empty),)
            return
        for at in range(len(self._chunks) - 1, -1, -1):
            if changed in self.turns[at * CHUNK : (at + 1) * CHUNK]:
                break
        else:
            at = len(self._chunks)
            self._chunks.append(widgets.HTML())
        self._chunks[at].value = "".join(map(_live, self.turns[at * CHUNK : (at + 1) * CHUNK]))
        newest = self._chunks[-(MOST // CHUNK) :]
        if len(self._log.children) != len(newest) or self._log.children[0] is not newest[-1]:
            # The newest stands at the bottom, which is where a reversed column begins.
            self._log.children = tuple(reversed(newest))
        self._spoken.value = _aloud(changed)

    # The light: who is there to answer, as the client can find it out.

    def _title(self, light: str) -> str:
        return (
            f'<div class="chatrpc-head"><span>Chat as <b>{escape(self.name)}</b></span>'
            f'<span class="chatrpc-light" role="status">{light}</span></div>'
        )

    def _look(self) -> bool:
        """Show who is there; return whether the client could tell."""
        try:
            there = int(self._client.consumers())
        except NoWorker:
            there = 0
        except Exception:  # noqa: BLE001 - whatever a client raises, nobody can be seen
            self._head.value = self._title('<i class="off">◌</i>no connection')
            return False
        if there:
            word = "1 worker listens" if there == 1 else f"{there} workers listen"
            self._head.value = self._title(f'<i class="on">●</i>{word}')
        else:
            self._head.value = self._title('<i class="off">○</i>nobody listens')
        return True

    def _keep_looking(self) -> None:
        if callable(getattr(self._client, "consumers", None)):
            _lookout.add(self)

    def __repr__(self) -> str:
        return text(self.turns)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        self._keep_looking()
        bundle = dict(self.widget._repr_mimebundle_())
        bundle["text/html"] = still(self.turns)
        bundle["text/plain"] = text(self.turns)
        return bundle


class Beside:
    """Panels side by side, for two people at one table."""

    def __init__(self, *panels: ChatPanel) -> None:
        self.panels = panels

    def __repr__(self) -> str:
        return "\n\n".join(f"Chat as {p.name}\n{text(p.turns)}" for p in self.panels)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        for panel in self.panels:
            panel._keep_looking()
        box = widgets.HBox([panel.widget for panel in self.panels])
        box.add_class("chatrpc-beside")
        bundle = dict(box._repr_mimebundle_())
        columns = "".join(
            f'<td style="vertical-align:top;text-align:left;width:50%">{still(p.turns)}</td>'
            for p in self.panels
        )
        bundle["text/html"] = f'<table style="width:100%"><tr>{columns}</tr></table>'
        bundle["text/plain"] = repr(self)
        return bundle


def beside(*panels: ChatPanel) -> Beside:
    """Show panels side by side: each has its own client, and all talk to the same service."""
    return Beside(*panels)


class _Lookout:
    """One thread looks after the lights of all panels that were shown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blind: dict[ChatPanel, int] = {}

    def add(self, panel: ChatPanel) -> None:
        """Look after a panel from now on, once."""
        panel._look()
        with self._lock:
            if not self._blind:
                threading.Thread(target=self._run, name="chat-panel-light", daemon=True).start()
            self._blind.setdefault(panel, 0)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK)
            with self._lock:
                panels = list(self._blind)
            for panel in panels:
                seen = panel._look()
                with self._lock:
                    self._blind[panel] = 0 if seen else self._blind[panel] + 1
                    if self._blind[panel] >= BLIND:  # its client is closed, most likely
                        del self._blind[panel]
                    if not self._blind:
                        return


_lookout = _Lookout()


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
