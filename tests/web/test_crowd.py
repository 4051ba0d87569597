"""Many at once, over several processes, and while things break: real servers, real connections."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chatrpc.broker import Node
from chatrpc.web import client, serving
from tests.programs import Program, consumer
from worker.ledger import Ledger

WAITS = 6.0  # seconds that a message waits for its answer here


@dataclass(frozen=True)
class Site:
    """``python app.py`` as a process."""

    port: int
    program: Program

    def status(self, name: str) -> int:
        """A number of the process: ``Threads``, or ``VmRSS`` in kilobytes."""
        text = Path(f"/proc/{self.program.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1])


@contextmanager
def serve(service: str) -> Iterator[Site]:
    """Run it with the bounds that it has by itself."""
    variables = {"CHATRPC_SERVICE": service, "CHATRPC_TIMEOUT": str(WAITS)}
    with Program("app.py", "--port", "0", **variables) as program:
        line = program.wait_for("The chat is at")
        yield Site(int(re.search(r":(\d+)/", line)[1]), program)
        assert program.process.poll() is None
        assert "Traceback" not in program.output


class Phone:
    """A person's page: one connection that stays open, and the cookie of its own."""

    def __init__(self, site: Site) -> None:
        self.wire = http.client.HTTPConnection("127.0.0.1", site.port, timeout=WAITS + 10)
        self.cookie = ""

    def open(self) -> Phone:
        """Open the page."""
        self.wire.request("GET", "/")
        answer = self.wire.getresponse()
        assert answer.read()
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return self

    def send(self, text: str, id: str | None = None) -> tuple[int, dict]:
        """Send a message; the status and what it holds."""
        body = {"text": text} | ({"id": id} if id else {})
        headers = {"Content-Type": "application/json", "Cookie": self.cookie}
        self.wire.request("POST", "/api/messages", json.dumps(body), headers)
        answer = self.wire.getresponse()
        return answer.status, json.loads(answer.read())

    def look(self) -> dict:
        """Ask who is there."""
        self.wire.request("GET", "/api/presence")
        return json.loads(self.wire.getresponse().read())


def crowd(act: Callable[[Phone], None], phones: Sequence[Phone]) -> float:
    """Let each do something in a thread of its own; the seconds until all had done it."""
    begun = time.monotonic()
    with ThreadPoolExecutor(len(phones)) as pool:
        for done in [pool.submit(act, phone) for phone in phones]:
            done.result()
    return time.monotonic() - begun


def pages(site: Site, count: int) -> list[Phone]:
    """So many people open the page."""
    phones = [Phone(site) for _ in range(count)]
    crowd(Phone.open, phones)
    return phones


def test_one_cup_from_several_processes(service: str, tmp_path: Path) -> None:
    """The same message through two web processes to two workers, many times at once: one cup."""
    ledger = tmp_path / "ledger.sqlite3"
    variables = {"CHATRPC_LEDGER": str(ledger)}
    with (
        consumer(service, **variables),
        consumer(service, **variables),
        serve(service) as one,
        serve(service) as other,
    ):
        told: list[tuple[int, dict]] = []
        phones = pages(one, 6) + pages(other, 6)
        crowd(lambda phone: told.append(phone.send("/coffee", "one-and-the-same")), phones)
        for phone in phones[0], phones[-1]:
            told.append(phone.send("/coffee", "one-and-the-same"))
    assert {status for status, _ in told} == {200}
    assert all("number 1." in found["answer"] for _, found in told)
    assert len({found["worker"] for _, found in told}) == 2
    assert Ledger(ledger).poured() == 1


