"""What the worker answers, without a broker: the methods, the commands, the conversation."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from chatrpc.deadline import Deadline
from chatrpc.messages import Request
from worker import answers, smalltalk
from worker.ledger import Ledger


def request(id: str = "message-1") -> Request:
    """A request as a server hands it to a method."""
    return Request("say", [], id, Deadline(60.0))


def say(text: str, id: str = "message-1") -> str:
    """What the worker says to a text."""
    return answers.say(text, request(id))


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ledger:
    """A ledger of the test's own."""
    monkeypatch.setenv("CHATRPC_LEDGER", str(tmp_path / "ledger.sqlite3"))
    return Ledger()


def test_the_plain_methods() -> None:
    """Echo, shout and fib give what they say."""
    assert answers.echo("ñandú\n") == "ñandú\n"
    assert answers.echo("") == ""
    assert answers.shout("¡qué tal!") == "¡QUÉ TAL!"
    assert [answers.fib(n) for n in (0, 1, 2, 10, 30)] == [0, 1, 1, 55, 832_040]
    assert len(str(answers.fib(answers.MAX_FIB))) == 209
    assert datetime.fromisoformat(answers.time()).tzinfo is not None
    assert answers.slow(0) == 0


@pytest.mark.parametrize("n", [-1, 1001, 1.5, "30", True, None])
def test_fib_is_bounded(n: object) -> None:
    """One sentence for whatever is no number from 0 to 1000."""
    with pytest.raises(ValueError, match="from 0 to 1000"):
        answers.fib(n)


@pytest.mark.parametrize("seconds", [-1, 60.01, float("nan"), float("inf"), "3", True])
def test_slow_is_bounded(seconds: object) -> None:
    """One sentence for whatever is no number from 0 to 60, and at once."""
    with pytest.raises(ValueError, match="from 0 to 60"):
        answers.slow(seconds)


@pytest.mark.parametrize("method", [answers.echo, answers.shout, say])
def test_text_is_bounded(method) -> None:
    """No text that is none, and none that is too long."""
    with pytest.raises(TypeError, match="text is needed, not int"):
        method(5)
    with pytest.raises(ValueError, match="65537 characters, at most 65536"):
        method("x" * (answers.MAX_TEXT + 1))


def test_fail_fails() -> None:
    """With its own words, or with the caller's."""
    with pytest.raises(RuntimeError, match="always fails"):
        answers.fail()
    with pytest.raises(RuntimeError, match=r"^on purpose$"):
        answers.fail("on purpose")
    with pytest.raises(RuntimeError, match=r"^\[2Ja b$"):  # the terminal shows it: no controls
        answers.fail("\x1b[2Ja\n\tb\x07")


def test_coffee_twice_is_two_cups(ledger: Ledger) -> None:
    """Without a key whoever runs it twice has poured twice."""
    assert answers.coffee(request())["cup"] == 1
    assert answers.coffee(request()) == {"cup": 2, "poured": 2, "fresh": True}
    assert ledger.cups()[0].worker == answers.WORKER


def test_coffee_with_a_key_is_one_cup(ledger: Ledger) -> None:
    """With a key it is made once."""
    assert answers.coffee(request(), key="k")["fresh"] is True
    assert answers.coffee(request(), key="k") == {"cup": 1, "poured": 1, "fresh": False}
    assert ledger.poured() == 1
    for bad in ("", "x" * 201, 5):
        with pytest.raises(ValueError, match="1 to 200"):
            answers.coffee(request(), key=bad)


def test_coffee_in_the_chat_is_one_cup_a_message(ledger: Ledger) -> None:
    """The message's id is the key: sent again, it pours no second cup."""
    assert "cup number 1" in say("/coffee", "id-1")
    assert "cup is number 1" in say("/coffee", "id-1")
    assert "taza número 2" in say("/café", "id-2")
    assert [cup.key for cup in ledger.cups()] == ["id-1", "id-2"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("/echo  dos  palabras ", "dos  palabras"),
        ("/echo", "(silence)"),
        ("/shout hola", "HOLA"),
        ("/SHOUT hola", "HOLA"),
        ("  /fib 30", "fib(30) = 832040"),
        ("/time", r"My clock says \d\d:\d\d:\d\d, \d{4}-\d\d-\d\d\."),
        ("/hora", r"Mi reloj dice .*"),
        ("/slow 0", r"Done: that took 0 s.*"),
        ("/lento 0,01", r"Listo: tardé 0.01 s.*"),
        ("/nonsense", r"I do not know the command /nonsense\. Type /help .*"),
        ("/", r"I do not know the command /\. Type /help .*"),
        ("/nada por aquí", r"No conozco el comando /nada\. Escribe /help .*"),
        ("/fib", r"Type /fib and a whole number from 0 to 1000.*"),
        ("/fib 1001", r"Type /fib .*"),
        ("/fib -1", r"Type /fib .*"),
        ("/fib ²", r"Type /fib .*"),
        ("/fib " + "9" * 5000, r"Type /fib .*"),
        ("/slow 61", r"Type /slow .* from 0 to 60.*"),
        ("/slow nan", r"Type /slow .*"),
        ("/lento mucho", r"Escribe /lento .*"),
    ],
)
def test_commands(text: str, answer: str) -> None:
    """A command does what it says, or says what it takes; none raises."""
    got = say(text)
    assert got == answer or re.fullmatch(answer, got), got


