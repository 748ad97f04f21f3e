"""Charts, as images inside the HTML report. Needs matplotlib (extra ``[plot]``)."""

import base64
import io

import numpy as np

from gate.errors import GateError
from gate.metrics import roc_curve


def _figure(*size, rows=1):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise GateError('matplotlib is missing: pip install "exemplar-gate[plot]"') from None
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, 1, sharex=rows > 1)


def _labelled(figure, axes):
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def as_html(figure):
    """An ``img`` element that holds the picture itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="chart">'


def roc_chart(comparison, group):
    """ROC of the presence scores, pooled over a group."""
    figure, axes = _figure(6, 5)
    lines = []
    for system in comparison.systems:
        results = [r for r in comparison.of(system.name, group) if r.score is not None]
        labels = np.concatenate([r.label for r in results]) if results else np.zeros(0, bool)
        if labels.size == 0 or labels.all() or not labels.any():
            continue
        false_rate, true_rate, _ = roc_curve(np.concatenate([r.score for r in results]), labels)
        for line in lines:  # rules of one detector have one curve
            if np.array_equal(line[1], false_rate) and np.array_equal(line[2], true_rate):
                line[0] += f", {system.name}"
                break
        else:
            lines.append([system.name, false_rate, true_rate])
    for name, false_rate, true_rate in lines:
        keep = np.unique(np.linspace(0, len(false_rate) - 1, 400).astype(int))
        axes.plot(100 * false_rate[keep], 100 * true_rate[keep], label=name, lw=1.3)
    axes.set(xlabel="unwanted hops taken for wanted, %", ylabel="wanted hops found, %",
             title=f"ROC of presence, {group}", xlim=(0, 60), ylim=(40, 100))  # fmt: skip
    return _labelled(figure, axes)


def sweep_chart(comparison, figures):
    """Wanted time lost against unwanted time passed, by presence threshold."""
    figure, axes = _figure(6, 5)
    group = comparison.sweep_group
    for name, points in comparison.sweeps.items():
        _, clipped, leaked = np.array(points).T
        axes.plot(100 * leaked, 100 * clipped, ".-", label=name, lw=1, ms=4)
    for system in comparison.systems:
        if system.name not in comparison.sweeps:
            f = {name: figure.value for name, figure in figures[group][system.name].items()}
            at = 100 * (f["over"] + f["nds"]), 100 * (f["fec"] + f["msc"])
            axes.plot(*at, "x", label=system.name)
    axes.set(xlabel="unwanted time passed, % (OVER + NDS)",
             ylabel="wanted time lost, % (FEC + MSC)",
             title=f"Clipping against leak, {group}", xlim=(0, 100), ylim=(0, 60))  # fmt: skip
    return _labelled(figure, axes)


def clip_chart(name, loaded, gain, title):
    """Level of a recording, wanted segments and the gate's gain."""
    figure, (top, bottom) = _figure(9, 3.2, rows=2)
    rate, audio = loaded.sample_rate, loaded.sound.audio
    frame = rate // 100
    n = len(audio) // frame
    times = (np.arange(n) + 0.5) / 100

    def level(samples):
        power = np.mean(np.square(samples[: n * frame].reshape(n, frame)), axis=1)
        return 10 * np.log10(power + 1e-9)

    top.plot(times, level(audio), lw=0.7, color="0.4", label="level, dBFS")
    if loaded.sound.wanted is not None:
        top.plot(times, level(loaded.sound.wanted), lw=0.7, color="C2", label="wanted alone")
    bottom.plot(times, 20 * np.log10(gain[: n * frame : frame] + 1e-6), lw=0.9, color="C3")
    for axes in (top, bottom):
        for begin, end in loaded.segments:
            axes.axvspan(begin, end, color="C2", alpha=0.15, lw=0)
    top.set(title=f"{name}: {title}", ylim=(-90, 0))
    top.legend(fontsize=7, loc="lower right")
    bottom.set(xlabel="s", ylabel="gain, dB", ylim=(-65, 3))
    return figure


def histogram_chart(samples_us, deadline_us, title):
    """Histogram of block times against the deadline."""
    figure, axes = _figure(7, 3)
    edges = np.geomspace(max(0.5, samples_us.min()), max(samples_us.max(), deadline_us) * 1.2, 90)
    axes.hist(samples_us, edges, color="C0")
    axes.axvline(deadline_us, color="C3", label=f"deadline, {deadline_us:.0f} µs")
    axes.set(xscale="log", yscale="log", xlabel="µs a block", ylabel="blocks", title=title)
    axes.legend(fontsize=8)
    return figure


def timeline_chart(samples_us, deadline_us, block_s, title):
    """Block times over the run: the slowest of each stretch."""
    figure, axes = _figure(7, 3)
    count = max(1, len(samples_us) // 600)
    n = len(samples_us) // count
    slowest = samples_us[: n * count].reshape(n, count).max(axis=1)
    axes.plot(np.arange(n) * count * block_s, slowest, lw=0.6)
    axes.axhline(deadline_us, color="C3", lw=0.8)
    axes.set(xlabel="s", ylabel="slowest block, µs", yscale="log", title=title)
    return figure


def growth_chart(x, series, xlabel, ylabel, title):
    """Lines of cost against size, logarithmic both ways."""
    figure, axes = _figure(6, 3.6)
    for label, values in series.items():
        axes.plot(x, values, "o-", label=label, lw=1)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, title=title)
    return _labelled(figure, axes)


def task_chart(names, values):
    """A dot a method for each task."""
    figure, axes = _figure(8, 1 + 0.25 * len(names))
    for method, row in values.items():
        axes.plot(row, range(len(names)), "o", label=method, ms=5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="balanced accuracy", xlim=(0, 1))
    return _labelled(figure, axes)
