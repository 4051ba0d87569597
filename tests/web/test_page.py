"""The page in a real browser, with the real app, broker and worker."""

from __future__ import annotations

import base64
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from chatrpc.broker import Node
from chatrpc.machine.ports import lan_address
from tests.programs import CHROMIUM_FLAGS, Program, Standing, consumer, serving

pytestmark = pytest.mark.browser

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}
PROJECTOR = {"width": 1920, "height": 1080}
AT_THE_END = "scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 2"
SHOUTED = "window.shouted = 1"

Open = Callable[..., Page]

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium; it ends with the module, since Playwright's loop would disturb other tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, standing: Standing) -> Iterator[Open]:
    """Opens the chat as a person of its own; any error of a script fails the test."""
    contexts, errors = [], []

    def open_page(
        *,
        at: str = standing.site,
        size: dict[str, int] = DESKTOP,
        locale: str = "es-CO",
        **more: object,
    ) -> Page:
        context = browser.new_context(viewport=size, locale=locale, **more)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: errors.append(said.text) if "Content Security" in said.text else None,
        )
        page.goto(at)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def impatient(service: str) -> Iterator[str]:
    """The address of an app of the test's own, whose messages wait for three seconds."""
    with serving(service, CHATRPC_TIMEOUT="3") as address:
        yield address


@pytest.fixture(scope="module")
def lan(url: str) -> Iterator[str]:
    """The address of an app for the room, which nobody stops."""
    with serving(f"test-{uuid.uuid4().hex[:8]}", "--lan") as site:
        yield f"http://{lan_address()}:{site.rpartition(':')[2]}"


def say(page: Page, text: str) -> None:
    """Type a message, and press Enter."""
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def no_sideways(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth
            && document.getElementById('scroller').scrollWidth
            <= document.getElementById('scroller').clientWidth"""
    )


def eventually(page: Page, condition: str) -> None:
    """Wait until a condition holds; the page's own policy forbids Playwright's way to wait."""
    deadline = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def test_hola_and_enter(open_page: Open, standing: Standing) -> None:
    """The own bubble at once, dots while it waits, the answer with who gave it and how fast."""
    page = open_page()
    expect(page.locator("#presence")).to_have_text("1 worker escucha")
    expect(page.locator("#text")).to_be_focused()
    say(page, "hola")
    expect(page.locator(".own .said")).to_have_text("hola")
    expect(page.locator(".answer .said")).to_contain_text("¡Hola!")
    expect(page.locator(".reply .meta")).to_contain_text(
        re.compile(rf"{standing.worker.process.pid} · \d+ ms · \d")
    )
    expect(page.locator("#text")).to_have_value("")
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#welcome")).to_be_hidden()
    assert page.locator("#log").get_attribute("role") == "log"
    assert page.evaluate("document.documentElement.lang") == "es"


def test_the_button_and_two_lines(open_page: Open) -> None:
    """Shift+Enter starts a line, the button sends, and lines stay lines."""
    page = open_page()
    expect(page.locator("#send")).to_be_disabled()
    page.locator("#text").press_sequentially("/echo uno")
    page.locator("#text").press("Shift+Enter")
    page.locator("#text").press_sequentially("dos")
    assert page.locator(".turn").count() == 0
    page.locator("#send").click()
    expect(page.locator(".answer .said")).to_have_text("uno\ndos", use_inner_text=True)


def test_nothing_empty_is_sent_and_nothing_too_long(open_page: Open) -> None:
    """Enter does nothing then, and the line below says why."""
    page = open_page(locale="en-US")
    say(page, "  ")
    say(page, "x" * 4001)
    expect(page.locator("#hint")).to_have_text("Too long: 4001 characters, at most 4000 go.")
    expect(page.locator("#send")).to_be_disabled()
    assert page.locator(".turn").count() == 0


def test_english_for_an_english_browser(open_page: Open) -> None:
    """By the browser's languages; one that is neither gets English."""
    for locale in ("en-GB", "de-DE"):
        page = open_page(locale=locale)
        expect(page.locator("#presence")).to_have_text("1 worker is listening")
        expect(page.get_by_role("textbox", name="Message")).to_be_visible()


def test_answers_find_their_questions(open_page: Open) -> None:
    """Three are under way at once: the quick answers come first, each below its own question."""
    page = open_page()
    say(page, "/lento 2")
    say(page, "/eco uno")
    say(page, "/eco dos")
    turns = page.locator(".turn")
    expect(turns.nth(1).locator(".answer .said")).to_have_text("uno")
    expect(turns.nth(2).locator(".answer .said")).to_have_text("dos")
    expect(turns.nth(0).locator(".dots")).to_be_visible()
    expect(turns.nth(0).locator(".answer .said")).to_contain_text("Listo")


def test_a_fourth_waits_its_turn(open_page: Open) -> None:
    """Three under way: the fourth stays in the field until one is answered."""
    page = open_page(locale="en-US")
    held: list[Route] = []
    page.route("**/api/messages", lambda route: held.append(route))
    for n in range(3):
        say(page, f"/echo {n}")
    say(page, "/echo four")
    expect(page.locator("#hint")).to_contain_text("Three messages are under way")
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator("#text")).to_have_value("/echo four")
    assert page.locator(".turn").count() == 3
    held[1].continue_()
    expect(page.locator(".turn").nth(1).locator(".answer .said")).to_have_text("1")
    expect(page.locator("#send")).to_be_enabled()
    page.locator("#text").press("Enter")
    expect(page.locator(".turn")).to_have_count(4)
    deadline = time.monotonic() + 15
    while len(held) < 4:  # the bubble is there a moment before the request
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)
    for route in (held[3], held[2], held[0]):
        route.continue_()
    expect(page.locator(".answer .said")).to_have_text(["0", "1", "2", "four"])


