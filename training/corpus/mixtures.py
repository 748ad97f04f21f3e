"""Evaluation sets from the voice corpus: seeded mixtures, meetings, recordings without speech.

Mixtures are 12 s at 48 kHz: utterances of one speaker with pauses between them, half of them in
a room, plus a noise or some music at a stated ratio of active speech power to noise power. The
same 12 s appear clean and at every ratio. Speakers, noises and rooms of a split occur in no
other split. Wanted segments come from the energy of the clean, dry speech.
"""

import functools
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from gate.metrics import clip_segments, merge_segments
from training.corpus.clips import Clip, Loaded, Sound
from training.corpus.decode import read_mono, resample
from training.corpus.labelled import labelled_clips
from training.corpus.labels import MAX_PAUSE_S, wanted_segments, without_blips
from training.corpus.manifest import UNLABELLABLE, read_manifest, response_paths
from training.corpus.rooms import measured_room, noise_room

SAMPLE_RATE = 48000
SECONDS = 12.0
RATIOS_DB = (None, 20, 10, 5, 0)
"""Speech to noise; None is the clean group."""

SPLITS = ("dev", "test")
_ROOM_SHARE = 0.5
_MUSIC_SHARE = 0.3
_MAX_UNHEARD = 0.15
_VOICED_PLACES = ("cafe", "library")  # murmur of people: no negatives


def _entries(folder, split):
    if split not in SPLITS:
        raise ConfigError(f"split={split!r} must be one of {', '.join(SPLITS)}")
    return read_manifest(folder, split)


def _fade_ends(samples, sample_rate, seconds):
    n = min(round(seconds * sample_rate), len(samples) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))
    samples = samples.copy()
    samples[:n] *= ramp
    samples[len(samples) - n :] *= ramp[::-1]
    return samples


def _utterance(path, rng):
    """Samples at unit active level and their segments, or None for a file without speech."""
    samples, rate = read_mono(path)
    samples = resample(samples - samples.mean(), rate, SAMPLE_RATE)
    segments = wanted_segments(samples, SAMPLE_RATE)
    if not len(segments):
        return None
    longest = rng.uniform(2.0, 6.0)
    begin = max(0.0, segments[0, 0] - 0.1)
    end = min(len(samples) / SAMPLE_RATE, segments[-1, 1] + 0.15, begin + longest)
    samples = _fade_ends(samples[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)],
                         SAMPLE_RATE, 0.02)  # fmt: skip
    segments = clip_segments(segments - begin, len(samples) / SAMPLE_RATE)
    level = active_rms(samples, segments)
    return None if level <= 0.0 else (samples / level, segments)


def active_rms(samples, segments, sample_rate=SAMPLE_RATE):
    """Root mean square over the segments; 0 without any."""
    parts = [samples[round(a * sample_rate) : round(b * sample_rate)] for a, b in segments]
    joined = np.concatenate(parts) if parts else np.zeros(0)
    return float(np.sqrt(np.mean(np.square(joined, dtype=np.float64)))) if len(joined) else 0.0


def _convolve(samples, response):
    n = len(samples) + len(response) - 1
    n_fft = 1 << (n - 1).bit_length()
    spectrum = np.fft.rfft(samples, n_fft) * np.fft.rfft(response, n_fft)
    return np.fft.irfft(spectrum, n_fft)[: len(samples)]


