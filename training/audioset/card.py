"""The model card of ``audioset-speech``: ``card.md`` filled with the figures of the run."""

from pathlib import Path

from realtime.outputs import write_text

FOLDER = Path(__file__).parent
SCORINGS = (FOLDER / "scorings.md").read_text(encoding="utf-8").strip()
"""Said wherever the eval figures of the best model stand."""

_EVAL = ("accuracy", "f1_class", "ap", "roc_auc", "per_second_roc_auc", "per_second_roc_auc_strict")


def write_card(path, onnx_path, net, record):
    """Write the card.

    Parameters
    ----------
    path, onnx_path : path-like
    net : HeadNet
    record : dict
        Of `training.audioset.best.train_best`.
    """
    text = (FOLDER / "card.md").read_text(encoding="utf-8")
    values = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "megabytes": Path(onnx_path).stat().st_size / 1e6,
        "width": net.settings.width,
        "scorings": SCORINGS,
        "row": " | ".join(
            f"{record['eval'][name]:.4f}" for name in _EVAL if name in record["eval"]
        ),
        "note": record.get("note", ""),
        **{name: record[name] for name in ("thresholds", "check", "n_unlabelled")},
    }
    write_text(path, text.format(**values))