def test_script_is_shown_as_text(open_page: Open) -> None:
    """In the question, in the answer and in an error: text, and nothing runs."""
    page = open_page()
    attack = f'<img src=x onerror="{SHOUTED}"><script>{SHOUTED}</script>'
    say(page, f"/echo {attack}")
    say(page, f"/fail {attack}")
    expect(page.locator(".own .said").first).to_contain_text(attack)
    expect(page.locator(".answer .said")).to_have_text(attack)
    expect(page.locator(".error .detail")).to_contain_text(attack)
    say(page, f'/echo javascript:{SHOUTED} http://example.org/"onclick="{SHOUTED}')
    expect(page.locator(".answer")).to_have_count(2)
    assert page.locator(".turn img, .turn script, .turn [onclick]").count() == 0
    links = page.locator(".turn a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert set(links) == {"http://example.org/"}
    assert page.evaluate("window.shouted") is None


def test_a_failure_is_a_bubble(open_page: Open) -> None:
    """What happened, that it ran, and a way to send it again."""
    page = open_page(locale="en-US")
    say(page, "/fail on purpose")
    error = page.locator(".error")
    expect(error).to_contain_text("method failed")
    expect(error).to_contain_text("RuntimeError: on purpose")
    expect(error).to_contain_text("It ran, and failed.")
    say(page, "/echo go on")
    expect(page.locator(".answer .said")).to_have_text("go on")


def test_nobody_listens_and_then_somebody_does(open_page: Open, site: str, service: str) -> None:
    """The error says what to start; sent again, with the same id, it is answered."""
    page = open_page(at=site, locale="en-US")
    sent: list[str] = []
    page.on(
        "request",
        lambda request: sent.append(request.post_data_json["id"]) if request.post_data else None,
    )
    expect(page.locator("#presence")).to_have_text("Nobody is listening")
    say(page, "/echo at last")
    error = page.locator(".error")
    expect(error).to_contain_text("Nobody is listening")
    expect(error.locator("code")).to_have_text("python worker/consumer.py")
    expect(error).to_contain_text("It was not done.")
    with consumer(service):
        expect(page.locator("#presence")).to_have_text("1 worker is listening")
        error.get_by_role("button", name="Send again").click()
        expect(page.locator(".answer .said")).to_have_text("at last")
    expect(page.locator(".error")).to_have_count(0)
    assert page.locator(".turn").count() == 1
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert re.fullmatch("[0-9a-f]{32}", sent[0])


def test_the_worker_stops_while_one_writes(
    open_page: Open, impatient: str, worker: Program
) -> None:
    """The light changes within two seconds; the waiting message says what to do, then the error."""
    page = open_page(at=impatient)
    say(page, "hola")
    expect(page.locator(".answer")).to_have_count(1)
    worker.stop()
    stopped = time.monotonic()
    expect(page.locator("#presence")).to_have_text("Nadie escucha")
    assert time.monotonic() - stopped < 2.5
    say(page, "¿sigues ahí?")
    note = page.locator(".note")
    expect(note).to_contain_text("El mensaje espera en la cola")
    expect(note.locator("code")).to_have_text("python worker/consumer.py")
    error = page.locator(".error")
    expect(error).to_contain_text("Nadie escucha")
    expect(error).to_contain_text("python worker/consumer.py")
    expect(error).to_contain_text("Puede que se haya hecho")


def test_send_again_pours_one_cup(open_page: Open) -> None:
    """The answer is lost on its way to the page; the message, sent again, is the same one."""
    page = open_page(locale="en-US")
    lost: list[int] = []

    def lose_the_first_answer(route: Route) -> None:
        response = route.fetch()
        lost.append(response.status)
        if len(lost) == 1:
            route.abort()
        else:
            route.fulfill(response=response)

    page.route("**/api/messages", lose_the_first_answer)
    say(page, "/coffee")
    error = page.locator(".error")
    expect(error).to_contain_text("It may have been done")
    error.get_by_role("button", name="Send again").click()
    expect(page.locator(".answer .said")).to_contain_text("number 1")
    assert lost == [200, 200]
    say(page, "/coffee")
    expect(page.locator(".answer .said").nth(1)).to_contain_text("number 2")


def test_two_pages_get_their_own_answers(open_page: Open) -> None:
    """Two people at once: each sees only what is theirs."""
    ana, luis = open_page(), open_page(size=PHONE)
    for n in range(3):
        say(ana, f"/eco ana {n}")
        say(luis, f"/eco luis {n}")
        expect(ana.locator(".answer .said").nth(n)).to_have_text(f"ana {n}")
        expect(luis.locator(".answer .said").nth(n)).to_have_text(f"luis {n}")
    assert ana.locator(".turn").count() == luis.locator(".turn").count() == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(open_page: Open, scheme: str) -> None:
    """320 pixels: nothing sideways, all within the window, fingers can hit the buttons."""
    page = open_page(size=PHONE, color_scheme=scheme, has_touch=True, is_mobile=True)
    assert no_sideways(page)
    say(page, "x" * 300)
    say(page, "/fail " + "https://example.org/" + "y" * 200)
    say(page, "/ayuda")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".error")).to_have_count(1)
    assert no_sideways(page)
    for box in ("#send", ".again"):
        size = page.locator(box).bounding_box()
        assert min(size["width"], size["height"]) >= 38, (box, size)
    eventually(page, AT_THE_END)
    field = page.locator("#text").bounding_box()
    assert field["y"] + field["height"] <= PHONE["height"]
    last = page.locator(".turn").last.bounding_box()
    assert last["y"] + last["height"] <= field["y"] + 1
    background = page.evaluate("getComputedStyle(document.querySelector('.chat')).backgroundColor")
    bright = sum(map(int, re.findall(r"\d+", background)[:3])) > 380
    assert bright == (scheme == "light")


