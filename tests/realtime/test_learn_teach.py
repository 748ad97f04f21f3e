"""Teaching finds what tells two sounds apart, and says honestly how well."""

from dataclasses import replace

import numpy as np
import pytest
from teaching import RATE, ProjectionDetector, bursts, examples

from gate.decision import ClassicRule, classic_hops, present_hops
from gate.errors import ModelError
from gate.metrics import open_segments
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.learn.classic import ClassicFit
from realtime.learn.examples import from_samples
from realtime.learn.gate_fit import Evidence, GateFitter, curve, fit_rule
from realtime.learn.head import Basis, HeadShape, balanced, fit_logistic, running_means
from realtime.learn.hops import Hops, copies_of, deal_classes
from realtime.learn.medley import MedleyMaker, split_folds
from realtime.learn.profile_detector import ProfileDetector
from realtime.learn.recording import (
    OPEN,
    SHUT,
    pack_ears,
    pack_energy,
    pack_log_mel,
    unpack_ears,
    unpack_energy,
    unpack_log_mel,
)
from realtime.learn.refit import Refitter
from realtime.learn.remarks import TeachingNotes
from realtime.learn.report import describe
from realtime.learn.teach import teach
from realtime.learn.world import World, excerpt, load_world, save_world


@pytest.fixture(scope="module")
def lesson():
    return teach(examples(), ProjectionDetector(), TeachingNotes(), "low tones", world=None)


def share_open(profile, samples, threshold_db=-60.0):
    detector = ProfileDetector(ProjectionDetector(), profile)
    settings = GateSettings(threshold_db=threshold_db)
    gate = GateProcessor(settings, sample_rate=RATE, detector=detector)
    gains = []
    gate.on_gains = lambda lane, gain: gains.append(gain.copy())
    gate.process_many(samples[:, None])
    opened = open_segments(np.concatenate(gains), RATE, -60.0)
    loud = np.abs(samples) > 0.1 * np.abs(samples).max()
    inside = np.zeros(len(samples), bool)
    for begin, end in (opened * RATE).astype(int):
        inside[begin:end] = True
    return inside[loud].mean()


def test_few_examples_are_shuffled_in_more_often():
    assert [copies_of(s) for s in (0.0, 10.0, 60.0, 100.0, 1000.0)] == [8, 8, 4, 2, 1]
    few = [r.part(0, 200) for r in examples()[:2]] + [r.part(0, 200) for r in examples()[-2:]]
    hops = Hops(few, (), ProjectionDetector(), HeadShape(), 0)
    mine = hops.source >= 0
    each = np.unique(np.stack([hops.source, hops.hop])[:, mine], axis=1, return_counts=True)[1]
    assert set(each) == {8} and len(hops.label) > 7 * hops.once, "and `once` holds each once"


def test_a_taught_gate_opens_on_new_sound_of_the_one_kind_only(lesson):
    assert share_open(lesson.profile, bursts("low", 5.0, 77)) > 0.85
    assert share_open(lesson.profile, bursts("high", 5.0, 78)) < 0.05


def test_its_level_does_not_matter_above_the_threshold(lesson):
    samples = bursts("low", 5.0, 77, level_db=-12)
    loud = share_open(lesson.profile, samples, -50.0)
    soft = share_open(lesson.profile, samples * np.float32(0.1), -70.0)
    assert loud > 0.85
    # The log-mel's offset of 1e-5 is felt where bands are below -80 dB.
    assert soft == pytest.approx(loud, abs=0.05)


def test_the_estimate_is_near_what_new_sound_gives(lesson):
    opens = share_open(lesson.profile, bursts("low", 8.0, 91))
    passes = share_open(lesson.profile, bursts("high", 8.0, 92))
    assert lesson.profile.expected["balanced_accuracy"] == pytest.approx(
        0.5 * (opens + 1 - passes), abs=0.1
    )


def test_two_sides_of_the_same_kind_are_called_alike():
    notes = TeachingNotes()
    same = examples(20.0, shut="low", seed=5)  # fewer bursts may differ by chance
    profile = teach(same, ProjectionDetector(), notes, world=None).profile
    assert profile.expected["balanced_accuracy"] < 0.7
    assert any("sound alike" in warning for warning in notes.warnings)


