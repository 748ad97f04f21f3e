"""Teaching a running gate: marks, the worker's answers, going over without a click, keeping."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from teaching import RATE, ProjectionDetector, bursts, examples

from gate.errors import ConfigError, GateError
from gate.meters import Meters
from gate.processor import GateProcessor
from gate.settings import GateSettings
from gate.signal_metrics import weighted_energy
from realtime.config import Config
from realtime.learn.examples import Analyser
from realtime.learn.profile import load_profile, save_profile
from realtime.learn.profile_detector import ProfileDetector
from realtime.learn.recording import OPEN, SHUT, pack_ears, unpack_energy, unpack_log_mel
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach
from realtime.live.audio_path import AudioPath
from realtime.live.control import LiveControl
from realtime.live.detector_budget import BudgetedDetector
from realtime.live.heard import WINDOW_HOPS, HeardDetector, heard_detectors, take_profile
from realtime.live.marks import Mark, correction_of, energy_of, mark_of
from realtime.live.panels import screen
from realtime.live.shared_state import SharedState
from realtime.live.status import snapshot
from realtime.live.teach_worker import TeachWorker
from realtime.live.teaching import LiveTeaching


@pytest.fixture(scope="module")
def profile():
    lesson = teach(examples(5.0), ProjectionDetector(), TeachingNotes(), "low tones", world=None)
    return lesson.profile


@pytest.fixture
def state():
    state = SharedState()
    yield state
    state.close()


class _Worker(TeachWorker):
    """Fits nothing where a profile is given: only the examples are those that were marked."""

    def __init__(self, ready=None):
        super().__init__(ProjectionDetector())
        self._ready = ready

    def _teach(self, base, marks, notes):
        if self._ready is None or not marks:
            return super()._teach(base, marks, notes)
        known = () if base is None else self._base(base).memory
        return replace(self._ready, memory=(*known, *(mark.recording for mark in marks)))


class _InlineWorker:
    """Teaches when told to, in the test's own thread."""

    def __init__(self, ready, on_answer):
        self._worker, self._on_answer = _Worker(ready), on_answer
        self.requests, self.closed = [], False

    def start(self):
        pass

    def ask(self, *request):
        self.requests.append(request)

    def work(self):
        requests, self.requests = self.requests, []
        for request in requests:
            self._on_answer(*self._worker.answer(*request))

    def close(self):
        self.closed = True


class Gate:
    """A gate over `ProjectionDetector` with all that teaches it, and no device."""

    def __init__(self, state, ready=None, base=None, save=False):
        self.said = []
        detector = ProjectionDetector()
        if base is not None:
            detector = ProfileDetector(detector, load_profile(base))
        settings = GateSettings(threshold_db=-60.0)
        detector = BudgetedDetector(HeardDetector(detector), 10.0)
        self.gate = GateProcessor(settings, sample_rate=RATE, detector=detector)
        self.path = AudioPath(self.gate, state, in_columns=[0], out_columns=[0])
        self.state = state
        config = Config()
        config = replace(config, engine=replace(config.engine, profile=base))
        self.control = LiveControl(config, self, self.said.append)
        self.control.teaching = self.teaching = LiveTeaching(
            state, "projection", self.control.use_taught, self.control.say, base, save,
            lambda model, on_answer: _InlineWorker(ready, on_answer),
        )  # fmt: skip
        self.worker = self.teaching._worker
        info = self.gate.lanes[0].detector.info
        self.control.hear({"event": "open", "input": "a", "output": "b", "host_api": "none",
                           "sample_rate": RATE, "detector": info.name, "profile": base,
                           "targets": list(info.targets)})  # fmt: skip
        state.status, state.sample_rate = 1, RATE

    def send(self, do, path=None, **what):
        """As the stream does with a message."""
        if do != "profile":
            return
        profile = None if path is None else load_profile(path, with_memory=False)
        prepared = heard_detectors(self.gate)[0].prepare(profile)
        self.path.changes.append(lambda gate: take_profile(gate, prepared))
        self.control.hear({"event": "profile", "path": path, "targets": ["speech"]})

    def play(self, sound):
        """Energy that comes out over the energy that went in."""
        heard = np.zeros((len(sound), 1), np.float32)
        for at in range(0, len(sound), 100):
            part = slice(at, at + 100)
            self.path.process(np.ascontiguousarray(sound[part, None]), heard[part])
        return float(np.sum(heard**2) / max(np.sum(sound**2), 1e-12))

    @property
    def status(self):
        return snapshot(self.state, self.control)