def test_without_a_mouse(open_page: Open) -> None:
    """By keyboard alone: a suggestion, a message, send again; the focus is never lost."""
    page = open_page(locale="en-US")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "chip"
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("/fail")
    page.keyboard.press("Enter")
    expect(page.locator(".error")).to_have_count(1)
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "again"
    page.keyboard.press("Enter")
    expect(page.locator(".dots")).to_have_count(0)
    expect(page.locator(".error")).to_have_count(1)
    expect(page.locator("#text")).to_be_focused()


def test_it_stays_where_one_reads(open_page: Open) -> None:
    """New messages scroll into view, but not while one has scrolled up."""
    page = open_page(size=PHONE)
    say(page, "/ayuda")
    expect(page.locator(".answer")).to_have_count(1)
    say(page, "/ayuda")
    expect(page.locator(".answer")).to_have_count(2)
    eventually(page, AT_THE_END)
    say(page, "/lento 1")
    page.evaluate("scroller.scrollTop = 0")
    expect(page.locator(".answer")).to_have_count(3)
    page.wait_for_timeout(300)
    assert page.evaluate("scroller.scrollTop") == 0


def test_the_server_is_out_of_reach_for_a_while(open_page: Open) -> None:
    """A server that does not answer is a bubble too, and the light says so."""
    page = open_page(locale="en-US")
    expect(page.locator("#presence")).to_have_text("1 worker is listening")
    page.context.set_offline(True)
    say(page, "hello?")
    expect(page.locator(".error")).to_contain_text("server does not answer")
    expect(page.locator("#presence")).to_contain_text("server is away")
    page.context.set_offline(False)
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator("#presence")).to_have_text("1 worker is listening")


def test_less_motion(open_page: Open) -> None:
    """Whoever asks for it sees nothing move."""
    page = open_page(reduced_motion="reduce")
    say(page, "hola")
    expect(page.locator(".answer")).to_have_count(1)
    assert page.evaluate("document.getAnimations().length") == 0


