"""The sounds a mixer draws from: labelled speech by speaker, and everything else by role."""

import zlib
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from training.corpus.labels import (
    LabelSettings,
    energy_activity,
    hop_levels,
    sound_labels,
    speech_labels,
)
from training.corpus.rooms import measured_rooms, simulated_rooms
from training.voice.augment import convolve, minimum_phase, random_response
from training.voice.synthetic import synthetic_clips

RATE = 16000
_HOP = 160
# Single words in clean files that the teacher overhears; the others need its word for a stretch.
_TRUSTED = frozenset(
    "klettres arabic_sc ktuberling tuxpaint_stamps ptdb_tug asterisk_g722 kerstin_de "
    "mfa_tests".split()
)
_HUMAN_CLASSES = ("sneeze", "baby cry")
_MAY_HOLD_SPEECH = "check-speech"  # of the coughs: nobody has listened
_MUSIC_OR_NOISE = frozenset({"hydrogen_drums", "hydrogen_fx", "sonic_pi", "webaudio"})


_HELD_OUT_SOURCES = frozenset({"sfx_oxygen-sounds", "webaudio", "hyperrogue-music"})


def is_held_out(recording):
    """Unwanted sounds of the train split kept for choosing: whole collections and classes.

    The dev split's noises share their classes with train's; these do not.
    """
    if recording.split != "train":
        return False
    if recording.source == "moodist":
        return zlib.crc32(recording.cls.encode()) % 5 == 0
    if recording.kind == "voice_cry":
        return zlib.crc32(recording.file.encode()) % 6 == 0
    return recording.source in _HELD_OUT_SOURCES


@dataclass
class Sound:
    """One recording or clip, ready to mix.

    Attributes
    ----------
    kind : str
        ``speech``, ``sung``, ``music``, ``human_nonspeech`` or ``noise``.
    label, known : ndarray, shape (n_hops,), bool
        Where it sounds, and where that is sure.
    index : int
        In the corpus, or -1.
    samples : ndarray or None
        The clip itself where it is not in the corpus.
    level : float
        RMS of its loud hops.
    speaker, event : int
        Class numbers, -1 where unknown.
    ambiguous_music : bool
        Drums and loops: whether they are "music" is not known.
    """

    kind: str
    label: np.ndarray
    known: np.ndarray
    index: int
    samples: np.ndarray | None
    level: float
    speaker: int = -1
    event: int = -1
    ambiguous_music: bool = False

    @property
    def n_samples(self):
        """Length in samples."""
        return len(self.label) * _HOP


