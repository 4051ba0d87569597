"""The chat panel against clients of every temper, without a broker."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from chatrpc.errors import CallTimeout, NoWorker, RemoteError
from chatrpc.lab import panel as panel_module
from chatrpc.lab import turns
from chatrpc.lab.panel import CHUNK, MOST, ChatPanel, beside
from chatrpc.lab.sync import WIDGETS
from chatrpc.lab.turns import State


class Served(Future[Any]):
    worker = "worker-here-7"
    took = 0.001


class Submits:
    """A client whose futures the test settles."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.futures: list[Served] = []

    def submit(self, method: str, /, *args: Any) -> Served:
        self.asked.append((method, args))
        self.futures.append(Served())
        return self.futures[-1]


class Calls:
    """A client that has nothing but call."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def call(self, method: str, /, *args: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def live(panel: ChatPanel) -> str:
    return "".join(str(chunk.value) for chunk in reversed(panel._log.children))


def messages(client: Submits) -> list[str]:
    return [args[0] for _, args in client.asked]


def settle(panel: ChatPanel) -> None:
    """Wait until the timer that stands for the page's text has had its turn."""
    if panel._timer is not None:
        panel._timer.join(5)


def press_enter(panel: ChatPanel, text: str | None) -> None:
    """Do what the page does: the key first, then the text, if it has changed."""
    panel._on_key(None, {"event": "submit"}, [])
    if text is not None:
        panel._text.value = text


def test_the_message_is_there_at_once_and_waits_for_its_answer() -> None:
    client = Submits()
    panel = ChatPanel(client, name="Ana")
    turn = panel.send("hola")
    assert client.asked == [("say", ("hola",))]
    assert turn.state is State.WAITING
    assert "hola" in live(panel)
    assert "chatrpc-waiting" in live(panel)
    client.futures[0].set_result("¡Hola!")
    assert turn.state is State.ANSWERED
    assert "¡Hola!" in live(panel)
    assert "chatrpc-waiting" not in live(panel)
    assert "worker-here-7 · " in live(panel)


def test_a_screen_reader_is_told_what_is_new() -> None:
    client = Submits()
    panel = ChatPanel(client, name="Ana")
    panel.send("hola")
    assert "waiting for an answer" in panel._spoken.value
    client.futures[0].set_result("¡Hola!")
    assert "¡Hola!" in panel._spoken.value
    assert 'role="status"' in panel._spoken.value


def test_each_message_keeps_its_own_answer_when_they_come_out_of_order() -> None:
    client = Submits()
    panel = ChatPanel(client)
    panel.send("one")
    panel.send("two")
    client.futures[1].set_result("two!")
    client.futures[0].set_result("one!")
    assert [(t.message, t.answer) for t in panel.turns] == [("one", "one!"), ("two", "two!")]


@pytest.mark.parametrize(
    ("error", "sentence", "ran"),
    [
        (NoWorker("nobody serves 'chat'"), "nobody serves", "It did not run."),
        (RemoteError("ValueError", "too big"), "ValueError: too big", "It ran, and failed."),
        (CallTimeout("no answer in 1 s"), "no answer in 1 s", "Nobody knows whether it ran."),
    ],
)
def test_an_error_is_a_bubble_that_says_what_happened_and_what_to_do(
    error: Any, sentence: str, ran: str
) -> None:
    panel = ChatPanel(Calls(error))
    turn = panel.say("hola")
    assert turn.state is State.FAILED
    for form in (turns.text([turn]), turns.still([turn]), live(panel)):
        plain = form.replace("&#x27;", "'")
        assert sentence in plain
        assert ran in plain
        assert error.advice in plain


def test_a_strange_error_of_a_students_client_is_shown_too() -> None:
    turn = ChatPanel(Calls(KeyError("oops"))).say("hola")
    assert "KeyError" in repr(turn)
    assert "Traceback" not in repr(turn)