# -- what a reload brings back ------------------------------------------------------------------


def test_the_conversation_survives_a_reload(open_page: Open) -> None:
    """Questions, answers with their workers and times, and errors; in this tab and no other."""
    page = open_page(locale="en-US")
    say(page, "/echo one\ntwo")
    say(page, "/fail on purpose")
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator(".error")).to_have_count(1)
    for _ in range(3):
        say(page, "/help")
    expect(page.locator(".answer")).to_have_count(4)
    before = page.locator("#log").inner_text()
    page.reload()
    expect(page.locator("#presence")).to_have_text("1 worker is listening")
    assert page.locator("#log").inner_text() == before
    eventually(page, AT_THE_END)
    eventually(page, "log.getAttribute('aria-live') === 'polite'")
    expect(page.locator("#welcome")).to_be_hidden()
    say(page, "/echo go on")
    expect(page.locator(".answer .said").last).to_have_text("go on")
    stranger = page.context.new_page()
    stranger.goto(page.url)
    expect(stranger.locator("#welcome")).to_be_visible()
    assert stranger.locator(".turn").count() == 0


def test_a_reload_while_one_waits(open_page: Open) -> None:
    """Perhaps it was done, and that is what the page says; sent again it is the same message."""
    page = open_page(locale="en-US")
    sent: list[str] = []
    page.on(
        "request",
        lambda request: sent.append(request.post_data_json["id"]) if request.post_data else None,
    )
    say(page, "/slow 1.5")
    expect(page.locator(".dots")).to_be_visible()
    page.reload()
    error = page.locator(".error")
    expect(error).to_contain_text("reloaded before the answer came")
    expect(error).to_contain_text("It may have been done")
    error.get_by_role("button", name="Send again").click()
    expect(page.locator(".answer .said")).to_contain_text("that took 1.5 s")
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_a_store_that_is_full_or_spoilt_disturbs_nobody(open_page: Open) -> None:
    """The newest turns are kept, as many as fit; what cannot be read is left away."""
    page = open_page(locale="en-US")
    # A browser keeps some five million characters: here are ten turns of a million.
    page.evaluate("for (let n = 0; n < 10; n++) turns.push({ text: 'x'.repeat(1e6), id: 'old' })")
    say(page, "/echo the newest")
    expect(page.locator(".answer")).to_have_count(1)
    eventually(page, "sessionStorage.getItem('chatrpc').includes('the newest')")
    page.evaluate("sessionStorage.setItem('chatrpc', '[{\"text\": 5}, {]')")
    page.reload()
    say(page, "/echo hello")
    expect(page.locator(".answer .said").last).to_have_text("hello")


# -- for the room -------------------------------------------------------------------------------


GRAY = """async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const { data } = pen.getImageData(0, 0, image.width, image.height);
    let gray = "";
    for (let i = 0; i < data.length; i += 4) gray += String.fromCharCode(data[i]);
    return [image.height, image.width, btoa(gray)];
}"""


