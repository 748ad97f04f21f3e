"""The best settings of a gate that knows nothing but level and band, for any classic gate."""

from dataclasses import dataclass

import numpy as np

from gate.decision import ClassicRule, classic_hops
from gate.features import mel_edges_hz
from realtime.learn.gate_fit import (
    BALLISTICS_GRIDS,
    GateFitter,
    band_power,
    fit_key,
    key_levels,
)
from realtime.learn.medley import MedleyMaker, split_folds
from realtime.learn.recording import HOP_S, OPEN, unpack_log_mel

_HYSTERESIS_DB = 4.0
_DB_SPAN = 100.0  # key levels from -100 to 0 dBFS are taken as 0 to 1


@dataclass(frozen=True)
class ClassicFit:
    """What is fitted: a threshold on the level (0..1 for -100 to 0 dBFS) and ballistics."""

    presence_threshold: float = 0.5
    attack_ms: float = 2.0
    hold_ms: float = 70.0
    release_ms: float = 60.0


def _decider(level):
    always_loud = np.zeros(len(level))

    def decide(fit):
        rule = ClassicRule(fit.presence_threshold, _HYSTERESIS_DB / _DB_SPAN)
        hold = round(fit.hold_ms / (HOP_S * 1e3))
        return classic_hops(always_loud, level, rule, -1.0, 0.0, hold)

    return decide


def _thresholds(level):
    """Thresholds worth trying."""
    levels = np.quantile(level, np.linspace(0.1, 0.9, 9))
    levels = np.concatenate([levels, np.linspace(0.2, 0.8, 13)])
    return np.unique(np.clip(np.round(levels, 2), 0.02, 0.98)).tolist()


def fit_key_and_classic(recordings, seed):
    """Key weights, and settings of a level gate.

    Parameters
    ----------
    recordings : list of Recording
    seed : int

    Returns
    -------
    key : ndarray, shape (64,)
    classic : dict
        Settings with their units in their names, and the gated-signal loss on the examples.
    """
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
        fitter = GateFitter(_decider(level), medley.wanted, medley.unwanted)
        fit, loss = fitter.search(ClassicFit(), {"presence_threshold": _thresholds(level)})
        found.append((loss, weights, fit, fitter))
    best = min(found[:3], key=lambda f: f[0])
    _, _, start, fitter = found[3]
    grids = {"presence_threshold": _thresholds(level), **BALLISTICS_GRIDS}
    fit, loss = fitter.search(start, grids)
    edges = mel_edges_hz()
    classic = {
        "threshold_db": round(fit.presence_threshold * _DB_SPAN - _DB_SPAN, 1),
        "hysteresis_db": _HYSTERESIS_DB,
        "range_db": -60.0,
        "attack_ms": fit.attack_ms,
        "hold_ms": fit.hold_ms,
        "release_ms": fit.release_ms,
        "key_high_pass_hz": round(float(edges[low])),
        "key_low_pass_hz": round(float(edges[high + 2])),
        "gated_signal_loss": round(loss, 3),
    }
    return best[1], classic


def suggest_threshold(recordings, key):
    """dBFS: 6 dB below the soft parts of the wanted sound, above the background if it can be.

    Parameters
    ----------
    recordings : list of Recording
    key : ndarray, shape (64,)
    """
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
