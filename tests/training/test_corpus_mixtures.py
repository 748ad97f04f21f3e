"""Evaluation sets: what is wanted is known, and the same seed gives the same sound."""

import numpy as np
import pytest
from small_corpus import make_corpus, words

from gate.errors import AudioFileError, ConfigError
from gate.metrics import hop_labels
from training.corpus.labelled import find_labelled, labelled_clips
from training.corpus.labels import wanted_segments
from training.corpus.mixtures import Mixer, active_rms, evaluation_set
from training.corpus.rooms import measured_room, noise_room


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def test_wanted_segments_are_where_the_words_are():
    found = wanted_segments(words(np.random.default_rng(3)), 16000)
    # Frames of 5 ms; an end may be a window of 15 ms late.
    assert found == pytest.approx(np.array([[0.3, 0.8], [1.2, 1.6]]), abs=0.016)


def test_short_pauses_count_as_wanted_and_blips_do_not():
    x = np.zeros(16000, np.float32)
    t = np.arange(16000) / 16000
    for begin, end in ((0.1, 0.3), (0.4, 0.6), (0.9, 0.92)):
        x[int(begin * 16000) : int(end * 16000)] = 0.5
    x *= np.sin(2 * np.pi * 500 * t)
    assert wanted_segments(x, 16000) == pytest.approx(np.array([[0.1, 0.6]]), abs=0.016)


def test_a_mixture_has_the_stated_ratio_and_adds_up(corpus):
    mixer = Mixer(corpus, "dev", seed=0)
    for ratio in (10, 0):
        clip = mixer.mix(0, ratio)
        assert clip.sound.audio.shape == (12 * 48000,)
        total = clip.sound.wanted + clip.sound.unwanted
        np.testing.assert_allclose(clip.sound.audio, total, atol=1e-6)  # float32 sums
        speech = active_rms(clip.sound.wanted, clip.segments)
        noise = np.sqrt(np.mean(np.square(clip.sound.unwanted, dtype=np.float64)))
        assert 20 * np.log10(speech / noise) == pytest.approx(ratio, abs=0.01)
        assert np.abs(clip.sound.audio).max() <= 1.0


def test_all_ratios_of_a_mixture_share_speech_and_segments(corpus):
    mixer = Mixer(corpus, "dev", seed=0)
    clean, noisy = mixer.mix(1, None), mixer.mix(1, 5)
    np.testing.assert_array_equal(clean.segments, noisy.segments)
    assert not clean.sound.unwanted.any()
    correlation = np.corrcoef(clean.sound.wanted, noisy.sound.wanted)[0, 1]
    assert correlation == pytest.approx(1.0, abs=1e-6)


def test_segments_hold_the_speech(corpus):
    """Outside the segments there is only a room's tail and the recordings' own floor."""
    clip = Mixer(corpus, "dev", seed=0).mix(0, None)
    level = np.square(clip.sound.wanted.reshape(-1, 480)).mean(axis=1)
    inside = hop_labels(clip.segments, len(level))
    assert level[inside].mean() > 20 * level[~inside].mean()
    assert 0.2 < inside.mean() < 0.9


def test_the_seed_decides(corpus):
    same = [Mixer(corpus, "dev", seed=4).mix(0, 10).sound.audio for _ in range(2)]
    np.testing.assert_array_equal(*same)
    other = Mixer(corpus, "dev", seed=5).mix(0, 10).sound.audio
    assert not np.array_equal(same[0], other)


def test_recordings_that_fail_the_manifest_s_checks_are_left_out(corpus):
    mixer = Mixer(corpus, "dev", seed=0)
    assert set(mixer.speakers) == {"words"}  # not the ones with hum between the words
    assert set(mixer.events["noise"]) == {"hiss", "door"}  # neither sneezes nor murmur


def test_the_set_has_every_group(corpus):
    clips = evaluation_set(corpus, "dev", n_mixtures=1)
    groups = [clip.group for clip in clips]
    assert groups == ["clean", "20 dB", "10 dB", "5 dB", "0 dB", "meeting",
                      "human_nonspeech", "music", "noise", "noise"]  # fmt: skip
    assert len({(clip.name, clip.group) for clip in clips}) == len(clips)
    sneeze = next(clip for clip in clips if clip.group == "human_nonspeech").load()
    assert sneeze.segments.shape == (0, 2)
    assert sneeze.duration_s == 5.0
    meeting = next(clip for clip in clips if clip.group == "meeting").load()
    assert meeting.segments.tolist() == [[0.3, 0.8], [1.2, 1.6]]


def test_bad_corpora_are_refused(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"must be a folder with a MANIFEST.csv"):
        evaluation_set(tmp_path, "dev")
    with pytest.raises(ConfigError, match="no rows of split 'test'"):
        evaluation_set(corpus, "test")
    with pytest.raises(ConfigError, match="split='train' must be one of"):
        evaluation_set(corpus, "train")


def test_rooms_begin_with_their_direct_sound(tmp_path):
    import soundfile

    assert np.argmax(np.abs(noise_room(np.random.default_rng(0), 48000))) == 0
    response = np.zeros(9600, np.float32)
    response[4000] = 0.5
    soundfile.write(tmp_path / "ir.wav", response, 48000)
    room = measured_room(tmp_path / "ir.wav", 48000)
    assert np.argmax(np.abs(room)) == 24  # half a millisecond before the peak is kept
    assert np.sum(room**2) == pytest.approx(1.0)


def test_audacity_tracks_beside_the_recordings(corpus, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "one.wav", np.zeros(16000), 16000)
    (tmp_path / "one.txt").write_text("0.5\t2.0\tvoice\n\\\t100\t200\n0.1\t0.2\tvoice\n")
    (clip,) = labelled_clips(tmp_path)
    assert clip.load().segments.tolist() == [[0.1, 0.2], [0.5, 1.0]]  # sorted, cut at the end


def test_bad_labels_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no labels.csv"):
        labelled_clips(tmp_path)
    (tmp_path / "labels.csv").write_text("file,start,end\n")
    with pytest.raises(ConfigError, match="column 'end_s' is missing"):
        labelled_clips(tmp_path)
    (tmp_path / "labels.csv").write_text("file,start_s,end_s\ngone.wav,0,1\n")
    with pytest.raises(AudioFileError, match=r"gone.wav: named in the labels"):
        labelled_clips(tmp_path)
    (tmp_path / "labels.csv").write_text("file,start_s,end_s\n")
    with pytest.raises(ConfigError, match=r"labels.csv: names no recording"):
        labelled_clips(tmp_path)
    (tmp_path / "labels.csv").write_text("file,start_s,end_s\na.wav,0,1\nb.wav,two,3\n")
    with pytest.raises(AudioFileError, match=r"labels.csv, line 3: must be"):
        labelled_clips(tmp_path)


def test_recordings_without_labels_are_told(tmp_path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b.txt").write_text("")  # nothing wanted in it
    found, left_out = find_labelled(tmp_path)
    assert [path.name for path, _, _ in found] == ["b.wav"]
    assert [path.name for path in left_out] == ["a.wav"]