def read_screen(page: Page) -> list[str]:
    """What a phone held before this window reads: the texts of all QR codes in it."""
    blank = page.context.browser.new_page()
    png = base64.b64encode(page.screenshot()).decode()
    height, width, gray = blank.evaluate(GRAY, png)
    blank.close()
    picture = memoryview(base64.b64decode(gray)).cast("B", [height, width])
    return [found.text for found in zxingcpp.read_barcodes(picture, try_invert=False)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.skipif(not lan_address(), reason="this machine is in no network")
def test_a_phone_reads_the_way_in(open_page: Open, lan: str, scheme: str) -> None:
    """From the projector, and from another phone, in light and in dark."""
    projector = open_page(at=lan, size=PROJECTOR, color_scheme=scheme)
    eventually(projector, "document.querySelector('#room img').naturalWidth > 0")
    assert read_screen(projector) == [lan]
    phone = open_page(at=lan, size=PHONE, color_scheme=scheme, reduced_motion="reduce")
    assert read_screen(phone) == []
    phone.locator("#invite").click()
    eventually(phone, "document.querySelector('#room img').naturalWidth > 0")
    assert read_screen(phone) == [lan]


@pytest.mark.skipif(not lan_address(), reason="this machine is in no network")
def test_the_way_in_for_the_room(open_page: Open, service: str) -> None:
    """Beside the chat on a projector, on request elsewhere; whoever follows it is in the chat."""
    with serving(service, "--lan") as site, consumer(service):
        port = site.rpartition(":")[2]
        address = f"http://{lan_address()}:{port}"
        projector = open_page(at=site, size=PROJECTOR, locale="en-US")
        code = projector.locator("#room img")
        expect(code).to_be_visible()
        expect(code).to_have_attribute("alt", f"QR: {address}")
        eventually(projector, "document.querySelector('#room img').naturalWidth > 0")
        expect(projector.locator("#room .address")).to_have_text(address)
        assert projector.locator("#invite").is_hidden()
        assert code.bounding_box()["width"] > 300
        assert no_sideways(projector)

        phone = open_page(at=address, size=PHONE, locale="en-US", has_touch=True, is_mobile=True)
        expect(phone.locator("#room")).to_be_hidden()
        say(phone, "/echo from the room")
        expect(phone.locator(".answer .said")).to_have_text("from the room")
        phone.locator("#invite").tap()
        expect(phone.locator("#room img")).to_be_visible()
        expect(phone.locator("#leave")).to_be_focused()
        assert no_sideways(phone)
        assert serious(phone) == []
        phone.keyboard.press("Escape")
        expect(phone.locator("#room")).to_be_hidden()
        expect(phone.locator("#invite")).to_be_focused()


def test_no_way_in_where_there_is_none(open_page: Open) -> None:
    """On loopback there is nothing to follow."""
    page = open_page(size=PROJECTOR)
    assert page.locator("#room, #invite").count() == 0
    assert page.request.get(f"{page.url}room.svg").status == 404


# -- seen, heard and read -----------------------------------------------------------------------


def serious(page: Page) -> list[str]:
    """What axe finds to be serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(open_page: Open, scheme: str, size: dict[str, int]) -> None:
    """The empty page, and one with answers, code, a link, an error and a message under way."""
    page = open_page(size=size, color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("#presence")).to_have_text("1 worker escucha")
    assert serious(page) == []
    say(page, "/eco `print(1)` https://example.org/ ```\nx = 1\n```")
    say(page, "/falla")
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator(".error")).to_have_count(1)
    say(page, "/lento 2")
    expect(page.locator(".dots")).to_be_visible()
    assert serious(page) == []


def test_code_and_links_can_be_read(open_page: Open) -> None:
    """Code keeps its lines and spaces, a link ends before its full stop and opens elsewhere."""
    page = open_page()
    say(page, "/eco Lee https://example.org/a?b=c&d=1. Y `x < 1`:\n```python\nif x:\n    y()\n```")
    answer = page.locator(".answer")
    link = answer.locator("a")
    expect(link).to_have_attribute("href", "https://example.org/a?b=c&d=1")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(answer.locator("code").first).to_have_text("x < 1")
    block = answer.locator("code.block")
    assert block.evaluate("code => code.textContent") == "if x:\n    y()"
    assert "Mono" in block.evaluate("code => getComputedStyle(code).fontFamily")


def test_too_fast_is_a_bubble(open_page: Open, service: str, worker: Program) -> None:
    """Whoever holds the key down is told so, and may send it again."""
    with serving(service, CHATRPC_RATE="0.2") as site:  # one message in five seconds
        page = open_page(at=site, locale="en-US")
        assert (
            page.evaluate("""async () => { await fetch("api/messages", {method: "POST"}); }""")
            is None
        )
        say(page, "/echo now")
        error = page.locator(".error")
        expect(error).to_contain_text("Too fast")
        expect(error).to_contain_text("It was not done.")
        page.wait_for_timeout(5500)
        error.get_by_role("button", name="Send again").click()
        expect(page.locator(".answer .said")).to_have_text("now")


def test_the_broker_restarts_while_one_writes(
    open_page: Open, site: str, worker: Program, node: Node
) -> None:
    """The light goes out and on again; what was written meanwhile is answered in the end."""
    page = open_page(at=site, locale="en-US")
    say(page, "hello")
    expect(page.locator(".answer")).to_have_count(1)
    restart = threading.Thread(target=lambda: (node.stop(), node.start()))
    restart.start()
    try:
        expect(page.locator("#presence")).to_have_text("The broker is away")
        say(page, "/echo still here")
        expect(page.locator(".dots")).to_be_visible()
    finally:
        restart.join()
    expect(page.locator("#presence")).to_have_text("1 worker is listening")
    expect(page.locator(".dots")).to_have_count(0)
    if page.locator(".error").count():  # the start took longer than a message waits
        page.get_by_role("button", name="Send again").click()
    expect(page.locator(".answer .said").last).to_have_text("still here")
