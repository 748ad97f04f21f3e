"""Teaches a gate: from labelled hops to a profile, with an honest estimate of what it can do.

Order of work: deal the examples into folds; make medleys of each fold; run the detector over
them; choose the head's penalty and score every hop by heads that have not seen its fold; fit
thresholds and ballistics to those scores by the gated-signal loss; fit the key and the settings
of a classic gate; fit the final head on everything.
"""

from dataclasses import dataclass, replace

import numpy as np

from gate.metrics import measure, roc_auc, segments_of
from realtime.learn.examples import (
    FINE_PER_HOP,
    HOP_S,
    OPEN,
    SHUT,
    check_sides,
    unpack_log_mel,
)
from realtime.learn.gate_fit import (
    GateFit,
    GateFitter,
    as_mapping,
    band_power,
    curve,
    decide,
    fit_key,
    key_levels,
)
from realtime.learn.head import Basis, HeadShape, fit_logistic, log_loss
from realtime.learn.medley import MedleyMaker, Unit, split_folds
from realtime.learn.profile import Profile
from realtime.learn.remarks import TeachingError

PENALTIES = (0.03, 0.3, 2.0)
_RANK = 160
_TWO_COPIES_S = 100.0  # up to so many seconds of examples every hop is shuffled in twice
_MIN_BALANCED_ACCURACY = 0.7
_CLASSIC_HYSTERESIS_DB = 4.0
_DB_SPAN = 100.0


@dataclass(frozen=True)
class Lesson:
    """What teaching found out, beside the profile.

    Attributes
    ----------
    profile : Profile
    confusable : list of dict
        Stretches on which the gate would be wrong: name, start_s, end_s, what.
    presence, label, weight : ndarray, shape (T,)
        Scores of hops by heads that did not see them, for the picture.
    source, hop : ndarray, shape (T,)
        Where each is from.
    is_open : ndarray, shape (T,), bool
        What the fitted gate did.
    names : list of str
        Of the recordings.
    """

    profile: Profile
    confusable: list
    presence: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    source: np.ndarray
    hop: np.ndarray
    is_open: np.ndarray
    names: list


