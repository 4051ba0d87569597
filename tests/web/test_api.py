"""Every route and every error of the chat, with a real broker and a real worker."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import amqpstorm
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from chatrpc import RpcServer, topology
from chatrpc.lab.wire import Wire
from chatrpc.settings import Settings
from chatrpc.web import client, inbox
from tests.programs import Program
from worker.ledger import Ledger

SECRETS = ("Traceback", "guest", "amqp://", "127.0.0.1", "localhost")


def send(http: FlaskClient, text: object, id: str | None = None) -> TestResponse:
    """Post a message."""
    body = {"text": text} if id is None else {"text": text, "id": id}
    return http.post("/api/messages", json=body)


def problem(answer: TestResponse, status: int, kind: str, *, ran: str = "no") -> dict:
    """The problem details of an answer that must have them, and hold no secret."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    found = json.loads(answer.data)
    assert found["type"] == f"urn:chatrpc:{kind}"
    assert found["status"] == status
    assert found["ran"] == ran
    assert found["title"]
    assert found["detail"]
    assert not [secret for secret in SECRETS if secret in answer.get_data(as_text=True)]
    return found


# -- what goes well -----------------------------------------------------------------------------


def test_a_message_is_answered_by_the_worker(http: FlaskClient, worker: Program) -> None:
    """The answer, who gave it, and how long it took."""
    answer = send(http, "hola")
    assert answer.status_code == 200
    assert answer.json["answer"].startswith("¡Hola!")
    assert str(worker.process.pid) in answer.json["worker"]
    assert 0 < answer.json["milliseconds"] < 5000
    assert answer.headers["Cache-Control"] == "no-store"


def test_answers_are_for_their_own_questions(http: FlaskClient, worker: Program) -> None:
    """Forty messages from twenty threads through one client: none is crossed."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: send(http, f"/echo number {n}").json, range(40)))
    assert [answer["answer"] for answer in answers] == [f"number {n}" for n in range(40)]


def test_a_slow_answer_holds_up_nobody(http: FlaskClient, worker: Program) -> None:
    """While one waits two seconds, another is answered."""
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        slow = pool.submit(send, http, "/slow 2")
        time.sleep(0.3)
        assert send(http, "hello").status_code == 200
        assert time.monotonic() - began < 1.8
        assert slow.result().json["answer"].startswith("Done")
        assert time.monotonic() - began >= 2


def test_the_same_id_pours_one_cup(http: FlaskClient, worker: Program, tmp_path: Path) -> None:
    """Sent again, by a double click too, it is the same message; a new id is a new one."""
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: send(http, "/coffee", "message-1").json, range(4)))
    assert all("number 1" in answer["answer"] for answer in told)
    assert "number 1" in send(http, "/coffee", "message-1").json["answer"]
    assert ledger.poured() == 1
    assert "number 2" in send(http, "/coffee", "message-2").json["answer"]
    assert "number 3" in send(http, "/coffee").json["answer"]
    assert [cup.key for cup in ledger.cups()][:2] == ["message-1", "message-2"]


def test_two_web_processes_pour_one_cup(
    app: Flask, service: str, worker: Program, tmp_path: Path
) -> None:
    """The ledger's transaction holds the key, whichever client asks."""
    other = create_app(service=service, timeout=5)
    try:
        first = send(app.test_client(), "/coffee", "message-1").json["answer"]
        second = send(other.test_client(), "/coffee", "message-1").json["answer"]
    finally:
        other.extensions["chatrpc"].close()
    assert "Here you are" in first
    assert "You have it already" in second
    assert Ledger(tmp_path / "ledger.sqlite3").poured() == 1


def test_script_is_only_text(http: FlaskClient, worker: Program) -> None:
    """The API gives back what was sent, as JSON that no browser takes for a page."""
    script = "<script>alert(1)</script>"
    answer = send(http, f"/echo {script}")
    assert answer.json["answer"] == script
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_longest_message_goes(http: FlaskClient, worker: Program) -> None:
    """4,000 characters outside the BMP, in JSON's longest spelling."""
    text = "/echo " + "🐇" * (inbox.MAX_TEXT - 6)
    assert send(http, text).json["answer"] == text[6:]


# -- the page and its files ---------------------------------------------------------------------


