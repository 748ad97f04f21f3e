"""Mixtures with everything known: wanted speech s, everything else n, x = s + n.

One item is some seconds of sound and what the network should say about every hop of it.
"""

import functools
from dataclasses import dataclass, field

import numpy as np

from training.corpus.rooms import from_afar
from training.voice.augment import convolve, damage, minimum_phase, random_response
from training.voice.disguise import DisguiseSettings, disguise
from training.voice.layer import HOP, Layer, clip
from training.voice.library import loud_rms
from training.voice.talk import Talker, only_one
from training.voice.targets import measure

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
    conversation_share : float
        How often speech is a conversation instead of one voice after another.
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
    conversation_share: float = 0.4
    room_share: float = 0.5
    onset_hops: int = 8
    onset_weight: float = 3.5
    offset_hops: int = 20
    offset_weight: float = 1.5
    disguise: DisguiseSettings = field(default_factory=DisguiseSettings)


class VoiceMixer:
    """Makes items.

    Parameters
    ----------
    library : training.voice.library.Library
    settings : MixSettings
    seed : int or sequence of int
    ears : sequence of callable
        Each takes mixtures (B, n) at 16 kHz and gives what it hears of every hop, (B, T).
    teacher : callable, optional
        Takes mixtures too and says how probable speech is, (B, T).
    """

    def __init__(self, library, settings=MixSettings(), seed=0, ears=(), teacher=None):
        self.library, self.settings = library, settings
        self.ears, self.teacher = ears, teacher
        self.rng = np.random.default_rng(seed)
        self.talker = Talker(library, settings.n_hops, self.rng)

    # Sources ---------------------------------------------------------------------------------

    def _one_of(self, sounds):
        return sounds[self.rng.integers(len(sounds))]

    def _event_sound(self):
        """A short sound, an event class at a time, so that large collections do not rule."""
        return self._one_of(self._one_of(self._event_groups))

    @functools.cached_property
    def _event_groups(self):
        groups = _by_event(self.library.events).values()
        # Large groups (drums, key presses) count more than tiny ones.
        return [group for group in groups for _ in range(1 + len(group) // 60)]

    @functools.cached_property
    def _human_groups(self):
        return _by_event(self.library.human)

    def _clip(self, sound, max_hops, low=0.85, high=1.18, share=0.4):
        return clip(self.library, sound, max_hops, self.rng, low, high, share)

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
            layer.samples[:] = self._made_noise(n_hops * HOP)
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
        rng, groups = self.rng, self._human_groups
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

    def _talk(self):
        """Layers of speech and who speaks a hop."""
        if self.rng.random() < self.settings.conversation_share:
            return self.talker.conversation()
        return self.talker.track()

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

    def items(self, count):
        """Items whose mixtures the ears have heard together.

        Returns
        -------
        list of dict
            As of `item`, with ``ears`` (T, k) where the mixer has ears and ``teacher`` (T,)
            where it has a teacher.
        """
        rendered = [self.render() for _ in range(count)]
        items = [measure(*signals, self.settings) for signals in rendered]
        mixtures = np.stack([signals[0] for signals in rendered])
        if self.ears:
            heard = np.stack([ear(mixtures) for ear in self.ears], axis=-1)
            for item, values in zip(items, heard, strict=True):
                item["ears"] = values
        if self.teacher is not None:
            for item, values in zip(items, self.teacher(mixtures), strict=True):
                item["teacher"] = values
        return items

    def render(self):
        """Signals of an item: x, s, n (samples), the layers, the speaker a hop."""
        rng, settings = self.rng, self.settings
        n_hops = settings.n_hops
        kind = ITEM_KINDS[rng.choice(len(ITEM_KINDS), p=settings.shares)]
        layers, levels = [], []
        speaker = np.full(n_hops, -1)
        if kind in ("mixed", "clean"):
            talk, speaker = self._talk()
            level = rng.uniform(*settings.snr_db) if kind == "mixed" else 60.0
            layers += talk
            levels += [level + layer.offset_db for layer in talk]
        if kind == "sung" and self.library.sung:
            layers.append(self.sung())
            levels.append(rng.uniform(-5, 40))
        if kind in ("mixed", "unwanted") or (kind == "sung" and rng.random() < 0.5):
            for layer, level in self._unwanted(kind == "mixed"):
                layers.append(layer)
                levels.append(level)
        # The microphone's own noise, under everything.
        floor = Layer(n_hops, "floor")
        floor.samples[:] = self._made_noise(n_hops * HOP)
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
            if room is not None and layer.distance > 0:
                room = from_afar(room, layer.distance)
            if room is not None:
                chain.append(room)
            unwanted = layer.kind not in ("speech", "sung", "floor")
            if unwanted and rng.random() < settings.disguise.coloured:
                chain.append(minimum_phase(random_response(rng)))
            if chain and layer.kind != "floor":
                layer.samples = convolve(layer.samples, *chain)
        silence = np.zeros(n_hops * HOP, dtype=np.float32)
        s = sum((layer.samples for layer in layers if layer.kind == "speech"), silence)
        n = sum((layer.samples for layer in layers if layer.kind != "speech"), silence)
        gain = 10.0 ** (rng.uniform(*settings.level_dbfs) / 20.0) / loud_rms(s + n)
        gain = min(gain, 0.99 / (np.max(np.abs(s + n)) + 1e-9))
        for layer in layers:
            layer.samples = layer.samples * np.float32(gain)
        s, n = s * np.float32(gain), n * np.float32(gain)
        return damage(rng, s + n), s, n, layers, only_one(speaker)

    @staticmethod
    def _set_levels(layers, levels):
        for layer, level in zip(layers, levels, strict=True):
            rms = loud_rms(layer.samples, layer.active)
            layer.samples = layer.samples * np.float32(10.0 ** (level / 20.0) / rms)


def _by_event(sounds):
    groups = {}
    for sound in sounds:
        groups.setdefault(sound.event, []).append(sound)
    return groups