def _enough(gate):
    """Marks until there are five seconds of sound of each side, and the fit."""
    for kind, mark in (("low", gate.control.mark_open), ("high", gate.control.mark_shut)):
        for seed in range(3):
            gate.play(bursts(kind, 5.0, 10 + seed))
            mark()
    gate.worker.work()


def test_from_untaught_to_taught_in_thirty_seconds_of_sound(state):
    gate = Gate(state)
    assert gate.status["teach_step"] == "open" and not gate.status["teach_fitted"]
    # An untaught projection opens on nothing: presence 0.3.
    assert gate.play(bursts("low", 2.0, 1)) < 0.1
    gate.play(bursts("low", 5.0, 10))
    gate.control.mark_open()
    status = gate.status
    assert 2.0 < status["teach_open_s"] < 5.1 and status["teach_shut_s"] == 0
    assert status["teach_step"] == "more open" and status["teach_level"] == "ok"
    gate.play(bursts("low", 5.0, 3))
    gate.control.mark_open()
    assert gate.status["teach_step"] == "shut", "there is enough of what opens"
    assert gate.worker.requests == []
    for seed in (4, 5):
        gate.play(bursts("high", 5.0, seed))
        gate.control.mark_shut()
    assert gate.status["teach_fitting"] and gate.status["teach_step"] == "fitting"
    gate.worker.work()
    status = gate.status
    assert status["teach_fitted"] and status["teach_step"] == "try" and not status["teach_error"]
    assert state.hop_rows < 3000, "of sound"
    assert status["teach_quality"] > 0.9
    assert gate.play(bursts("low", 3.0, 6)) > 0.8
    assert gate.play(bursts("high", 3.0, 7)) < 0.1
    assert "learned: shut" in gate.said


def test_undo_goes_back_step_by_step_and_the_same_seconds_can_be_marked_otherwise(state, profile):
    gate = Gate(state, profile)
    with pytest.raises(GateError, match="no mark or correction to undo"):
        gate.control.undo_mark()
    with pytest.raises(GateError, match="nothing has been heard yet"):
        gate.control.mark_open()
    _enough(gate)
    assert gate.status["teach_fitted"]
    with pytest.raises(GateError, match="nothing new has been heard"):
        gate.control.mark_shut()
    for _ in range(2):
        gate.control.undo_mark()
    gate.worker.work()
    status = gate.status
    assert not status["teach_fitted"] and gate.control.profile is None, "too little is left"
    assert status["teach_step"] == "more shut"
    assert gate.play(bursts("low", 2.0, 6)) < 0.1, "the untaught gate"
    while gate.status["teach_marks"]:
        gate.control.undo_mark()
    gate.play(bursts("low", 5.0, 8))
    gate.control.mark_shut()
    assert gate.status["teach_shut_s"] > 2.0
    gate.control.undo_mark()
    gate.control.mark_open()
    assert gate.status["teach_open_s"] > 2.0 and gate.status["teach_shut_s"] == 0.0


def test_an_answer_that_was_overtaken_is_not_used(state, profile):
    gate = Gate(state, profile)
    _enough(gate)
    gate.play(bursts("high", 5.0, 30))
    gate.control.mark_open()
    gate.control.undo_mark()
    first, second = gate.worker.requests
    assert first[0] < second[0]
    before = gate.control.profile
    gate.worker.requests = [first]
    gate.worker.work()
    assert gate.control.profile == before and gate.status["teach_fitting"]
    gate.worker.requests = [second]
    gate.worker.work()
    assert gate.control.profile == second[3] and not gate.status["teach_fitting"]


def test_what_cannot_be_learned_is_told_and_the_gate_goes_on(state):
    gate = Gate(state)
    sound = bursts("low", 5.0, 40)
    for mark in (gate.control.mark_open, gate.control.mark_shut):
        for _ in range(3):  # the same sound on both sides, to the bit
            gate.gate.reset()
            gate.play(sound)
            mark()
    gate.worker.work()
    status = gate.status
    assert status["teach_step"] == "failed" and "same sound is on both" in status["teach_error"]
    assert gate.said[-1].startswith("not learned: ") and not status["teach_fitted"]
    gate.play(bursts("low", 1.0, 41))
    assert state.callback_errors == 0
    gate.control.undo_mark()
    assert not gate.status["teach_error"]


