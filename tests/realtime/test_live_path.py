"""The callback's work, the queues and the detector's budget, without a device."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from gates import play
from sound_servers import bursts

from gate.detector import NoDetector
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.live.audio_path import AudioPath
from realtime.live.detector_budget import BudgetedDetector, DetectorTooSlow, budget_seconds
from realtime.live.record_ring import RING_BYTES, RecordRing
from realtime.live.shared_state import HOP_ROWS, SharedState
from realtime.live.split_stream import SplitStream

RATE = 48000
SETTINGS = GateSettings(threshold_db=-40.0)


def _gate(channels=1, detector=None, settings=SETTINGS):
    detector = detector or NoDetector()
    return GateProcessor(settings, sample_rate=RATE, channels=channels, detector=detector)


def _path(state, gate=None, **options):
    columns = {"in_columns": [0], "out_columns": [0]} | options
    return AudioPath(gate or _gate(), state, **columns)


@pytest.mark.parametrize("blocks", [[100], [480], [1, 17, 100, 999], [5000]])
def test_any_device_block_gives_the_gates_own_samples(state, blocks):
    sound = bursts(1.0, RATE)
    expected = _gate().process(sound)
    assert np.array_equal(play(_path(state), sound, blocks)[:, 0], expected)
    assert state.frames == len(sound)
    assert state.hops == 99  # the hundredth waits for the decimator's millisecond
    assert state.callback_errors == 0


def test_channels_are_chosen_and_spread(state):
    sound = bursts(0.5, RATE)
    device = np.stack([0 * sound, 0.5 * sound, sound], axis=1)
    expected = _gate().process(sound)
    heard = play(_path(state, in_columns=[2], out_columns=[1, 3]), device, n_out=4)
    assert np.array_equal(heard[:, 1], expected) and np.array_equal(heard[:, 3], expected)
    assert not heard[:, [0, 2]].any()
    pair = _path(state, _gate(2), in_columns=[2, 1], out_columns=[1, 0])
    heard = play(pair, device, n_out=2)
    assert np.array_equal(heard[:, ::-1], _gate(2).process(device[:, [2, 1]]))


@pytest.mark.parametrize("sign", [-1, 1])
def test_channels_in_opposite_phase_are_told_once(state, sign):
    sound = bursts(5.0, RATE)
    device = np.stack([0 * sound, sound, sign * sound], axis=1)
    path = _path(state, _gate(2), in_columns=[1, 2], out_columns=[0, 1])
    play(path, device, n_out=2)
    assert path.phase_note() is None, "too early to say"
    play(path, device, n_out=2)
    note = path.phase_note()
    if sign > 0:
        assert note is None
        return
    assert "channels 2 and 3 are in opposite phase (correlation -1.00)" in note
    play(path, np.tile(device, (2, 1)), n_out=2)
    assert path.phase_note() is None


def test_a_key_channel_of_its_own_opens_the_gate(state):
    quiet, loud = np.full(RATE, 1e-4, np.float32), bursts(1.0, RATE)
    device = np.stack([quiet, loud], axis=1)
    heard = play(_path(state, key_columns=[1]), device)[:, 0]
    assert np.array_equal(heard, _gate().process(quiet, loud))
    assert heard.max() > 0.99e-4  # the key opened it; by itself it is far below the threshold


def test_mute_fades_to_digital_silence_and_back_without_a_click(state):
    tone = (0.5 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)).astype(np.float32)
    path = _path(state, _gate(settings=replace(SETTINGS, range_db=0.0)))
    before = play(path, tone[:12000])
    path.muted = True
    during = play(path, tone[12000:24000])
    path.muted = False
    after = play(path, tone[24000:36000])
    heard = np.concatenate([before, during, after])[:, 0]
    assert not during[600:].any()
    assert np.array_equal(after[600:, 0], tone[24600:36000])
    # A 300 Hz tone at 0.5 steps by 0.0196 at most; a fade of 10 ms adds 0.001.
    assert np.abs(np.diff(heard)).max() < 0.021


def test_a_broken_gate_passes_the_sound_and_tells(state):
    path = _path(state)

    def broken(*_, **__):
        raise RuntimeError("boom")

    path.gate.process = broken
    sound = bursts(0.1, RATE)
    sound[7] = np.nan
    heard = play(path, sound)[:, 0]
    sound[7] = 0.0
    assert np.array_equal(heard, sound)
    assert state.callback_errors == 48 and path.error == "RuntimeError: boom"


def test_meters_reach_another_holder_of_the_memory(state):
    other = SharedState(state.name)
    play(_path(state), bursts(1.0, RATE))
    rows, end = other.hops_since(0)
    assert len(rows) == end == 99
    assert other.last_hop()["time_s"] == pytest.approx(0.99, abs=0.005)
    assert other.last_hop()["reason"] in ("open", "held", "below threshold")
    assert len(other.loads(1000)) == 480
    other.close()


def test_the_hop_ring_hands_out_only_what_is_still_there(state):
    path = _path(state)
    meters = path.gate.meters
    for number in range(HOP_ROWS + 500):
        state.put_hop(replace(meters, time_s=float(number)))
    rows, end = state.hops_since(0)
    assert end == HOP_ROWS + 500
    assert rows[-1, 0] == end - 1 and np.array_equal(np.diff(rows[:, 0]), np.ones(len(rows) - 1))


class _Clocked:
    """A detector that takes as long as it is told, on a clock of its own."""

    def __init__(self):
        self._detector = NoDetector()
        self.info = self._detector.info
        self.now = self.takes = 0.0
        self.calls = 0

    def clock(self):
        return self.now

    def process(self, features):
        self.calls += 1
        self.now += self.takes
        return self._detector.process(features)

    def reset(self):
        pass


def test_one_hiccup_passes_and_lasting_slowness_raises():
    slow = _Clocked()
    budgeted = BudgetedDetector(slow, 0.002, clock=slow.clock)
    features = np.zeros((1, 64), np.float32)
    slow.takes = 0.015
    budgeted.process(features)
    slow.takes = 0.001
    for _ in range(50):
        budgeted.process(features)
    slow.takes = 0.012  # 10 ms late each time: 20 ms of debt bear two of them
    budgeted.process(features)
    budgeted.process(features)
    with pytest.raises(DetectorTooSlow, match=r"10\.0 ms more"):
        budgeted.process(features)
    with pytest.raises(DetectorTooSlow):  # no more credit for now
        budgeted.process(features)
    slow.takes = 0.001
    for _ in range(100):
        budgeted.process(features)
    slow.takes = 0.012
    budgeted.process(features)
    assert budgeted.overruns.count == 2


def test_a_detector_that_is_too_slow_opens_the_gate_and_is_asked_ever_less(state):
    slow = _Clocked()
    budgeted = BudgetedDetector(slow, 0.002, clock=slow.clock)
    path = _path(state, _gate(detector=budgeted))
    path.overruns = budgeted.overruns
    quiet = np.full(4 * RATE, 1e-4, np.float32)  # far below the threshold
    slow.takes = 0.050
    heard = play(path, quiet)[:, 0]
    assert heard[RATE:].min() > 0.99e-4
    assert state.failed_hops == state.hops == 399
    assert slow.calls < 20
    assert state.detector_late_ms == pytest.approx(48.0)
    slow.takes = 0.0005
    heard = play(path, quiet)[:, 0]
    assert np.abs(heard[-RATE:]).max() < 1e-6, "it did not recover"


def test_budget_of_a_block():
    assert budget_seconds("auto", 100, 192000) == 0.001
    assert budget_seconds("auto", 4096, 48000) == 0.005
    assert budget_seconds("off", 100, 48000) is None
    assert budget_seconds(3.0, 100, 48000) == 0.003


def test_the_record_ring_keeps_order_and_drops_when_full(state):
    ring = RecordRing(state)
    ring.begin(2)
    n_rows = RING_BYTES // 8
    block = np.zeros((1000, 1), np.float32)
    for number in range(n_rows // 1000 + 5):
        block[:] = number
        ring.put(block, -block)
    assert state.record_dropped == 5000
    _, rows = ring.take(10**9)
    assert len(rows) == n_rows // 1000 * 1000
    assert np.array_equal(rows[::1000, 0], np.arange(n_rows // 1000))
    assert np.array_equal(rows[:, 1], -rows[:, 0])
    block[:] = 7  # goes around the end
    ring.put(block, block)
    _, rows = ring.take(10**9)
    assert len(rows) == 1000 and (rows == 7).all()
    del rows
    ring.close()


class _FakePortAudio:
    """Streams that are driven by hand."""

    class InputStream:
        def __init__(self, **options):
            self.callback, self.active, self.latency = options["callback"], False, 0.01

        def start(self):
            self.active = True

        def abort(self, ignore_errors=True):
            self.active = False

    OutputStream = InputStream


def _split(state, block_size=100):
    def callback(indata, outdata, frames, when, status):
        outdata[:] = indata

    class Any:
        index = 0

    return SplitStream(_FakePortAudio, Any, Any, RATE, block_size, (1, 1), "low", callback, state)


def test_two_devices_in_step_lose_nothing_whatever_their_blocks(state):
    rng = np.random.default_rng(0)
    stream = _split(state)
    stream.start()
    sent, heard, n_out = 0, [], 0
    for _ in range(3000):
        n = int(rng.integers(1, 400))
        block = np.arange(sent + 1, sent + n + 1, dtype=np.float32)[:, None]
        stream._input.callback(block, n, None, None)
        sent += n
        while n_out + 480 <= sent:
            out = np.empty((480, 1), np.float32)
            stream._output.callback(out, 480, None, None)
            heard.append(out[:, 0])
            n_out += 480
    heard = np.concatenate(heard)
    begun = int(np.argmax(heard > 0))
    assert np.array_equal(np.diff(heard[begun:]), np.ones(len(heard) - begun - 1))
    assert begun < 0.05 * RATE
    assert state.xruns == 0 and stream.active


def test_a_starved_output_gets_silence_and_a_flooded_one_stays_near(state):
    stream = _split(state)
    out = np.full((480, 1), 9.0, np.float32)
    stream._output.callback(out, 480, None, None)
    assert not out.any()
    ones = np.ones((100, 1), np.float32)
    for _ in range(20):
        stream._input.callback(ones, 100, None, None)
    for _ in range(5):
        stream._output.callback(out, 480, None, None)
    assert state.output_underflows == 1 and not out.any()
    for _ in range(1000):  # an input whose clock runs away
        stream._input.callback(ones, 100, None, None)
    stream._output.callback(out, 480, None, None)
    stream._output.callback(out, 480, None, None)
    assert out.all() and state.queue_ms < 200


def test_a_queue_that_grew_shrinks_in_silence_only(state):
    stream = _split(state)
    out = np.empty((480, 1), np.float32)

    def run(seconds, level):
        for _ in range(int(seconds * 100)):
            stream._input.callback(np.full((480, 1), level, np.float32), 480, None, None)
            stream._output.callback(out, 480, None, None)

    run(1.0, 0.5)
    for _ in range(8):
        run(0.3, 0.5)
        while stream._primed:  # an input that stutters
            stream._output.callback(out, 480, None, None)
    run(1.0, 0.5)
    grown = state.queue_ms
    assert grown > 60
    run(70.0, 0.5)
    assert state.queue_ms == grown
    run(200.0, 1e-4)
    assert state.queue_ms < 60
    assert state.output_underflows == 8
    while stream._primed:  # it was too early
        stream._output.callback(out, 480, None, None)
    run(1.0, 0.5)
    again = state.queue_ms
    run(59.0, 1e-4)
    assert state.queue_ms == again, "it waits for a minute now"
    run(10.0, 1e-4)
    assert state.queue_ms < again


def test_settings_written_by_another_thread_never_fail_a_callback(state):
    path = _path(state)
    stop, written = threading.Event(), []

    def change():
        levels = iter(np.tile(np.linspace(-90, -10, 50), 1000))
        while not stop.is_set():
            settings = replace(SETTINGS, threshold_db=float(next(levels)))
            path.changes.append(lambda gate, s=settings: setattr(gate, "settings", s))
            written.append(settings)
            time.sleep(0.001)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        heard = play(path, bursts(1.0, RATE))
    finally:
        stop.set()
        writer.join()
    assert state.callback_errors == 0 and np.isfinite(heard).all()
    assert path.gate.settings in written  # they were in force
