"""The pure modules: no socket, no thread, no clock."""

import ast
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chatrpc
from chatrpc import errors, topology
from chatrpc.answers import Answers, Seen
from chatrpc.backoff import Backoff
from chatrpc.confirms import Confirms, Outcome
from chatrpc.deadline import Deadline
from chatrpc.messages import LARGEST, Message, Reply, Request, Undecodable, decode, encode, key
from chatrpc.pending import PendingCalls
from chatrpc.settings import Address, Settings

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcñ€"), inner),
    max_leaves=20,
)


class TestDeadline:
    """An end in time."""

    def test_it_passes_at_its_moment_and_not_before(self):
        deadline = Deadline.after(2.5, now=100.0)
        assert deadline.left(101.0) == 1.5
        assert not deadline.passed(102.49)
        assert deadline.passed(102.5)
        assert deadline.left(103.0) == 0.0

    def test_it_travels_to_a_machine_with_another_clock(self):
        left, at = Deadline.after(2.0, now=100.0).to_wire(now=100.5, wall=1_000_000.0)
        assert (left, at) == (1500, 1_000_001_500)
        there = Deadline.from_wire(left, at, now=7.0, wall=1_000_000.2)
        assert there is not None
        assert there.left(7.0) == pytest.approx(1.3)  # 0.2 s were spent on the way

    def test_the_earlier_form_counts(self):
        assert Deadline.from_wire(1000, 90_000, now=0.0, wall=0.0) == Deadline(1.0)
        assert Deadline.from_wire(90_000, 1000, now=0.0, wall=0.0) == Deadline(1.0)
        assert Deadline.from_wire(None, None, now=0.0, wall=0.0) is None


class TestPendingCalls:
    """The table of calls in flight."""

    def test_a_call_is_taken_once(self):
        table = PendingCalls()
        table.add("a", 1)
        assert table.get("a") == 1
        assert table.take("a") == 1
        assert table.take("a") is None
        assert len(table) == 0

    def test_an_id_in_flight_is_refused_and_the_first_call_stays(self):
        table = PendingCalls()
        table.add("a", 1)
        with pytest.raises(ValueError, match="already in flight"):
            table.add("a", 2)
        assert table.take("a") == 1

    def test_an_unknown_id_is_nobodys(self):
        table = PendingCalls()
        table.add("a", 1)
        assert table.take("b") is None
        assert table.ids() == ["a"]


class TestConfirms:
    """Which publish the broker has."""

    def test_each_tag_settles_its_own_publish_in_any_order(self):
        confirms = Confirms()
        tags = [confirms.publishing(id) for id in "abc"]
        assert tags == [1, 2, 3]
        assert confirms.answered(2, multiple=False, ok=True) == [("b", Outcome.CONFIRMED)]
        assert confirms.answered(1, multiple=False, ok=False) == [("a", Outcome.NACKED)]
        assert len(confirms) == 1

    def test_multiple_settles_all_up_to_the_tag(self):
        confirms = Confirms()
        for id in "abcd":
            confirms.publishing(id)
        settled = confirms.answered(3, multiple=True, ok=True)
        assert [id for id, _ in settled] == ["a", "b", "c"]
        assert confirms.lost() == ["d"]

    def test_a_confirm_never_speaks_of_another_publish(self):
        confirms = Confirms()
        confirms.publishing("a")
        confirms.answered(1, multiple=False, ok=True)
        confirms.publishing("b")
        assert confirms.answered(1, multiple=False, ok=True) == []
        assert confirms.answered(9, multiple=False, ok=True) == []
        assert len(confirms) == 1

    def test_a_return_goes_before_the_ack(self):
        confirms = Confirms()
        confirms.publishing("a")
        confirms.returned("a")
        assert confirms.answered(1, multiple=False, ok=True) == [("a", Outcome.RETURNED)]

    def test_what_is_lost_is_told_once(self):
        confirms = Confirms()
        confirms.publishing("a")
        assert confirms.lost() == ["a"]
        assert confirms.lost() == []