def test_a_wrongly_labelled_stretch_is_found():
    first, second = examples()
    intruder = bursts("low", 2.0, 55)
    shut = np.concatenate([bursts("high", 6.0, 1), intruder, bursts("high", 6.0, 2)])
    recordings = [first, from_samples(shut, RATE, SHUT, "with intruder")]
    confusable = teach(recordings, ProjectionDetector(), TeachingNotes(), world=None).confusable
    hits = [c for c in confusable if c["name"] == "with intruder" and c["what"] == "opens"]
    assert hits, confusable
    assert all(5.5 < hit["start_s"] < 8.0 for hit in hits)
    assert second.label[0] == SHUT


def test_folds_never_share_a_neighbourhood():
    for n_files in (1, 5):
        recordings = examples(n_files=n_files, seconds=10.0)
        folds = split_folds(recordings)
        owner = {}
        for fold, units in enumerate(folds):
            for unit in units:
                for hop in range(unit.begin, unit.end):
                    assert (unit.source, hop) not in owner
                    owner[unit.source, hop] = fold
        for (source, hop), fold in owner.items():
            if (source, hop - 1) not in owner:
                continue
            assert owner[source, hop - 1] == fold
        if n_files == 5:  # whole recordings
            assert all(len({f for (s, _), f in owner.items() if s == r}) == 1 for r in range(10))


def test_a_medley_holds_every_hop_once_with_its_label():
    recordings = examples(seconds=4.0)
    units = [unit for fold in split_folds(recordings) for unit in fold]
    medley = MedleyMaker(recordings).make(units, np.random.default_rng(0))
    for index, recording in enumerate(recordings):
        mine = medley.source == index
        hops = medley.hop[mine]
        expected = sum(u.end - u.begin for u in units if u.source == index)
        assert len(np.unique(hops)) == len(hops) == expected
        if recording.label[0] == SHUT:
            assert not medley.label[mine].any()
        else:
            sure = medley.weight[mine] >= 0.5
            np.testing.assert_array_equal(
                medley.label[mine][sure], recording.sounding[hops][sure].astype(float)
            )


def test_eight_bits_keep_levels_within_their_step():
    log_mel = np.random.default_rng(0).uniform(-11, 4, (50, 64)).astype(np.float32)
    assert np.abs(unpack_log_mel(pack_log_mel(log_mel)) - log_mel).max() <= 0.5 / 15 + 1e-6
    energy = 10.0 ** np.random.default_rng(1).uniform(-12, -1, 100)
    error_db = 10 * np.log10(unpack_energy(pack_energy(energy)) / energy)
    assert np.abs(error_db).max() <= 0.5 / 1.8 + 1e-6
    assert unpack_energy(pack_energy(np.zeros(1)))[0] == 0.0


def test_analysis_does_not_depend_on_the_sample_rate():
    low = from_samples(bursts("low", 3.0, 4), RATE, OPEN)
    wide = np.repeat(bursts("low", 3.0, 4), 3)  # steps: images above 8 kHz, which are filtered out
    high = from_samples(wide, 48000, OPEN)
    n = min(len(low.label), len(high.label))
    level = [unpack_log_mel(r.log_mel[:n])[r.sounding[:n], 5:20].mean() for r in (low, high)]
    # A step's spectrum falls by less than 0.1 dB below 2 kHz.
    assert level[0] == pytest.approx(level[1], abs=0.1)


def test_running_means_of_a_stream_equal_those_of_the_whole():
    z = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)
    decays = np.array([0.8, 0.97])
    whole, last = running_means(z, None, decays)
    state, parts = None, []
    for begin, end in ((0, 1), (1, 50), (50, 177), (177, 300)):
        part, state = running_means(z[begin:end], state, decays)
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-6)
    np.testing.assert_allclose(state, last, atol=2e-6)
    by_hand = z[0].astype(float)
    for row in z[1:]:
        by_hand = row + 0.97 * (by_hand - row)
    np.testing.assert_allclose(last[1], by_hand, atol=2e-6)


def test_the_regression_is_at_its_minimum():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((400, 6)).astype(np.float32)
    label = (x[:, 0] + 0.5 * x[:, 1] + rng.standard_normal(400) > 0.8).astype(float)
    weight = rng.uniform(0.5, 1.5, 400)
    theta, bias = fit_logistic(x, label, weight, 0.05, n_steps=20)

    def cost(theta, bias):
        wrong = np.log1p(np.exp((1.0 - 2.0 * label) * (x @ theta + bias)))
        return balanced(label, weight) @ wrong + 0.025 * theta @ theta

    best = cost(theta, bias)
    for i in range(6):
        for step in (-0.02, 0.02):
            moved = theta.copy()
            moved[i] += step
            assert cost(moved, bias) > best
    assert min(cost(theta, bias + 0.02), cost(theta, bias - 0.02)) > best