def test_help_names_every_command() -> None:
    """Each command that help names exists, and every one is named."""
    named = set(re.findall(r"^/(\w+)", say("/help") + "\n" + say("/ayuda"), re.MULTILINE))
    assert named <= set(answers.COMMANDS)
    assert named | {"help", "ayuda", "café"} == set(answers.COMMANDS)


def test_fail_in_the_chat_raises() -> None:
    """It is there to show what a failure looks like."""
    with pytest.raises(RuntimeError, match=r"^boom$"):
        say("/fail boom")
    with pytest.raises(RuntimeError, match="always fails"):
        say("/falla")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("hola", "¡Hola! Qué gusto leerte. Escribe /ayuda para ver lo que sé hacer."),
        ("¡¡HOLA!!", "¡Hola!"),
        ("Buenos días", "¡Hola!"),
        ("hello", "Hello!"),
        ("Good morning, worker.", "Hello!"),
        ("Hola, ¿cómo estás?", "¡Muy bien"),
        ("how are you?", "Very well"),
        ("gracias", "¡De nada!"),
        ("Thanks a lot!", "You are welcome!"),
        ("adiós", "¡Hasta luego!"),
        ("see you", "Goodbye!"),
        ("¿quién eres?", "Soy el worker"),
        ("What's your name?", "I am the worker"),
        ("Me llamo Íñigo", "¡Mucho gusto, Íñigo!"),
        ("My name is Ada.", "Nice to meet you, Ada!"),
        ("what can you do", "Gladly."),
        ("¿qué sabes hacer?", "Con gusto."),
        ("¿qué es una cola?", "Una cola guarda"),
        ("what is a queue?", "A queue keeps"),
        ("¿Qué es RPC?", "RPC parece"),
        ("what is RPC?", "RPC looks"),
        ("quiero un café", "Escribe /cafe"),
        ("no", "Good to know."),
        ("vale", "Bueno es saberlo."),
        ("", "I am listening."),
        ("  \n ", "I am listening."),
    ],
)
def test_conversation(text: str, answer: str) -> None:
    """A sentence is answered in its own language."""
    assert say(text).startswith(answer), say(text)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the weather is not what it was", "en"),
        ("los pájaros vuelan sobre la laguna", "es"),
        ("no sé nada de eso", "es"),
        ("asdf", "en"),
        ("🐇🐇", "en"),
        ("{text} %s {0}", "en"),
    ],
)
def test_the_unknown_is_answered_kindly(text: str, language: str) -> None:
    """What is not understood comes back as proof of its arrival, with a way on."""
    got = say(text)
    assert text in got
    assert ("/help" if language == "en" else "/ayuda") in got


def test_a_long_text_gets_a_short_answer() -> None:
    """The proof is a line, however long the text."""
    assert len(say("xyz " * 10_000)) < 300


def test_jokes() -> None:
    """Several, about queues; the same message, sent again, gets the same one."""
    jokes = {say("tell me a joke", f"id-{n}") for n in range(60)}
    assert len(jokes) == 5
    assert len({say("cuéntame un chiste", f"id-{n}") for n in range(60)}) == 5
    assert say("a joke!", "id-1") == say("a joke!", "id-1")
    assert any("queue" in joke for joke in jokes)


def test_every_topic_can_be_reached() -> None:
    """No topic is hidden behind one that comes before it."""
    for topic in smalltalk.TOPICS:
        for pattern, known in ((topic.en, topic.answers_en), (topic.es, topic.answers_es)):
            word = re.sub(r"[\^$?()]", "", pattern.split("|")[0]).strip()
            word = word.replace("haha+", "haha").replace("jaja+", "jaja")
            assert smalltalk.reply(word) in (*known, *topic.answers_en), (word, topic.en)