class Mixer:
    """Makes the mixtures of one split.

    Parameters
    ----------
    folder : path-like
        The corpus folder.
    split : {"dev", "test"}
    seed : int
    """

    def __init__(self, folder, split, seed):
        self.split, self.seed = split, seed
        self._folder = Path(folder)
        self.speakers, self.events = {}, {}
        for entry in _entries(folder, split):
            usable = (entry.vad_peak or 0.0) >= 0.8 and entry.unheard <= _MAX_UNHEARD
            if entry.role == "speech" and usable and entry.source not in UNLABELLABLE:
                speakers = self.speakers.setdefault(entry.source, {})
                speakers.setdefault(entry.speaker, []).append(entry)
            elif entry.role in ("noise", "music") and entry.cls not in _VOICED_PLACES:
                events = self.events.setdefault(entry.role, {})
                events.setdefault(entry.cls, []).append(entry)
        if not self.speakers or "noise" not in self.events:
            raise ConfigError(f"data={folder}: split {split!r} must hold speech and noise")
        self.rooms = response_paths(folder, split)
        self._base = functools.lru_cache(maxsize=2)(self._make_base)

    def clips(self, count, ratios_db=RATIOS_DB):
        """`count` mixtures at each ratio; all of one mixture follow each other."""
        result = []
        for index in range(count):
            for ratio in ratios_db:
                group = "clean" if ratio is None else f"{ratio} dB"
                name = f"{self.split}{index:03d} {group}"
                load = functools.partial(self.mix, index, ratio)
                result.append(Clip(name, group, f"{self.split}{index:03d}", load))
        return result

    def mix(self, index, ratio_db):
        """One mixture as a `Loaded`."""
        speech, noise, segments, level_db = self._base(index)
        speech = speech * 10.0 ** (level_db / 20.0)
        if ratio_db is None:
            noise = np.zeros_like(speech)
        else:
            noise = noise * 10.0 ** ((level_db - ratio_db) / 20.0)
        audio = speech + noise
        scale = min(1.0, 0.99 / max(float(np.abs(audio).max()), 1e-9))
        parts = [(scale * part).astype(np.float32) for part in (audio, speech, noise)]
        return Loaded(Sound(*parts), SAMPLE_RATE, segments)

    def _make_base(self, index):
        """Speech and noise at unit level, segments, and the speech's level in dBFS."""
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        speech, segments = self._speech(index, rng)
        rooms = [self._room(rng) for _ in range(2)] if rng.random() < _ROOM_SHARE else []
        if rooms:
            speech = _convolve(speech, rooms[0])
        noise = self._noise(rng)
        if rooms:
            noise = _convolve(noise, rooms[1])
        speech /= active_rms(speech, segments)
        noise /= np.sqrt(np.mean(np.square(noise))) + 1e-12
        return speech, noise, segments, rng.uniform(-40.0, -20.0)

    def _speech(self, index, rng):
        """Utterances of one speaker with pauses; sources and speakers take turns."""
        sources = sorted(self.speakers)
        source = self.speakers[sources[index % len(sources)]]
        order = np.random.default_rng([self.seed, 77]).permutation(sorted(source))
        rows = source[order[index // len(sources) % len(order)]]
        rows = [rows[i] for i in rng.permutation(len(rows))]
        total = round(SECONDS * SAMPLE_RATE)
        speech, segments = np.zeros(total), []
        at, turn = rng.uniform(0.3, 1.2), 0
        while at < SECONDS - 1.0 and turn < 60:
            found = _utterance(self._folder / rows[turn % len(rows)].file, rng)
            turn += 1
            if found is None:
                continue
            samples, parts = found
            start = round(at * SAMPLE_RATE)
            samples = samples[: total - start] * 10.0 ** (rng.normal(0.0, 2.0) / 20.0)
            speech[start : start + len(samples)] += samples
            segments.append(parts + at)
            at += len(samples) / SAMPLE_RATE + np.exp(rng.uniform(np.log(0.15), np.log(2.5)))
        merged = merge_segments(np.concatenate(segments), MAX_PAUSE_S)
        return speech, without_blips(clip_segments(merged, SECONDS))

    def _room(self, rng):
        if self.rooms:
            return measured_room(self.rooms[rng.integers(len(self.rooms))], SAMPLE_RATE)
        return noise_room(rng, SAMPLE_RATE)

    def _noise(self, rng):
        """12 s of one event class, files joined by cross-fades."""
        kind = "music" if "music" in self.events and rng.random() < _MUSIC_SHARE else "noise"
        events = sorted(self.events[kind])
        rows = self.events[kind][events[rng.integers(len(events))]]
        total, fade = round(SECONDS * SAMPLE_RATE), 0.05
        noise, at = np.zeros(total), 0
        while at < total:
            samples, rate = read_mono(
                self._folder / rows[rng.integers(len(rows))].file,
                lambda length: rng.uniform(0.0, max(0.0, length - SECONDS)),
                SECONDS,
            )
            samples = _fade_ends(resample(samples, rate, SAMPLE_RATE), SAMPLE_RATE, fade)
            step = max(len(samples) - round(fade * SAMPLE_RATE), SAMPLE_RATE // 10)
            samples = samples[: total - at]
            noise[at : at + len(samples)] += samples
            at += step
        return noise


def _speechless_clip(entry, folder):
    def load():
        samples, rate = read_mono(folder / entry.file)
        return Loaded(Sound(samples), rate, np.zeros((0, 2)))

    return Clip(entry.file, entry.role, entry.file, load)


def speechless_clips(folder, split):
    """Recordings without speech, each as it is: groups noise, music, human_nonspeech."""
    return [
        _speechless_clip(entry, Path(folder))
        for entry in _entries(folder, split)
        if entry.role != "speech" and entry.cls not in _VOICED_PLACES
    ]


def evaluation_set(folder, split, seed=0, n_mixtures=40, max_speechless=None):
    """Everything that the quality table is made from.

    Parameters
    ----------
    folder : path-like
        The corpus folder, with MANIFEST.csv.
    split : {"dev", "test"}
    seed : int
        Of the mixtures.
    n_mixtures : int
        Mixtures a ratio.
    max_speechless : int, optional
        At most so many recordings of each speechless group, drawn with the seed.

    Returns
    -------
    list of Clip
        Groups ``clean``, ``20 dB`` ... ``0 dB``, ``meeting`` where the split has labelled
        recordings, ``noise``, ``music``, ``human_nonspeech``.
    """
    folder = Path(folder)
    clips = Mixer(folder, split, seed).clips(n_mixtures)
    if (folder / split / "labelled" / "LABELS.csv").is_file():
        clips += labelled_clips(folder / split / "labelled", group="meeting")
    by_group = {}
    for clip in speechless_clips(folder, split):
        by_group.setdefault(clip.group, []).append(clip)
    rng = np.random.default_rng([seed, 99])
    for group in sorted(by_group):
        found = by_group[group]
        if max_speechless is not None and len(found) > max_speechless:
            keep = sorted(rng.choice(len(found), max_speechless, replace=False))
            found = [found[i] for i in keep]
        clips += found
    return clips