def test_a_basis_unfolds_to_the_same_scores():
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((200, 30)) * rng.uniform(0.1, 5, 30) + 2).astype(np.float32)
    basis = Basis.fit(x, np.arange(200) // 20, 12)
    theta = rng.standard_normal(12)
    raw, bias = basis.unfold(theta, 0.3)
    np.testing.assert_allclose(x @ raw + bias, basis.apply(x) @ theta + 0.3, atol=1e-4)


def test_the_simulated_curve_is_the_gates(lesson):
    from fakes import ScriptedDetector

    presence = np.repeat(np.random.default_rng(3).random(40) > 0.5, 7).astype(float)
    fit = ClassicFit(0.5, attack_ms=5.0, hold_ms=20.0, release_ms=35.0)
    settings = GateSettings(attack_ms=5.0, hold_ms=20.0, release_ms=35.0, hysteresis_db=0.0,
                            presence_threshold=0.5, presence_hysteresis=0.0)  # fmt: skip
    gate = GateProcessor(settings, sample_rate=RATE, detector=ScriptedDetector(presence))
    gains = []
    gate.on_gains = lambda lane, gain: gains.append(gain.copy())
    noise = np.random.default_rng(0).standard_normal((160 * len(presence), 1)) * 0.1
    gate.process_many(noise.astype(np.float32))
    every = np.concatenate(gains)[39::40]  # the last sample of every 2.5 ms
    loud = np.zeros(len(presence))
    is_open = classic_hops(loud, presence, ClassicRule(0.5, 0.0), -60.0, 0.0, 2)
    # The gate's decision of a hop is in force one sample later than the hop's last.
    np.testing.assert_allclose(curve(is_open, fit), every, atol=0.02)


def test_the_search_finds_a_planted_gate():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random(60) > 0.5, 20)
    presence = np.where(truth, 0.7, 0.2) + rng.uniform(-0.1, 0.1, len(truth))
    delayed = np.concatenate([[False], truth[:-1]])  # a decision is in force in the next hop
    wanted = np.repeat(delayed, 4) * 1e-3
    unwanted = np.repeat(~delayed, 4) * 1e-3
    evidence = Evidence(presence)
    scores = np.log(presence / (1.0 - presence))
    fit = fit_rule(scores, truth.astype(float), np.ones(len(truth)))
    assert 0.3 <= fit.presence_threshold <= 0.7
    fitter = GateFitter(evidence.decide, wanted, unwanted)
    fit, loss = fitter.search(fit, {"release_ms": (20.0, 300.0)})
    assert loss < fitter.loss(replace(fit, presence_threshold=0.9))
    assert loss < 0.2 and fit.release_ms == 20.0
    np.testing.assert_array_equal(evidence.decide(fit), present_hops(presence, fit.rule))


def test_key_and_suggestion_fit_the_wanted_sound(lesson):
    from gate.features import mel_centres_hz

    centres, key = mel_centres_hz(), lesson.profile.key
    assert key[centres < 1200].mean() > 3 * key[centres > 4000].mean()
    assert -60 < lesson.profile.suggested_threshold_db < -25  # bursts of -20 dBFS, soft edges


def test_teaching_is_deterministic():
    a, b = (
        teach(examples(4.0), ProjectionDetector(), TeachingNotes(), world=small_world()).profile
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.coefficients, b.coefficients)
    assert a.expected == b.expected


def test_a_correction_is_learned_and_the_rest_kept(lesson):
    wrong = bursts("mid", 2.0, 8)
    before = share_open(lesson.profile, bursts("mid", 3.0, 9))
    label = OPEN if before < 0.5 else SHUT
    profile = Refitter(lesson.profile, ProjectionDetector()).fit(
        [from_samples(wrong, RATE, label, "correction")]
    )
    after = share_open(profile, bursts("mid", 3.0, 9))
    assert abs(after - before) > 0.5
    assert share_open(profile, bursts("low", 3.0, 77)) > 0.8
    assert share_open(profile, bursts("high", 3.0, 78)) < 0.1


def small_world():
    """Rumble, mid tones, high noise and low tones as sounds of the world."""
    kinds = [("mid tones", "mid"), ("hiss", "high"), ("low tones too", "low"), ("rumble", "rumble")]
    parts = []
    for name, kind in kinds:
        for seed in range(4):
            recording = from_samples(bursts(kind, 1.0, 900 + seed), RATE, SHUT, name)
            parts.append(excerpt(name, recording.log_mel))
    return World(tuple(parts), ("test",) * len(parts))


