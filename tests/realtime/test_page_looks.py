"""How the page looks and reads: widths, contrast, the meter, screen readers, themes."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_rig import looked_at, shows
from test_page_server import served
from waiting import until

from realtime.page import feed as page_feed

pytest_plugins = ["page_fixtures"]


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


def test_it_fits_at_every_width(browser, gate, everything):
    with served(gate) as server, looked_at(browser, server) as page:
        gate.control.change({"bypass": True})
        shows(page, "#health", "not heard")
        page.evaluate("document.querySelector('details').open = true")
        for width in (283, 300, 420, 640, 900, 1200, 1920):
            page.set_viewport_size({"width": width, "height": 700})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{wide} of {width}"
        cut = page.evaluate(
            "[...document.querySelectorAll('button, label, dt, dd, output, p')].filter(e =>"
            "e.offsetParent && e.scrollWidth > e.clientWidth + 1 && !e.matches('.where, .hidden'))"
            ".map(e => e.id || e.textContent)"
        )
        assert cut == []


@pytest.mark.parametrize(("width", "scheme"), [(300, "dark"), (300, "light"), (1200, "light")])
def test_contrast_names_and_roles(browser, gate, everything, width, scheme):
    with served(gate) as server, looked_at(browser, server, width, 600, scheme) as page:
        gate.control.change({"bypass": True})
        shows(page, "#trouble", "hears itself")
        page.evaluate("document.querySelector('details').open = true")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert len(found.response["passes"]) > 30
        heard = page.locator("body").aria_snapshot()
        for line in (
            'heading "gate-live" [level=1]', 'slider "Threshold"', 'slider "Lookahead"',
            'switch "Bypass" [checked]', 'switch "Mute"', 'combobox "Target"',
            'button "This is it 3.2 of 5 s"', 'textbox "Keep as"', 'button "That was wrong"',
            'button "Undo"', 'button "Set −64 dBFS"', 'img "Input and key level',
        ):  # fmt: skip
            assert line in heard, line
        live = page.locator("[aria-live=polite]").aria_snapshot()
        assert "The gate hears itself" in live and "Speech at −58 dBFS" in live


@pytest.mark.parametrize(("theme", "scheme"), [("dark", "light"), ("light", "dark")])
def test_the_theme_can_be_forced(browser, shared_server, theme, scheme):
    with looked_at(browser, shared_server, scheme=scheme, query=f"?theme={theme}") as page:
        wanted = {"dark": "rgb(20, 22, 26)", "light": "rgb(243, 244, 246)"}[theme]
        until(lambda: page.evaluate("getComputedStyle(document.body).backgroundColor") == wanted)
        until(lambda: pixels(page, "--open") > 100)  # the meter, too
