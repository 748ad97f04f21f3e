"""Plots for the card of the voice detector."""

import numpy as np


def plot_reliability(path, before, after):
    """Share of speech against predicted probability, a bin.

    Parameters
    ----------
    path : path-like
        The ``.png``.
    before, after : list of tuple
        Rows of `training.voice.calibrate.reliability`, before and after calibration.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (axes, counts) = plt.subplots(
        2, 1, figsize=(4.2, 4.8), dpi=90, sharex=True, height_ratios=(4, 1)
    )
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1.0)
    for rows, label, style in ((before, "before", "C7.--"), (after, "after", "C0o-")):
        axes.plot([row[2] for row in rows], [row[3] for row in rows], style, label=label)
    axes.set(ylabel="share of hops with speech", title="presence of speech, dev mixtures")
    axes.legend()
    axes.grid(alpha=0.3)
    lower, upper, hops = (np.array([row[k] for row in after]) for k in (0, 1, 4))
    counts.bar(lower, 100.0 * hops / hops.sum(), upper - lower, align="edge", color="C0", alpha=0.6)
    counts.set(xlabel="presence", ylabel="hops, %", xlim=(0, 1))
    figure.tight_layout()
    # No software version inside: the same figures give the same file.
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
