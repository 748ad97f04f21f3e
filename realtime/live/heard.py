"""What the running detector hears is remembered, and a profile is put around it or taken away.

The detector inside goes on with its state, so a gate that has just been taught, corrected or
given another profile does not begin anew.
"""

import numpy as np

from realtime.around import Around
from realtime.learn.profile_detector import ProfileDetector
from realtime.live.detector_budget import without_budget

WINDOW_HOPS = 200
"""What is remembered for the running means of a head: two seconds."""


class HeardDetector(Around):
    """A detector that can be taught while it runs.

    Parameters
    ----------
    detector : Detector
        Plain, or a `ProfileDetector` around a plain one.

    Attributes
    ----------
    log_mel : ndarray, shape (64,), float32
        Of the last hop.
    ears_said : ndarray, shape (k,), float32, or None
        What its second ears said then; None where it has none.

    Notes
    -----
    Results pass unchanged. Latency: none.
    """

    def __init__(self, detector):
        self.detector = detector
        n_mels = detector.info.mel.n_mels
        self.log_mel = np.zeros(n_mels, np.float32)
        self.ears_said = None
        self._features = np.zeros((WINDOW_HOPS, n_mels), np.float32)
        self._embedding = None
        self._n_seen = 0

    @property
    def info(self):
        """The detector's own, the profile's where there is one."""
        return self.detector.info

    @property
    def base(self):
        """The detector without a profile."""
        inner = self.detector
        return inner.detector if isinstance(inner, ProfileDetector) else inner

    def process(self, features, ears=None):
        """As the detector's own."""
        if len(features):
            self.log_mel = features[-1]
            self.ears_said = None if ears is None else ears[-1]
        heard = () if ears is None else (ears,)
        found = self.detector.process(features, *heard)
        for index in range(max(0, len(features) - WINDOW_HOPS), len(features)):
            if self._embedding is None:
                self._embedding = np.zeros((WINDOW_HOPS, found.embedding.shape[1]), np.float32)
            at = self._n_seen % WINDOW_HOPS
            self._features[at] = features[index]
            self._embedding[at] = found.embedding[index]
            self._n_seen += 1
        return found

    def recent(self):
        """Log-mel (n, 64) and embedding (n, k) of up to the last two seconds, oldest first."""
        n = min(self._n_seen, WINDOW_HOPS)
        at = np.arange(self._n_seen - n, self._n_seen) % WINDOW_HOPS
        embedding = np.zeros((0, 0), np.float32) if self._embedding is None else self._embedding
        return self._features[at], embedding[at] if n else embedding[:0]

    def prepare(self, profile):
        """Make what `swap` takes: off the audio thread.

        Parameters
        ----------
        profile : Profile or None
            None: the detector without a profile.

        Returns
        -------
        ProfileDetector or None

        Raises
        ------
        ModelError
            If the profile was taught on another detector.
        """
        if profile is None:
            return None
        taught = ProfileDetector(self.base, profile)
        taught.catch_up(*self.recent())
        return taught

    def swap(self, prepared):
        """Go on with a prepared profile, or with none; a few assignments, for the audio thread.

        Give the gate that owns this detector its settings again, which is when it reads the
        thresholds: ``gate.settings = gate.settings``. Its gain goes on from where it is.
        """
        self.detector = self.base if prepared is None else prepared.around(self.base)

    def reset(self):
        """Forget all sound; the profile stays."""
        self.detector.reset()
        self._n_seen = 0

    def fork(self):
        """Another one in the same state."""
        other = HeardDetector(self.detector.fork())
        other.log_mel = self.log_mel.copy()
        other._features = self._features.copy()
        other._embedding = None if self._embedding is None else self._embedding.copy()
        other._n_seen = self._n_seen
        return other


def heard_detectors(gate):
    """The `HeardDetector` of every lane."""
    found = [without_budget(lane.detector) for lane in gate.lanes]
    return [detector for detector in found if isinstance(detector, HeardDetector)]


def take_profile(gate, prepared):
    """Swap a prepared profile into all lanes of a gate, between two blocks."""
    for detector in heard_detectors(gate):
        detector.swap(prepared)
    gate.settings = gate.settings
