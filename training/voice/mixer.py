"""Mixtures with everything known: wanted speech s, everything else n, x = s + n.

One item is some seconds of sound and what the network should say about every hop of it.
"""

from dataclasses import dataclass, field

import numpy as np

from training.voice.augment import convolve, damage, minimum_phase, random_response
from training.voice.disguise import DisguiseSettings, disguise
from training.voice.library import loud_rms
from training.voice.targets import measure

RATE = 16000
_HOP = 160
ITEM_KINDS = ("mixed", "clean", "unwanted", "sung", "quiet")


@dataclass(frozen=True)
class MixSettings:
    """What is mixed, and how often.

    Attributes
    ----------
    n_hops : int
        Hops an item.
    shares : tuple of float
        Of `ITEM_KINDS`: speech among other sounds, speech alone, no speech, singing, next to
        nothing.
    snr_db : tuple of float
        Range of speech level over the level of the rest.
    level_dbfs : tuple of float
        Range of the mixture's loud parts.
    room_share : float
        How often there is a room.
    onset_hops : int
        Hops after a word's beginning that carry `onset_weight`.
    onset_weight : float
    offset_hops, offset_weight : int, float
        The same after its end: closing late is the commonest fault.
    disguise : DisguiseSettings
        What is done to unwanted sounds.
    """

    n_hops: int = 800
    shares: tuple = (0.46, 0.12, 0.34, 0.04, 0.04)
    snr_db: tuple = (-5.0, 30.0)
    level_dbfs: tuple = (-60.0, -3.0)
    room_share: float = 0.5
    onset_hops: int = 8
    onset_weight: float = 3.5
    offset_hops: int = 20
    offset_weight: float = 1.5
    disguise: DisguiseSettings = field(default_factory=DisguiseSettings)


def resample_by(samples, factor):
    """Play faster by `factor` (pitch and speed), band-limited."""
    import soxr

    return soxr.resample(samples, RATE * factor, RATE, quality="LQ")


def _stretch(flags, n_hops):
    """Nearest-neighbour resampling of hop flags."""
    index = (np.arange(n_hops) * len(flags) / n_hops).astype(int)
    return flags[index]


