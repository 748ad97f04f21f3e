"""Decibels, times and samples.

dBFS is RMS: a full-scale sine is at -3.01 dBFS. A gain without a suffix is linear.
"""

import math

import numpy as np

MIN_DBFS = -140.0
"""Level reported for digital silence, in dBFS."""

_MIN_POWER = 10.0 ** (MIN_DBFS / 10.0)


def db_to_gain(db):
    """Linear amplitude gain of `db` decibels (-6.02 dB gives 0.5)."""
    return 10.0 ** (db / 20.0)


def gain_to_db(gain, floor_db=MIN_DBFS):
    """Decibels of a linear gain, never below `floor_db`."""
    return 20.0 * np.log10(np.maximum(gain, 10.0 ** (floor_db / 20.0)))


def power_to_dbfs(power):
    """Level in dBFS of a mean square `power`, never below `MIN_DBFS`."""
    return 10.0 * np.log10(np.maximum(power, _MIN_POWER))


def mean_square_dbfs(power):
    """`power_to_dbfs` of one number, as a float; faster than the array's."""
    return 10.0 * math.log10(max(float(power), _MIN_POWER))


def ms_to_samples(ms, sample_rate):
    """Whole samples nearest to `ms` milliseconds at `sample_rate` Hz."""
    return round(ms * 1e-3 * sample_rate)
