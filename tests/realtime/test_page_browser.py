"""The page in a real browser, over a real gate that is fed by a thread."""

import contextlib
import time

import pytest
import teaching
from browser import chromium
from fed_gate import FedGate, bursts
from teaching import ProjectionDetector
from test_page_server import free_port, served

from benchmarks.live.browser import Heap
from realtime.page import feed as page_feed
from realtime.page import server as page_server

PATIENCE_MS = 240_000  # a busy machine is slow; nothing here waits for a clock


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def gate():
    with FedGate(bursts(), threshold_db=-40.0) as gate:
        yield gate


@pytest.fixture(autouse=True)
def as_it_was(request):
    yield
    if "gate" in request.fixturenames:
        control = request.getfixturevalue("gate").control
        control.change({"threshold_db": -40.0, "range_db": -60.0, "bypass": False})


@contextlib.contextmanager
def looked_at(browser, server, width=300, height=600, scheme="dark", query=""):
    """A page that is connected; afterwards it must not have complained or asked elsewhere."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.trouble, page.asked = [], []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(server.address + query)
    page.wait_for_selector("#offline", state="hidden")
    wait(page, "document.querySelector('#threshold_db').value !== '' && !document.querySelector"
               "('#main').classList.contains('off')")  # fmt: skip
    try:
        yield page
        assert page.trouble == []
        assert all(url.startswith(server.address) for url in page.asked), page.asked
    finally:
        context.close()


@pytest.fixture(scope="module")
def shared_server(gate):
    with served(gate) as server:
        yield server


@pytest.fixture(scope="module")
def page(browser, shared_server):
    """One that stays open from test to test, as a dock does."""
    with looked_at(browser, shared_server) as page:
        yield page


def until(condition, what="not met in time"):
    deadline = time.monotonic() + PATIENCE_MS / 1e3
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait(page, condition):
    """Until JavaScript is true; `wait_for_function` would need what the page's policy forbids."""
    until(lambda: page.evaluate(condition), condition)


def shows(page, selector, words):
    until(lambda: words in page.text_content(selector), f"{selector} never says {words}")


def settled(gate, *pages):
    """The threshold, once every page, the control and the engine agree and stay so."""
    agreed = []
    while len(agreed) < 5 or len(set(agreed[-5:])) > 1:
        until(lambda: {gate.settings["threshold_db"], gate.control.settings.threshold_db}
              == {float(page.input_value("#threshold_db")) for page in pages})  # fmt: skip
        agreed.append(gate.settings["threshold_db"])
        time.sleep(0.05)
    return agreed[-1]


def drag_line(page, by):
    """Take the threshold's line and move it `by` pixels down."""
    box = page.locator("#line").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + by / 2)
    page.mouse.move(x, y + by)
    page.mouse.up()


def test_the_threshold_is_dragged_and_the_engine_obeys(gate, page):
    before = page.locator("#line").bounding_box()["y"]
    drag_line(page, -30)
    until(lambda: gate.settings["threshold_db"] > -40.0)
    up = settled(gate, page)
    assert -40.0 < up < -10.0 and up * 2 == round(up * 2), "in half decibels"
    after = page.locator("#line").bounding_box()["y"]
    assert abs((before - after) - 30) <= 2, "the line is where it was let go"
    # Above the bursts (-17 dBFS) the gate must stay shut; below them it opens again.
    drag_line(page, -200)
    until(lambda: gate.settings["threshold_db"] == 0.0)
    opened = gate.gate.counters.open_hops
    until(lambda: gate.state.last_hop()["reason"] == "below threshold")
    shows(page, "#state-word", "Shut")
    opened = gate.gate.counters.open_hops
    time.sleep(1.1)
    assert gate.gate.counters.open_hops == opened
    gate.control.change({"threshold_db": -40.0})
    shows(page, "#state-word", "Open")


