"""The model card of ``audioset-speech``, filled with the figures of the run that made it."""

from pathlib import Path

_CARD = """\
# audioset-speech

Speech or not, from VGGish embeddings: for a ten-second clip and for each second of it.

| | |
|---|---|
| input | `embeddings` (N, T, 128) uint8: AudioSet's released format, one row a second; T from 1 |
| output | `clip` (N,), `per_second` (N, T): probabilities of Speech |
| size | {parameters:,} parameters, {megabytes:.1f} MB |
| network | mean of {n_nets} networks: each row to {width} channels in two layers; a row's \
evidence read there, a clip's after attention pooling; no positions, so any length |
| live | `model: audioset-speech` runs it on the last ten rows beside the stream and gives \
presence only; it needs the VGGish weights (see `gate-train import-vggish --help`) |
| licence | MIT; the training data is CC BY 4.0 (Google) |

## Training

Trained on the balanced train part of AudioSet's released embeddings alone (22,160 clips, weak
labels): {n_folds} folds times {n_members} architecture, each network on four folds. Thresholds
were chosen on out-of-fold scores of the training part: {accuracy_threshold:.3f} for accuracy,
{f1_threshold:.3f} for F1 of the class. Seeds: fold k of member m has seed 10 m + k. Made by
`gate-train audioset --best` and `--export`.

## Figures

On the 20,371 clips of the eval part; seconds against human labels of 845 of them. Eval was
scored twice in all: a first model (accuracy .825, AP .698, .838 a second) was replaced by this
one, which was chosen on the training part.

| | accuracy (= micro-F1) | F1 of Speech | AP | ROC-AUC | per-second ROC-AUC |
|---|---|---|---|---|---|
{rows}

Out of fold on the training part (one network a clip): accuracy \
{oof[accuracy]:.4f}, F1 {oof[f1_class]:.4f}, AP {oof[ap]:.4f}, ROC-AUC {oof[roc_auc]:.4f}.

## Limits

AudioSet's labels are weak and miss speech: many clips without a Speech label hold some, so
precision is better than it looks and the threshold sits low. A row describes 0.96 s of sound:
this model says *whether* somebody speaks, not when to the hundredth; the gate's attack and
release stay the compact detector's. It has heard YouTube, not your studio.
"""


def figure_rows(figures):
    """Markdown row of the eval figures."""
    names = ("accuracy", "f1_class", "ap", "roc_auc", "per_second_roc_auc")
    return "| this model | " + " | ".join(f"{figures[n]:.4f}" for n in names) + " |"


def write_card(path, onnx_path, net, record):
    """Write the card.

    Parameters
    ----------
    path, onnx_path : path-like
    net : Ensemble
    record : dict
        Of `training.audioset.best.train_best`.
    """
    text = _CARD.format(
        parameters=sum(p.numel() for p in net.parameters()),
        megabytes=Path(onnx_path).stat().st_size / 1e6,
        width=net.nets[0].settings.width,
        n_nets=len(net.nets),
        n_folds=record["n_folds"],
        n_members=len(record["out_of_fold"]) - 1,
        accuracy_threshold=record["thresholds"]["accuracy"],
        f1_threshold=record["thresholds"]["f1"],
        rows=figure_rows(record["eval"]),
        oof=record["out_of_fold"]["mean"],
    )
    Path(path).write_text(text, encoding="utf-8")
