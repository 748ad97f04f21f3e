"""The small head of a profile: what it sees of a hop, and how it is fitted. Numpy only.

A hop is seen as the detector's embedding and the hop's own spectral shape, and both again as
running means over the last moments: z = [embedding, shape], x = [z, mean1(z), mean2(z), ...].
A class-balanced, L2-regularised logistic regression on the standardised x gives the presence.
"""

import math
from dataclasses import dataclass

import numpy as np

_BLOCK = 64  # hops a pass of the running means
_SHRINK = 0.3  # of the covariance within sounds, towards equal spread


def shape_of(features):
    """Log-mel less its mean over the bands: what is left of a hop when its level is taken away.

    Parameters
    ----------
    features : ndarray, shape (T, n_mels)

    Returns
    -------
    ndarray, shape (T, n_mels), float32
    """
    return features - features.mean(axis=-1, keepdims=True)


def running_means(z, state, decays):
    """Exponential means of a sequence.

    Parameters
    ----------
    z : ndarray, shape (T, n), float32
    state : ndarray, shape (k, n), or None
        Where the means stand; None starts them at the first hop.
    decays : ndarray, shape (k,)
        Factor a hop.

    Returns
    -------
    means : ndarray, shape (T, k, n), float32
    state : ndarray, shape (k, n)
    """
    n_hops, width = z.shape
    state = np.repeat(z[:1], len(decays), axis=0) if state is None else state
    means = np.empty((n_hops, len(decays), width), dtype=np.float32)
    steps = np.arange(_BLOCK)
    lag = steps[:, None] - steps[None, :]
    after = []
    for k, decay in enumerate(np.asarray(decays, dtype=np.float64)):
        weights = np.where(lag >= 0, (1.0 - decay) * decay ** np.maximum(lag, 0), 0.0)
        weights = weights.astype(np.float32)
        fade = (decay ** (steps + 1)).astype(np.float32)[:, None]
        carry = state[k]
        for start in range(0, n_hops, _BLOCK):
            block = z[start : start + _BLOCK]
            m = len(block)
            means[start : start + m, k] = weights[:m, :m] @ block + fade[:m] * carry
            carry = means[start + m - 1, k]
        after.append(carry)
    return means, np.array(after, dtype=np.float32)


@dataclass(frozen=True)
class HeadShape:
    """What a head sees.

    Attributes
    ----------
    taus_s : tuple of float
        Time constants of the running means, seconds.
    """

    taus_s: tuple = (0.05, 0.2)

    @property
    def decays(self):
        """Factor a hop of 10 ms of each running mean."""
        return np.exp(-0.01 / np.asarray(self.taus_s, dtype=np.float64)).astype(np.float32)

    def hop_features(self, features, embedding):
        """Z of many hops, (T, n)."""
        return np.concatenate([embedding, shape_of(features)], axis=1, dtype=np.float32)

    def inputs(self, features, embedding):
        """X of a recording that starts at a reset, (T, n (1 + k))."""
        z = self.hop_features(features, embedding)
        means, _ = running_means(z, None, self.decays)
        return np.concatenate([z[:, None], means], axis=1).reshape(len(z), -1)


