"""Looks at a file of any format."""

import os
import struct

from realtime.files import au_caf, flac, iff, mp3, ogg
from realtime.files.structure import Structure


def examine(file):
    """Look at an open file.

    Parameters
    ----------
    file : binary file
        Sought in; its size fields are not trusted.

    Returns
    -------
    Structure
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(64)
    try:
        for look in (iff.examine, au_caf.examine, flac.examine, ogg.examine, mp3.examine):
            found = look(file, size, head)
            if found is not None:
                return found
    except (struct.error, IndexError):  # a header that ends too soon: libsndfile says so
        pass
    return Structure()