def test_keys_reach_every_control(gate, page):
    page.focus("#threshold_db")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    until(lambda: gate.settings["threshold_db"] == -39.0)
    assert page.get_attribute("#threshold_db", "aria-valuetext") == "minus 39 dBFS"
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    wanted = ["range_db", "lookahead_ms", "bypass", "muted", "key_listen", "target"]
    assert [name for name in reached if name in wanted][: len(wanted)] in (wanted, wanted[:-1])
    page.focus("#bypass")
    page.keyboard.press("Space")
    until(lambda: gate.settings["bypass"])
    shows(page, "#state-word", "Bypass")


def test_what_others_change_is_shown_and_what_is_clicked_is_done(gate, page):
    gate.control.change({"range_db": -24.0, "lookahead_ms": 5.0, "key_listen": True})
    gate.control.set_muted(True)
    wait(page, "document.querySelector('#range_db').value === '-24'")
    wait(page, "document.querySelector('#lookahead_ms').value === '5'")
    for name in ("muted", "key_listen"):
        wait(page, f"document.querySelector('#{name}').getAttribute('aria-checked') === 'true'")
        page.click(f"#{name}")
    wait(page, "document.querySelector('#muted').getAttribute('aria-checked') === 'false'")
    until(lambda: not gate.control.muted and not gate.path.muted)
    until(lambda: not gate.settings["key_listen"])
    page.fill("#lookahead_ms", "0")
    until(lambda: gate.settings["lookahead_ms"] == 0.0)


def test_two_pages_at_once(browser, gate, shared_server, page):
    with looked_at(browser, shared_server, 1200, 800, "light") as wide:
        drag_line(wide, 60)
        until(lambda: gate.settings["threshold_db"] < -42.0)
        assert settled(gate, page, wide) < -42.0
        page.click("#bypass")
        wait(wide, "document.querySelector('#bypass').getAttribute('aria-checked') === 'true'")


def test_the_connection_is_lost_and_comes_back(browser, gate):
    port = free_port()
    with served(gate, port) as first, looked_at(browser, first) as page:
        first.stop()
        page.wait_for_selector("#offline", state="visible")
        assert "comes back by itself" in page.text_content("#offline")
        assert page.is_disabled("#bypass") and page.is_disabled("#threshold_db")
        gate.control.change({"threshold_db": -47.5})
        with served(gate, port):
            page.wait_for_selector("#offline", state="hidden")
            wait(page, "document.querySelector('#threshold_db').value === '-47.5'")
            assert page.is_enabled("#bypass")
            page.click("#bypass")
            until(lambda: gate.settings["bypass"])


def test_an_address_that_is_no_longer_valid_says_so(browser, gate):
    port = free_port()
    with served(gate, port) as first, looked_at(browser, first) as page:
        first.stop()
        with served(gate, port, token="n" * 24):
            shows(page, "#offline", "gate-live prints")
        page.asked.clear()


def test_refusals_are_said_and_undone(gate, page):
    page.evaluate("document.querySelector('#threshold_db').max = 20")
    page.fill("#threshold_db", "20")
    shows(page, "#toast", "threshold_db=20")
    wait(page, "document.querySelector('#threshold_db').value === '-40'")
    assert page.get_attribute("#toast", "role") == "alert"
    assert gate.settings["threshold_db"] == -40.0


def pixels(page, colour):
    """How many pixels of the canvas are about a colour of the style sheet."""
    return page.evaluate(
        """(name) => {
          const probe = document.createElement("i");
          probe.style.color = getComputedStyle(document.documentElement).getPropertyValue(name);
          document.body.append(probe);
          const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
          probe.remove();
          const c = document.querySelector("canvas");
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          let n = 0;
          for (let i = 0; i < data.length; i += 4) {
            const off = [r, g, b].map((v, k) => Math.abs(data[i + k] - v));
            if (data[i + 3] > 200 && Math.max(...off) < 5) n++;
          }
          return n;
        }""",
        colour,
    )