class _Hops:
    """Medleys of all folds as inputs of the head."""

    def __init__(self, recordings, detector, shape, seed, n_copies=None):
        folds = split_folds(recordings)
        maker = MedleyMaker(recordings)
        seconds = sum(r.seconds for r in recordings)
        n_copies = n_copies or (2 if seconds <= _TWO_COPIES_S else 1)
        medleys, folds_of = [], []
        for copy in range(n_copies):
            for fold, units in enumerate(folds):
                if not units:
                    continue
                medleys.append(maker.make(units, np.random.default_rng([seed, copy, fold])))
                folds_of.append(fold)
        x = [inputs_of(m.log_mel, detector, shape) for m in medleys]
        self.medleys = medleys
        self.x = np.concatenate(x)
        self.fold = np.concatenate(
            [np.full(len(m.label), f) for m, f in zip(medleys, folds_of, strict=True)]
        )
        self.label = np.concatenate([m.label for m in medleys])
        self.weight = np.concatenate([m.weight for m in medleys])
        # Every hop once: the first copies.
        first = medleys[: len(medleys) // n_copies]
        self.once = sum(len(m.label) for m in first)
        self.wanted = np.concatenate([m.wanted for m in first])
        self.unwanted = np.concatenate([m.unwanted for m in first])
        self.source = np.concatenate([m.source for m in first])
        self.hop = np.concatenate([m.hop for m in first])


def inputs_of(log_mel, detector, shape):
    """The head's inputs for a stretch of log-mel after a reset, (T, n)."""
    detector.reset()
    return shape.inputs(log_mel, detector.process(log_mel).embedding)


def teach(recordings, detector, notes, name=None, seed=0, checked=False):
    """Teach a gate.

    Parameters
    ----------
    recordings : list of Recording
    detector : Detector
        Not a profile's.
    notes : TeachingNotes
        Gets what is doubtful.
    name : str, optional
        What it opens on.
    seed : int
    checked : bool
        `check_sides` has been called.

    Returns
    -------
    Lesson

    Raises
    ------
    TeachingError
    """
    if not checked:
        recordings = check_sides(recordings, notes)
    shape = HeadShape()
    hops = _Hops(recordings, detector, shape, seed)
    coordinates, basis, known = _coordinates(hops)
    penalty, scores = _cross_validate(coordinates, hops, known)
    presence = 1.0 / (1.0 + np.exp(-np.clip(scores[: hops.once], -30.0, 30.0)))
    once = slice(0, hops.once)
    counted = np.where(hops.weight[once] >= 0.5, hops.weight[once], 0.0)
    fitter = GateFitter(presence, hops.wanted, hops.unwanted, None, hops.label[once], counted)
    fit, loss = fitter.search()
    is_open = _decide_honestly(hops, presence, counted, fit)
    head = fit_logistic(coordinates[known], hops.label[known], hops.weight[known], penalty)
    coefficients, bias = basis.unfold(*head)
    detector.reset()
    key, classic = _fit_key_and_classic(recordings, seed)
    suggested = _suggest_threshold(recordings, key)
    expected, confusable = _expect(hops, recordings, presence, is_open, fit)
    expected["gated_signal_loss"] = round(loss, 3)
    if min(expected["balanced_accuracy"], expected["roc_auc"]) < _MIN_BALANCED_ACCURACY:
        notes.warn(
            f"the two sides sound alike (balanced accuracy {expected['balanced_accuracy']:.2f} on "
            "held-out parts): check the labels, or teach with more and clearer examples"
        )
    times = as_mapping(fit)
    profile = Profile(
        name=name or "taught",
        detector=detector.info.name,
        detector_sha256=detector.info.sha256,
        shape=shape,
        coefficients=coefficients.astype(np.float32),
        bias=bias,
        **times,
        key=key,
        suggested_threshold_db=suggested,
        classic=classic,
        expected=expected,
        taught_with=[_describe(r) for r in recordings],
        memory=tuple(recordings),
        penalty=penalty,
    )
    known_once = np.where(known[: hops.once], hops.weight[: hops.once], 0.0)
    lesson = Lesson(profile.check(), confusable, presence, hops.label[: hops.once], known_once,
                    hops.source, hops.hop, is_open, [r.name for r in recordings])  # fmt: skip
    return lesson


def _coordinates(hops):
    known = hops.weight > 0
    if not (hops.label[known] > 0).any() or not (hops.label[known] == 0).any():
        raise TeachingError("one side has no sound to learn from")
    basis = Basis.fit(hops.x[known], _RANK)
    return basis.apply(hops.x).astype(np.float32), basis, known


def _cross_validate(x, hops, known):
    """The best penalty, and for every hop the score of a head that has not seen its fold."""
    best = None
    for penalty in PENALTIES:
        scores = np.zeros(len(x))
        for fold in np.unique(hops.fold):
            train, test = known & (hops.fold != fold), hops.fold == fold
            label = hops.label[train]
            if not len(label) or label.max() == 0.0 or label.min() == 1.0:
                continue  # all of one side is in this fold; 0 says: no idea
            theta, bias = fit_logistic(x[train], label, hops.weight[train], penalty)
            scores[test] = x[test] @ theta.astype(np.float32) + bias
        loss = log_loss(scores[known], hops.label[known], hops.weight[known])
        if best is None or loss < best[0]:
            best = loss, penalty, scores
    return best[1:]


def _decide_honestly(hops, presence, counted, fit):
    """What gates do on each fold whose thresholds were chosen on the other folds."""
    fold, fine = hops.fold[: hops.once], np.repeat(hops.fold[: hops.once], FINE_PER_HOP)
    is_open = np.zeros(hops.once, dtype=bool)
    for number in np.unique(fold):
        rest, mine = fold != number, fold == number
        chosen = fit
        if (hops.label[: hops.once][rest & (counted > 0)] > 0).any():
            fitter = GateFitter(
                presence[rest], hops.wanted[fine != number], hops.unwanted[fine != number], None,
                hops.label[: hops.once][rest], counted[rest],
            )  # fmt: skip
            chosen, _ = fitter.search(fit, ["presence_threshold"])
        is_open[mine] = decide(presence[mine], chosen)
    return is_open


def _expect(hops, recordings, presence, is_open, fit):
    """What the gate will do, by cross-validation, and where it will be wrong."""
    label, weight = hops.label[: hops.once], hops.weight[: hops.once]
    sure = weight >= 0.5
    wanted, unwanted = sure & (label > 0), sure & (label == 0)
    opens, passes = float(is_open[wanted].mean()), float(is_open[unwanted].mean())
    gain = curve(is_open, fit)
    heard = segments_of(gain > 10.0 ** (-60.0 / 40.0), FINE_PER_HOP / HOP_S)
    sounds = segments_of(wanted, 1.0 / HOP_S)
    sounds = sounds[sounds[:, 1] - sounds[:, 0] >= 0.05]
    tally = measure(sounds, heard, hops.once * HOP_S).summary() if len(sounds) else {}
    expected = {
        "opens_on_wanted": round(opens, 3),
        "opens_on_unwanted": round(passes, 3),
        "balanced_accuracy": round(0.5 * (opens + 1.0 - passes), 3),
        "roc_auc": round(roc_auc(presence[wanted | unwanted], label[wanted | unwanted]), 3),
        "onset_p50_ms": round(float(tally.get("onset_p50_ms", float("nan"))), 1),
    }
    return expected, _confusable(hops, recordings, is_open, wanted, unwanted)


def _confusable(hops, recordings, is_open, wanted, unwanted):
    """The longest stretches of the recordings on which the gate is mostly wrong."""
    found = []
    for index, recording in enumerate(recordings):
        mine = hops.source == index
        for sounding, wrong, what in (
            (unwanted, unwanted & is_open, "opens"),
            (wanted, wanted & ~is_open, "stays shut"),
        ):
            n = len(recording.label)
            total, bad = np.zeros(n), np.zeros(n)
            total[hops.hop[mine & sounding]] = 1.0
            bad[hops.hop[mine & wrong]] = 1.0
            window = np.ones(min(50, n))
            share = np.convolve(bad, window, "same") / np.maximum(
                np.convolve(total, window, "same"), 15.0
            )
            for begin, end in segments_of(share > 0.5, 1.0 / HOP_S):
                if end - begin >= 0.2:
                    found.append(
                        {"name": recording.name, "start_s": round(float(begin), 2),
                         "end_s": round(float(end), 2), "what": what}
                    )  # fmt: skip
    return sorted(found, key=lambda f: f["start_s"] - f["end_s"])


def _fit_key_and_classic(recordings, seed):
    """Key weights, and the best settings of a gate that knows nothing but level and band."""
    rng = np.random.default_rng([seed, 99])
    maker = MedleyMaker(recordings)
    units = [unit for fold in split_folds(recordings) for unit in fold]
    medley = maker.make(units, rng, plain=True)
    power = band_power(medley.log_mel)
    key = fit_key(power, medley.label, medley.weight)
    strong = np.flatnonzero(key >= 0.5)
    low, high = int(strong[0]), int(strong[-1])
    band = np.zeros(64, np.float32)
    band[low : high + 1] = 1.0
    found = []
    for weights in (key, np.square(key), np.ones(64, np.float32), band):
        level = np.clip((key_levels(power, weights) + _DB_SPAN) / _DB_SPAN, 0.0, 1.0)
        fitter = GateFitter(level, medley.wanted, medley.unwanted)
        start = GateFit(presence_hysteresis=_CLASSIC_HYSTERESIS_DB / _DB_SPAN)
        fit, loss = fitter.search(start, ["presence_threshold"])
        found.append((loss, weights, fit, fitter))
    best = min(found[:3], key=lambda f: f[0])
    _, _, start, fitter = found[3]
    fit, loss = fitter.search(start, ["presence_threshold", "attack_ms", "hold_ms", "release_ms"])
    from gate.features import MelSettings, hz_to_mel, mel_to_hz

    mel = MelSettings()
    edges = mel_to_hz(np.linspace(hz_to_mel(mel.low_hz), hz_to_mel(mel.high_hz), mel.n_mels + 2))
    classic = {
        "threshold_db": round(fit.presence_threshold * _DB_SPAN - _DB_SPAN, 1),
        "hysteresis_db": _CLASSIC_HYSTERESIS_DB,
        "range_db": -60.0,
        "attack_ms": fit.attack_ms,
        "hold_ms": fit.hold_ms,
        "release_ms": fit.release_ms,
        "key_high_pass_hz": round(float(edges[low])),
        "key_low_pass_hz": round(float(edges[high + 2])),
        "gated_signal_loss": round(loss, 3),
    }
    return best[1], classic


def _suggest_threshold(recordings, key):
    """dBFS: 6 dB below the soft parts of the wanted sound, above the background if it can be."""
    wanted, background = [], []
    for recording in recordings:
        level = key_levels(band_power(unpack_log_mel(recording.log_mel)), key)
        wanted.append(level[(recording.label == OPEN) & recording.sounding])
        background.append(level[~recording.sounding])
    threshold = float(np.percentile(np.concatenate(wanted), 10)) - 6.0
    background = np.concatenate(background)
    if len(background) > 100:
        floor = float(np.percentile(background, 90))
        threshold = max(threshold, min(floor + 3.0, threshold + 6.0))
    return float(np.clip(np.floor(threshold), -90.0, -10.0))


def _describe(recording):
    return {
        "name": recording.name,
        "open_s": round(recording.seconds_of(OPEN), 1),
        "shut_s": round(recording.seconds_of(SHUT), 1),
    }


class Refitter:
    """Fits a profile's head again with corrections, fast: the old examples are analysed once.

    Parameters
    ----------
    profile : Profile
        With its examples.
    detector : Detector
        Used and reset: give it a fork.
    """

    _SHARE = 0.2  # of a side's weight that all corrections of that side have together

    def __init__(self, profile, detector):
        if not profile.memory:
            raise TeachingError(f"{profile.name}: keeps no examples, so it cannot be corrected")
        self._profile, self._detector = profile, detector
        hops = _Hops(list(profile.memory), detector, profile.shape, 0, n_copies=1)
        self._x, self._basis, known = _coordinates(hops)
        self._x = self._x[known]
        self._label, self._weight = hops.label[known], hops.weight[known]
        self._start = None

    def fit(self, corrections):
        """A profile that heeds corrections, too; its thresholds and ballistics stay.

        Parameters
        ----------
        corrections : sequence of Recording

        Returns
        -------
        Profile
        """
        x, label, weight = [self._x], [self._label], [self._weight]
        if corrections:
            maker = MedleyMaker(corrections)
            units = [Unit(i, 0, len(r.label)) for i, r in enumerate(corrections)]
            medley = maker.make(units * 2, np.random.default_rng(0), plain=True)
            inputs = inputs_of(medley.log_mel, self._detector, self._profile.shape)
            more = self._basis.apply(inputs).astype(np.float32)
            boosted = medley.weight.copy()
            for side in (0.0, 1.0):
                mine = medley.label == side
                total = float(boosted[mine].sum())
                if total > 0:
                    before = float(self._weight[self._label == side].sum())
                    boosted[mine] *= max(1.0, self._SHARE * before / total)
            known = boosted > 0
            x.append(more[known])
            label.append(medley.label[known])
            weight.append(boosted[known])
        head = fit_logistic(
            np.concatenate(x), np.concatenate(label), np.concatenate(weight),
            self._profile.penalty, start=self._start,
        )  # fmt: skip
        self._start = head
        coefficients, bias = self._basis.unfold(*head)
        return replace(
            self._profile,
            coefficients=coefficients.astype(np.float32),
            bias=bias,
            memory=(*self._profile.memory, *corrections),
            taught_with=[*self._profile.taught_with, *map(_describe, corrections)],
        )
