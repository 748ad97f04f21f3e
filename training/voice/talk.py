"""Tracks of talk for the mixer: one voice after another, or a conversation in one room.

A conversation has two or three speakers near to and far from the microphone, turns of several
utterances with short pauses, gaps and overlaps between turns as people leave them (most within
half a second of the other's end, a third of them overlapping), and now and then a back-channel, a
short word from somebody whose turn it is not (timing after Heldner and Edlund, "Pauses, gaps and
overlaps in conversations", 2010).
"""

import numpy as np

from training.voice.layer import HOP, Layer, clip

_TRACK_PAUSES_S = (0.25, 0.6, 1.5)  # talkative to sparse
_TWO = -2  # speaker of a hop on which more than one sounds


class Talker:
    """Draws utterances and lays them out.

    Parameters
    ----------
    library : training.voice.library.Library
    n_hops : int
        Hops a track.
    rng : numpy.random.Generator
    """

    def __init__(self, library, n_hops, rng):
        self.library, self.n_hops, self.rng = library, n_hops, rng
        self._names = list(library.speakers)
        # A speaker counts with the square root of how much of that voice there is.
        weights = np.array(
            [sum(len(s.label) for s in library.speakers[name]) ** 0.5 for name in self._names]
        )
        self._weights = weights / weights.sum() if len(weights) else weights

    def _names_of(self, count):
        return [self._names[k] for k in self.rng.choice(len(self._names), count, p=self._weights)]

    def _utterance(self, name, longest_hops, depth):
        """One stretch of a speaker, faded and trimmed to its words.

        Returns
        -------
        samples, label, known, sound
            Or None where the drawn stretch has no words.
        """
        rng = self.rng
        sounds = self.library.speakers[name]
        sound = sounds[rng.integers(len(sounds))]
        samples, label, known = clip(self.library, sound, longest_hops, rng)
        if label.sum() < 5:
            return None
        where = np.flatnonzero(label)
        head = max(0, where[0] - int(rng.integers(4, 30)))
        tail = min(len(label), where[-1] + int(rng.integers(4, 30)))
        samples = samples[head * HOP : tail * HOP]
        label, known = label[head:tail], known[head:tail]
        if depth > 0:
            samples = samples * _duck(label | ~known, depth)
        fade = min(int(rng.uniform(30, 600)), len(samples) // 4)
        samples = samples.copy()
        samples[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        samples[len(samples) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        samples *= 10.0 ** (rng.normal(0, 3.0) / 20.0)
        return samples, label, known, sound

    def _depth(self):
        """Factor by which a recording's own noise between its words is turned down; 0: not."""
        rng = self.rng
        return 0.0 if rng.random() < 0.25 else 10.0 ** (-rng.uniform(15, 70) / 20.0)

    def track(self):
        """One to three speakers in turn, on one layer at a level of about 1.

        Returns
        -------
        layers : list of Layer
            One.
        speaker : ndarray, shape (n_hops,), int
            Class number where exactly one speaker sounds, else -1.
        """
        rng, n_hops = self.rng, self.n_hops
        layer, speaker = Layer(n_hops, "speech"), np.full(n_hops, -1)
        names = self._names_of(3)
        turn, pause, depth = names[0], rng.choice(_TRACK_PAUSES_S), self._depth()
        at = 0 if rng.random() < 0.15 else int(rng.uniform(5, 250))
        if at == 0:  # in the middle of a word
            at = -int(rng.integers(5, 100))
        while at < n_hops - 10:
            if rng.random() < 0.25:
                turn = names[rng.integers(3)]
            drawn = self._utterance(turn, int(rng.uniform(150, 700)), depth)
            if drawn is None:
                at += 5
                continue
            self._place(layer, speaker, drawn, at)
            at += len(drawn[1]) + int(100 * rng.exponential(pause))
        return [layer], speaker

    def conversation(self):
        """Two or three speakers in one room, each on a layer of its own.

        Returns
        -------
        layers : list of Layer
            With `offset_db`, the level against the nearest speaker's, and `distance`, 0 near the
            microphone to 1 far from it.
        speaker : ndarray, shape (n_hops,), int
        """
        rng, n_hops = self.rng, self.n_hops
        names = self._names_of(2 if rng.random() < 0.65 else 3)
        layers = [Layer(n_hops, "speech") for _ in names]
        for layer in layers[1:]:
            layer.distance = rng.uniform(0.0, 1.0)
            layer.offset_db = -18.0 * layer.distance * rng.random() + rng.normal(0, 2.0)
        speaker, depth = np.full(n_hops, -1), self._depth()
        who = int(rng.integers(len(names)))
        at = -int(rng.integers(0, 300)) if rng.random() < 0.4 else int(rng.uniform(5, 150))
        within = rng.choice((0.12, 0.25, 0.5))
        while at < n_hops - 10:
            begin, until = at, at + int(100 * rng.choice((0.7, 2.0, 5.0)) * rng.exponential())
            while True:
                drawn = self._utterance(names[who], int(rng.uniform(60, 450)), depth)
                if drawn is not None:
                    self._place(layers[who], speaker, drawn, at)
                    at += len(drawn[1])
                if at >= min(until, n_hops):
                    break
                at += 3 + int(100 * rng.exponential(within))
            if at - begin > 150 and rng.random() < 0.35:
                other = (who + 1 + int(rng.integers(len(names) - 1))) % len(names)
                self._back_channel(layers, speaker, names, other, int(rng.integers(begin, at)))
            if len(names) > 1 and rng.random() < 0.85:
                who = (who + 1 + int(rng.integers(len(names) - 1))) % len(names)
            if rng.random() < 0.12:
                at += int(rng.uniform(100, 400))
            else:
                at = max(begin + 20, at + int(100 * np.clip(rng.normal(0.2, 0.4), -0.8, 2.0)))
        return layers, speaker

    def _back_channel(self, layers, speaker, names, who, at):
        drawn = self._utterance(names[who], int(self.rng.uniform(25, 80)), 0.0)
        if drawn is not None:
            samples, *rest = drawn
            quieter = np.float32(10.0 ** (-self.rng.uniform(0, 12) / 20.0))
            self._place(layers[who], speaker, (samples * quieter, *rest), at)

    def _place(self, layer, speaker, drawn, at):
        samples, label, known, sound = drawn
        layer.add(samples, label, at)
        skip, end = max(0, -at), min(at + len(label), self.n_hops)
        if end <= max(at, 0):
            return
        begin = at + skip
        layer.known[begin:end] &= known[skip : skip + end - begin]
        heard = label[skip : skip + end - begin]
        part = speaker[begin:end]
        alone = heard & (part == -1)
        part[heard & (part >= 0) & (part != sound.speaker)] = _TWO
        part[alone] = sound.speaker


def only_one(speaker):
    """The speaker track with hops on which two sound at once as -1."""
    return np.where(speaker < 0, -1, speaker)


def _duck(label, depth):
    """Gain a sample that takes down a recording's own noise between its words."""
    gain = np.where(label, 1.0, depth).astype(np.float32)
    wide = np.maximum(gain, np.maximum(np.roll(gain, 2), np.roll(gain, -2)))
    smooth = np.convolve(np.pad(wide, 2, mode="edge"), np.full(5, 0.2, dtype=np.float32), "valid")
    return np.interp(
        np.arange(len(label) * HOP), np.arange(len(label)) * HOP + HOP / 2, smooth
    ).astype(np.float32)
