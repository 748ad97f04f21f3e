"""Teaching a running gate: marks, the worker's answers, undoing, keeping."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from teaching import bursts, examples
from teaching_rig import Gate, InlineWorker, enough

from gate.errors import ConfigError, GateError
from realtime.config import Config
from realtime.learn.profile import load_profile, save_profile
from realtime.learn.recording import OPEN, SHUT
from realtime.live.control import LiveControl
from realtime.live.marks import Mark, correction_of
from realtime.live.shared_state import column
from realtime.live.teaching import LiveTeaching, own_file


@pytest.fixture
def base(profile, tmp_path):
    """Path of a profile that was saved before."""
    save_profile(profile, tmp_path / "low.gate.yaml")
    return str(tmp_path / "low.gate.yaml")


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
    assert gate.status["teach_step"] == "fitting", "there is enough of what opens"
    gate.worker.work()
    assert gate.status["teach_fitted"] and gate.status["teach_step"] == "shut"
    assert gate.play(bursts("low", 2.0, 2)) > 0.8, "the world counts as shut"
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
    enough(gate)
    assert gate.status["teach_fitted"]
    with pytest.raises(GateError, match="nothing new has been heard"):
        gate.control.mark_shut()
    while gate.status["teach_open_s"] >= 5.0:
        gate.control.undo_mark()
    gate.worker.work()
    status = gate.status
    assert not status["teach_fitted"] and gate.control.profile is None, "too little is left"
    assert status["teach_step"] == "more open"
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
    enough(gate)
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
    assert answered.wait(240.0) and "ended" in heard[0][1]
    answered.clear()
    process.start()
    process.ask(2, None, [Mark(examples(1.0)[0], "open", -20.0)], "nowhere")
    assert answered.wait(240.0)
    assert heard[1][0] == 2 and "no-such-model" in heard[1][1]
    worker = process._process
    process.close()
    assert not worker.is_alive()


def test_wrong_is_learned_from_and_undone_on_a_profile(state, profile, base):
    gate = Gate(state, base=base)
    before = gate.play(bursts("low", 2.0, 31))
    assert before > 0.5
    gate.control.wrong()
    gate.worker.work()
    assert gate.said[-2:] == ["learned: opened wrongly", f"profile: {gate.control.profile}"]
    # The examples still say the opposite; the last word counts, but not alone.
    assert gate.play(bursts("low", 2.0, 31)) < 0.65 * before
    taught = load_profile(gate.control.profile)
    assert taught.memory[-1].name == "correction 1 (opened wrongly)"
    assert not np.array_equal(taught.coefficients, profile.coefficients)
    gate.control.undo_mark()
    assert gate.control.profile == base, "at once: nothing is fitted"
    gate.play(np.zeros(8000, np.float32))
    # Not to the bit: the decimator and the running means have heard more by now.
    assert gate.play(bursts("low", 2.0, 31)) == pytest.approx(before, rel=0.05)


def test_wrong_on_an_untaught_gate_is_a_mark(state):
    gate = Gate(state)
    gate.play(bursts("low", 3.0, 31))
    gate.control.wrong()
    assert gate.status["teach_open_s"] > 0.5 and gate.status["teach_shut_s"] == 0.0
    assert "learning: stayed shut wrongly" in gate.said


def test_a_correction_leaves_alone_what_was_right(state, profile, base):
    gate = Gate(state, profile, base)
    gate.play(np.concatenate([bursts("high", 1.0, 5), bursts("low", 1.0, 6)]))
    stays = profile.presence_threshold - profile.presence_hysteresis
    mark = correction_of(state, stays, 1)
    hops, _ = state.hops_since(-len(mark.recording.label))
    presence = column(hops, "presence")
    changed = mark.recording.label == SHUT
    assert changed.any() and not (mark.recording.label == OPEN).any()
    assert presence[changed].min() >= stays
    assert not changed[:80].any()  # the part with the other sound was shut already


def test_marks_add_to_a_profile_with_examples(state, profile, base):
    gate = Gate(state, profile, base)
    for seed in (4, 5):
        gate.play(bursts("mid", 5.0, seed))
        gate.control.mark_open()
    gate.worker.work()
    assert gate.status["teach_fitted"], gate.said
    names = [r.name for r in load_profile(gate.control.profile).memory]
    assert names[:2] == [r.name for r in profile.memory]
    assert names[2:] == ["heard 1 (open)", "heard 2 (open)"]


def test_another_profile_begins_anew(state, profile, base):
    gate = Gate(state, profile)
    enough(gate)
    taught = gate.control.profile
    gate.control.set_profile(base)
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
    enough(gate)
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
    enough(other)
    with pytest.raises(ConfigError, match="is there already"):
        other.control.keep("hen")
    elsewhere = str(tmp_path / "other.gate.yaml")
    assert other.control.keep(elsewhere) == elsewhere


def test_save_keeps_after_every_fit(state, profile, base, tmp_path):
    target = tmp_path / "mine.gate.yaml"
    gate = Gate(state, profile, save=str(target))
    enough(gate)
    assert len(load_profile(target).memory) == 6
    gate.play(bursts("low", 2.0, 50))
    gate.control.wrong()
    gate.worker.work()
    assert len(load_profile(target).memory) == 7
    gate.control.undo_mark()
    gate.worker.work()
    assert len(load_profile(target).memory) == 6
    assert not gate.teaching.unsaved
    gate = Gate(state, base=base, save=True)
    gate.play(bursts("low", 2.0, 51))
    gate.control.wrong()
    gate.worker.work()
    assert len(load_profile(base).memory) == len(profile.memory) + 1


def test_a_name_that_is_taken_is_refused_at_the_start(tmp_path):
    taken = tmp_path / "mine.gate.yaml"
    assert own_file(str(taken), None) is None, "free"
    taken.write_text("")
    with pytest.raises(ConfigError, match=r"mine\.gate\.yaml is there already"):
        own_file(str(taken), None)
    with pytest.raises(ConfigError, match="is there already"):
        own_file(str(taken), str(tmp_path / "other.gate.yaml"))
    assert own_file(str(taken), str(taken)) == taken, "the profile that runs"
    assert own_file(True, str(taken)) == taken and own_file(True, None) is None
    with pytest.raises(ConfigError, match="must be a name"):
        own_file("a/b", None)


def test_a_gate_without_a_detector_says_that_it_cannot_be_taught(state):
    control = LiveControl(Config(), None, print)
    with pytest.raises(GateError, match="cannot be taught"):
        control.mark_open()
    control.teaching = LiveTeaching(state, "none", None, print, worker=InlineWorker)
    with pytest.raises(GateError, match="no detector"):
        control.wrong()
    assert control.teaching.status(None)["teach_step"] == "off"
