"""What the terminal shows, of any size and with any letters."""

import json

import numpy as np
import pytest
from fed_gate import meters

from realtime.live.panels import in_letters_of, screen
from realtime.live.status import snapshot


def _status(state, control, **changes):
    return snapshot(state, control) | changes


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 10), (20, 5), (132, 43)])
@pytest.mark.parametrize("full", [False, True])
def test_the_screen_fits_any_terminal(state, control, size, full):
    if full:
        for number in range(1000):
            level = -60.0 + 50.0 * np.sin(number / 30)
            reason = "open" if level > -40 else "below threshold"
            state.put_hop(meters(key_level_dbfs=level, open=reason == "open", reason=reason))
        state.status, state.sample_rate, state.block_frames = 1, 48000, 100
    hops, row = state.hops_since(-1100)
    stream = {"input": "mic" * 20, "output": "pulse", "host_api": "ALSA", "detector": "voice"}
    text = screen(_status(state, control), stream, hops, row, ["x" * 300] * 9, *size)
    lines = text.plain.split("\n")
    assert len(lines) == size[1]
    assert max(len(line) for line in lines) <= size[0]
    if full and size[1] >= 24:
        assert "SHUT" in text.plain or "OPEN" in text.plain
        for word in ("threshold -60", "attack 3.0 ms", "150-4000 Hz", "p99", "xruns 0"):
            assert word in text.plain, word
        assert "█" in text.plain and "─" in text.plain


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp437"])
def test_any_terminal_gets_letters_that_it_has(state, control, encoding):
    for number in range(600):
        state.put_hop(meters(time_s=number / 100))
    state.status, state.sample_rate, state.block_frames = 1, 48000, 100
    control.profile = "/home/m\udcfcller/j\u00fcrgen.gate.yaml"
    stream = {"input": "Mikrof\u00f6n \u8033", "output": "x" * 99, "host_api": "ALSA",
              "detector": "voice"}  # fmt: skip
    hops, row = state.hops_since(-600)
    text = screen(_status(state, control), stream, hops, row, ["\udcff"], 100, 30)
    width, spans = [len(line) for line in text.plain.split("\n")], len(text.spans)
    shown = in_letters_of(text, encoding)
    shown.plain.encode(encoding)
    assert [len(line) for line in shown.plain.split("\n")] == width
    assert len(shown.spans) == spans, "colours stay"
    if encoding == "ascii":
        assert "####" in shown.plain and "threshold" in shown.plain


def test_a_failed_detector_shows_as_such(state, control):
    state.put_hop(meters(presence=float("nan"), reason="detector failed"))
    state.status = 1
    status = _status(state, control)
    assert status["presence"] is None
    json.dumps(status, allow_nan=False)
    hops, row = state.hops_since(-10)
    assert "FAILED OPEN" in screen(status, {}, hops, row, [], 80, 24).plain