def test_a_dead_worker_is_told_and_the_next_mark_starts_another():
    from realtime.live.teach_process import TeachProcess

    heard, answered = [], threading.Event()

    def on_answer(*answer):
        heard.append(answer)
        answered.set()

    process = TeachProcess("no-such-model", on_answer)
    process.start()
    process._process.kill()
    process._process.join()
    process.ask(1, None, [], "nowhere")
    assert answered.wait(10.0) and "ended" in heard[0][1]
    answered.clear()
    process.start()
    process.ask(2, None, [Mark(examples(1.0)[0], "open", -20.0)], "nowhere")
    assert answered.wait(30.0)
    assert heard[1][0] == 2 and "no-such-model" in heard[1][1]
    worker = process._process
    process.close()
    assert not worker.is_alive()


def test_wrong_is_learned_from_and_undone_on_a_profile(state, profile, tmp_path):
    base = tmp_path / "low.gate.yaml"
    save_profile(profile, base)
    gate = Gate(state, base=str(base))
    before = gate.play(bursts("low", 2.0, 31))
    assert before > 0.5
    gate.control.wrong()
    gate.worker.work()
    assert gate.said[-2:] == ["learned: opened wrongly", f"profile: {gate.control.profile}"]
    # The examples still say the opposite; the last word counts, but not alone.
    assert gate.play(bursts("low", 2.0, 31)) < 0.6 * before
    taught = load_profile(gate.control.profile)
    assert taught.memory[-1].name == "correction 1 (opened wrongly)"
    assert not np.array_equal(taught.coefficients, profile.coefficients)
    gate.control.undo_mark()
    assert gate.control.profile == str(base), "at once: nothing is fitted"
    gate.play(np.zeros(8000, np.float32))
    # Not to the bit: the decimator and the running means have heard more by now.
    assert gate.play(bursts("low", 2.0, 31)) == pytest.approx(before, rel=0.05)


def test_wrong_on_an_untaught_gate_is_a_mark(state):
    gate = Gate(state)
    gate.play(bursts("low", 3.0, 31))
    gate.control.wrong()
    assert gate.status["teach_open_s"] > 0.5 and gate.status["teach_shut_s"] == 0.0
    assert "learning: stayed shut wrongly" in gate.said


def test_a_correction_leaves_alone_what_was_right(state, profile, tmp_path):
    save_profile(profile, tmp_path / "low.gate.yaml")
    gate = Gate(state, profile, str(tmp_path / "low.gate.yaml"))
    gate.play(np.concatenate([bursts("high", 1.0, 5), bursts("low", 1.0, 6)]))
    stays = profile.presence_threshold - profile.presence_hysteresis
    mark = correction_of(state, stays, 1)
    hops, _ = state.hops_since(-len(mark.recording.label))
    from realtime.live.shared_state import HOP_FIELDS

    presence = hops[:, HOP_FIELDS.index("presence")]
    changed = mark.recording.label == SHUT
    assert changed.any() and not (mark.recording.label == OPEN).any()
    assert presence[changed].min() >= stays
    assert not changed[:80].any()  # the part with the other sound was shut already


def test_marks_add_to_a_profile_with_examples(state, profile, tmp_path):
    save_profile(profile, tmp_path / "low.gate.yaml")
    gate = Gate(state, profile, str(tmp_path / "low.gate.yaml"))
    for seed in (4, 5):
        gate.play(bursts("mid", 5.0, seed))
        gate.control.mark_open()
    gate.worker.work()
    assert gate.status["teach_fitted"], gate.said
    names = [r.name for r in load_profile(gate.control.profile).memory]
    assert names[:2] == [r.name for r in profile.memory]
    assert names[2:] == ["heard 1 (open)", "heard 2 (open)"]


def test_another_profile_begins_anew(state, profile, tmp_path):
    save_profile(profile, tmp_path / "low.gate.yaml")
    gate = Gate(state, profile)
    _enough(gate)
    taught = gate.control.profile
    gate.control.set_profile(str(tmp_path / "low.gate.yaml"))
    assert gate.status["teach_marks"] == 0 and not gate.status["teach_fitted"]
    assert gate.teaching.unsaved
    listed = [p["path"] for p in gate.control.profiles()]
    assert listed[0] is None and taught in listed
    gate.control.set_profile(taught)
    assert gate.status["teach_fitted"]


