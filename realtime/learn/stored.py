"""Arrays that are stored beside a detector: the world, the metric."""

import zipfile

import numpy as np

from gate.errors import ModelError


def read_arrays(path, names, what):
    """Arrays of an npz by name, no objects among them.

    Parameters
    ----------
    path : path-like
    names : sequence of str
        All must be there.
    what : str
        What the file should be, for the message.

    Returns
    -------
    dict of ndarray

    Raises
    ------
    ModelError
        One line: the file and what is wrong.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in names}
    except KeyError as error:
        raise ModelError(f"{path}: not a {what} ({error.args[0]})") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: {what} cannot be read ({error})") from None
