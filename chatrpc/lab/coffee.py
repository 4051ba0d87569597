"""The coffee ledger: how many cups were ordered, and how many were poured."""

from __future__ import annotations

import contextlib
import importlib
import json
import threading
from html import escape
from typing import Any

from . import services
from .firehose import Firehose, Hop
from .jobs import find_answers

GLANCE = 0.3  # seconds between two looks at the cups
CUPS = 40  # cups that are drawn; more are a number
WORDS = ("/coffee", "/cafe", "/café")

_CSS = (
    "font-size:18px;line-height:1.5;padding:8px 16px;border-radius:12px;display:inline-block;"
    "background-color:#f6f8fa;color:#1f2328;border:1px solid #d0d7de"
)


class Coffee:
    """``coffee = lab.Coffee(service)`` counts from now on, whoever orders and whoever pours.

    An order is a question for ``coffee``, or ``/coffee`` in the chat; sent again under the same
    id, it is the same order. ``poured`` is what the workers' ledger says, so it is true whatever
    was lost or came twice on the way.

    Raises:
        LabProblem: the broker is away or does not let us see its messages.
    """

    def __init__(self, service: str, *, url: str | None = None) -> None:
        self.service = service
        self._orders: set[str] = set()
        self._before = self._cups()
        self._firehose = Firehose(only=service, url=url, on_hop=self._hop)
        self._firehose.__enter__()
        self._faces: list[Any] = []
        self._closed = threading.Event()

    @property
    def ordered(self) -> int:
        """How many cups were ordered up to now."""
        if not self._closed.is_set():
            self._firehose.settle()
        return len(self._orders)

    @property
    def poured(self) -> int:
        """How many cups were poured up to now."""
        return self._cups() - self._before

    def close(self) -> None:
        """Count no more."""
        if not self._closed.is_set():
            self._firehose.__exit__(None, None, None)
            self._closed.set()

    def __enter__(self) -> Coffee:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def _cups(self) -> int:
        find_answers()
        ledger = importlib.import_module("worker.ledger").Ledger
        path = services.ledger(self.service)
        poured: int = ledger(path).poured()
        return poured

    def _hop(self, hop: Hop) -> None:
        if hop.kind == "publish" and hop.reply_to and _orders_coffee(hop.body_text):
            self._orders.add(hop.message_id or hop.correlation_id)

    def __repr__(self) -> str:
        return f"ordered {self.ordered}, poured {self.poured}"

    def _html(self) -> str:
        ordered, poured = len(self._orders), self.poured
        warn = ""
        if poured > ordered:
            warn = f" ⚠ {poured - ordered} more than ordered"
        cups = "☕" * min(poured, CUPS)
        return (
            f'<div style="{_CSS}" role="status">ordered <b>{ordered}</b> · poured <b>{poured}</b>'
            f"{escape(warn)}<br>{cups or '&nbsp;'}</div>"
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        import ipywidgets as widgets  # type: ignore[import-untyped]

        text = repr(self)
        face = widgets.HTML(self._html())
        face.add_class("chatrpc-coffee")
        self._faces.append(face)
        if len(self._faces) == 1:
            threading.Thread(target=self._follow, name="coffee", daemon=True).start()
        bundle = dict(face._repr_mimebundle_())
        bundle["text/html"], bundle["text/plain"] = self._html(), text
        return bundle

    def _follow(self) -> None:
        while not self._closed.wait(GLANCE):
            with contextlib.suppress(Exception):  # the file may be somebody's for a moment
                html = self._html()
                for face in self._faces:
                    face.value = html


def _orders_coffee(body: str) -> bool:
    try:
        request = json.loads(body)
        method, params = request["method"], request.get("params") or [""]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    text = (params.get("text") if isinstance(params, dict) else params[0]) or ""
    return method == "coffee" or (method == "say" and str(text).strip().startswith(WORDS))
