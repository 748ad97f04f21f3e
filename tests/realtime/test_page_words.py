"""Health in words, what a page is sent, and what it may ask for. No network."""

import json
import random

import numpy as np
import pytest
from fed_gate import meters

from gate.errors import GateError
from realtime.live.shared_state import HOP_FIELDS, HOP_ROWS
from realtime.live.status import snapshot
from realtime.page.commands import ACTIONS, act
from realtime.page.feed import HISTORY_HOPS, Feed
from realtime.page.health import Health


@pytest.fixture
def state(running):
    return running


# Health


def health_of(state, control, health, **status):
    lines, summary = health.lines({**snapshot(state, control), **status})
    return {line["name"]: line for line in lines}, summary


def test_all_is_well(state, control):
    lines, summary = health_of(state, control, Health())
    assert summary == ""
    assert {line["level"] for line in lines.values()} == {"ok"}
    assert lines["Sound"]["text"] == "flowing" and lines["Dropouts"]["text"] == "none"


@pytest.mark.parametrize(
    ("status", "name", "text"),
    [
        ({"xruns": 3}, "Dropouts", "sound is being lost now"),
        ({"detector_failures": 2}, "Detector", "failing: the gate stays open meanwhile"),
        ({"detector_overruns": 9, "detector_late_ms": 1.25}, "Detector", "too slow by 1.2 ms"),
        ({"record_dropped": 1}, "Recording", "the disk is too slow or full"),
        ({"nonfinite_samples": 1}, "Driver", "made silent"),
        ({"callback_errors": 1}, "Gate", "after an error"),
    ],
)
def test_what_happens_now_is_bad_and_what_is_over_is_a_note(state, control, status, name, text):
    now = [100.0]
    health = Health(lambda: now[0])
    health_of(state, control, health)
    lines, summary = health_of(state, control, health, **status)
    assert lines[name]["level"] == "bad" and text in lines[name]["text"]
    assert text in summary and summary.startswith(f"{name}: ")
    now[0] += 60.0
    lines, summary = health_of(state, control, health, **status)
    assert lines[name]["level"] == "note" and summary == ""


def test_states_of_the_sound(state, control):
    health = Health()
    for name, words in (("lost", "trying again"), ("silence", "the input is gone")):
        lines, summary = health_of(state, control, health, status=name)
        assert lines["Sound"]["level"] == "bad" and words in summary
    lines, summary = health_of(state, control, health, connection="The gate hears itself.")
    assert summary == "Sound: The gate hears itself."
    lines, _ = health_of(state, control, health, restarts=2)
    assert lines["Sound"] == {"name": "Sound", "level": "note",
                              "text": "flowing, started again 2 times"}  # fmt: skip


def test_load_and_the_second_ear(state, control):
    health = Health()
    for p99, level in ((0.1, "ok"), (0.8, "note"), (1.2, "bad")):
        lines, _ = health_of(state, control, health, load_mean=0.05, load_p99=p99)
        assert lines["Load"]["level"] == level
        assert lines["Load"]["figure"] == f"5%, peaks {p99:.0%}"
    assert "Second ear" not in health_of(state, control, health)[0], "it has none"
    lines, _ = health_of(state, control, health, ears_heard=["silero"])
    assert lines["Second ear"]["level"] == "ok"
    lines, summary = health_of(state, control, health, ears_silent={"silero": "not installed"})
    assert lines["Second ear"]["level"] == "note" and summary == ""
    assert lines["Second ear"]["text"].endswith("without it: not installed")


# The feed


class Reader:
    """Keeps what a page would keep."""

    def __init__(self):
        self.now, self.levels, self.end = {}, {}, 0

    def take(self, text):
        message = json.loads(text)
        self.now |= message.get("now", {})
        if "hello" in message:
            hello = message["hello"]
            self.column = hello["columns"].index("input_dbfs")
            self.factor = hello["factors"][self.column]
            self.levels = {}
        for row, hop in enumerate(message["hops"], message["row"]):
            value = hop[self.column]
            self.levels[row] = None if value is None else value / self.factor
        self.end = message["row"] + len(message["hops"])
        return message


def put(state, n):
    """`n` hops whose level tells their number."""
    for _ in range(n):
        state.put_hop(meters(input_dbfs=-(state.hop_rows % 100) - 0.5))


def test_hello_and_frames_hold_every_hop_and_the_latest_of_everything(state, control):
    feed = Feed(state, control)
    old, late = Reader(), Reader()
    put(state, 7)
    feed.frame()
    old.take(feed.hello())
    for n, threshold in ((3, -41.0), (0, -42.0), (25, -43.0), (1, -44.0)):
        put(state, n)
        control.change({"threshold_db": threshold})
        message = old.take(feed.frame())
        assert message["now"]["threshold_db"] == threshold
        assert "range_db" not in message["now"], "only what has changed"
    # Between a frame and a greeting the world goes on: neither page may lose it.
    put(state, 2)
    control.change({"range_db": -20.0})
    late.take(feed.hello())
    for page in (old, late):
        page.take(feed.frame() if page is old else json.dumps({"row": late.end, "hops": []}))
    assert old.now["range_db"] == -20.0
    assert old.end == state.hop_rows and sorted(old.levels) == list(range(old.end))
    assert all(old.levels[row] == -(row % 100) - 0.5 for row in old.levels)
    assert sorted(late.levels) == list(range(36)), "as far as the last frame"
    assert late.now["threshold_db"] == -44.0 and late.now["range_db"] == -60.0


