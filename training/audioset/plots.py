"""Loss curves of runs, as small PNGs."""

from pathlib import Path


def plot_loss_curves(path, histories, title):
    """Training and validation loss by epoch.

    Parameters
    ----------
    path : path-like
        The ``.png``.
    histories : dict of str to list of dict
        Label -> the `RunResult.history` of a run; one colour a run, training dashed.
    title : str
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.0, 3.2), dpi=90)
    for i, (label, history) in enumerate(histories.items()):
        epochs = [e["epoch"] + 1 for e in history]
        colour = f"C{i % 10}"
        axes.plot(epochs, [e["val_loss"] for e in history], colour, marker=".", label=label)
        axes.plot(epochs, [e["train_loss"] for e in history], colour, linestyle="--", linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="loss (dashed: training)", title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # No software version inside: the same curves give the same file.
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