@pytest.fixture(scope="module")
def worldly():
    notes = TeachingNotes()
    return teach(examples(), ProjectionDetector(), notes, "low tones", world=small_world()), notes


def test_a_gate_taught_with_the_world_stays_shut_on_what_nobody_showed_it(lesson, worldly):
    stranger = bursts("rumble", 5.0, 79)
    # Without a world it opens on rumble, which is more like low tones than like high noise.
    assert share_open(lesson.profile, stranger) > 0.5
    assert share_open(worldly[0].profile, stranger) < 0.1
    assert share_open(worldly[0].profile, bursts("low", 5.0, 77)) > 0.85
    # The estimate is of heads that have not heard the class: of four, rumble opens such a head.
    assert 0.1 < worldly[0].profile.expected["opens_on_world"] < 0.5
    assert worldly[0].strangers[0][0] == "rumble"


def test_what_is_like_the_wanted_sound_is_left_out_of_the_world_and_named(worldly):
    lesson, _ = worldly
    assert set(lesson.profile.world["left_out"]) == {"low tones too"}
    assert any("like what opens: low tones too" in line for line in describe(lesson.profile))
    assert "low tones too" not in dict(lesson.strangers)


def test_corrections_go_on_counting_the_world(worldly):
    wrong = from_samples(bursts("mid", 2.0, 8), RATE, SHUT, "correction")
    profile = Refitter(worldly[0].profile, ProjectionDetector(), small_world()).fit([wrong])
    assert share_open(profile, bursts("mid", 5.0, 79)) < 0.1
    assert share_open(profile, bursts("low", 5.0, 77)) > 0.85


def test_folds_hold_whole_classes_of_the_world():
    world = small_world().recordings
    folds = deal_classes(world)
    for name in {r.name for r in world}:
        assert len({f for r, f in zip(world, folds, strict=True) if r.name == name}) == 1
    assert len(set(folds)) == 4


def test_the_ears_go_with_their_hops_and_answer_late():
    rng = np.random.default_rng(0)
    recordings = [
        replace(r, ears=rng.integers(0, 255, (len(r.label), 1)).astype(np.uint8))
        for r in examples(seconds=3.0)
    ]
    units = [unit for fold in split_folds(recordings) for unit in fold]
    medley = MedleyMaker(recordings).make(units, np.random.default_rng(0))
    seam = (np.diff(medley.source) != 0) | (np.diff(medley.hop) != 1)
    late = np.convolve(np.r_[True, seam], np.ones(5), "full")[: len(medley.source)] > 0
    for index, recording in enumerate(recordings):
        mine = (medley.source == index) & ~late
        expected = unpack_ears(recording.ears[medley.hop[mine]])
        np.testing.assert_array_equal(medley.ears[mine], expected)
    at = 1 + np.flatnonzero(seam)[3]
    np.testing.assert_array_equal(medley.ears[at : at + 3], medley.ears[at - 1][None].repeat(3, 0))


def test_eight_bits_keep_what_an_ear_said():
    said = np.random.default_rng(0).uniform(-2.25, 2.25, (50, 2))
    assert np.abs(unpack_ears(pack_ears(said)) - said).max() <= 2.25 / 254 + 1e-6
    assert unpack_ears(pack_ears(np.zeros(1)))[0] == 0.0


def test_a_world_is_the_same_again_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "x.world.npz"
    world = replace(small_world(), about="tones and noise")
    save_world(path, world)
    again = load_world(path)
    assert again.classes == ["hiss", "low tones too", "mid tones", "rumble"]
    assert again.about == "tones and noise"
    for a, b in zip(again.recordings, world.recordings, strict=True):
        np.testing.assert_array_equal(a.log_mel, b.log_mel)
        np.testing.assert_array_equal(a.sounding, b.sounding)
    with np.load(path, allow_pickle=False) as data:
        arrays = dict(data)
    for name, value, match in (
        ("lengths", arrays["lengths"] + np.uint16(1), "log_mel of uint8"),
        ("class_of", arrays["class_of"] + np.uint16(9), "class_of must point into class_names"),
        ("version", np.array(7), "version=7 must be 1"),
        ("format", np.array("other"), "not a world"),
    ):
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(ModelError, match=match) as caught:
            load_world(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ModelError, match="world cannot be read"):
        load_world(path)