def test_a_submit_that_raises_is_a_bubble() -> None:
    class Refuses:
        def submit(self, method: str, /, *args: Any) -> Any:
            raise NoWorker("nobody is there")

    assert ChatPanel(Refuses()).say("hola").state is State.FAILED


@pytest.mark.parametrize("answer", ["", None, 0, {"cup": 1}, "ñandú ☕"])
def test_every_answer_is_shown(answer: Any) -> None:
    turn = ChatPanel(Calls(answer)).say("hola")
    assert turn.state is State.ANSWERED
    assert (answer if isinstance(answer, str) and answer else repr(answer)) in repr(turn)


@pytest.mark.parametrize("evil", ["<img src=x onerror=alert(1)>", "</style><script>x</script>"])
def test_everything_is_escaped_wherever_it_is_shown(evil: str) -> None:
    panels_ = [
        ChatPanel(Calls(evil), name=evil),
        ChatPanel(Calls(NoWorker(evil, advice=evil)), name=evil),
        ChatPanel(Calls(RuntimeError(evil))),
    ]
    for panel in panels_:
        panel.say(evil)
        shown = [live(panel), turns.still(panel.turns), str(panel._spoken.value)]
        shown += [str(w.value) for w in panel.widget.children[1:2]]
        for form in shown:
            assert "<img" not in form
            assert "<script" not in form


def test_the_committed_forms_are_the_same_on_every_run() -> None:
    forms = set()
    for _ in range(2):
        panel = ChatPanel(Calls("¡Hola!"), name="Ana")
        panel.say("hola")
        panel.turns[0].milliseconds += 1
        panel.turns[0].sent_at = f"{len(forms)}"
        panel.turns[0].worker = f"worker-{len(forms)}"
        bundle = panel._repr_mimebundle_()
        assert WIDGETS in bundle
        forms.add((bundle["text/plain"], bundle["text/html"]))
    assert len(forms) == 1
    assert forms.pop()[0] == "   Ana  hola\nworker  ¡Hola!"


def test_an_empty_panel_says_so() -> None:
    assert "nothing has been said yet" in repr(ChatPanel(Calls("x")))


def test_enter_sends_what_is_written_and_clears_the_box() -> None:
    client = Submits()
    panel = ChatPanel(client)
    press_enter(panel, "hola")
    press_enter(panel, "hola")
    assert messages(client) == ["hola", "hola"]
    assert panel._text.value == ""
    settle(panel)
    assert len(client.asked) == 2


def test_enter_sends_a_text_that_the_page_has_already_told_of() -> None:
    client = Submits()
    panel = ChatPanel(client)
    panel._text.value = "written, then looked elsewhere"
    assert client.asked == []
    press_enter(panel, None)
    settle(panel)
    assert messages(client) == ["written, then looked elsewhere"]


@pytest.mark.parametrize("text_first", [True, False])
def test_the_button_sends_whichever_the_page_tells_of_first(text_first: bool) -> None:
    client = Submits()
    panel = ChatPanel(client)
    if text_first:
        panel._text.value = "hola"
        panel._button.click()
    else:
        panel._button.click()
        settle(panel)
        panel._text.value = "hola"
    settle(panel)
    assert messages(client) == ["hola"]


def test_a_blank_message_does_not_go() -> None:
    client = Submits()
    panel = ChatPanel(client)
    press_enter(panel, "   ")
    settle(panel)
    assert client.asked == []