@dataclass(frozen=True)
class Basis:
    """Coordinates in which heads are fitted and hops are compared: z = (x - mean) directions.

    A ridge penalty on the coordinates is one on the inputs, measured by how much they vary within
    sounds, at a fraction of the cost.

    Attributes
    ----------
    mean : ndarray, shape (n,)
    directions : ndarray, shape (n, rank)
    """

    mean: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(cls, x, sound, rank, power=0.5):
        """A basis of the directions in which inputs vary most, counted by how they vary in sounds.

        Parameters
        ----------
        x : ndarray, shape (T, n)
            Inputs.
        sound : ndarray, shape (T,), int
            Which sound each is of.
        rank : int
            Directions at most.
        power : float
            0 counts every input by its own spread, as standardising does; 1 whitens by the
            covariance within sounds, as discriminant analysis does.
        """
        mean = x.mean(axis=0)
        scale = x.std(axis=0) + np.float32(1e-3)
        z = (x - mean) / scale
        order = np.argsort(sound, kind="stable")
        ordered = z[order]
        _, starts, counts = np.unique(sound[order], return_index=True, return_counts=True)
        centres = np.add.reduceat(ordered, starts, axis=0) / counts[:, None].astype(np.float32)
        inside = ordered - np.repeat(centres, counts, axis=0)
        within = (inside.T @ inside) / len(z)
        spread = np.trace(within) / len(within)
        within = (1.0 - _SHRINK) * within + _SHRINK * spread * np.eye(len(within))
        values, vectors = np.linalg.eigh(within)
        whitener = vectors / np.maximum(values, 1e-6) ** (0.5 * power)
        total = (z.T @ z) / len(z)
        _, turned = np.linalg.eigh(whitener.T @ total @ whitener)
        directions = whitener @ turned[:, ::-1][:, :rank]
        unit = np.sqrt(np.mean(np.square(z @ directions.astype(np.float32))))
        return cls(mean, (directions / unit / scale[:, None]).astype(np.float32))

    def beside(self, other):
        """Both bases' coordinates; this one may take the first of the other's inputs only."""
        padded = np.zeros((len(other.mean), self.directions.shape[1]), np.float32)
        padded[: len(self.mean)] = self.directions
        mean = np.concatenate([self.mean, other.mean[len(self.mean) :]])
        return Basis(mean, np.concatenate([padded, other.directions], axis=1))

    def apply(self, x):
        """Inputs (T, n) -> coordinates (T, rank), of unit variance on the whole."""
        return (x - self.mean) @ self.directions

    def unfold(self, coefficients, bias):
        """Coefficients and bias for the raw inputs from those for the coordinates."""
        raw = self.directions.astype(np.float64) @ coefficients
        return raw, bias - float(self.mean @ raw)


def fit_logistic(x, label, weight, penalty, n_steps=6, start=None):
    """Class-balanced logistic regression with an L2 penalty, by Newton's method.

    Parameters
    ----------
    x : ndarray, shape (T, n), float32
        Of about unit variance.
    label : ndarray, shape (T,)
        0 or 1; both must occur.
    weight : ndarray, shape (T,)
        Importance of each hop; scaled so that both labels weigh the same.
    penalty : float
        Of the squared coefficients, against a total weight of 1.
    n_steps : int
        At most.
    start : tuple, optional
        (coefficients, bias) to begin with.

    Returns
    -------
    coefficients : ndarray, shape (n,)
    bias : float
    """
    weight = balanced(label, weight)
    theta, bias = (np.zeros(x.shape[1]), 0.0) if start is None else start
    for _ in range(n_steps):
        score = x @ theta.astype(np.float32) + bias
        p = 1.0 / (1.0 + np.exp(-np.clip(score, -30.0, 30.0)))
        error = weight * (p - label)
        curvature = weight * np.maximum(p * (1.0 - p), 1e-4)
        gradient = error.astype(np.float32) @ x + penalty * theta
        root = x * np.sqrt(curvature).astype(np.float32)[:, None]
        hessian = (root.T @ root).astype(np.float64)
        hessian[np.diag_indices(len(hessian))] += penalty
        # The bias carries no penalty: eliminate it, solve, put it back.
        cross, total = curvature.astype(np.float32) @ x, float(curvature.sum())
        hessian -= np.outer(cross, cross) / total
        slope = float(error.sum())
        step = np.linalg.solve(hessian, gradient - cross * (slope / total))
        bias_step = (slope - float(cross @ step)) / total
        theta, bias = theta - step, bias - bias_step
        if max(float(np.abs(step).max()), abs(bias_step)) < 1e-3:
            break
    return theta, float(bias)


def balanced(label, weight):
    """Weights scaled so that label 1 and label 0 each sum to a half."""
    weight = np.asarray(weight, dtype=np.float64)
    high, low = weight * label, weight * (1.0 - label)
    return 0.5 * high / max(high.sum(), 1e-12) + 0.5 * low / max(low.sum(), 1e-12)


def sigmoids(scores):
    """1 / (1 + exp(-scores)) of an array, without overflow."""
    return 1.0 / (1.0 + np.exp(-np.clip(scores, -60.0, 60.0)))


def sigmoid(score):
    """1 / (1 + exp(-score)) of a number, without overflow."""
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    e = math.exp(score)
    return e / (1.0 + e)
