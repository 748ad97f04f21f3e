"""Constants for the generated C++: float arrays, and products in the order `dense` reads them."""

import numpy as np

TILE = 64
"""Outputs that `dense` computes side by side; equals dense_tile in kernels.hpp."""


class CppArrays:
    """Collects definitions of constant arrays.

    Parameters
    ----------
    prefix : str
        Of the names that are given.

    Attributes
    ----------
    definitions : list of str
        One C++ statement an array.
    """

    def __init__(self, prefix="constant"):
        self.prefix, self.definitions = prefix, []

    def array(self, values):
        """Define an array of float32; returns its name."""
        values = np.asarray(values, dtype=np.float32).reshape(-1)
        name = f"{self.prefix}_{len(self.definitions)}"
        text = ",".join(np.format_float_scientific(v, unique=True) + "f" for v in values)
        self.definitions.append(f"alignas(64) const float {name}[] = {{{text}}};")
        return name

    def packed(self, weights, columns=1):
        """Define (outputs, inputs) in `dense`'s order: tile of outputs, input, output in it.

        `dense_columns` for several columns takes smaller tiles.
        """
        n_out, n_in = weights.shape
        tile = TILE // columns
        padded = np.zeros((-(-n_out // tile) * tile, n_in), dtype=np.float32)
        padded[:n_out] = weights
        return self.array(padded.reshape(-1, tile, n_in).transpose(0, 2, 1))

    def padded(self, bias):
        """Define a bias that reaches to a whole tile."""
        return self.array(np.pad(bias, (0, -len(bias) % TILE)))
