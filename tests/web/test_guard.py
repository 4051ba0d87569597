"""The attack list: what a stranger, a strange page or a broken program may send to the chat."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import create_app
from chatrpc.web import guard, serving
from chatrpc.web.limits import Places, Rates
from tests.programs import Program, Standing

SECRETS = ("Traceback", "guest", "amqp://", 'File "', "site-packages")


# -- whose name the request calls us by ---------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1:5000@evil.example",
        "2130706433",
        "localhost:5000:80",
        "[::1",
        "",
        "localhost\tevil.example",
    ],
)
def test_a_name_that_is_not_ours_is_421(app: Flask, host: str) -> None:
    """DNS rebinding: a stranger's name that leads here gets neither the page nor an answer."""
    http = app.test_client()
    for answer in (
        http.get("/", headers={"Host": host}),
        http.get("/api/presence", headers={"Host": host}),
        http.post(
            "/api/messages",
            json={"text": "hola"},
            headers={"Host": host, "Origin": f"http://{host}"},
        ),
    ):
        assert answer.status_code == 421
        assert json.loads(answer.data)["type"] == "urn:chatrpc:misdirected-request"
        assert json.loads(answer.data)["ran"] == "no"
        assert "evil" not in answer.get_data(as_text=True)


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "10.1.2.3", "[::1]:5000"])
def test_an_address_is_ours(app: Flask, host: str) -> None:
    """Nobody can lead an address elsewhere; the machine's own names are ours as well."""
    http = app.test_client()
    for name in (host, socket.gethostname(), f"{socket.gethostname().upper()}.local:5000"):
        assert http.get("/healthz", headers={"Host": name}).status_code == 200