def loud_rms(samples, label=None):
    """RMS of the louder half of the sounding hops."""
    levels = hop_levels(samples)
    if label is not None and np.any(label):
        levels = levels[: len(label)][label[: len(levels)]]
    if not len(levels):
        return 1e-6
    power = 10.0 ** (levels / 10.0)
    return float(np.sqrt(np.mean(np.sort(power)[len(power) // 2 :])) + 1e-9)


def _is_continuous(samples):
    return energy_activity(hop_levels(samples)).mean() > 0.9


def made_noise(rng, n):
    """Steady noise of `n` samples and unit RMS: coloured, perhaps with hum, perhaps swelling."""
    noise = rng.standard_normal(n).astype(np.float32)
    draw = rng.random()
    if draw < 0.5:
        pole = rng.uniform(0.5, 0.995)
        noise = lfilter([1.0 - pole], [1.0, -pole], noise).astype(np.float32)
    elif draw < 0.8:
        noise = convolve(noise, minimum_phase(random_response(rng)))
    if rng.random() < 0.3:  # hum and its harmonics
        t = np.arange(n, dtype=np.float32) / RATE
        hum_hz = rng.choice([50.0, 60.0, rng.uniform(80, 400)])
        hum = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * k * hum_hz * t) for k in range(1, 9))
        noise = noise / loud_rms(noise) + hum.astype(np.float32) * rng.uniform(0.3, 10)
    if rng.random() < 0.3:  # slow swells
        t = np.arange(n) / RATE
        swell = rng.uniform(0, 15) * np.sin(2 * np.pi * rng.uniform(0.05, 3) * t)
        noise = noise * (10.0 ** (swell / 20.0)).astype(np.float32)
    return noise / loud_rms(noise)


class Library:
    """Everything to mix, of one split.

    Parameters
    ----------
    corpus : training.corpus.cache.Corpus
    split : str
        ``train`` or ``dev``.
    seed : int
        Of synthetic clips and rooms.
    opinions : tuple of dict
        From `training.voice.teachers.load_opinions`; may be empty.
    n_rooms : int
        Simulated rooms.
    synthetic_rounds : int
        Of `training.voice.synthetic.synthetic_clips`; 0 for none.
    n_noises : int
        Made noises.
    held_out : {"without", "only", "with"}
        Leave out the unwanted sounds that `is_held_out` names, have nothing else, or have them
        with the others.

    Attributes
    ----------
    speakers : dict of str to list of Sound
    beds, events, music, human, sung : list of Sound
        Continuous noises, short ones, music, human non-speech, singing.
    noises : list of ndarray
        Made noises of 20 s: coloured, with hum, swelling.
    rooms : list of ndarray
    speaker_names, event_names : list of str
    """

    def __init__(
        self,
        corpus,
        split="train",
        seed=0,
        opinions=({}, {}),
        n_rooms=300,
        synthetic_rounds=25,
        n_noises=80,
        held_out="without",
    ):
        self.corpus = corpus
        teacher, stray = opinions
        self.speakers, self.beds, self.events = {}, [], []
        self.music, self.human, self.sung = [], [], []
        self.speaker_names, self.event_names = [], []
        settings = LabelSettings()
        for i in corpus.select(split, "speech") if held_out != "only" else ():
            self._add_speech(i, teacher.get(i), settings)
        others = ("noise", "music", "human_nonspeech", "voice_cry", "voice_sung")
        for i in corpus.select(split, *others):
            wrong_half = is_held_out(corpus.recordings[i]) != (held_out == "only")
            if wrong_half and held_out != "with":
                continue
            self._add_other(i, teacher.get(i), stray.get(i, 0.0))
        for kind, name, samples in synthetic_clips(seed, synthetic_rounds):
            label = sound_labels(samples)
            sound = Sound(kind, label, label | True, -1, samples, loud_rms(samples, label))
            sound.event = self._number(self.event_names, f"{kind}:{name}")
            (self.human if kind == "human_nonspeech" else self.events).append(sound)
        rng = np.random.default_rng([seed, 3])
        self.noises = [made_noise(rng, 20 * RATE) for _ in range(n_noises)]
        self.rooms = measured_rooms(corpus, split) + simulated_rooms(seed, n_rooms)

    @staticmethod
    def _number(names, name):
        if name not in names:
            names.append(name)
        return names.index(name)

    def _add_speech(self, i, teacher, settings):
        recording = self.corpus.recordings[i]
        samples = self.corpus.read(i)
        label, known = speech_labels(samples, teacher, settings)
        levels = hop_levels(samples)
        if teacher is not None and recording.source in _TRUSTED and len(levels):
            floor, loud = np.percentile(levels, 5), np.percentile(levels, 95)
            if loud - floor > 35.0:
                strong, _ = speech_labels(samples, None, settings)
                label, known = label | strong, known | strong
        if label.sum() < 10 or (label & known).sum() < 10:
            return
        name = f"{recording.source}:{recording.speaker or recording.lang}"
        sound = Sound("speech", label, known, i, None, loud_rms(samples, label))
        sound.speaker = self._number(self.speaker_names, name)
        self.speakers.setdefault(name, []).append(sound)

    def _add_other(self, i, teacher, stray):
        recording = self.corpus.recordings[i]
        samples = self.corpus.read(i)
        cls = recording.cls.lower()
        if _MAY_HOLD_SPEECH in cls:
            return
        if recording.kind == "voice_cry" and teacher is not None and teacher.max() > 0.5 * 255:
            return  # a parent speaks
        if recording.source in ("esc10",) or recording.source.startswith("sfx_"):
            human = any(name in cls for name in _HUMAN_CLASSES)
            if stray > 0.6 and not human:
                return
        else:
            human = recording.kind in ("voice_cry", "human_nonspeech")
        kind = {"music": "music", "voice_sung": "sung"}.get(recording.kind, "noise")
        kind = "human_nonspeech" if human else kind
        label = sound_labels(samples)
        if label.sum() < 2:
            return
        sound = Sound(kind, label, label | True, i, None, loud_rms(samples, label))
        sound.event = self._number(self.event_names, recording.event_class)
        sound.ambiguous_music = recording.source in _MUSIC_OR_NOISE
        if kind == "sung":
            self.sung.append(sound)
        elif human:
            self.human.append(sound)
        elif kind == "music" and recording.source != "seth814_fsd":
            self.music.append(sound)
        elif kind == "noise" and len(label) > 300 and _is_continuous(samples):
            self.beds.append(sound)
        else:  # single notes of an instrument are events of kind music
            self.events.append(sound)

    def read(self, sound, start=0, count=None):
        """Samples of a sound, float32, as many whole hops as are there."""
        end = sound.n_samples if count is None else min(start + count, sound.n_samples)
        if sound.samples is not None:
            return sound.samples[start:end]
        return self.corpus.read(sound.index, start, end - start)
