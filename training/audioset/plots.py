"""A run's loss curves as a small PNG."""

from pathlib import Path


def plot_loss_curves(path, history, title, paper_loss=None):
    """Training and validation loss by epoch.

    Parameters
    ----------
    path : path-like
        The ``.png``.
    history : list of dict
        ``epoch``, ``train_loss`` and ``val_loss`` of each epoch.
    title : str
    paper_loss : float or None
        The paper's best validation loss, drawn as a dotted line.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.0, 3.2), dpi=90)
    epochs = [e["epoch"] + 1 for e in history]
    axes.plot(epochs, [e["train_loss"] for e in history], "C0--", marker=".", label="training")
    axes.plot(epochs, [e["val_loss"] for e in history], "C1", marker=".", label="validation")
    if paper_loss is not None:
        axes.axhline(paper_loss, color="0.4", ls=":", label="the paper's best validation loss")
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # No software version inside: the same curves give the same file.
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
