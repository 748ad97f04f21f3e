"""Medleys: the examples cut into pieces and shuffled, so that every sound begins after any other.

The detector remembers: what it says of a hop depends on the second before. Played one after the
other, the examples would teach what follows what in these files. A medley puts pieces of both
sides in random order, at random levels, with pauses, a little re-equalised, and some wanted
pieces over unwanted ones. All of it happens on log-mel hops.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from realtime.learn.recording import (
    FINE_PER_HOP,
    OPEN,
    SHUT,
    SILENT_EAR,
    unpack_ears,
    unpack_energy,
    unpack_log_mel,
)

FOLDS = 4
_ONSET_HOPS = 8
_EAR_LATE_HOPS = 5  # an ear answers in chunks of 32 ms, with one chunk of doubt
_EAR_IN_PAUSES = -1.2  # logit / 4 of a probability of .008
_GUARD_HOPS = 30  # left out where a recording is cut between folds


@dataclass(frozen=True)
class MedleySettings:
    """How examples are shuffled.

    Attributes
    ----------
    piece_s : tuple of float
        Shortest and longest piece, seconds.
    gain_db : float
        Each piece is moved by up to this, up or down.
    tilt_db : float
        Each piece is tilted by up to this over the spectrum, up or down.
    pause_share : float
        How often there is a pause before a piece.
    overlay_share : float
        How often a wanted piece gets an unwanted one below it.
    overlay_db : tuple of float
        How far below.
    background_weight : float
        Of hops in which nothing sounds, against 1 for those in which something does.
    onset_weight : float
        Of the first 80 ms of a wanted sound after a pause or at the beginning of a piece.
    """

    piece_s: tuple = (0.4, 2.5)
    gain_db: float = 10.0
    tilt_db: float = 4.0
    pause_share: float = 0.5
    overlay_share: float = 0.15
    overlay_db: tuple = (6.0, 24.0)
    background_weight: float = 0.05
    onset_weight: float = 2.0


@dataclass(frozen=True)
class Medley:
    """Shuffled examples.

    Attributes
    ----------
    log_mel : ndarray, shape (T, 64), float32
    label : ndarray, shape (T,), float64
        1 open, 0 shut.
    weight : ndarray, shape (T,), float64
        How much a hop counts; 0 where it is not known what is right.
    wanted, unwanted : ndarray, shape (4 T,), float64
        A-weighted energy of either, in steps of 2.5 ms.
    source, hop : ndarray, shape (T,), int
        Which recording a hop is from (-1: a pause), and where in it.
    ears : ndarray, shape (T, k), float32, or None
        What the second ears say; None where no recording knows.
    """

    log_mel: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    wanted: np.ndarray
    unwanted: np.ndarray
    source: np.ndarray
    hop: np.ndarray
    ears: np.ndarray | None = None


@dataclass(frozen=True)
class Unit:
    """A stretch of a recording that stays in one fold.

    Attributes
    ----------
    source : int
        Index of the recording.
    begin, end : int
        Hops.
    """

    source: int
    begin: int
    end: int


def split_folds(recordings, n_folds=FOLDS):
    """Deal the examples into folds so that no fold's neighbours are in another.

    A side with enough recordings is dealt out in whole recordings, else each recording is cut
    into as many stretches as there are folds, with 0.3 s left out at every cut.

    Returns
    -------
    list of list of Unit
    """
    folds = [[] for _ in range(n_folds)]
    for label in (OPEN, SHUT):
        mine = [i for i, r in enumerate(recordings) if _side(r) == label]
        if len(mine) >= n_folds:
            filled = np.zeros(n_folds)
            for i in sorted(mine, key=lambda i: -len(recordings[i].label)):
                fold = int(np.argmin(filled))
                folds[fold].append(Unit(i, 0, len(recordings[i].label)))
                filled[fold] += len(recordings[i].label)
        else:
            for i in mine:
                _cut(i, len(recordings[i].label), folds)
    for i, recording in enumerate(recordings):
        if _side(recording) is None:
            _cut(i, len(recording.label), folds)
    return folds


def _side(recording):
    """The one label of a recording, or None where it has both."""
    labels = set(np.unique(recording.label).tolist()) - {-1}
    return labels.pop() if len(labels) == 1 else None


def _cut(source, n_hops, folds):
    n_pieces = 2 * len(folds) if n_hops > 2000 else len(folds)
    edges = np.linspace(0, n_hops, n_pieces + 1).astype(int)
    for k, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
        guard = min(_GUARD_HOPS // 2, (end - begin) // 8)
        begin += guard if k else 0
        end -= guard if k < n_pieces - 1 else 0
        if end - begin >= 5:
            folds[k % len(folds)].append(Unit(source, begin, end))


class MedleyMaker:
    """Makes medleys of recordings.

    Parameters
    ----------
    recordings : list of Recording
    settings : MedleySettings
    """

    def __init__(self, recordings, settings=None):
        self.settings = settings or MedleySettings()
        self._recordings = recordings
        self._log_mel = [unpack_log_mel(r.log_mel) for r in recordings]
        self._energy = [unpack_energy(r.energy) for r in recordings]
        self._tilt = np.linspace(-1.0, 1.0, 64, dtype=np.float32)
        self._gain = np.array([self._level_gain(i) for i in range(len(recordings))])

    def _level_gain(self, i):
        """DB that brings the recording's sounding part to -30 dBFS, within +-20 dB."""
        energy = self._energy[i].reshape(-1, FINE_PER_HOP).mean(axis=1)
        sounding = energy[self._recordings[i].sounding]
        if not len(sounding) or sounding.mean() <= 0:
            return 0.0
        return float(np.clip(-30.0 - 10.0 * np.log10(sounding.mean()), -20.0, 20.0))

    def make(self, units, rng, plain=False):
        """A medley of every hop of the units, each once.

        Parameters
        ----------
        units : list of Unit
        rng : numpy.random.Generator
        plain : bool
            Shuffle and pause only: sounds at the levels that they were recorded at.
        """
        s = self.settings
        pieces = []
        for unit in units:
            at = unit.begin
            while at < unit.end:
                length = int(rng.uniform(*s.piece_s) * 100)
                if unit.end - at - length < 20:
                    length = unit.end - at
                pieces.append((unit.source, at, at + length))
                at += length
        shut = [p for p in pieces if np.any(self._recordings[p[0]].label[p[1] : p[2]] == SHUT)]
        rows = []
        for i in rng.permutation(len(pieces)):
            if rng.random() < s.pause_share:
                rows.append(self._pause(rng))
            row = self._piece(pieces[i], rng, plain)
            if shut and not plain and rng.random() < s.overlay_share:
                row = self._overlay(row, pieces[i], shut[rng.integers(len(shut))], rng)
            rows.append(row)
        medley = Medley(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))
        return replace(medley, ears=self._ears(medley.source, medley.hop))

    def _ears(self, source, hop):
        """What the ears say; at the seams what they said before lasts as long as an ear takes."""
        known = [r.ears.shape[1] for r in self._recordings if r.ears is not None]
        if not known:
            return None
        packed = np.full((len(source), known[0]), SILENT_EAR, np.uint8)
        for index in np.unique(source[source >= 0]).tolist():
            ears = self._recordings[index].ears
            if ears is not None:
                mine = source == index
                packed[mine] = ears[hop[mine]]
        ears = unpack_ears(packed)
        ears[source < 0] = _EAR_IN_PAUSES
        seams = 1 + np.flatnonzero((np.diff(source) != 0) | (np.diff(hop) != 1) & (source[1:] >= 0))
        for seam in seams.tolist():
            ears[seam : seam + _EAR_LATE_HOPS] = ears[seam - 1]
        return ears

    def _pause(self, rng):
        """Background between sounds: nothing to open for, nothing to be heard."""
        n = int(rng.uniform(5, 60))
        level = rng.uniform(-9.5, -6.5)  # of the log-mel; about -75 to -50 dBFS of noise
        tilt = rng.uniform(-1.5, 0.5) * self._tilt
        log_mel = (level + tilt + rng.normal(0.0, 0.35, (n, 64))).astype(np.float32)
        fine = np.zeros(n * FINE_PER_HOP)
        weight = np.full(n, self.settings.background_weight)
        nowhere = np.full(n, -1)
        return log_mel, np.zeros(n), weight, fine, fine, nowhere, nowhere

    def _piece(self, piece, rng, plain):
        source, begin, end = piece
        s, recording = self.settings, self._recordings[source]
        gain_db = 0.0 if plain else self._gain[source] + rng.uniform(-s.gain_db, s.gain_db)
        tilt_db = 0.0 if plain else rng.uniform(-s.tilt_db, s.tilt_db)
        log_mel = self._log_mel[source][begin:end]
        log_mel = log_mel + (np.float32(gain_db / 8.686) + np.float32(tilt_db / 8.686) * self._tilt)
        log_mel = np.maximum(log_mel, np.float32(np.log(1e-5)))
        label, sounding = recording.label[begin:end], recording.sounding[begin:end]
        known = np.where(sounding, 1.0, s.background_weight) * (label >= 0)
        wanted = label == OPEN
        # A pause inside a wanted recording is background; near its sounds nobody can say.
        near = np.convolve(sounding, np.ones(21), mode="same") > 0.5
        known = np.where(wanted & ~sounding & near[: len(label)], 0.0, known)
        target = (wanted & sounding).astype(np.float64)
        begins = np.flatnonzero(sounding & ~np.r_[False, sounding[:-1]])
        for at in begins:
            first = slice(at, at + _ONSET_HOPS)
            known[first] *= np.where(target[first] > 0, s.onset_weight, 1.0)
        energy = self._energy[source][begin * FINE_PER_HOP : end * FINE_PER_HOP]
        energy = energy * 10.0 ** (gain_db / 10.0)
        mine = np.repeat(wanted, FINE_PER_HOP)
        other = np.repeat(label == SHUT, FINE_PER_HOP)
        hops = np.arange(begin, end)
        from_source = np.full(end - begin, source)
        return log_mel, target, known, energy * mine, energy * other, from_source, hops

    def _overlay(self, row, piece, below, rng):
        """The row with an unwanted piece below its wanted sound."""
        log_mel, target, known, wanted, unwanted, source, hops = row
        label = self._recordings[piece[0]].label[piece[1] : piece[2]]
        if not (label == OPEN).all():
            return row
        under = self._piece(below, rng, False)
        if (under[1] > 0).any():
            return row
        n = min(len(target), len(under[1]))
        loud, soft = wanted.mean(), under[4][: n * FINE_PER_HOP].mean()
        if loud <= 0 or soft <= 0:
            return row
        shift = np.sqrt(loud / soft) * 10.0 ** (-rng.uniform(*self.settings.overlay_db) / 20.0)
        log_mel = log_mel.copy()
        quiet = under[0][:n] + np.float32(np.log(shift))
        log_mel[:n] = 0.5 * np.logaddexp(2.0 * log_mel[:n], 2.0 * quiet)
        unwanted = unwanted.copy()
        unwanted[: n * FINE_PER_HOP] += under[4][: n * FINE_PER_HOP] * shift**2
        known = known.copy()
        known[:n] = np.where(target[:n] > 0, known[:n], 0.0)
        return log_mel, target, known, wanted, unwanted, source, hops