def test_what_was_taught_is_kept_and_never_replaces(state, profile, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    gate = Gate(state, replace(profile, name="taught"))
    with pytest.raises(GateError, match="nothing has been taught yet"):
        gate.control.keep("hen")
    _enough(gate)
    assert gate.teaching.unsaved
    path = gate.control.keep("hen")
    assert path == str(tmp_path / "exemplar-gate" / "profiles" / "hen.gate.yaml")
    assert not gate.teaching.unsaved and gate.status["teach_kept"] == path
    kept = load_profile(path)
    assert kept.name == "hen" and len(kept.memory) == 6
    with pytest.raises(ConfigError, match="must be a name"):
        gate.control.keep("../hen")
    assert path in [p["path"] for p in gate.control.profiles()]
    other = Gate(state, profile)
    _enough(other)
    with pytest.raises(ConfigError, match="is there already"):
        other.control.keep("hen")
    elsewhere = str(tmp_path / "other.gate.yaml")
    assert other.control.keep(elsewhere) == elsewhere


def test_save_keeps_after_every_fit(state, profile, tmp_path):
    target = tmp_path / "mine.gate.yaml"
    gate = Gate(state, profile, save=str(target))
    _enough(gate)
    assert len(load_profile(target).memory) == 6
    gate.play(bursts("low", 2.0, 50))
    gate.control.wrong()
    gate.worker.work()
    assert len(load_profile(target).memory) == 7
    gate.control.undo_mark()
    gate.worker.work()
    assert len(load_profile(target).memory) == 6
    assert not gate.teaching.unsaved
    base = tmp_path / "low.gate.yaml"
    save_profile(profile, base)
    gate = Gate(state, base=str(base), save=True)
    gate.play(bursts("low", 2.0, 51))
    gate.control.wrong()
    gate.worker.work()
    assert len(load_profile(base).memory) == len(profile.memory) + 1


def test_a_gate_without_a_detector_says_that_it_cannot_be_taught(state):
    control = LiveControl(Config(), None, print)
    with pytest.raises(GateError, match="cannot be taught"):
        control.mark_open()
    control.teaching = LiveTeaching(state, "none", None, print, worker=_InlineWorker)
    with pytest.raises(GateError, match="no detector"):
        control.wrong()
    assert control.teaching.status(None)["teach_step"] == "off"


def test_a_swap_does_not_click(profile):
    """Between two blocks of a steady sound the gain goes on from where it is."""
    heard = HeardDetector(ProfileDetector(ProjectionDetector(), profile))
    settings = GateSettings(attack_ms=5.0, release_ms=50.0)
    gate = GateProcessor(settings, sample_rate=RATE, detector=heard)
    never = replace(profile, bias=profile.bias - 100.0)
    gains = []
    gate.on_gains = lambda lane, gain: gains.append(gain.copy())
    t = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 300 * k * t) / k for k in (1, 2, 3)).astype(np.float32) * 0.1
    gate.process_many(tone[:8000, None])
    take_profile(gate, heard_detectors(gate)[0].prepare(never))
    gate.process_many(tone[8000:, None])
    gain = np.concatenate(gains)
    assert gain[7999] > 0.9 and gain[-1] < 0.01
    # The steepest step of a 50 ms release from 1 is 1 - exp(-1 / (0.05 * 16000)) = 0.00125.
    assert np.abs(np.diff(gain[7000:])).max() < 0.0013


def test_a_swapped_head_has_heard_the_last_two_seconds(profile):
    rng = np.random.default_rng(0)
    features = rng.uniform(-9, 0, (WINDOW_HOPS + 75, 64)).astype(np.float32)
    heard = HeardDetector(ProjectionDetector())
    for i in range(50):
        heard.process(features[i : i + 1])
    np.testing.assert_array_equal(heard.recent()[0], features[:50])
    heard.process(features[50:230])
    for i in range(230, len(features)):
        heard.process(features[i : i + 1])
    np.testing.assert_array_equal(heard.recent()[0], features[-WINDOW_HOPS:])
    heard.swap(heard.prepare(profile))
    always = ProfileDetector(ProjectionDetector(), profile)
    always.process(features)
    following = rng.uniform(-9, 0, (20, 64)).astype(np.float32)
    # Means of 0.2 s have forgotten what was before the two seconds: exp(-10) is 5e-5.
    np.testing.assert_allclose(
        heard.process(following).presence, always.process(following).presence, atol=1e-3
    )


def test_independent_channels_are_taught_together(profile):
    settings = GateSettings(stereo_link="independent")
    detector = BudgetedDetector(HeardDetector(ProjectionDetector()), 10.0)
    gate = GateProcessor(settings, sample_rate=RATE, channels=2, detector=detector)
    gate.process(np.zeros((400, 2), np.float32))
    take_profile(gate, heard_detectors(gate)[0].prepare(profile))
    sound = np.stack([bursts("low", 2.0, 1), bursts("high", 2.0, 2)], axis=1)
    heard = gate.process(sound)
    share = np.sum(heard**2, axis=0) / np.sum(sound**2, axis=0)
    assert share[0] > 0.5 and share[1] < 0.2
    assert len({id(d) for d in heard_detectors(gate)}) == 2


