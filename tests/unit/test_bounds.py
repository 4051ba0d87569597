"""Whatever bytes come: decoded or refused with one kind of error, and in bounded time."""

import gc
import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatrpc.errors import InvalidRequest
from chatrpc.messages import LARGEST, Message, Reply, Request, Undecodable, decode
from chatrpc.methods import Handler, Methods

# With halves of surrogate pairs too, which JSON's escapes can bring and UTF-8 cannot carry.
TEXT = st.text(max_size=8) | st.text(st.sampled_from('aé\U0001f600\ud800\udcff"\\\0'), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
SHREDS = st.sampled_from(
    [
        *(b"[", b"]", b"{", b"}", b'"', b":", b",", b" ", b"\\", b"\\u", b"-", b".", b"e", b"/"),
        *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"0", b"-0", b"01", b"0x1", b"1_0"),
        *(b'{"a":', b'"a":1', b'"\\u0061":2', b'"\\ud800"', b'"\\ud83d\\ude00"', b"'a'", b"//"),
        *(b"\xc3", b"\xc3\xb1", b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\xed\xa0\x80"),
        *(b"9" * 400, b"9" * 5000, b"[" * 90, b"[" * 2000, b'{"a":' * 2000, b"]" * 90),
    ]
)


def refused(body: bytes) -> bool:
    """Return whether a body is refused; any other kind of error fails the test."""
    try:
        decode(body)
    except Undecodable as error:
        assert "\n" not in str(error)
        return True
    return False


class TestOneKindOfError:
    """A value, or Undecodable."""

    @given(st.lists(SHREDS, max_size=12).map(b"".join))
    def test_shreds_of_json(self, body):
        refused(body)

    @given(JSON, st.data())
    def test_json_that_was_damaged_on_the_way(self, value, data):
        body = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
        at = data.draw(st.integers(0, len(body)))
        instead = data.draw(st.binary(max_size=3))
        refused(body[:at] + instead + body[at + data.draw(st.integers(0, 3)) :])

    @given(st.text(st.characters(min_codepoint=128, exclude_categories=["Cs"]), min_size=1))
    def test_a_character_cut_in_two(self, text):
        whole = json.dumps(text, ensure_ascii=False).encode()
        assert not refused(whole)
        assert refused(whole[:-2] + b'"')

    @given(st.dictionaries(TEXT, JSON, min_size=1, max_size=4), st.data())
    def test_a_key_twice_however_it_is_written(self, found, data):
        key = data.draw(st.sampled_from(sorted(found)))
        escaped = "".join(f"\\u{ord(sign):04x}" for sign in key if ord(sign) < 0x10000)
        twice = escaped if all(ord(sign) < 0x10000 for sign in key) else json.dumps(key)[1:-1]
        finite = json.dumps(dict.fromkeys(found, 1))
        assert not refused(finite.encode())
        assert refused(f'[{{"x": {finite[:-1]}, "{twice}": 2}}}}]'.encode())

    @given(st.lists(st.sampled_from([("[", "]"), ('{"a":', "}")]), min_size=1, max_size=60))
    def test_moderate_depth_is_welcome_and_extreme_depth_is_refused(self, levels):
        opening, closing = map("".join, zip(*levels, strict=True))
        reverse = closing[::-1]
        assert not refused(f"{opening}1{reverse}".encode())
        many = 20_000 // len(levels)
        assert refused(f"{opening * many}1{reverse * many}".encode())

    @given(st.sampled_from(["NaN", "Infinity", "-Infinity", "1e999", "-1e999"]), JSON)
    def test_what_is_no_number_anywhere(self, word, value):
        around = json.dumps({"a": [json.dumps(value), "here"]})
        assert not refused(around.encode())
        assert refused(around.replace('"here"', word).encode())


class TestEveryRequestIsAnswered:
    """Whatever the JSON holds, a reply comes of it that can be sent and read."""

    @settings(deadline=None)
    @given(
        st.fixed_dictionaries(
            {"jsonrpc": st.just("2.0"), "method": st.sampled_from(["echo", "fail"]) | TEXT},
            optional={"id": st.integers() | TEXT, "params": JSON},
        )
    )
    def test_with_one_that_is_json(self, found):
        methods = Methods()
        methods.add("echo", lambda *values, **named: [values, named])
        methods.add("fail", self.fail)
        body = json.dumps(found).encode()
        message = Message(body, correlation_id="1")
        try:
            request = Request.decode(
                message, redelivered=False, clock=lambda: 0.0, wall=0.0, patience=60
            )
        except InvalidRequest as error:
            reply = Reply.error(None, error)
        else:
            reply = Handler(methods, "worker").handle(request)
        assert decode(reply.body)["jsonrpc"] == "2.0"

    @staticmethod
    def fail(*values, **named):
        raise ValueError(*values, *named)


def filled(unit: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return the largest body that is this, so many times."""
    return before + unit * ((LARGEST - len(before) - len(after)) // len(unit)) + after


HARMLESS = filled(b"1,", b"[", b"1]")
COSTLY = {
    "brackets": filled(b"["),
    "braces": filled(b'{"a":'),
    "pairs of brackets": filled(b"[],", b"[", b"1]"),
    "digits": filled(b"9"),
    "numbers of 4300 digits": filled(b"9" * 4299 + b",", b"[", b"1]"),
    "digits after the point": filled(b"9", b"1."),
    "digits of an exponent": filled(b"9", b"1e"),
    "one key": filled(b'"a":1,', b"{", b'"a":1}'),
    "keys": b"{" + b",".join(b'"%d":1' % number for number in range(80_000)) + b"}",
    "escapes": filled(b"\\ud800", b'"', b'"'),
    "escaped quotes": filled(b'\\"', b'"', b'"'),
    "quotes": filled(b'"'),
    "a text without end": filled(b"a", b'"'),
    "a character cut in two": filled("ñ".encode(), b'"', b'\xc3"'),
    "blanks": filled(b" "),
    "no text": filled(b"\xff"),
}


def seconds(body: bytes) -> float:
    """Return the processor time that a body takes, at best of three times."""
    gc.freeze()  # else each collection goes through all that pytest holds, too
    try:
        times = [time.thread_time()]
        for _ in range(3):
            refused(body)
            times.append(time.thread_time())
    finally:
        gc.unfreeze()
    return min(end - start for start, end in pairwise(times))


@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY)
def test_the_costliest_body_costs_no_more_than_some_harmless_ones(body):
    """It was 5 times at most when this was written; whatever grows faster than the body, 100s."""
    assert len(body) <= LARGEST
    assert seconds(body) < 30 * seconds(HARMLESS)
