"""Products with the mel filterbank, cut so that no linear-algebra library wakes its threads.

A mel band touches few bins, so the product is taken in two halves over the bins that each
touches: half the work. It also keeps every product below the sizes from which OpenBLAS
shares the work among threads (9,216 elements for matrix by vector, 262,144 multiplications for
matrix by matrix): waking them costs an audio thread far more than the product, and on a busy
machine milliseconds.
"""

import numpy as np

_ROWS_A_PASS = 32
_PARTS = 2


class BandedMatrix:
    """A (bands, bins) matrix with neighbouring non-zeros.

    Parameters
    ----------
    matrix : ndarray, shape (bands, bins)
    """

    def __init__(self, matrix):
        self._shape = matrix.shape
        self._parts = []
        for rows in np.array_split(np.arange(matrix.shape[0]), _PARTS):
            part = matrix[rows[0] : rows[-1] + 1]
            used = np.flatnonzero(part.any(axis=0))
            bins = slice(int(used[0]), int(used[-1]) + 1)
            part = np.ascontiguousarray(part[:, bins], dtype=np.float32)
            bands = slice(int(rows[0]), int(rows[-1]) + 1)
            self._parts.append((bands, bins, part, np.ascontiguousarray(part.T)))

    def bands(self, spectrum):
        """Matrix times one spectrum: (bins,) -> (bands,), float32."""
        out = np.empty(self._shape[0], dtype=np.float32)
        for bands, bins, part, _ in self._parts:
            np.dot(part, spectrum[bins], out=out[bands])
        return out

    def bands_many(self, spectra, out=None):
        """The same for many spectra: (T, bins) -> (T, bands)."""
        if out is None:
            out = np.empty((len(spectra), self._shape[0]), dtype=np.float32)
        for start in range(0, len(spectra), _ROWS_A_PASS):
            hops = slice(start, start + _ROWS_A_PASS)
            for bands, bins, _, transposed in self._parts:
                out[hops, bands] = np.dot(spectra[hops, bins], transposed)
        return out

    def bins(self, weights):
        """Transposed matrix times band weights: (bands,) -> (bins,), float32."""
        out = np.zeros(self._shape[1], dtype=np.float32)
        for bands, bins, _, transposed in self._parts:
            out[bins] += np.dot(transposed, weights[bands])
        return out