class TestBackoff:
    """Whom to dial next, and when."""

    def test_the_first_round_does_not_wait(self):
        backoff = Backoff(["a", "b", "c"], random=Random(1))
        dialled = []
        for _ in range(3):
            address, wait = backoff.next()
            assert wait == 0.0
            dialled.append(address)
            backoff.failed()
        assert sorted(dialled) == ["a", "b", "c"]
        assert backoff.next()[1] >= 0.0

    def test_the_longest_wait_doubles_up_to_the_limit(self):
        longest = []
        for rounds in range(1, 9):
            waits = []
            for seed in range(300):
                backoff = Backoff(["a"], first=0.1, most=1.0, random=Random(seed))
                for _ in range(rounds):
                    backoff.failed()
                waits.append(backoff.next()[1])
            longest.append(max(waits))
        assert longest == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0], rel=0.05)

    def test_thirty_clients_do_not_come_together(self):
        waits = []
        for seed in range(30):
            backoff = Backoff(["a"], random=Random(seed))
            for _ in range(5):
                backoff.failed()
            waits.append(backoff.next()[1])
        twentieths = {int(wait * 20) for wait in waits}
        assert len(twentieths) >= 7

    def test_success_ends_the_waiting_and_keeps_the_address(self):
        backoff = Backoff(["a", "b"], random=Random(3))
        for _ in range(5):
            backoff.failed()
        address, _ = backoff.next()
        backoff.succeeded()
        assert backoff.next() == (address, 0.0)


def answer(text: str) -> Reply:
    """Return a reply of so many bytes."""
    return Reply(text.encode())


class TestAnswers:
    """The server's memory."""

    def test_a_copy_of_a_running_request_waits_for_its_answer(self):
        answers = Answers()
        assert answers.begin("k", "first", Deadline(10)) == (Seen.NEW, None)
        assert answers.begin("k", "copy", Deadline(10)) == (Seen.RUNNING, None)
        assert answers.finish("k", answer("42"), now=1) == ["first", "copy"]
        assert answers.begin("k", "late", Deadline(10)) == (Seen.ANSWERED, answer("42"))

    def test_an_entry_leaves_after_its_deadline_and_a_while(self):
        answers = Answers(keep=3)
        answers.begin("old", "d", Deadline(5))
        answers.finish("old", answer("1"), now=1)
        assert answers.begin("old", "again", Deadline(9))[0] is Seen.ANSWERED
        answers.begin("late", "d", Deadline(2))
        answers.finish("late", answer("1"), now=4)
        assert answers.begin("late", "again", Deadline(9))[0] is Seen.ANSWERED
        answers.begin("new", "d", Deadline(20))
        answers.finish("new", answer("2"), now=8)
        assert answers.begin("late", "again", Deadline(20))[0] is Seen.NEW
        assert answers.begin("old", "again", Deadline(20))[0] is Seen.NEW
        assert answers.begin("new", "again", Deadline(20))[0] is Seen.ANSWERED

    def test_it_is_bounded_in_entries_and_bytes(self):
        few = Answers(entries=3)
        small = Answers(size=10)
        for n in range(10):
            for memory in (few, small):
                memory.begin(n, "d", Deadline(99))
                memory.finish(n, answer("1234"), now=0)
        assert len(few) == 3
        assert len(small) == 2
        assert few.begin(9, "d", Deadline(99))[0] is Seen.ANSWERED
        assert few.begin(0, "d", Deadline(99))[0] is Seen.NEW


class TestTopology:
    """Names, arguments, and who may be answered."""

    @pytest.mark.parametrize("service", ["", "a b", "é", "-a", ".", "a" * 101, "a/b", None, 3])
    def test_a_bad_name_is_refused(self, service):
        with pytest.raises(ValueError, match="no name for a service"):
            topology.check_service(service)

    def test_every_queue_says_its_type_and_is_no_classic_one_where_it_matters(self):
        queues = [
            what
            for what in topology.for_server("chat", limit=5) + topology.for_reply("r", replicated=0)
            if isinstance(what, topology.Queue)
        ]
        assert [queue.arguments["x-queue-type"] for queue in queues] == [
            "quorum",
            "quorum",
            "classic",
            "classic",
        ]
        assert queues[1].arguments["x-overflow"] == "reject-publish"
        assert queues[1].arguments["x-max-length"] == 5

    @pytest.mark.parametrize(
        ("reply_to", "user", "may"),
        [
            ("amq.rabbitmq.reply-to.g1h2", "", True),
            ("amq.gen-abc", "", True),
            ("chatrpc.reply.ann.x", "ann", True),
            ("chatrpc.reply.ann.x", "", False),
            ("chatrpc.reply.ann.x", "bob", False),
            ("chatrpc.reply.ann/2Elee.x", "ann", False),
            ("chatrpc.req.chat", "ann", False),
            ("chatrpc.dead.chat", "ann", False),
            ("", "ann", False),
            ("amq.rabbitmq.reply-to", "ann", False),
        ],
    )
    def test_a_reply_goes_only_where_it_belongs(self, reply_to, user, may):
        assert topology.may_reply(reply_to, user) is may

    def test_a_user_cannot_pose_as_another_whose_name_begins_alike(self):
        assert not topology.may_reply(topology.reply_queue("ann.lee", "x"), "ann")
        assert topology.may_reply(topology.reply_queue("ann.lee", "x"), "ann.lee")