def test_an_open_page_holds_no_thread(service: str, worker: Program) -> None:
    """Two hundred pages look who is there while thirty people write: all are answered.

    With the server's 32 threads, from one address, and with the bounds for pages and addresses.
    """
    with serve(service) as site:
        phones = pages(site, 200)
        before = site.status("VmRSS")
        done = threading.Event()
        seen: Counter[str] = Counter()
        told: Counter[str] = Counter()

        def watch(phones: Sequence[Phone]) -> None:
            while not done.is_set():
                for phone in phones:
                    seen[str(phone.look())] += 1

        def write(phone: Phone) -> None:
            for n in range(8):
                said = f"{id(phone)} says {n}"
                status, found = phone.send(f"/echo {said}")
                told[f"{status} {found.get('answer') == said}"] += 1

        with ThreadPoolExecutor(2) as pool:
            watching = [pool.submit(watch, phones[30 + n :: 2]) for n in range(2)]
            crowd(write, phones[:30])
            done.set()
            for one in watching:
                one.result()
        assert told == {"200 True": 240}
        # While a fresh worker's first request is in hand, the broker may count it twice.
        assert set(seen) <= {f"{{'broker': True, 'workers': {n}}}" for n in (1, 2)}
        assert seen.total() >= 170
        assert site.status("Threads") <= serving.THREADS + 12
        assert site.status("VmRSS") - before < 40_000


def test_two_hundred_people_write(service: str, worker: Program) -> None:
    """Each ends with its own answer, or is told that there are too many and writes again."""
    with serve(service) as site:
        phones = pages(site, 200)
        told: Counter[str] = Counter()

        def write(phone: Phone) -> None:
            for n in range(3):
                said = f"{id(phone)} says {n}"
                while True:
                    status, found = phone.send(f"/echo {said}")
                    told[f"{status} {found.get('ran')} {found.get('answer') == said}"] += 1
                    if status == 200:
                        break
                    time.sleep(0.2)

        crowd(write, phones)
        assert told["200 None True"] == 600
        assert set(told) <= {"200 None True", "503 no False", "429 no False"}
        assert site.status("Threads") <= serving.THREADS + 12


def test_where_all_places_are_taken_busy_is_said_at_once(service: str, worker: Program) -> None:
    """Thirty wait for slow answers; sixty others know it soon, and who is there is told too."""
    with serve(service) as site:
        slow, others = pages(site, client.WAITING), pages(site, 60)
        told: Counter[int] = Counter()
        waiting: list[int] = []
        thread = threading.Thread(
            target=crowd, args=(lambda phone: waiting.append(phone.send("/slow 4")[0]), slow)
        )
        thread.start()
        time.sleep(1.5)

        def write(phone: Phone) -> None:
            told[phone.send("/echo hello")[0]] += 1
            seen = phone.look()
            # While a fresh worker's first request is in hand, the broker may count it twice.
            assert (seen["broker"], seen["workers"] in (1, 2)) == (True, True)

        lasted = crowd(write, others)
        assert not waiting
        assert told == {503: 60}
        assert lasted < 2  # were each to wait its moment on two threads, it would be three
        thread.join()
        assert set(waiting) <= {200, 504}  # the worker does some at once, not thirty
        assert 200 in waiting
        assert others[0].send("/echo hello")[0] == 200


def test_workers_killed_and_the_broker_restarted_while_people_write(
    service: str, node: Node
) -> None:
    """Nothing hangs: every message ends with its own answer or with an honest error in time."""
    told: Counter[str] = Counter()
    longest: list[float] = []
    done = threading.Event()

    def write(phone: Phone) -> None:
        n = 0
        while not done.is_set():
            n += 1
            said = f"{id(phone)} says {n}"
            begun = time.monotonic()
            status, found = phone.send(f"/echo {said}")
            longest.append(time.monotonic() - begun)
            if status == 200:
                assert found["answer"] == said
            else:
                assert found["ran"] in ("no", "maybe"), found
                assert found["title"]
            told[f"{status}"] += 1
            time.sleep(0.3)

    with serve(service) as site, consumer(service) as first, consumer(service):
        phones = pages(site, 12)
        people = threading.Thread(target=crowd, args=(write, phones))
        people.start()
        try:
            time.sleep(1.0)
            assert told["200"]
            first.send(signal.SIGKILL)
            time.sleep(1.0)
            node.stop()
            node.start()
            with consumer(service):
                answered = told["200"]
                end = time.monotonic() + 20
                while told["200"] < answered + 60 and time.monotonic() < end:
                    time.sleep(0.1)
                done.set()
                people.join()
        finally:
            done.set()
    assert told["200"] >= answered + 60
    assert set(told) <= {"200", "503", "504"}
    assert max(longest) < WAITS + 1.5