def test_a_page_that_slept_gets_ten_seconds_not_more(state, control):
    feed, page = Feed(state, control), Reader()
    put(state, HOP_ROWS + 500)
    message = json.loads(feed.frame())
    assert len(message["hops"]) == HISTORY_HOPS
    assert message["row"] + HISTORY_HOPS == state.hop_rows
    page.take(feed.hello())
    assert len(page.levels) == HISTORY_HOPS and page.end == state.hop_rows


def test_what_is_not_a_number_is_null(state, control):
    feed, page = Feed(state, control), Reader()
    state.put_hop(meters(presence=np.nan, input_dbfs=-np.inf, attack_ms=np.nan))
    state.put_hop(meters(input_dbfs=np.nan))
    message = json.loads(feed.frame(), parse_constant=pytest.fail)
    page.take(feed.hello())
    assert page.levels[1] is None and page.levels[0] < -1e6
    presence = json.loads(feed.hello())["hello"]["columns"].index("presence")
    assert message["hops"][0][presence] is None and message["hops"][1][presence] == 500


def test_every_column_is_a_meter(state, control):
    hello = json.loads(Feed(state, control).hello())["hello"]
    assert set(hello["columns"]) <= set(HOP_FIELDS)
    assert {"input_dbfs", "key_level_dbfs", "presence", "open", "gain_db", "evidence"} <= set(
        hello["columns"]
    )


def test_events_are_told_once_and_the_last_ones_to_who_comes_later(state, control):
    feed = Feed(state, control)
    control.say("first")
    assert [e["text"] for e in json.loads(feed.frame())["events"]] == ["first"]
    assert "events" not in json.loads(feed.frame())
    for i in range(50):
        control.say(f"line {i}")
    feed.frame()
    told = [e["text"] for e in json.loads(feed.hello())["events"]]
    assert told[-1] == "line 49" and 10 <= len(told) < 50


# Commands


def test_what_a_page_may_ask_for(control):
    change = {"do": "change", "settings": {"threshold_db": -33, "bypass": True}}
    assert act(control, json.dumps(change)) is None
    assert control.settings.threshold_db == -33 and control.settings.bypass
    assert act(control, '{"do": "mute", "on": true}') is None and control.muted


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"do": "change", "settings": {"threshold_db": 7}}, "threshold_db=7 must be from"),
        ({"do": "change", "settings": {"thresh": 7}}, "unknown setting 'thresh'"),
        ({"do": "change", "settings": {"target": "hens"}}, "must be one of speech, voice"),
        ({"do": "change"}, "settings=None must be a mapping"),
        ({"do": "mute", "on": 1}, "on=1 must be true or false"),
        ({"do": "profile", "path": "/etc/passwd"}, "must be one of those listed"),
        ({"do": "profile", "path": ["a"]}, "must be one of those listed"),
        ({"do": "keep", "name": "../../hens"}, "must be a plain name"),
        ({"do": "keep", "name": " "}, "give the profile a name"),
        ({"do": "keep", "name": "x" * 61}, "may have 60"),
        ({"do": "quit"}, "do='quit' must be one of"),
        ([1], "must be an object"),
    ],
)
def test_what_is_refused_changes_nothing(control, message, answer):
    before = control.settings
    assert answer in act(control, json.dumps(message))
    assert control.settings == before and not control.muted and control.profile is None


def test_whatever_is_asked_nothing_is_raised(control):
    rng = random.Random(0)
    values = [None, True, 0, -1, 1e400, 10**400, "", "x", "\x00", "é" * 5000, [], [[]], {},
              {"a": {}}, {"threshold_db": None}, {"key": {"low_hz": "x"}}, {"target": []},
              {"": 1}]  # fmt: skip
    for _ in range(2000):
        message = {name: rng.choice(values) for name in ("settings", "on", "path", "name")}
        message["do"] = rng.choice([*ACTIONS, "other", *values])
        answer = act(control, json.dumps(message))
        assert answer is None or (isinstance(answer, str) and answer)
    for _ in range(500):
        assert act(control, rng.randbytes(rng.randrange(60))), "noise is answered"
    assert act(control, "[" * 2000) == "a message must be JSON"


def test_refusals_of_the_teacher_are_passed_on(control, monkeypatch):
    def refuse():
        raise GateError("nothing has been heard yet")

    monkeypatch.setattr(control, "mark_open", refuse)
    assert act(control, '{"do": "open"}') == "nothing has been heard yet"
