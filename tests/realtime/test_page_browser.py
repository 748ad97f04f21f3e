"""The page in a real browser: what is done there is done to a real gate."""

import time

import teaching
from fed_gate import FedGate, bursts
from page_rig import drag_line, looked_at, settled, shows, wait
from teaching import ProjectionDetector
from test_page_server import served
from waiting import free_port, until

from benchmarks.live.browser import Heap
from realtime.page import server as page_server

pytest_plugins = ["page_fixtures"]


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


def test_a_finger_drags_the_threshold_and_nothing_scrolls(browser, gate, shared_server):
    with looked_at(browser, shared_server, 360, 500, has_touch=True, is_mobile=True) as phone:
        box = phone.locator("#line").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = phone.context.new_cdp_session(phone)
        for kind, by in (
            ("touchStart", 0),
            ("touchMove", 15),
            ("touchMove", 30),
            ("touchEnd", None),
        ):
            at = [] if by is None else [{"x": x, "y": y + by}]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
        until(lambda: gate.settings["threshold_db"] < -50.0)
        settled(gate, phone)
        moved = phone.locator("#line").bounding_box()["y"] - box["y"]
        assert abs(moved - 30) <= 2 and phone.evaluate("scrollY") == 0


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

        def hear(sound, seconds=8.0):
            gate.sound, gate.speed = sound, 25.0
            row = gate.state.hop_rows
            until(lambda: gate.state.hop_rows > row + 100 * seconds)
            gate.speed = 1.0

        def mark(sound, side):
            """Press the button until there is enough."""
            while "enough" not in page.get_attribute(f"#mark-{side}", "class"):
                hear(sound)
                before = page.text_content(f"#{side}-s")
                page.click(f"#mark-{side}")
                until(lambda: page.text_content(f"#{side}-s") != before)

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
        page.select_option("#profile", label="none")
        until(lambda: gate.control.profile is None)
        page.select_option("#profile", label="low tones")
        until(lambda: gate.control.profile == str(kept))

        asked = []
        monkeypatch.setattr(gate.control, "wrong", lambda: asked.append("wrong"))
        page.click("#wrong")
        until(lambda: asked == ["wrong"])


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
    with FedGate(bursts(), speed=10.0, threshold_db=-40.0) as gate, served(gate) as server:
        with looked_at(browser, server) as page:
            held = Heap(page)

            def pass_frames(n):
                """Frames with all that changes: settings, events, hops."""
                for i in range(n // 5):
                    gate.control.say(f"line {i}")
                    gate.control.change({"threshold_db": -40.0 - i % 5})
                    start = server._feed._ticks
                    until(lambda start=start: server._feed._ticks >= start + 5)
                settled(gate, page)  # all of them have arrived
                return held.look()

            pass_frames(200)  # lists are full
            before, after = pass_frames(20), pass_frames(200)
            assert after["objects"] - before["objects"] < 20, (before, after)
            assert after["nodes"] - before["nodes"] < 50, (before, after)
            assert after["listeners"] == before["listeners"], (before, after)