def request_of(body: bytes, **properties) -> Request:
    """Return the request in a message that came now."""
    return Request.decode(
        Message(body, **properties), redelivered=False, clock=lambda: 50.0, wall=1000.0, patience=60
    )


class TestMessages:
    """The JSON-RPC form, and its bounds."""

    @given(JSON)
    def test_what_json_can_say_comes_back(self, value):
        assert decode(encode(value)) == value

    @given(st.binary(max_size=200))
    def test_any_bytes_are_decoded_or_refused(self, body):
        try:
            request_of(body)
        except errors.InvalidRequest as error:
            assert error.ran is errors.Ran.NO

    @pytest.mark.parametrize(
        "body",
        [
            b"\xff",
            b"NaN",
            b'{"a": 1, "a": 2}',
            b"[" * 100_000,
            b"9" * 5000,
            b" " * (LARGEST + 1),
            b"",
        ],
        ids=["utf8", "nan", "twice", "deep", "digits", "large", "empty"],
    )
    def test_what_is_no_json_within_bounds_is_undecodable(self, body):
        with pytest.raises(Undecodable):
            decode(body)

    @pytest.mark.parametrize(
        "found",
        [
            [],
            {"id": 1, "method": "f"},
            {"jsonrpc": "2.0", "id": 1},
            {"jsonrpc": "2.0", "id": 1, "method": "f", "params": "x"},
            {"jsonrpc": "2.0", "id": True, "method": "f"},
            {"jsonrpc": "2.0", "method": "f"},
            {"jsonrpc": "2.0", "id": "x" * 201, "method": "f"},
        ],
    )
    def test_json_that_is_no_request_is_invalid(self, found):
        with pytest.raises(errors.InvalidRequest):
            request_of(json.dumps(found).encode())

    @pytest.mark.parametrize(
        "value",
        [{1, 2}, float("nan"), object(), "\ud800", 10**5000],
        ids=["set", "nan", "object", "surrogate", "digits"],
    )
    def test_what_has_no_json_form_is_refused(self, value):
        with pytest.raises(errors.InvalidParams):
            encode(value)

    def test_what_is_too_large_is_refused(self):
        with pytest.raises(errors.TooLarge):
            encode("x" * LARGEST)

    def test_a_request_without_a_deadline_gets_patience(self):
        body = b'{"jsonrpc": "2.0", "id": 7, "method": "f"}'
        assert request_of(body).left == 60
        assert request_of(body, expiration=1500).left == 1.5
        assert request_of(body, headers={"deadline": 1_001_000}).left == pytest.approx(1.0)
        assert request_of(body, headers={"deadline": "soon"}).left == 60
        assert request_of(body).id == 7

    def test_the_key_tells_two_questions_under_one_id_apart(self):
        one = Message(b"a", correlation_id="1", reply_to="r")
        assert key(one) == key(Message(b"a", correlation_id="1", reply_to="r"))
        assert key(one) != key(Message(b"b", correlation_id="1", reply_to="r"))
        assert key(one) != key(Message(b"a", correlation_id="1", reply_to="s"))
        again = Message(b"a", correlation_id="2", message_id="m", reply_to="r")
        assert key(again) == key(Message(b"a", correlation_id="3", message_id="m", reply_to="r"))

    @pytest.mark.parametrize("value", ["", None, 0, [], "ñ€😀"])
    def test_an_empty_answer_is_an_answer(self, value):
        assert Reply.result("1", value).value() == value

    def test_errors_are_data(self):
        told = Reply.error("1", errors.RemoteError("ValueError", "no"))
        with pytest.raises(errors.RemoteError, match="ValueError: no") as caught:
            told.value()
        assert caught.value.type == "ValueError"
        assert caught.value.ran is errors.Ran.YES
        for kind in (errors.MethodNotFound, errors.InvalidParams, errors.InvalidRequest):
            with pytest.raises(kind) as refused:
                Reply.error("1", kind("no")).value()
            assert refused.value.ran is errors.Ran.NO

    def test_an_answer_that_cannot_travel_is_a_remote_error(self):
        for value in ({1}, "x" * LARGEST):
            with pytest.raises(errors.RemoteError) as caught:
                Reply.result("1", value).value()
            assert caught.value.ran is errors.Ran.YES

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"error": 3}', b"\xff"])
    def test_a_reply_that_is_none_is_an_error_not_a_hang(self, body):
        with pytest.raises(errors.RemoteError):
            Reply.of(Message(body, headers={"took": "x", "worker": 3})).value()