def test_the_page_has_nothing_inline_and_nothing_foreign(http: FlaskClient) -> None:
    """No inline script or style, nothing from elsewhere, under 50 KB; no broker is needed."""
    page = http.get("/")
    assert page.status_code == 200
    text = page.get_data(as_text=True)
    assert "<style" not in text
    assert " style=" not in text
    assert " onclick" not in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    sizes = [len(page.data)]
    for name in ("chat.css", "chat.js", "texts.js", "icon.svg"):
        assert f"static/{name}" in text
        file = http.get(f"/static/{name}")
        assert file.status_code == 200
        assert "innerHTML" not in file.get_data(as_text=True)
        sizes.append(len(file.data))
    assert sum(sizes) < 50_000


def test_every_answer_has_the_headers(http: FlaskClient) -> None:
    """Pages, files, JSON and errors alike."""
    for path in ("/", "/static/chat.js", "/healthz", "/nowhere"):
        headers = http.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_who_may_frame_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHATRPC_FRAME_ANCESTORS names it, and cannot add a rule."""
    monkeypatch.setenv("CHATRPC_FRAME_ANCESTORS", "http://127.0.0.1:8888")
    headers = create_app().test_client().get("/healthz").headers
    assert headers["Content-Security-Policy"].endswith("frame-ancestors http://127.0.0.1:8888")
    for bad in ("'none'; script-src *", "a\nX-Evil: 1"):
        monkeypatch.setenv("CHATRPC_FRAME_ANCESTORS", bad)
        with pytest.raises(SystemExit, match="must be origins"):
            create_app()


# -- bad requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"1" * 5_000, "not JSON"),
        (b"[]", "must be an object"),
        (b'"hola"', "must be an object"),
        (b"{}", "not a text"),
        (b'{"text": 5}', "not a text"),
        (b'{"text": null}', "not a text"),
        (b'{"text": ["hola"]}', "not a text"),
        (b'{"text": ""}', "empty"),
        (b'{"text": " \\n\\t "}', "empty"),
        (b'{"text": "\\ud800"}', "half a character"),
        (b'{"text": "hola", "id": 5}', "8 to 64"),
        (b'{"text": "hola", "id": "short"}', "8 to 64"),
        (b'{"text": "hola", "id": "new\\nline-in-it"}', "8 to 64"),
        (b'{"text": "hola", "id": "' + b"x" * 65 + b'"}', "8 to 64"),
    ],
)
def test_a_bad_body_is_400(http: FlaskClient, body: bytes, says: str) -> None:
    """It says what is wrong with it."""
    answer = http.post("/api/messages", data=body, content_type="application/json")
    found = problem(answer, 400, "bad-request")
    assert says in found["detail"]
    assert found["advice"]


def test_too_much_is_413(http: FlaskClient) -> None:
    """A text over the limit, and a body over the limit that is not even read."""
    assert "4,001" in problem(send(http, "x" * 4001), 413, "too-large")["detail"]
    padded = {"text": "hola", "padding": "x" * inbox.MAX_BODY}
    problem(http.post("/api/messages", json=padded), 413, "too-large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_is_415(http: FlaskClient, kind: str) -> None:
    """Only JSON is taken: another site's form cannot send it."""
    answer = http.post("/api/messages", data=b'{"text": "hola"}', content_type=kind)
    assert "application/json" in problem(answer, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost:81"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_site_may_not_write(app: Flask, headers: dict[str, str]) -> None:
    """Whatever its browser says about where it comes from."""
    answer = app.test_client().post("/api/messages", json={"text": "hola"}, headers=headers)
    problem(answer, 403, "forbidden")


def test_the_own_page_may_write(http: FlaskClient, worker: Program) -> None:
    """The origin that the page has."""
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = http.post("/api/messages", json={"text": "hola"}, headers=headers)
    assert answer.status_code == 200


def test_no_such_thing_is_a_problem_too(http: FlaskClient) -> None:
    """Unknown routes, wrong methods."""
    problem(http.get("/nowhere"), 404, "not-found")
    problem(http.get("/api/nowhere<script>"), 404, "not-found")
    wrong = http.get("/api/messages")
    problem(wrong, 405, "method-not-allowed")
    assert "POST" in wrong.headers["Allow"]


# -- what goes wrong behind ---------------------------------------------------------------------


def test_a_method_that_fails_is_502(http: FlaskClient, worker: Program) -> None:
    """The method's own words; it ran."""
    found = problem(send(http, "/fail on purpose"), 502, "remote-error", ran="yes")
    assert found["detail"] == "RuntimeError: on purpose"
    assert send(http, "hola").status_code == 200


def test_a_worker_without_the_method_is_502(http: FlaskClient, service: str) -> None:
    """Somebody else's worker on our queue: nothing ran."""
    with RpcServer(service):
        found = problem(send(http, "hola"), 502, "method-not-found")
    assert "say" in found["detail"]


def test_an_answer_that_is_no_text_is_passed_on(http: FlaskClient, service: str) -> None:
    """A worker may say what JSON can."""
    server = RpcServer(service)
    server.method("say")(lambda text: {"said": text, "n": None})
    with server:
        assert send(http, "hola").json["answer"] == {"said": "hola", "n": None}


def test_nobody_has_ever_listened_is_503(http: FlaskClient) -> None:
    """No queue: at once, and it says what to start."""
    began = time.monotonic()
    found = problem(send(http, "hola"), 503, "no-worker")
    assert time.monotonic() - began < 3
    assert "python worker/consumer.py" in found["advice"]


def test_nobody_listens_now_is_504(service: str, worker: Program) -> None:
    """The queue keeps the message until the time is up, and the answer says why."""
    app = create_app(service=service, timeout=1.5)
    try:
        assert send(app.test_client(), "hola").status_code == 200
        assert worker.stop() == 0
        began = time.monotonic()
        found = problem(send(app.test_client(), "hola"), 504, "call-timeout", ran="maybe")
        assert 1.5 <= time.monotonic() - began < 3
        assert "nobody listens" in found["detail"]
    finally:
        app.extensions["chatrpc"].close()


def test_a_worker_that_comes_back_answers_what_waits(
    http: FlaskClient, service: str, worker: Program
) -> None:
    """A message sent while nobody listens is answered when somebody does."""
    assert send(http, "hola").status_code == 200
    worker.stop()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, http, "/echo I waited")
        time.sleep(0.5)
        assert not waiting.done()
        with Program("worker/consumer.py", CHATRPC_SERVICE=service):
            assert waiting.result().json["answer"] == "I waited"