def test_further_origins(service: str, worker: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHATRPC_ORIGINS: the name under which a proxy serves it, and who may write."""
    monkeypatch.setenv("CHATRPC_ORIGINS", "https://chat.example.org, http://127.0.0.1:8888")
    app = create_app(service=service, timeout=5)
    http = app.test_client()

    def send(host: str, origin: str) -> int:
        headers = {"Host": host, "Origin": origin}
        return http.post("/api/messages", json={"text": "hola"}, headers=headers).status_code

    try:
        assert send("chat.example.org", "https://chat.example.org") == 200
        assert send("localhost", "http://127.0.0.1:8888") == 200
        assert send("localhost", "http://chat.example.org") == 403
        assert send("localhost", "https://chat.example.org.evil.example") == 403
        assert send("example.org", "https://chat.example.org") == 421
    finally:
        app.extensions["chatrpc"].close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CHATRPC_ORIGINS", "*"),
        ("CHATRPC_ORIGINS", "chat.example.org"),
        ("CHATRPC_ORIGINS", "https://chat.example.org/path"),
        ("CHATRPC_RATE", "fast"),
        ("CHATRPC_RATE", "-1"),
        ("CHATRPC_RATE", "nan"),
    ],
)
def test_a_setting_that_makes_no_sense(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence that names it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit, match=rf"^{variable} [^\n]+\.$"):
        create_app()


# -- how fast -----------------------------------------------------------------------------------


def test_rates_let_a_burst_and_then_a_rate_go() -> None:
    """Twenty at once, five a second from then on, each key for itself."""
    rates = Rates(5, 20)
    assert [rates.wait("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert rates.wait("a", 0.0) == pytest.approx(0.2)
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 0.2) == 0.0
    assert rates.wait("a", 0.2) > 0
    served = sum(rates.wait("a", 0.2 + n / 100) == 0.0 for n in range(1, 1001))
    assert served == 50
    assert [rates.wait("a", 60.0) for _ in range(21)].count(0.0) == 20


def test_rates_keep_a_bounded_table() -> None:
    """Whoever invents keys fills it for a moment; it forgets those whose time is past."""
    rates = Rates(5, 20, keys=100)
    assert sum(rates.wait(f"key {n}", 0.0) == 0.0 for n in range(1000)) == 100
    assert len(rates) == 100
    assert rates.wait("key 5", 0.0) == 0.0
    assert rates.wait("somebody", 1.0) == 0.0
    assert len(rates) == 1


def test_a_page_that_writes_too_fast_is_429(service: str, worker: Program) -> None:
    """It is told when to go on; another page at the same address is answered all the while."""
    app = create_app(service=service, timeout=5)
    fast, other = app.test_client(), app.test_client()
    try:
        cookie = fast.get("/").headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Set-Cookie" not in fast.get("/").headers
        other.get("/")
        answers = [fast.post("/api/messages", json={"text": ""}) for _ in range(30)]
        refused = answers[-1]
        assert {answer.status_code for answer in answers[:20]} == {400}
        assert refused.status_code == 429
        found = json.loads(refused.data)
        assert found["type"] == "urn:chatrpc:too-many-requests"
        assert found["ran"] == "no"
        assert found["advice"]
        assert refused.headers["Retry-After"] == "1"
        assert other.post("/api/messages", json={"text": "hola"}).status_code == 200
        assert fast.get("/api/presence").status_code == 200
        time.sleep(0.25)
        assert fast.post("/api/messages", json={"text": "hola"}).status_code == 200
    finally:
        app.extensions["chatrpc"].close()


def test_inventing_cookies_helps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address has a bound of its own, which forty pages' worth does not reach."""
    monkeypatch.setenv("CHATRPC_RATE", "0.5")  # of the page; 20 a second, 80 at once, together
    http = create_app().test_client()

    def send(n: int, address: str) -> int:
        return http.post(
            "/api/messages",
            json={"text": ""},
            headers={"Cookie": f"{guard.COOKIE}=invented-cookie-{n:06}"},
            environ_base={"REMOTE_ADDR": address},
        ).status_code

    told = [send(n, "10.0.0.1") for n in range(200)]
    assert told[: guard.PAGES] == [400] * guard.PAGES
    assert told[-1] == 429
    assert send(0, "10.0.0.2") == 400


def test_no_bound_if_one_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHATRPC_RATE=0, for measuring."""
    monkeypatch.setenv("CHATRPC_RATE", "0")
    http = create_app().test_client()
    http.get("/")
    assert {http.post("/api/messages", json={}).status_code for _ in range(1000)} == {400}


# -- how many at once ---------------------------------------------------------------------------


def test_who_has_waited_longest_is_next() -> None:
    """Whoever leaves and comes again at once stands behind those who wait."""
    places = Places(1, moment=10, most=10)
    order: list[str] = []
    assert places.take()

    def come(name: str) -> None:
        assert places.take()
        order.append(name)
        places.leave()

    threads = [threading.Thread(target=come, args=(name,)) for name in "abc"]
    for number, thread in enumerate(threads, 1):
        thread.start()
        while len(places._queue) < number:
            time.sleep(0.001)
    places.leave()
    come("again")
    for thread in threads:
        thread.join(10)
    assert order == ["a", "b", "c", "again"]


def test_nobody_waits_for_places_that_do_not_change_hands() -> None:
    """Who comes within a moment of the last change waits for that moment, who comes later not."""
    places = Places(2, moment=0.2, most=10)
    assert places.take()
    assert places.take()
    begun = time.monotonic()
    assert not places.take()
    assert 0.15 < time.monotonic() - begun < 2
    begun = time.monotonic()
    assert not any(places.take() for _ in range(100))
    assert time.monotonic() - begun < 0.2
    places.leave()
    assert places.take()


# -- whatever one sends -------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
MESSAGES = st.fixed_dictionaries({}, optional={"text": JSON, "id": JSON, "more": JSON})
NAMES = st.sampled_from(
    ["Origin", "Host", "Cookie", "Content-Type", "Referer", "Sec-Fetch-Site", "X-Forwarded-Host"]
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(["/api/messages", "/", "/api/presence", "/room.svg"]) | LATIN,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
    body=st.binary(max_size=300) | MESSAGES.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(NAMES, LATIN, max_size=4),
    kind=st.sampled_from(["application/json", "text/html", ""]),
)
def test_anything_at_all_is_answered(
    quiet: Callable[[], FlaskClient],
    path: str,
    method: str,
    body: bytes,
    headers: dict[str, str],
    kind: str,
) -> None:
    """Never a 500, never a secret; what is an error is a problem that says whether it ran."""
    http = quiet()
    headers = {"Content-Type": kind, **headers}
    answer = http.open(f"/{path.lstrip('/')}", method=method, data=body, headers=headers)
    text = answer.get_data(as_text=True)
    assert answer.status_code in (200, 308, 400, 403, 404, 405, 413, 415, 421, 429, 503)
    assert not [secret for secret in SECRETS if secret in text]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors" in answer.headers["Content-Security-Policy"]
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.content_type == "application/problem+json"
        assert json.loads(text)["ran"] == "no"


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Callable[[], FlaskClient]:
    """Makes clients of an app with no broker, so that a good message is a 503."""
    monkeypatch.setenv("CHATRPC_URL", "amqp://guest:guest@127.0.0.1:1/")
    monkeypatch.setenv("CHATRPC_RATE", "0")
    app = create_app(timeout=1)
    app.extensions["chatrpc"]._dial_at = float("inf")  # it has just looked: no broker
    return app.test_client


# -- on the wire --------------------------------------------------------------------------------


def raw(site: str, *pieces: bytes, timeout: float = 20.0) -> bytes:
    """Write to the server's socket, and read until it closes or answers."""
    host, port = re.search(r"//(.+):(\d+)/", site).groups()
    with socket.create_connection((host, int(port)), timeout) as wire:
        with contextlib.suppress(OSError):  # it may close before all is sent
            for piece in pieces:
                wire.sendall(piece)
            wire.shutdown(socket.SHUT_WR)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while more := wire.recv(65536):
                found += more
        return found


HEAD = b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",), b"400"),
        ((b"GET /\r\n\r\n" * 3,), b"200|400|421"),
        ((b"GET / HTTP/1.1\r\nHost: a\nb\r\n\r\n",), b"400"),
        ((b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",), b"431|400"),
        ((b"GET /%0d%0aSet-Cookie:%20evil=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",), b"404"),
        ((b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n",), b"308|404"),
        ((b"GET /static/../../app.py HTTP/1.1\r\nHost: localhost\r\n\r\n",), b"404"),
        ((b"GET /static/%2e%2e/app.py HTTP/1.1\r\nHost: localhost\r\n\r\n",), b"404"),
        ((HEAD + b"Content-Length: 99999999999\r\n\r\n{",), b"413"),
        ((HEAD + b"Content-Length: -5\r\n\r\n{}",), b"400"),
        ((HEAD + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",), b"400"),
        ((HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nzz\r\n",), b"400"),
        ((HEAD + b"Content-Length: 2000000\r\n\r\n", b"x" * 2_000_000), b"413"),
        ((HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",), b"501"),
        ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"200000\r\n" + b"x" * 0x200000), b"413"),
        ((HEAD + b"Content-Length: 400000\r\n\r\n", b"x" * 400_000), b"413"),
    ],
)
def test_what_is_no_request(standing: Standing, pieces: tuple[bytes, ...], status: bytes) -> None:
    """Refused with a status, without a secret, without a header of the sender's making."""
    found = raw(standing.site, *pieces)
    head, _, body = found.partition(b"\r\n\r\n")
    told = re.match(rb"HTTP/1.[01] (" + status + rb") ", head)
    assert told, found[:300]
    if int(told[1]) >= 400:
        assert b"Content-Type: application/problem+json" in head
        assert b"X-Content-Type-Options: nosniff" in head
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        problem = json.loads(body[:length])
        assert problem["status"] == int(told[1])
        assert problem["type"].startswith("urn:chatrpc:")
        assert problem["ran"] == "no"
        assert problem["detail"]
        assert problem["advice"]
    assert b"evil=1" not in head
    assert not [secret for secret in SECRETS if secret.encode() in found]
    assert b"Server:" not in head


@pytest.fixture
def prompt_site(service: str) -> Iterator[str]:
    """The address of an app that gives each request one second to come in."""
    app = create_app(service=service, timeout=5)
    server = serving.listen(app, host="127.0.0.1", port=0, prompt=1.0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.close()
    thread.join(10)
    assert not thread.is_alive()
    app.extensions["chatrpc"].close()


def test_slow_bodies_hold_nobody_up(prompt_site: str, worker: Program) -> None:
    """Forty bodies, a drop at a time: more than threads, and yet others are answered at once.

    After its second each is closed, though it never was silent for long.
    """
    host, port = re.search(r"//(.+):(\d+)/", prompt_site).groups()
    begun = time.monotonic()
    wires = [socket.create_connection((host, int(port)), 10) for _ in range(serving.THREADS + 8)]
    try:
        for wire in wires:
            wire.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        body = b'{"text": "hola"}'
        length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        assert raw(prompt_site, HEAD + length + body, timeout=5).startswith(b"HTTP/1.1 200")
        left = set(wires)
        while left:
            assert time.monotonic() - begun < 10, "a slow body was still being read"
            for wire in list(left):
                try:
                    wire.sendall(b"x")
                    wire.settimeout(0.001)
                    if wire.recv(1000) == b"":
                        left.remove(wire)
                except TimeoutError:
                    pass
                except OSError:
                    left.remove(wire)
            time.sleep(0.1)
        assert time.monotonic() - begun > 1
    finally:
        for wire in wires:
            wire.close()
