"""Real worker processes: they listen when the card says so, and none outlives its kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from chatrpc import NoWorker, RpcClient
from chatrpc.lab import jobs, services, workers
from chatrpc.lab.problem import LabProblem
from chatrpc.lab.sync import WIDGETS
from chatrpc.lab.workers import State, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("no_worker_left")


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # dead, and not yet collected by its parent


def test_it_listens_when_the_card_is_there(service: str) -> None:
    card = worker(service)
    assert repr(card) == "worker: alive"
    with RpcClient(service) as client:
        assert client.consumers() == 1
        assert client.call("echo", "hola") == "hola"


def test_stopped_nobody_listens_and_the_question_waits(service: str) -> None:
    card = worker(service)
    pid = card.pid
    with RpcClient(service) as client:
        assert repr(card.stop()) == "worker: stopped"
        assert pid is not None
        assert gone(pid)
        assert client.consumers() == 0
        asked = client.submit("echo", "hola", timeout=30)
        assert not asked.done()
        card.start()
        assert asked.result(timeout=30) == "hola"


def test_who_is_stopped_finishes_its_work_and_who_is_killed_does_not(service: str) -> None:
    card = worker(service)
    with RpcClient(service, timeout=20) as client:
        for end, answered in ((card.stop, True), (card.kill, False)):
            asked = client.submit("slow", 1.0)
            assert within(5, lambda: card.busy == 1)
            end()
            assert not card.alive
            assert within(1, asked.done) == answered
            card.start()
            asked.result()


def test_the_buttons_of_a_card_start_stop_and_kill(service: str) -> None:
    card = worker(service)
    row = _children(card)
    for word, state in (("stop", State.STOPPED), ("start", State.ALIVE), ("kill", State.KILLED)):
        next(b for b in row if getattr(b, "description", "") == word).click()
        assert card.state is state


def _children(card: workers.Worker) -> list[Any]:
    """The widgets of a card as it is shown."""
    box = _instances[card._repr_mimebundle_()[WIDGETS]["model_id"]]
    return list(box.children[0].children)


def test_killed_and_started_again(service: str) -> None:
    card = worker(service)
    assert card.kill().state is State.KILLED
    assert card.pid is None
    assert card.start().alive
    with RpcClient(service) as client:
        assert client.consumers() == 1


def test_the_namesake_is_stopped_first_and_others_are_not(service: str) -> None:
    first = worker(service, name="one")
    other = worker(service, name="two")
    again = worker(service, name="one")
    assert (first.alive, other.alive, again.alive) == (False, True, True)
    with RpcClient(service) as client:
        assert client.consumers() == 2


def test_a_worker_that_dies_by_itself_is_seen_on_its_card(service: str) -> None:
    card = worker(service)
    assert card.pid is not None
    os.kill(card.pid, signal.SIGKILL)
    assert within(5, lambda: card.state is State.DIED)
    assert "died" in card._face.value


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise RuntimeError('no coffee')", "died at its start: RuntimeError: no coffee"),
        ("", "died at its start: it said nothing"),
        ("import time; time.sleep(60)", "does not listen"),
    ],
)
def test_a_worker_that_does_not_come_up_is_one_sentence(
    service: str, program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "READY", 2.0)
    path = tmp_path / "mine.py"
    path.write_text(program)
    with pytest.raises(LabProblem, match=words) as caught:
        worker(service, program=path)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_a_program_that_is_not_there_is_one_sentence(service: str) -> None:
    with pytest.raises(LabProblem, match=r"no worker program 'none\.py'"):
        worker(service, program="none.py")


def test_a_broker_that_is_away_is_one_sentence(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATRPC_URL", "amqp://guest:guest@127.0.0.1:1/")
    with pytest.raises(LabProblem, match="doctor") as caught:
        worker(service)
    assert "\n" not in str(caught.value)


def test_the_card_is_escaped_and_hides_the_pid_where_it_is_committed(service: str) -> None:
    card = worker(service, name="<b>")
    bundle = card._repr_mimebundle_()
    assert str(card.pid) in card._face.value
    assert str(card.pid) not in bundle["text/plain"] + bundle["text/html"]
    assert "<b>&lt;b&gt;</b>" in bundle["text/html"]


def test_the_buttons_of_a_card_say_what_went_wrong(service: str, tmp_path: Path) -> None:
    card = workers.Worker(service, "<i>", jobs.Script(tmp_path / "none.py"))
    card._button("start", "", card.start).click()
    assert "died at its start" in card._trouble.value
    assert "<i>" not in card._trouble.value

    def refuse() -> None:
        raise LabProblem("not <b>now</b>")

    card._button("start", "", refuse).click()
    assert card._trouble.value == "<div>not &lt;b&gt;now&lt;/b&gt;</div>"


def test_a_label_is_one_service_in_one_kernel_and_another_in_the_next() -> None:
    one = services.service("test-label")
    assert services.service("test-label") == one
    script = "from chatrpc.lab.services import service; print(service('test-label'))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    other = found.stdout.decode().strip()
    assert other.startswith("test-label-")
    assert other != one


@pytest.mark.parametrize("label", ["", "two words", "x" * 200])
def test_a_label_that_is_no_name_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="no name for a service"):
        services.service(label)


KERNEL = """
    import sys, time
    from chatrpc import lab
    name = lab.service("test-kernel")
    card, cups = lab.worker(name), lab.Cups()
    print(name, card.pid, flush=True)
    {end}
"""


@pytest.mark.parametrize("end", ["time.sleep(600)", "sys.exit()"])
def test_with_the_kernel_go_its_workers_its_queues_and_its_folders(
    end: str, url: str, tmp_path: Path
) -> None:
    script = textwrap.dedent(KERNEL).format(end=end)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as kernel:
        assert kernel.stdout is not None
        name, pid = kernel.stdout.readline().decode().split()
        assert len(list(tmp_path.iterdir())) == 2
        kernel.kill()
    assert within(8, lambda: gone(int(pid)))

    def no_queue() -> bool:
        with RpcClient(name) as client:
            try:
                client.consumers()
            except NoWorker:
                return True
        return False

    assert within(15, no_queue)
    assert within(15, lambda: not any(tmp_path.iterdir()))