def test_a_text_that_nobody_asked_to_send_stays_in_the_box(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(panel_module, "LATE", 0.05)
    client = Submits()
    panel = ChatPanel(client)
    panel._button.click()
    settle(panel)
    time.sleep(0.06)
    panel._text.value = "half a sen"
    assert client.asked == []
    assert panel._text.value == "half a sen"


def test_many_threads_lose_no_message_and_the_page_stays_small() -> None:
    panel = ChatPanel(Calls("ok"))
    threads = [
        threading.Thread(target=lambda: [panel.say("x" * 50).wait() for _ in range(30)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(panel.turns) == 240
    assert all(turn.state is State.ANSWERED for turn in panel.turns)
    assert MOST - CHUNK < live(panel).count("chatrpc-mine") <= MOST
    assert "chatrpc-waiting" not in live(panel)


def test_a_wait_for_a_client_that_never_answers_ends() -> None:
    turn = ChatPanel(Submits()).send("hola").wait(0.05)
    assert turn.state is State.WAITING
    assert "waiting for an answer" in repr(turn)


def test_a_client_without_call_and_submit_is_refused_in_a_sentence() -> None:
    with pytest.raises(TypeError, match="needs a client with call or submit; object has neither"):
        ChatPanel(object())


class Seen(Submits):
    """A client that can say who is there."""

    def __init__(self, *there: Any) -> None:
        super().__init__()
        self.there = list(there)

    def consumers(self) -> int:
        now = self.there.pop(0) if len(self.there) > 1 else self.there[0]
        if isinstance(now, Exception):
            raise now
        return int(now)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (1, "●</i>1 worker listens"),
        (3, "●</i>3 workers listen"),
        (0, "○</i>nobody listens"),
        (NoWorker("no queue"), "○</i>nobody listens"),
        (RuntimeError("<b>"), "◌</i>no connection"),
    ],
)
def test_the_light_says_who_is_there(there: Any, words: str) -> None:
    panel = ChatPanel(Seen(there))
    assert "chatrpc-light" in panel._head.value
    panel._repr_mimebundle_()
    assert words in panel._head.value


def test_the_light_follows_what_happens_and_ends_with_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(panel_module, "LOOK", 0.02)
    monkeypatch.setattr(panel_module, "BLIND", 3)
    monkeypatch.setattr(panel_module, "_lookout", panel_module._Lookout())
    before = [t.name for t in threading.enumerate()].count("chat-panel-light")
    panel = ChatPanel(Seen(0, 0, 0, 2, 2, RuntimeError("closed")))
    said: list[str] = []
    panel._head.observe(lambda change: said.append(change["new"]), "value")
    panel._repr_mimebundle_()
    panel._repr_mimebundle_()  # shown twice, looked after once
    assert [t.name for t in threading.enumerate()].count("chat-panel-light") == before + 1
    end = time.monotonic() + 5
    while [t.name for t in threading.enumerate()].count("chat-panel-light") > before:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert any("2 workers listen" in one for one in said)
    assert "no connection" in panel._head.value


def test_a_client_that_cannot_tell_has_no_light() -> None:
    panel = ChatPanel(Calls("x"))
    panel._repr_mimebundle_()
    assert "listen" not in panel._head.value


def test_one_more_message_redraws_the_newest_chunk_alone() -> None:
    """With 200 messages in sight a page gets a few kilobytes for each, and not all of them."""
    panel = ChatPanel(Calls("y" * 50))
    for _ in range(MOST):
        panel.say("x" * 50).wait()
    drawn: list[int] = []
    for chunk in panel._chunks:
        chunk.observe(lambda change: drawn.append(len(change["new"])), "value")
    panel.say("one more").wait()
    assert live(panel).count("chatrpc-mine") <= MOST
    assert "one more" in live(panel)
    assert sum(drawn) < 5_000


def test_two_panels_side_by_side_are_one_output() -> None:
    ana, bo = ChatPanel(Calls("¡Hola!"), name="Ana"), ChatPanel(Calls("<b>"), name="Bo")
    ana.say("hola")
    bo.say("hello")
    bundle = beside(ana, bo)._repr_mimebundle_()
    assert bundle["text/plain"] == (
        "Chat as Ana\n   Ana  hola\nworker  ¡Hola!\n\nChat as Bo\n    Bo  hello\nworker  <b>"
    )
    left, right = bundle["text/html"].split("<td")[1:]
    assert "hola" in left
    assert "hello" in right
    assert "<b></div>" not in bundle["text/html"]
    assert WIDGETS in bundle
