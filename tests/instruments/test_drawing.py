"""The ladder for the eye: where each arrow points, what tells its kind, and what opens."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from test_ladder import CLIENT, OTHER, REPLIES, WORKER, asked, hop, taken, told

from chatrpc import RpcClient, RpcServer
from chatrpc.lab import firehose
from chatrpc.lab.drawing import COLOURS, MARKS, STROKES, STYLE, Picture
from chatrpc.lab.ladder import WHOLE, _live, trace
from chatrpc.lab.rungs import STUBS, Arrow, Kind, Lane

SVG = "{http://www.w3.org/2000/svg}"
ONE = [
    asked("x", "hola"),
    taken("x", "hola"),
    hop("publish", WORKER, REPLIES, "x", "¡hola!"),
    hop("deliver", CLIENT, REPLIES, "x", "¡hola!"),
]


def groups(svg: str) -> list[ET.Element]:
    """The rows of a picture."""
    return list(ET.fromstring(svg).iter(f"{SVG}g"))


def places(svg: str) -> dict[str, float]:
    """Where each lane stands, by its name without its sign."""
    heads = ET.fromstring(svg).findall(f"{SVG}text[@y='42']")
    return {re.sub("^[▤⇉] ", "", head.text or ""): float(head.attrib["x"]) for head in heads}


@pytest.mark.no_broker
def test_each_arrow_goes_from_its_source_and_points_at_its_target() -> None:
    ladder = told(ONE)
    at = places(ladder.svg)
    assert list(at) == ["client 1", "chat", "replies", "worker 1"]
    assert len(set(at.values())) == 4
    for arrow, group in zip(ladder.arrows, groups(ladder.svg), strict=True):
        line, head = group.find(f"{SVG}line"), group.find(f"{SVG}path")
        assert line is not None
        assert head is not None
        tip, _, back = re.match(r"M([\d.]+) ([\d.]+)l(-?\d+)", head.attrib["d"]).groups()  # type: ignore[union-attr]
        way = 1 if at[arrow.target] > at[arrow.source] else -1
        assert float(line.attrib["x1"]) == at[arrow.source]
        assert abs(float(tip) - at[arrow.target]) < 5
        assert int(back) * way < 0  # the head's base lies behind its tip


@pytest.mark.no_broker
def test_covered_what_is_received_points_at_its_party_and_what_is_sent_away() -> None:
    covered = told(ONE).cover()
    (place,) = [x for name, x in places(covered.svg).items() if name == "client 1"]
    sent, received = (group.find(f"{SVG}path") for group in groups(covered.svg))
    tips = [float(re.match(r"M([\d.]+)", p.attrib["d"])[1]) for p in (sent, received)]  # type: ignore[index,union-attr]
    assert tips[0] > place + 100
    assert abs(tips[1] - place) < 5
    assert "worker" not in covered.svg
    assert "chat" not in covered.svg.partition("aria-label")[2].partition(">")[2]


@pytest.mark.no_broker
def test_each_kind_has_its_word_its_dash_and_its_mark() -> None:
    """So that colour is never the only sign."""
    lanes = [Lane("a", "client"), Lane("b", "queue")]
    for kind in Kind:
        target = "" if kind in STUBS else "b"
        (group,) = groups(Picture(lanes, [Arrow(1, "a", target, kind, "so")]).svg)
        line = group.find(f"{SVG}line")
        assert line is not None
        assert line.get("stroke-dasharray", "") == STROKES[kind][1]
        said = "".join(group.itertext())
        if kind is Kind.MISSING:
            assert group.find(f"{SVG}circle") is None
            assert "m0 -16l-16 16" in ET.tostring(group).decode()  # a cross
        elif kind in STUBS:
            assert group.find(f"{SVG}circle") is not None
        if kind is not Kind.MISSING:
            assert kind.value in said
            assert MARKS.get(kind, "") in said
        assert "so" in said or kind is Kind.STRAY  # for which there is no room
    signs = {(STROKES[kind][1], MARKS.get(kind, ""), kind.value) for kind in Kind}
    assert len(signs) == len(Kind)


@pytest.mark.no_broker
def test_a_live_rung_opens_to_its_message_and_all_of_it_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    first = replace(ONE[0], properties={**ONE[0].properties, "app_id": evil, evil: "key"})
    ladder = told([replace(first, body=evil.encode()), *ONE[1:]])
    page = ladder.picture.html
    assert "<img" not in page
    assert page.count('<details class="chatrpc-rung">') == len(ladder.arrows)
    facts = page.split("<table>")[1].partition("</table>")[0]
    for name in ("correlation id", "connection", "routing key", "size", "body"):
        assert f"<th scope='row'>{name}</th>" in facts
    assert "&lt;img src=x" in facts
    noted = Picture([Lane("a", "client")], [Arrow(1, "a", "", Kind.WAITS, "")]).html
    assert "<details" not in noted  # nothing is known of it that could be shown
    assert noted.count("chatrpc-rung") == 1


@pytest.mark.no_broker
def test_each_colour_of_a_live_ladder_has_a_light_and_a_dark_value() -> None:
    light, dark = STYLE.split("[data-jp-theme-light=false]")
    for name, (by_day, by_night) in COLOURS.items():
        assert f"--ladder-{name}:{by_day};" in light
        assert f"--ladder-{name}:{by_night};" in dark
        assert by_day != by_night
    used = set(re.findall(r"var\(--ladder-([a-z-]+)\)", told(ONE).picture.html))
    assert used <= COLOURS.keys()


@pytest.mark.no_broker
def test_the_buttons_cover_and_uncover_the_ladder() -> None:
    ladder = told(ONE)
    choice, page = _live(ladder, ladder.picture, "").children
    assert (choice.value, choice.options) == (WHOLE, (WHOLE, "only client 1", "only worker 1"))
    whole = page.value
    choice.value = "only worker 1"
    assert ladder.cover("worker 1").picture.html in page.value
    choice.value = "only client 1"
    assert ladder.cover("client 1").picture.html in page.value
    choice.value = WHOLE
    assert page.value == whole
    covered = ladder.cover("worker 1")
    assert _live(ladder, covered.picture, "worker 1").children[0].value == "only worker 1"
    assert covered.picture.html in _live(ladder, covered.picture, "worker 1").children[1].value
    assert len(_live(told([]), told([]).picture, "").children) == 1  # nobody to choose


@pytest.mark.no_broker
def test_covered_all_is_in_the_order_of_its_party_with_the_seconds_if_wanted() -> None:
    """Two questions; the second is answered first, the first never."""
    b = [asked("y", "two?"), taken("y", "two?"), hop("publish", WORKER, REPLIES, "y", "two!")]
    hops = [ONE[0], *b, hop("deliver", CLIENT, REPLIES, "y", "two!"), asked("x", "hola")]
    hops[-1] = replace(hops[-1], time=100.5)
    timed = [replace(one, time=100.0 + 0.1 * at) for at, one in enumerate(hops[:-1])]
    ladder = told([*timed, hops[-1]])
    ladder._ended = 101.0
    assert ladder.cover().text.splitlines()[1:] == [
        "#1  → sent      hola",
        "#2  → sent      two?",
        "#2  ← received  two!",
        "#1  → sent      hola  (again)",
        "#1  ✗ nothing came",
    ]
    said = [line.split()[0] for line in ladder.cover(times=True).text.splitlines()[1:]]
    assert said == ["0.00", "0.10", "0.40", "0.50", "1.00"]
    assert "0.40 s" in "".join(ET.fromstring(ladder.cover(times=True).svg).itertext())


@pytest.mark.no_broker
def test_covered_it_counts_the_answers_that_have_no_id() -> None:
    """Three questions without an id, one answer: two did not come, whichever they were."""
    hops = [asked("", f"{n}?", replies="answers") for n in range(3)]
    hops.append(hop("publish", WORKER, "answers", "", "0!"))
    hops.append(hop("deliver", CLIENT, "answers", "", "0!"))
    lines = told(hops).cover().text.splitlines()
    assert lines[-2:] == ["#?  ← received  0!", "#?  ✗ 2 answers did not come"]


@pytest.mark.no_broker
def test_covered_nobody_sees_what_others_said() -> None:
    ladder = told([*ONE, asked("y", "a secret", OTHER)])
    assert "secret" not in ladder.cover("client 1").text + ladder.cover("client 1").svg
    assert "secret" in ladder.cover("client 2").text


@pytest.mark.no_broker
def test_a_random_id_in_a_body_is_the_number_of_its_call() -> None:
    """In the picture that is stored; the live one shows all."""
    id = "1f0c2b3a-7"
    body = json.dumps({"jsonrpc": "2.0", "id": id, "method": "say", "params": ["hola"]})
    ladder = told([asked(id, body)])
    assert ladder.arrows[0].more == body.replace(id, "#1")
    assert id not in ladder.svg
    assert id in ladder.picture.html


def test_what_is_too_much_is_counted_and_not_kept(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firehose, "KEPT", 3)
    server = RpcServer(service)
    server.method("up")(str.upper)
    with server, trace(service) as ladder, RpcClient(service) as client:
        for text in "ab":
            client.call("up", text)
    assert sum(one.about is None for one in ladder.hops) == 3
    assert ladder.text.splitlines()[0] == "5 hops more were seen and not kept."


@pytest.mark.no_broker
def test_a_covered_ladder_is_shown_in_the_same_forms() -> None:
    ladder = told(ONE)
    assert ladder.cover()._repr_mimebundle_().keys() == ladder._repr_mimebundle_().keys()
    assert ladder.cover()._repr_mimebundle_()["text/plain"] == ladder.cover().text
