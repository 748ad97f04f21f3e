"""The examples of a profile in a file beside it: ``NAME.gate.npz``.

8-bit log-mel and energy, labels, and what the second ears said where that is known. Files of
before ears were stored are read as if none had been heard.
"""

import zipfile

import numpy as np

from gate.errors import ModelError
from realtime.learn.recording import FINE_PER_HOP, SILENT_EAR, Recording
from realtime.outputs import pack_arrays

_ARRAYS = ("names", "lengths", "log_mel", "energy", "label", "sounding")
_EARS = "ears"


def pack_memory(recordings):
    """The bytes of a file of examples.

    Parameters
    ----------
    recordings : sequence of Recording

    Returns
    -------
    bytes
    """
    arrays = {
        "names": np.array([r.name for r in recordings]),
        "lengths": np.array([len(r.label) for r in recordings], np.int64),
        "has_ears": np.array([r.ears is not None for r in recordings]),
        _EARS: _all_ears(recordings),
    }
    for name in _ARRAYS[2:]:
        arrays[name] = np.concatenate([getattr(r, name) for r in recordings])
    return pack_arrays(**arrays)


def _all_ears(recordings):
    """(T, k) of all recordings; silent where one does not know."""
    n_ears = max((r.ears.shape[1] for r in recordings if r.ears is not None), default=0)
    return np.concatenate(
        [
            np.full((len(r.label), n_ears), SILENT_EAR, np.uint8) if r.ears is None else r.ears
            for r in recordings
        ]
    )


def load_memory(path):
    """Read examples.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tuple of Recording

    Raises
    ------
    ModelError
        One line: the file and the rule that it breaks.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in _ARRAYS}
            ears = data[_EARS] if _EARS in data else None
            has_ears = data["has_ears"] if _EARS in data else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: examples cannot be read ({error})") from None
    names, lengths = arrays["names"], arrays["lengths"]
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or (lengths < 0).any():
        raise ModelError(f"{path}: lengths must be whole numbers >= 0")
    total = int(lengths.sum())
    shapes = {"names": (len(lengths),), "log_mel": (total, 64), "energy": (total * FINE_PER_HOP,),
              "label": (total,), "sounding": (total,)}  # fmt: skip
    if ears is not None:
        arrays["has_ears"], shapes["has_ears"] = has_ears, (len(lengths),)
        arrays[_EARS], shapes[_EARS] = ears, (total, *ears.shape[1:2])
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelError(f"{path}: {name} of shape {arrays[name].shape} must be {shape}")
    recordings, at = [], 0
    for i, (name, length) in enumerate(zip(names.tolist(), lengths.tolist(), strict=True)):
        end = at + length
        heard = ears is not None and bool(has_ears[i])
        recordings.append(
            Recording(
                name,
                arrays["log_mel"][at:end].astype(np.uint8),
                arrays["energy"][FINE_PER_HOP * at : FINE_PER_HOP * end].astype(np.uint8),
                arrays["label"][at:end].astype(np.int8),
                arrays["sounding"][at:end].astype(bool),
                ears[at:end].astype(np.uint8) if heard else None,
            )
        )
        at = end
    return tuple(recordings)