def test_a_mark_takes_the_last_five_seconds_and_none_twice(state):
    gate = Gate(state)
    gate.play(bursts("low", 8.0, 1))
    mark, row = mark_of(state, OPEN, 0, 1)
    assert len(mark.recording.label) == 500 and row == state.hop_rows
    gate.play(bursts("low", 2.0, 2))
    mark, _ = mark_of(state, OPEN, row, 2)
    assert len(mark.recording.label) == state.hop_rows - row
    analyser = Analyser(RATE)
    analyser.push(np.concatenate([bursts("low", 8.0, 1), bursts("low", 2.0, 2)]))
    log_mel, _ = analyser.finish()
    # What the stream heard is what a file would have been reduced to, within a step of 8 bits.
    theirs = log_mel[-len(mark.recording.label) - 5 :].astype(int)
    mine = mark.recording.log_mel.astype(int)
    distance = [np.abs(theirs[i : i + len(mine)] - mine).max() for i in range(6)]
    assert min(distance) <= 1


def test_a_mark_keeps_what_the_second_ears_said(state):
    about = Meters(0.0, -30.0, -30.0, 0.5, False, 0.0, 1.0, 1.0, 1.0, 100.0, 900.0, "open")
    rng = np.random.default_rng(0)
    said = rng.uniform(-2.0, 2.0, (300, 2)).astype(np.float32)
    for row in said:
        state.put_hop(about, rng.uniform(-9, 0, 64), row)
    mark, _ = mark_of(state, OPEN, 0, 1)
    np.testing.assert_array_equal(mark.recording.ears, pack_ears(said))
    assert state.heard_since(290)[2].shape == (10, 2)


@pytest.mark.parametrize(
    ("gain_db", "level"), [(-60.0, "too quiet"), (0.0, "ok"), (18.0, "too loud")]
)
def test_the_level_is_checked(state, gain_db, level):
    gate = Gate(state)
    gate.play(bursts("low", 5.0, 1) * np.float32(10 ** (gain_db / 20)))
    gate.control.mark_open()
    assert gate.status["teach_level"] == level
    assert any(level in line for line in gate.said) == (level != "ok")


def test_the_energy_of_log_mel_is_about_the_weighted_energy():
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(10 * RATE).astype(np.float32)
    sound = bursts("low", 10.0, 1)
    for samples, tolerance_db in ((noise, 1.0), (sound, 1.5)):
        analyser = Analyser(RATE)
        analyser.push(samples)
        log_mel, energy = analyser.finish()
        mine = energy_of(unpack_log_mel(log_mel))
        theirs = unpack_energy(energy)
        assert len(mine) == len(theirs)
        ratio_db = 10 * np.log10(mine.mean() / theirs.mean())
        assert abs(ratio_db) < tolerance_db
    assert np.isfinite(energy_of(np.full((3, 64), np.log(1e-5), np.float32))).all()
    assert weighted_energy(noise, RATE).mean() == pytest.approx(unpack_energy(
        pack(noise)).mean(), rel=0.1)  # fmt: skip


def pack(samples):
    """The 8-bit energy of samples."""
    analyser = Analyser(RATE)
    analyser.push(samples)
    return analyser.finish()[1]


def test_the_screen_shows_what_to_do_next(state, profile):
    gate = Gate(state, profile)

    def shown():
        hops, row = state.hops_since(-500)
        return screen(gate.status, gate.control.stream, hops, row, [], 160, 40).plain

    assert "mark it as open" in shown() and "o opens  s stays shut" in shown()
    _enough(gate)
    text = shown()
    assert "taught, about" in text and "level ok" in text and "try it" in text


def test_events_can_be_followed_by_several():
    said = []
    control = LiveControl(Config(), None, said.append)
    control.say("one")
    events, number = control.events_since(0)
    assert [e["text"] for e in events] == ["one"] == said
    assert abs(events[0]["time"] - time.time()) < 60
    for turn in range(300):
        control.say(f"line {turn}")
    assert len(control.events_since(0)[0]) == 200
    later, _ = control.events_since(number + 298)
    assert [e["text"] for e in later] == ["line 298", "line 299"]
