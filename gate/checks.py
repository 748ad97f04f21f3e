"""What a value or a block must be, said in one line: name, value, rule. Everyone asks here."""

import difflib
import math
from collections.abc import Mapping

import numpy as np

from gate.errors import ConfigError

_FLOAT32 = np.dtype(np.float32)


def number(name, value, low=-math.inf, high=math.inf, also=""):
    """The value as a float, if it is a finite number from `low` to `high`.

    Parameters
    ----------
    name : str
        What to call it in the message.
    value : object
    low, high : float
        Smallest and largest value, inclusive.
    also : str
        What else would do, for the message: ``" or 'learned'"``.

    Raises
    ------
    ConfigError
    """
    bounds = "" if math.isinf(high) else f" from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name}={value!r} must be a number{bounds}{also}")
    if not low <= value <= high:
        raise ConfigError(f"{name}={value:g} must be{bounds}{also}")
    return float(value)


def whole(name, value, low, high, unit=""):
    """The value, if it is a whole number from `low` to `high`."""
    good = isinstance(value, int) and not isinstance(value, bool)
    if not good or not low <= value <= high:
        kind = "" if good else " a whole number"
        raise ConfigError(f"{name}={value!r} must be{kind} from {low} to {high}{unit}")
    return value


def switch(name, value):
    """The value, if it is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r} must be true or false")
    return value


def text(name, value, what="a text"):
    """The value, if it is a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name}={value!r} must be {what}")
    return value


def one_of(name, value, choices):
    """The value, if it is one of the choices."""
    if value not in choices:
        raise ConfigError(f"{name}={value!r} must be one of {', '.join(map(str, choices))}")
    return value


def keys(mapping, known, where):
    """Refuse what is no mapping, or has a key that is not known; the nearest is suggested."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where} must be a mapping of names to values")
    for name in mapping:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"
            raise ConfigError(f"{where}: unknown setting {name!r}{hint}")


def as_floats(block):
    """A block as float32; whole numbers are refused, since 32768 would be taken for +90 dBFS.

    Raises
    ------
    ConfigError
        One line that names the factor.
    """
    if type(block) is np.ndarray and block.dtype is _FLOAT32:
        return block
    block = np.asarray(block)
    if block.dtype.kind != "f":
        half = 2 ** (8 * block.dtype.itemsize - 1)
        divide = f"divide samples of {8 * block.dtype.itemsize} bits by {half}"
        how = {"i": f": {divide}", "u": f": subtract {half}, then {divide}"}
        raise ConfigError(
            f"block of {block.dtype} must be floating point within -1..1"
            + how.get(block.dtype.kind, "")
        )
    return block.astype(np.float32, copy=False)


def finite_block(block, columns=None):
    """A block of sound as float32 (n, columns), None for any number of them.

    Returns
    -------
    (ndarray, int)
        With silence in place of what is not finite, and how many samples that were.

    Raises
    ------
    ConfigError
        For another shape.
    """
    if type(block) is not np.ndarray or block.dtype is not _FLOAT32:
        block = as_floats(block)
    if block.ndim != 2 or (columns is not None and block.shape[1] != columns):
        raise ConfigError(f"block of shape {block.shape} must be (samples, {columns})")
    # One product finds a NaN or Inf, and vdot warns of nothing; huge samples are told apart below.
    if math.isfinite(np.vdot(block, block)):
        return block, 0
    bad = ~np.isfinite(block)
    return np.where(bad, np.float32(0.0), block), int(bad.sum())