def test_a_full_queue_is_503(service: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at once, and nothing ran."""
    monkeypatch.setenv("CHATRPC_QUEUE_LIMIT", "1")
    with RpcServer(service):
        pass
    address = Settings(url=url).addresses[0]
    login = (address.host, address.user, address.password)
    with amqpstorm.Connection(*login, port=address.port) as link, link.channel() as channel:
        for _ in range(10):
            channel.basic.publish("{}", topology.request_queue(service))
        # The limit counts what is there, not what is on its way.
        while not channel.queue.declare(topology.request_queue(service), passive=True)[
            "message_count"
        ]:
            time.sleep(0.01)
        app = create_app(service=service, timeout=5)
        try:
            answer = send(app.test_client(), "hola")
            problem(answer, 503, "busy")
            assert answer.headers["Retry-After"]
        finally:
            app.extensions["chatrpc"].close()


def test_past_its_places_the_server_says_busy_at_once(service: str, worker: Program) -> None:
    """One place, taken by a slow message: the next one is told, and presence still works."""
    app = create_app(service=service, timeout=5)
    app.extensions["chatrpc"].close()
    app.extensions["chatrpc"] = client.SharedClient(service, timeout=5, waiting=1)
    try:
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(send, app.test_client(), "/slow 1.5")
            time.sleep(0.5)
            began = time.monotonic()
            problem(send(app.test_client(), "hola"), 503, "busy")
            assert app.test_client().get("/api/presence").json["workers"] == 1
            assert time.monotonic() - began < 0.7
            assert slow.result().status_code == 200
        assert send(app.test_client(), "hola").status_code == 200
    finally:
        app.extensions["chatrpc"].close()


def test_one_waits_for_a_place_as_long_as_others_become_free(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One place, and twelve who need it for a twentieth of a second each: none is told "busy"."""
    monkeypatch.setattr(client, "A_MOMENT", 0.3)
    monkeypatch.setattr(client, "A_QUEUE", 10.0)
    shared = client.SharedClient(service, timeout=5, waiting=1)
    shared.get()

    def need(_: int) -> None:
        with shared.place():
            time.sleep(0.05)

    try:
        with ThreadPoolExecutor(12) as pool:
            assert len(list(pool.map(need, range(12)))) == 12
    finally:
        shared.close()


def test_no_broker_is_503_until_there_is_one(
    service: str, url: str, worker: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts without a broker, says so without its address, and finds it later."""
    with Wire(url) as wire:
        wire.refuse()
        monkeypatch.setenv("CHATRPC_URL", wire.url)
        app = create_app(service=service, timeout=5)
        http = app.test_client()
        try:
            assert http.get("/").status_code == 200
            assert http.get("/healthz").json == {"status": "ok"}
            found = problem(send(http, "hola"), 503, "broker-error")
            assert "chatrpc doctor" in found["advice"]
            assert http.get("/api/presence").json == {"broker": False, "workers": 0}
            problem(http.get("/readyz"), 503, "broker-error")
            wire.mend()
            time.sleep(client.DIAL_AGAIN)
            assert send(http, "hola").status_code == 200
            time.sleep(client.LOOK_AGAIN)
            assert http.get("/api/presence").json == {"broker": True, "workers": 1}
        finally:
            app.extensions["chatrpc"].close()


def test_a_wrong_password_is_503(
    service: str, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The page learns that the broker refuses; nobody learns the password."""
    monkeypatch.setenv("CHATRPC_URL", url.replace("guest:guest@", "guest:hunter2-secret@"))
    answer = send(create_app(service=service).test_client(), "hola")
    assert answer.status_code == 503
    problem(answer, 503, json.loads(answer.data)["type"].split(":")[-1])
    assert "hunter2" not in answer.get_data(as_text=True) + caplog.text
    assert "refuses" in caplog.text


def test_a_failure_of_the_app_itself_is_500(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """It says nothing of what happened; the log does."""
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    found = problem(app.test_client().get("/broken"), 500, "internal-server-error", ran="maybe")
    assert "ZeroDivisionError" not in json.dumps(found)
    assert "ZeroDivisionError" in caplog.text


# -- who is there -------------------------------------------------------------------------------


def test_presence_follows_the_workers(http: FlaskClient, worker: Program) -> None:
    """It counts who listens; what it says is at most LOOK_AGAIN old."""
    assert http.get("/api/presence").json == {"broker": True, "workers": 1}
    assert http.get("/readyz").json == {"status": "ok", "workers": 1}
    worker.stop()
    assert http.get("/api/presence").json["workers"] in (0, 1)
    time.sleep(client.LOOK_AGAIN + 0.1)
    assert http.get("/api/presence").json == {"broker": True, "workers": 0}
    found = problem(http.get("/readyz"), 503, "no-worker")
    assert "worker/consumer.py" in found["advice"]


def test_presence_without_a_queue(http: FlaskClient) -> None:
    """The broker is there, and has never heard of a worker."""
    assert http.get("/api/presence").json == {"broker": True, "workers": 0}


def test_presence_is_looked_up_once_for_many(app: Flask, worker: Program) -> None:
    """Two hundred questions in a moment ask the broker once."""
    shared = app.extensions["chatrpc"]
    looked = []
    look = shared._look
    shared._look = lambda: looked.append(1) or look()
    began = time.monotonic()
    for _ in range(200):
        assert app.test_client().get("/api/presence").json["workers"] == 1
    assert len(looked) <= 1 + (time.monotonic() - began) / client.LOOK_AGAIN


# -- nothing happens by itself ------------------------------------------------------------------


def test_import_and_factory_open_nothing(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of a broker that accepts and says nothing: nobody ever asks it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.3)
        port = silent.getsockname()[1]
        monkeypatch.setenv("CHATRPC_URL", f"amqp://guest:guest@127.0.0.1:{port}/")
        app = create_app(service=service)
        assert app.test_client().get("/").status_code == 200
        with pytest.raises(TimeoutError):
            silent.accept()


def test_a_setting_that_makes_no_sense_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback, also under flask run."""
    monkeypatch.setenv("CHATRPC_TIMEOUT", "soon")
    with pytest.raises(SystemExit, match="CHATRPC_TIMEOUT is 'soon'"):
        create_app()


def test_how_long_a_message_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 seconds, so that /slow 10 is answered, unless CHATRPC_TIMEOUT says other."""
    assert create_app().extensions["chatrpc"].timeout == 30
    monkeypatch.setenv("CHATRPC_TIMEOUT", "7")
    assert create_app().extensions["chatrpc"].timeout == 7
