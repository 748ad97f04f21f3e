"""A detector with a taught head around it: presence, key and ballistics come from the profile."""

import numpy as np

from gate.detector import Detection, DetectorInfo
from realtime.around import Around
from realtime.learn.head import running_means, sigmoid
from realtime.learn.profile import check_detector


class _Head:
    """A profile's head, arranged for one hop at a time.

    The head is linear, so the running means are taken of its projections instead of its inputs:
    a hop costs two small products and a few float operations.
    """

    def __init__(self, profile, embedding_size, n_mels):
        shape = profile.shape
        rows = profile.coefficients.reshape(1 + len(shape.taus_s), embedding_size + n_mels)
        of_embedding, of_features = np.split(rows.astype(np.float64), [embedding_size], axis=1)
        # The shape is the log-mel less its mean; here the mean is taken from the weights.
        of_features = of_features - of_features.mean(axis=1, keepdims=True)
        self.of_embedding = np.ascontiguousarray(of_embedding.T, dtype=np.float32)
        self.of_features = np.ascontiguousarray(of_features.T, dtype=np.float32)
        self.bias = float(profile.bias)
        self.decays = [float(d) for d in shape.decays]

    def project(self, features, embedding):
        """(T, 1 + k) projections."""
        return np.dot(embedding, self.of_embedding) + np.dot(features, self.of_features)

    def scores(self, projections, state):
        """Scores (T,) of many hops, and the running means after them."""
        total = projections[:, 0] + np.float32(self.bias)
        after = []
        for k, decay in enumerate(self.decays, start=1):
            start = None if state is None else np.array([[state[k - 1]]], np.float32)
            means, last = running_means(projections[:, k : k + 1], start, [decay])
            total = total + means[:, 0, 0]
            after.append(float(last[0, 0]))
        return total, after


class ProfileDetector(Around):
    """Wraps a detector so that a gate opens on what a profile was taught.

    Whatever the gate's `target` is, the taught sound takes its place. `learned` ballistics are
    the profile's; the key is the profile's if it has one, else the detector's.

    Parameters
    ----------
    detector : Detector
    profile : realtime.learn.profile.Profile
    where : str
        Name of the profile's file, for messages.

    Raises
    ------
    ModelError
        If the profile was taught on another detector.

    Notes
    -----
    State: the detector's and one number a running mean. Latency: 0.
    """

    def __init__(self, detector, profile, where="profile"):
        check_detector(profile, detector.info, where)
        self.detector = detector
        self._take(profile)
        self._state = None

    def _take(self, profile):
        base = self.detector.info
        n_mels = base.mel.n_mels
        size = profile.embedding_size(n_mels)
        profile.check()
        self.profile = profile
        names = dict.fromkeys([profile.name, *base.targets, *base.classes])
        self.info = DetectorInfo(
            name=f"{base.name} + {profile.name}",
            classes=(profile.name,),
            mel=base.mel,
            targets={name: (profile.name,) for name in names},
            presence_threshold=dict.fromkeys(names, profile.presence_threshold),
            presence_hysteresis=dict.fromkeys(names, profile.presence_hysteresis),
            decision={} if profile.rule is None else dict.fromkeys(names, profile.rule),
            ears=base.ears,
            sha256=base.sha256,
            metadata={**base.metadata, "profile": profile.name},
        )
        times = [profile.attack_ms, profile.hold_ms, profile.release_ms]
        self._ballistics = np.array([times], np.float32) * np.float32(1e-3)
        self._key = None if profile.key is None else np.array(profile.key, np.float32)[None]
        self._presence = np.zeros((1, 1), np.float32)
        self._found = self._detection = None
        self._head = _Head(profile, size, n_mels)

    def process(self, features, ears=None):
        """Classify the next hops; see `gate.detector.Detector.process`."""
        detector = self.detector
        found = detector.process(features, ears) if self.info.ears else detector.process(features)
        head, n_hops = self._head, len(features)
        if n_hops != 1:
            return self._process_many(features, found, head)
        embedding = found.embedding
        now = np.dot(embedding[0], head.of_embedding) + np.dot(features[0], head.of_features)
        score, *parts = now.tolist()
        state = self._state
        if state is None:
            state = self._state = parts.copy()
        score += head.bias
        for k, (decay, part) in enumerate(zip(head.decays, parts, strict=True)):
            state[k] = mean = part + decay * (state[k] - part)
            score += mean
        self._presence[0, 0] = sigmoid(score)
        if found is not self._found:
            key = found.key if self._key is None else self._key
            self._found = found
            self._detection = Detection(embedding, self._presence, key, self._ballistics)
        return self._detection

    def _process_many(self, features, found, head):
        n_hops = len(features)
        if n_hops == 0:
            return found
        scores, self._state = head.scores(head.project(features, found.embedding), self._state)
        presence = (1.0 / (1.0 + np.exp(-np.clip(scores, -60.0, 60.0)))).astype(np.float32)
        key = found.key if self._key is None else np.repeat(self._key, n_hops, axis=0)
        ballistics = np.repeat(self._ballistics, n_hops, axis=0)
        return Detection(found.embedding, presence[:, None], key, ballistics)

    def reset(self):
        """Forget all sound; the head stays."""
        self.detector.reset()
        self._state = None

    def fork(self):
        """Another detector with the same head and a copy of the present state."""
        return self.around(self.detector.fork())

    def around(self, detector):
        """The same head with a copy of the present state around another detector of its kind."""
        other = object.__new__(ProfileDetector)
        other.__dict__.update(self.__dict__)
        other.detector = detector
        other._state = None if self._state is None else list(self._state)
        other._presence = self._presence.copy()
        other._found = other._detection = None
        return other

    def catch_up(self, features, embedding):
        """Bring the running means to where they would be after hops that were heard already.

        Parameters
        ----------
        features : ndarray, shape (n, 64)
        embedding : ndarray, shape (n, k)
            What the detector inside said of them.
        """
        if len(features):
            _, self._state = self._head.scores(self._head.project(features, embedding), None)
