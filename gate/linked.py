"""How several channels are heard as one: the sum with the signs that lose nothing.

A plain sum mutes two channels in opposite phase, and a mean makes a voice in one of eight
channels 18 dB quieter. Here a channel enters with the sign that agrees with the louder ones, so
the sum never has less power than the channels together; and the level is that of the loudest
channel, whatever the sum's.
"""

import numpy as np

_KEEP = 0.9  # of the covariance from hop to hop: a time constant of 95 ms
_DISAGREES = -0.25  # correlation with the louder channels from which a sign changes
_FADE_SECONDS = 0.005
_WILD = 1024.0  # power from which a wild float sample counts no more, for the state's sake
_LEVEL_HOPS = 3  # about one analysis frame


class LinkedMix:
    """Mixes the channels of a linked gate down to what its detector hears, a hop at a time.

    Signs are chosen from the channels' covariance, smoothed over 95 ms with the hop itself in
    it, so that they serve the hop that asks for them: taken from the loudest channel down, a
    channel keeps its sign until its correlation with the sum of the louder ones is below -.25.
    A change fades in 5 ms at the start of the hop. The weights are sign / channels, all of
    them: a channel that is idle adds nothing, and its scale is made good in the level. All
    that is measured is measured on differences of samples 125 µs apart, which leave out offsets
    and rumble.

    The guarantee, for the smoothed covariance C and signs s: s'Cs >= trace(C), so the sum has
    at least the power that the channels have together (less what the -.25 allows, 1.2 dB for
    two equal ones).

    Parameters
    ----------
    sample_rate : int
        Hz.
    channels : int
        2 or more.

    Attributes
    ----------
    weights : ndarray, shape (channels,), float32
        In force at the end of the last hop.

    Notes
    -----
    State: the covariance, the signs, powers of the last 3 hops and 125 µs of samples. Latency:
    0; it works on whole hops, so the result does not depend on how they came in.
    """

    latency_samples = 0

    def __init__(self, sample_rate, channels):
        self.channels = channels
        self._apart = max(1, round(sample_rate / 8000))
        n_fade = max(1, round(_FADE_SECONDS * sample_rate))
        self._ramp = ((np.arange(n_fade, dtype=np.float32) + 1.0) / n_fade)[:, None]
        self._scale = np.float32(1.0 / channels)
        self.reset()

    def reset(self):
        """All signs positive, nothing heard."""
        self._signs = np.ones(self.channels)
        self._covariance = np.zeros((self.channels, self.channels))
        self._tail = np.zeros((self._apart, self.channels), np.float32)
        self._powers = np.zeros((_LEVEL_HOPS, self.channels + 1))  # each channel's, the sum's
        self.weights = np.full(self.channels, self._scale, np.float32)

    def process(self, hop):
        """Mix a hop.

        Parameters
        ----------
        hop : ndarray, shape (n, channels), float32
            All input samples that came since the last hop, n > 0.

        Returns
        -------
        mono : ndarray, shape (n,), float32
        ratio : float
            Power of the loudest channel over power of `mono`, over the last 3 hops.
        """
        whole = np.concatenate([self._tail, hop], dtype=np.float64)
        rising = whole[self._apart :] - whole[: -self._apart]
        self._tail = whole[len(hop) :].astype(np.float32)
        now = rising.T @ rising
        power, most = float(np.trace(now)), _WILD * len(hop)
        if power > most:
            now *= most / power
        self._covariance *= _KEEP
        self._covariance += now
        signs = self._choose(self._covariance)
        weights = self.weights
        if signs is not None:
            self._signs = signs
            self.weights = (signs * self._scale).astype(np.float32)
        mono = weighted_sum(hop, self.weights)
        if signs is not None:
            n = min(len(self._ramp), len(hop))
            before = weighted_sum(hop[:n], weights)
            mono[:n] = before + self._ramp[:n, 0] * (mono[:n] - before)
        return mono, self._ratio(now)

    def process_many(self, samples, edges):
        """Mix many hops: `edges` are the ends of the hops in `samples` (n, channels).

        Returns
        -------
        mono : ndarray, shape (edges[-1],), float32
        ratios : ndarray, shape (T,)
        """
        mono = np.empty(edges[-1] if len(edges) else 0, np.float32)
        ratios = np.empty(len(edges))
        begin = 0
        for hop, end in enumerate(edges.tolist()):
            mono[begin:end], ratios[hop] = self.process(samples[begin:end])
            begin = end
        return mono, ratios

    def _choose(self, covariance):
        """New signs, or None where they stay."""
        if self.channels == 2:
            both = covariance[0, 1] * self._signs[0] * self._signs[1]
            if both >= _DISAGREES * np.sqrt(covariance[0, 0] * covariance[1, 1]):
                return None
            return self._signs * (1.0, -1.0)
        powers = np.diagonal(covariance)
        order = np.argsort(-powers, kind="stable").tolist()
        signs = self._signs.copy()
        total = covariance[order[0]] * signs[order[0]]  # of the sum so far, with every channel
        power = powers[order[0]]
        for channel in order[1:]:
            shared = total[channel] * signs[channel]
            if shared < _DISAGREES * np.sqrt(powers[channel] * power):
                signs[channel] = -signs[channel]
                shared = -shared
            total = total + covariance[channel] * signs[channel]
            power += powers[channel] + 2.0 * shared
        if np.array_equal(signs, self._signs):
            return None
        # Which way round the whole sum is does not matter: the way that changes least.
        return -signs if signs @ self._signs < 0.0 else signs

    def _ratio(self, now):
        """Level of the loudest channel over that of the sum, as a power ratio."""
        powers = self._powers
        powers[:-1] = powers[1:]
        powers[-1, :-1] = np.diagonal(now)
        powers[-1, -1] = self._signs @ now @ self._signs * float(self._scale) ** 2
        *channels, mixed = powers.sum(axis=0).tolist()
        loudest, most = max(channels), 4.0 * self.channels**2
        return loudest / mixed if loudest < most * mixed else (most if loudest > 0.0 else 1.0)


def weighted_sum(audio, weights):
    """Mix (n, channels) by weights, added in order so that the result is that of any length."""
    mono = audio[:, 0] * weights[0]
    for channel in range(1, len(weights)):
        mono += audio[:, channel] * weights[channel]
    return mono
