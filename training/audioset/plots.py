"""A run's loss curves as a small PNG."""

from pathlib import Path


def plot_loss_curves(path, history, title, paper_loss=None):
    """Training and validation loss by epoch, and the paper's best validation loss, dotted."""
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