class Layer:
    """One sound source of an item: samples and where they sound."""

    def __init__(self, n_hops, kind):
        self.kind = kind
        self.samples = np.zeros(n_hops * _HOP, dtype=np.float32)
        self.active = np.zeros(n_hops, dtype=bool)
        self.known = np.ones(n_hops, dtype=bool)
        self.event = -1
        self.ambiguous_music = False

    def add(self, samples, active, start_hop):
        """Add samples and flags at a hop, cut at the item's end; negative starts cut the head."""
        if start_hop < 0:
            samples, active, start_hop = samples[-start_hop * _HOP :], active[-start_hop:], 0
        n = min(len(active), len(samples) // _HOP, len(self.active) - start_hop)
        if n > 0:
            self.samples[start_hop * _HOP : (start_hop + n) * _HOP] += samples[: n * _HOP]
            self.active[start_hop : start_hop + n] |= active[:n]


class VoiceMixer:
    """Makes items.

    Parameters
    ----------
    library : training.voice.library.Library
    settings : MixSettings
    seed : int or sequence of int
    """

    def __init__(self, library, settings=MixSettings(), seed=0):
        self.library, self.settings = library, settings
        self.rng = np.random.default_rng(seed)
        self._names = list(library.speakers)
        # A speaker counts with the square root of how much there is of him.
        weights = np.array(
            [sum(len(s.label) for s in library.speakers[name]) ** 0.5 for name in self._names]
        )
        self._speaker_weights = weights / weights.sum() if len(weights) else weights

    # Sources ---------------------------------------------------------------------------------

    def _one_of(self, sounds):
        return sounds[self.rng.integers(len(sounds))]

    def _event_sound(self):
        """A short sound, an event class at a time, so that large collections do not rule."""
        by_event = self._events_by_class()
        return self._one_of(by_event[self.rng.integers(len(by_event))])

    def _events_by_class(self):
        if not hasattr(self, "_event_groups"):
            groups = {}
            for sound in self.library.events:
                groups.setdefault(sound.event, []).append(sound)
            # Large groups (drums, key presses) count more than tiny ones.
            self._event_groups = [
                group for group in groups.values() for _ in range(1 + len(group) // 60)
            ]
        return self._event_groups

    def _clip(self, sound, max_hops, low=0.85, high=1.18, share=0.4):
        """A crop of a sound, perhaps played faster or slower: samples, label, known."""
        rng = self.rng
        n = len(sound.label)
        start = int(rng.integers(0, n - max_hops)) if n > max_hops else 0
        count = min(n - start, max_hops)
        samples = self.library.read(sound, start * _HOP, count * _HOP)
        label, known = sound.label[start : start + count], sound.known[start : start + count]
        if rng.random() < share:
            factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
            samples = resample_by(samples, factor)
            hops = len(samples) // _HOP
            samples = samples[: hops * _HOP]
            if hops:
                label, known = _stretch(label, hops), _stretch(known, hops)
        return samples / sound.level, label[: len(samples) // _HOP], known[: len(samples) // _HOP]

    def speech(self):
        """A track of one to three speakers in turn, at a level of about 1.

        Returns
        -------
        layer : Layer
        speaker : ndarray, shape (n_hops,), int
            Class number where exactly one speaker sounds, else -1.
        """
        rng, n_hops = self.rng, self.settings.n_hops
        layer = Layer(n_hops, "speech")
        speaker = np.full(n_hops, -1)
        names = rng.choice(len(self._names), size=3, p=self._speaker_weights)
        names = [self._names[k] for k in names]
        turn = names[0]
        pause = rng.choice([0.25, 0.6, 1.5])  # talkative to sparse
        depth = 0.0 if rng.random() < 0.25 else 10.0 ** (-rng.uniform(15, 70) / 20.0)
        at = 0 if rng.random() < 0.15 else int(rng.uniform(5, 250))
        first = True
        while at < n_hops - 10:
            if rng.random() < 0.25:
                turn = names[rng.integers(3)]
            sound = self._one_of(self.library.speakers[turn])
            samples, label, known = self._clip(sound, int(rng.uniform(150, 700)))
            if label.sum() < 5:
                at += 5
                first = False
                continue
            where = np.flatnonzero(label)
            head = max(0, where[0] - int(rng.integers(4, 30)))
            if first and at == 0:
                head = where[0] + rng.integers(0, max(1, len(where) // 2))
            tail = min(len(label), where[-1] + int(rng.integers(4, 30)))
            samples, label, known = (
                samples[head * _HOP : tail * _HOP],
                label[head:tail],
                known[head:tail],
            )
            if depth > 0:
                samples = samples * self._duck(label | ~known, depth)
            fade = min(int(rng.uniform(30, 600)), len(samples) // 4)
            samples = samples.copy()
            samples[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
            samples[len(samples) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            samples *= 10.0 ** (rng.normal(0, 3.0) / 20.0)
            layer.add(samples, label, at)
            end = min(at + len(label), n_hops)
            layer.known[at:end] &= known[: end - at]
            speaker[at:end][label[: end - at]] = sound.speaker
            at = end + int(100 * rng.exponential(pause))
            first = False
        return layer, speaker

    @staticmethod
    def _duck(label, depth):
        """Gain a sample that takes down a recording's own noise between its words."""
        gain = np.where(label, 1.0, depth).astype(np.float32)
        wide = np.maximum(gain, np.maximum(np.roll(gain, 2), np.roll(gain, -2)))
        smooth = np.convolve(
            np.pad(wide, 2, mode="edge"), np.full(5, 0.2, dtype=np.float32), "valid"
        )
        return np.interp(
            np.arange(len(label) * _HOP), np.arange(len(label)) * _HOP + _HOP / 2, smooth
        ).astype(np.float32)

    def _repeat(self, layer, sound, rate_hz, rhythmic, same, speed=(0.6, 1.6, 0.35)):
        """Fill a layer with events, a few a second."""
        rng, n_hops = self.rng, self.settings.n_hops
        spread = rng.uniform(0, 8)
        at = rng.uniform(0, min(n_hops, 200 / rate_hz))
        while at < n_hops:
            samples, label, _ = self._clip(sound, n_hops, *speed)
            if len(label):
                layer.add(samples * 10.0 ** (rng.normal(0, spread) / 20.0), label, int(at))
            gap = 100.0 / rate_hz
            at += gap if rhythmic else max(4.0, gap * rng.exponential())
            if not same and rng.random() < 0.5:
                fresh = self._event_sound()
                if fresh.kind == sound.kind:
                    sound = fresh

    def bed(self):
        """A continuous noise, recorded or made."""
        rng, n_hops = self.rng, self.settings.n_hops
        layer = Layer(n_hops, "noise")
        layer.active[:] = True
        if rng.random() < 0.3 or not self.library.beds:
            layer.samples[:] = self._made_noise(n_hops * _HOP)
            return layer
        sound = self._one_of(self.library.beds)
        layer.event = sound.event
        at = 0
        while at < n_hops:
            samples, label, _ = self._clip(sound, n_hops, 0.5, 2.0, 0.6)
            if not len(label):
                break
            layer.add(samples, label, at)
            at += len(label)
        return layer

    def _made_noise(self, n):
        """A stretch of one of the ready-made noises."""
        bank = self.library.noises
        noise = bank[self.rng.integers(len(bank))]
        start = int(self.rng.integers(0, max(1, len(noise) - n)))
        return np.resize(noise[start:], n) if len(noise) - start < n else noise[start : start + n]

    def events(self):
        """Short sounds, from one in a while to a rattle."""
        rng = self.rng
        sound = self._event_sound()
        layer = Layer(self.settings.n_hops, sound.kind)
        layer.event, layer.ambiguous_music = sound.event, sound.ambiguous_music
        rate = np.exp(rng.uniform(np.log(0.2), np.log(8.0)))
        rhythmic, same = rng.random() < 0.35, rng.random() < 0.6
        self._repeat(layer, sound, rate, rhythmic, same, (0.4, 2.2, 0.6))
        return layer

    def human(self):
        """Human non-speech, once or again and again."""
        rng = self.rng
        groups = self.__dict__.setdefault("_human_groups", {})
        if not groups:
            for sound in self.library.human:
                groups.setdefault(sound.event, []).append(sound)
        names = list(groups)
        size = np.array([len(groups[name]) for name in names]) ** 0.5
        sound = self._one_of(groups[names[rng.choice(len(names), p=size / size.sum())]])
        layer = Layer(self.settings.n_hops, "human_nonspeech")
        layer.event = sound.event
        self._repeat(layer, sound, rng.uniform(0.15, 1.2), False, True)
        return layer

    def music(self):
        """A crop of music, or an instrument's notes."""
        n_hops = self.settings.n_hops
        sound = self._one_of(self.library.music)
        layer = Layer(n_hops, "music")
        layer.event = sound.event
        samples, label, _ = self._clip(sound, int(n_hops * 2), 0.6, 1.7, 0.5)
        start = int(self.rng.uniform(0, n_hops / 2)) if self.rng.random() < 0.3 else 0
        layer.add(samples, label, start)
        return layer

    def sung(self):
        """Sung notes in a row."""
        rng = self.rng
        layer = Layer(self.settings.n_hops, "sung")
        sound = self._one_of(self.library.sung)
        layer.event = sound.event
        at = int(rng.uniform(0, 200))
        while at < self.settings.n_hops:
            samples, label, _ = self._clip(self._one_of(self.library.sung), 300, 0.6, 1.7, 0.7)
            if len(label):
                layer.add(samples * 10.0 ** (rng.normal(0, 3) / 20), label, at)
            at += len(label) + int(rng.exponential(30))
        return layer

    # Items -----------------------------------------------------------------------------------

    def _unwanted(self, speech_there):
        """Layers that must not open the gate, with their levels relative to each other in dB."""
        rng, library = self.rng, self.library
        makers = [(self.bed, 0.34), (self.events, 0.36)]
        if library.music:
            makers.append((self.music, 0.16 if speech_there else 0.2))
        if library.human:
            makers.append((self.human, 0.08 if speech_there else 0.3))
        if library.sung:
            makers.append((self.sung, 0.02))
        weights = np.array([weight for _, weight in makers])
        count = rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])
        picks = rng.choice(len(makers), size=count, p=weights / weights.sum())
        return [
            (makers[k][0](), 0.0 if j == 0 else rng.uniform(-25, 5)) for j, k in enumerate(picks)
        ]

    def item(self):
        """One item.

        Returns
        -------
        dict of ndarray
            ``features`` (T, 64); ``classes`` and ``classes_weight`` (T, 5); ``band_power``,
            ``s_band_power``, ``n_band_power`` (T, 64); ``s_fine``, ``n_fine`` (4 T,);
            ``speaker``, ``event`` (), the class that fills most of the item or -1.
        """
        x, s, n, layers, speaker = self.render()
        return measure(x, s, n, layers, speaker, self.settings)

    def render(self):
        """Signals of an item: x, s, n (samples), the layers, the speaker a hop."""
        rng, settings = self.rng, self.settings
        n_hops = settings.n_hops
        kind = ITEM_KINDS[rng.choice(len(ITEM_KINDS), p=settings.shares)]
        layers, levels = [], []
        speaker = np.full(n_hops, -1)
        if kind in ("mixed", "clean"):
            layer, speaker = self.speech()
            layers.append(layer)
            levels.append(rng.uniform(*settings.snr_db) if kind == "mixed" else 60.0)
        if kind == "sung" and self.library.sung:
            layers.append(self.sung())
            levels.append(rng.uniform(-5, 40))
        if kind in ("mixed", "unwanted") or (kind == "sung" and rng.random() < 0.5):
            for layer, level in self._unwanted(kind == "mixed"):
                layers.append(layer)
                levels.append(level)
        # The microphone's own noise, under everything.
        floor = Layer(n_hops, "floor")
        floor.samples[:] = self._made_noise(n_hops * _HOP)
        layers.append(floor)
        levels.append((max(levels) if levels else 0.0) - rng.uniform(28, 90))
        for layer in layers:
            if layer.kind in ("noise", "music", "human_nonspeech"):
                layer.samples, layer.active = disguise(
                    rng, layer.samples, layer.active, settings.disguise
                )
        self._set_levels(layers, levels)
        response = minimum_phase(random_response(rng)) if rng.random() < 0.7 else None
        rooms = [None, None]
        if rng.random() < settings.room_share:
            rooms = [self._one_of(self.library.rooms), None]
            if rng.random() < 0.7:
                rooms[1] = self._one_of(self.library.rooms)
        for layer in layers:
            chain = [] if response is None else [response]
            room = rooms[0 if layer.kind in ("speech", "sung") else 1]
            if room is not None:
                chain.append(room)
            unwanted = layer.kind not in ("speech", "sung", "floor")
            if unwanted and rng.random() < settings.disguise.coloured:
                chain.append(minimum_phase(random_response(rng)))
            if chain and layer.kind != "floor":
                layer.samples = convolve(layer.samples, *chain)
        wanted = [layer.samples for layer in layers if layer.kind == "speech"]
        s = wanted[0] if wanted else np.zeros(n_hops * _HOP, dtype=np.float32)
        n = np.sum([layer.samples for layer in layers if layer.kind != "speech"], axis=0)
        gain = 10.0 ** (rng.uniform(*settings.level_dbfs) / 20.0) / loud_rms(s + n)
        gain = min(gain, 0.99 / (np.max(np.abs(s + n)) + 1e-9))
        for layer in layers:
            layer.samples = layer.samples * np.float32(gain)
        s, n = s * np.float32(gain), n * np.float32(gain)
        return damage(rng, s + n), s, n, layers, speaker

    @staticmethod
    def _set_levels(layers, levels):
        for layer, level in zip(layers, levels, strict=True):
            rms = loud_rms(layer.samples, layer.active)
            layer.samples = layer.samples * np.float32(10.0 ** (level / 20.0) / rms)