def test_the_meter_shows_levels_and_where_it_was_open(gate, page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # the meter takes the other colours over
        until(lambda: len(page.text_content("[data-reading=key_level_dbfs] b")) > 1)
        until(lambda: pixels(page, "--open") > 100)
    gate.control.change({"threshold_db": 0.0})
    shows(page, "#state-word", "Shut")
    now = pixels(page, "--open")
    until(lambda: pixels(page, "--open") < now, "the open part leaves to the left")


CONTRAST = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.offsetParent || e.disabled || e.closest("noscript")) continue;
    const pair = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const [a, b] = pair.sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${e.id || e.tagName} ${e.textContent.trim()} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

EVERYTHING = {
    "teach_open_s": 3.2, "teach_shut_s": 6.4, "teach_need_s": 5, "teach_good_s": 10,
    "teach_level": "too quiet", "teach_level_dbfs": -71.0, "teach_step": "more open",
    "teach_next": "Make the sound that should open the gate once more.",
    "teach_fitting": False, "teach_fitted": True, "teach_error": None, "teach_quality": 0.94,
    "teach_marks": 2, "teach_kept": None, "restarts": 1, "xruns": 4,
    "ears_silent": {"silero": "silero-vad is not installed"},
    "hint": "Speech at −58 dBFS stays below −50.", "hint_threshold_db": -64.0,
    "connection": "The gate hears itself.",
}  # fmt: skip


@pytest.fixture
def everything(monkeypatch):
    """Every field that there may be, at once."""
    plain = page_feed.snapshot
    monkeypatch.setattr(page_feed, "snapshot", lambda *what: {**plain(*what), **EVERYTHING})


def test_it_fits_and_can_be_read_at_every_width(browser, gate, everything):
    with served(gate) as server, looked_at(browser, server) as page:
        gate.control.change({"bypass": True})
        shows(page, "#health", "not heard")
        page.evaluate("document.querySelector('details').open = true")
        for width in (300, 420, 640, 900, 1200, 1920):
            page.set_viewport_size({"width": width, "height": 700})
            for scheme in ("dark", "light") if width in (300, 1200) else ():
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(CONTRAST) == []
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{wide} of {width}"
        cut = page.evaluate(
            "[...document.querySelectorAll('button, label, dt, dd, output, p')].filter(e =>"
            "e.offsetParent && e.scrollWidth > e.clientWidth + 1 && !e.matches('.where, .hidden'))"
            ".map(e => e.id || e.textContent)"
        )
        assert cut == []


def test_a_screen_reader_finds_names_roles_and_news(browser, gate, everything):
    with served(gate) as server, looked_at(browser, server) as page:
        page.wait_for_selector("#teach")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, select, canvas')].filter(e =>"
            "e.offsetParent && !(e.labels?.length || e.textContent.trim() ||"
            "e.getAttribute('aria-label'))).map(e => e.id)"
        )
        assert unnamed == []
        for name in ("Threshold", "Range", "Lookahead"):
            assert page.get_by_role("slider", name=name).count() == 1
        for name in ("Bypass", "Mute", "Hear key"):
            assert page.get_by_role("switch", name=name).count() == 1
        assert page.get_by_role("button", name="This is it").count() == 1
        assert page.get_by_role("img").count() == 1
        assert page.get_attribute("#summary", "role") == "status"
        assert "hears itself" in page.text_content("#summary")
        assert page.locator("h1").text_content() == "gate-live"


def test_the_hint_is_shown_and_taken(gate, page, monkeypatch):
    class Hint:
        found = (-58.0, -64.0)

        def status(self, threshold_db):
            if threshold_db <= self.found[1]:
                return {"hint": None, "hint_threshold_db": None}
            return {"hint": "speech at −58 dBFS stays below", "hint_threshold_db": self.found[1]}

    monkeypatch.setattr(gate.control, "hint", Hint())
    page.wait_for_selector("#hint", state="visible")
    assert "−58 dBFS" in page.text_content("#hint-text")
    assert page.text_content("#hint-take") == "Set −64 dBFS"
    page.click("#hint-take")
    until(lambda: gate.settings["threshold_db"] == -64.0)
    page.wait_for_selector("#hint", state="hidden")