class TestSettings:
    """The environment, and addresses."""

    def test_none_is_needed(self):
        settings = Settings.from_env({})
        assert settings == Settings()
        assert settings.addresses == [Address("localhost", 5672, "guest", "guest", "/", False)]

    def test_every_variable_counts(self):
        settings = Settings.from_env(
            {
                "CHATRPC_URL": "amqp://ann:p%40ss@one:1/v%2Fh,amqps://ann:x@[::1]",
                "CHATRPC_SERVICE": "tea",
                "CHATRPC_TIMEOUT": "2.5",
                "CHATRPC_HEARTBEAT": "2",
                "CHATRPC_QUEUE_LIMIT": "9",
                "CHATRPC_CA": "ca.pem",
            }
        )
        one, two = settings.addresses
        assert (one.host, one.port, one.password, one.vhost) == ("one", 1, "p@ss", "v/h")
        assert (two.host, two.port, two.tls, two.vhost) == ("::1", 5671, True, "/")
        assert (settings.service, settings.timeout, settings.ca) == ("tea", 2.5, "ca.pem")
        assert (settings.heartbeat, settings.queue_limit) == (2, 9)

    def test_no_password_is_ever_shown(self):
        settings = Settings.from_env({"CHATRPC_URL": "amqp://ann:s3cret@one/"})
        shown = f"{settings!r} {settings.addresses!r} {settings.addresses[0]}"
        assert "s3cret" not in shown
        for url in ("http://ann:s3cret@one", "amqp://ann:s3cret@one:x/", "amqp://ann:s3/cret@one"):
            with pytest.raises(errors.BrokerRefused) as caught:
                Address.parse(url)
            assert "s3" not in str(caught.value)

    @pytest.mark.parametrize("value", ["x", "0", "-1", "nan", "inf"])
    def test_a_number_that_is_none_is_one_sentence(self, value):
        with pytest.raises(ValueError, match="CHATRPC_TIMEOUT"):
            Settings.from_env({"CHATRPC_TIMEOUT": value})


class TestErrors:
    """The tree."""

    def test_every_error_says_whether_it_ran_and_what_to_do(self):
        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
        codes = []
        for kind in kinds:
            if issubclass(kind, errors.RpcError) and kind is not errors.RpcError:
                error = kind("A", "b") if kind is errors.RemoteError else kind("b")
                assert isinstance(error.ran, errors.Ran)
                assert error.advice
                codes.append(error.code)
        assert len(codes) == len(set(codes)) == 11

    def test_the_docstrings_drawing_is_the_tree(self):
        drawn = {}
        for line in errors.__doc__.splitlines():
            words = line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()
            if words and isinstance(getattr(errors, words[0], None), type):
                drawn[words[0]] = words[1].strip(",")
        kinds = {
            name: kind
            for name, kind in vars(errors).items()
            if isinstance(kind, type) and issubclass(kind, errors.RpcError)
        }
        assert set(drawn) == set(kinds)
        for name, ran in drawn.items():
            if name not in ("RpcError", "BrokerError"):
                assert kinds[name].ran.value == ran


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "settings",
        "messages",
        "deadline",
        "pending",
        "answers",
        "confirms",
        "backoff",
        "topology",
    ],
)
def test_a_pure_module_has_no_clock_no_socket_and_starts_no_thread(module):
    tree = ast.parse((Path(chatrpc.__file__).parent / f"{module}.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
        )
        if not (isinstance(node, ast.ImportFrom) and node.level)
    }
    assert not imported & {"time", "socket", "select", "ssl", "asyncio", "subprocess", "datetime"}
    if "threading" in imported:
        used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert "Thread" not in used
