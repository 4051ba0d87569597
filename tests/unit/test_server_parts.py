"""The parts of the server and the client that need no broker: Agenda, Methods, Handler."""

import threading
import time

import pytest

from chatrpc import InvalidParams, MethodNotFound, Ran, RemoteError, Request, errors
from chatrpc.agenda import Agenda
from chatrpc.deadline import Deadline
from chatrpc.methods import Handler, Methods


@pytest.fixture
def agenda():
    """Return an agenda that is closed afterwards."""
    agenda = Agenda("test-agenda")
    yield agenda
    agenda.close()


class TestAgenda:
    """Things to do later."""

    def test_it_goes_by_time_not_by_order_of_entry(self, agenda):
        done, all_done = [], threading.Event()
        now = time.monotonic()
        agenda.at(now + 0.2, all_done.set)
        agenda.at(now + 0.1, lambda: done.append("second"))
        agenda.soon(lambda: done.append("first"))
        assert all_done.wait(5)
        assert done == ["first", "second"]

    def test_a_failure_does_not_cost_the_others(self, agenda, caplog):
        done = threading.Event()
        agenda.soon(lambda: 1 / 0)
        agenda.soon(done.set)
        assert done.wait(5)
        assert "ZeroDivisionError" in caplog.text

    def test_close_does_what_is_due_and_drops_the_rest(self):
        agenda, done, hold = Agenda("test-close"), [], threading.Event()
        agenda.soon(lambda: hold.wait(5))
        agenda.soon(lambda: done.append("due"))
        agenda.at(time.monotonic() + 60, lambda: done.append("later"))
        threading.Timer(0.1, hold.set).start()
        agenda.close(timeout=5)
        assert done == ["due"]
        assert not [t for t in threading.enumerate() if t.name == "test-close"]

    def test_an_agenda_without_entries_has_no_thread(self):
        before = threading.active_count()
        Agenda("test-none").close()
        assert threading.active_count() == before


def asking(method: str, *args, **params) -> Request:
    """Return a request that came now and has five seconds."""
    return Request(method, params or list(args), "m1", Deadline(15.0), "m1", clock=lambda: 10.0)


@pytest.fixture
def methods():
    """Return a table with a few methods."""
    methods = Methods()

    def greet(name: str, *, loud: bool = False) -> str:
        return f"hi {name}" + ("!" if loud else "")

    def about(request: Request, word: str, *more: str, n: int = 1) -> list:
        return [request.message_id, request.left, request.redelivered, word, list(more), n]

    def fail(text):
        raise ValueError(text)

    def nested():
        raise errors.InvalidParams("of another call")

    for function in (greet, about, fail, nested):
        methods.add(function.__name__, function)
    methods.add("max", max)
    methods.add("leave", lambda: (_ for _ in ()).throw(SystemExit(3)))
    return methods


class TestMethods:
    """The table of procedures."""

    def test_parameters_by_position_and_by_name(self, methods):
        assert methods.bind(asking("greet", "Ana"))() == "hi Ana"
        assert methods.bind(asking("greet", name="Ana", loud=True))() == "hi Ana!"
        assert methods.bind(asking("max", 3, 4))() == 4

    def test_the_request_is_given_and_cannot_be_given_by_a_caller(self, methods):
        assert methods.bind(asking("about", "x"))() == ["m1", 5.0, False, "x", [], 1]
        assert methods.bind(asking("about", "x", "y", "z"))()[3:] == ["x", ["y", "z"], 1]
        assert methods.bind(asking("about", word="x", n=2))()[5] == 2
        with pytest.raises(InvalidParams):
            methods.bind(asking("about", request="forged", word="x"))

    @pytest.mark.parametrize(
        "request_", [asking("greet"), asking("greet", 1, 2), asking("greet", nam="x")]
    )
    def test_bad_parameters_are_refused_before_it_runs(self, methods, request_):
        with pytest.raises(InvalidParams):
            methods.bind(request_)

    def test_an_unknown_method_is_refused(self, methods):
        with pytest.raises(MethodNotFound, match="no method 'nix'"):
            methods.bind(asking("nix"))

    @pytest.mark.parametrize("name", ["", "rpc.x", "x" * 101])
    def test_a_bad_name_is_refused(self, methods, name):
        with pytest.raises(ValueError, match="no name for a method"):
            methods.add(name, print)

    def test_a_later_method_replaces_an_earlier_one(self, methods):
        methods.add("greet", lambda: "new")
        assert methods.bind(asking("greet"))() == "new"
        assert methods.names().count("greet") == 1


class TestHandler:
    """One request to one reply."""

    def test_a_method_that_raises_is_data_and_shows_no_traceback(self, methods):
        reply = Handler(methods, "w1").handle(asking("fail", "no"))
        assert b"Traceback" not in reply.body
        assert b"test_server_parts" not in reply.body
        with pytest.raises(RemoteError) as caught:
            reply.value()
        assert (caught.value.type, caught.value.message) == ("ValueError", "no")
        assert reply.worker == "w1"

    def test_even_sys_exit_is_only_its_methods_failure(self, methods):
        with pytest.raises(RemoteError, match="SystemExit: 3"):
            Handler(methods, "w1").handle(asking("leave")).value()

    def test_an_error_of_ours_inside_a_method_has_run(self, methods):
        with pytest.raises(RemoteError) as caught:
            Handler(methods, "w1").handle(asking("nested")).value()
        assert caught.value.ran is Ran.YES
        assert caught.value.type == "InvalidParams"