def test_it_is_taught_by_two_buttons_and_the_gate_goes_over(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    wanted, unwanted = (teaching.bursts(kind, 20.0, 1) for kind in ("low", "high"))
    with (
        FedGate(wanted, ProjectionDetector(), threshold_db=-60.0) as gate,
        served(gate) as server,
        looked_at(browser, server) as page,
    ):
        def hear(sound, seconds=6.0):
            gate.sound, gate.speed = sound, 10.0
            row = gate.state.hop_rows
            until(lambda: gate.state.hop_rows > row + 100 * seconds)
            gate.speed = 1.0

        def mark(sound, side):
            """Press the button until there is enough."""
            for _ in range(4):
                hear(sound)
                page.click(f"#mark-{side}")
                if "enough" in page.get_attribute(f"#mark-{side}", "class"):
                    return
                page.wait_for_timeout(200)

        hear(wanted)
        assert gate.passed < 0.01, "nobody told it what to open on"
        assert "This is it" in page.text_content("#teach-next")
        assert page.is_disabled("#undo") and page.is_hidden("#keep-form")
        page.click("#mark-open")
        until(lambda: page.is_enabled("#undo"))
        page.click("#undo")
        until(lambda: page.is_disabled("#undo"))
        shows(page, "#open-s", "0.0 of 5 s")
        mark(wanted, "open")
        shows(page, "#teach-next", "not it")
        mark(unwanted, "shut")
        shows(page, "#teach-state", "Taught")
        assert page.text_content("#toast") == ""
        assert gate.control.profile is not None, "the gate went over without a click"
        assert "right" in page.text_content("#teach-state")
        hear(wanted)
        until(lambda: gate.passed > 0.8)
        hear(unwanted)
        until(lambda: gate.passed < 0.2)

        page.fill("#keep-name", "../low")
        page.click("#keep-form button")
        shows(page, "#toast", "plain name")
        page.fill("#keep-name", "low tones")
        page.keyboard.press("Enter")
        shows(page, "#teach-state", "Kept as low tones")
        kept = tmp_path / "exemplar-gate" / "profiles" / "low tones.gate.yaml"
        assert kept.exists() and page.is_hidden("#keep-form")
        until(lambda: "low tones" in page.locator("#profile option").all_text_contents())

        asked = []
        monkeypatch.setattr(gate.control, "wrong", lambda: asked.append("wrong"))
        page.click("#wrong")
        until(lambda: asked == ["wrong"])


def test_the_theme_can_be_forced(browser, shared_server):
    with looked_at(browser, shared_server, scheme="light", query="?theme=dark") as page:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"


def loaded_anew(page):
    try:
        return page.evaluate("window.old === undefined") and page.is_hidden("#offline")
    except Exception as error:
        if "navigation" in str(error):  # asked in the very middle of it
            return False
        raise


def test_a_page_with_other_files_loads_itself_anew(browser, gate, monkeypatch):
    port = free_port()
    with served(gate, port) as first, looked_at(browser, first) as page:
        page.evaluate("window.old = true")
        first.stop()
        monkeypatch.setattr(page_server, "_version", lambda contents: "another")
        with served(gate, port):
            until(lambda: loaded_anew(page))


def test_its_memory_is_flat(browser, monkeypatch):
    monkeypatch.setattr(page_server, "PERIOD_S", 0.004)
    with FedGate(bursts(), speed=2.0, threshold_db=-40.0) as gate, served(gate) as server:
        with looked_at(browser, server) as page:
            held = Heap(page)

            def pass_frames(n):
                """Frames with all that changes: settings, events, hops."""
                for i in range(n // 20):
                    gate.control.say(f"line {i}")
                    gate.control.change({"threshold_db": -40.0 - i % 5})
                    start = server._feed._ticks
                    until(lambda start=start: server._feed._ticks >= start + 20)
                settled(gate, page)  # all of them have arrived

            pass_frames(500)  # lists are full, what will be compiled has been
            heap, nodes = held.look()
            pass_frames(700)
            later, more = held.look()
            # What a frame brings is a kilobyte once it is read.
            assert later - heap < 350_000, (heap, later)
            assert more - nodes < 200, (nodes, more)
