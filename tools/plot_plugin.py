"""Draws docs/plugin.png: the VST3 in pedalboard, its threshold automated over the sample talk.

Run from the repository after ``make plugin``: ``python tools/plot_plugin.py``. Needs pedalboard and
matplotlib.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pedalboard
import soundfile

ROOT = Path(__file__).parents[1]
BLOCK_S = 0.01


def run(plugin, samples, rate):
    """Gated samples, and the threshold at each 10 ms block: down, up, and down again."""
    step = int(BLOCK_S * rate)
    n_blocks = len(samples) // step
    x = np.arange(n_blocks) / n_blocks
    thresholds = np.interp(x, [0.0, 0.25, 0.6, 0.85, 1.0], [-60.0, -60.0, -10.0, -60.0, -60.0])
    gated = np.empty(n_blocks * step, np.float32)
    for index, threshold in enumerate(thresholds):
        plugin.threshold_db = float(threshold)
        block = samples[index * step : (index + 1) * step]
        got = plugin.process(block[None], rate, buffer_size=step, reset=False)
        gated[index * step : (index + 1) * step] = got[0]
    return gated, thresholds


def level_db(samples, rate):
    """RMS level of each 10 ms, dBFS."""
    step = int(BLOCK_S * rate)
    frames = samples[: len(samples) // step * step].reshape(-1, step)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-14)


def draw(samples, gated, thresholds, rate, path):
    """Three panels over time."""
    time = np.arange(len(gated)) / rate
    blocks = (np.arange(len(thresholds)) + 0.5) * BLOCK_S
    figure, axes = plt.subplots(3, 1, figsize=(9, 5.2), sharex=True, layout="constrained")
    axes[0].plot(time, samples[: len(gated)], color="0.75", linewidth=0.5, label="in")
    axes[0].plot(time, gated, color="tab:blue", linewidth=0.5, label="out")
    axes[0].set_ylabel("sample")
    axes[0].legend(loc="upper right", ncols=2)
    levels = level_db(samples, rate)[: len(thresholds)]
    axes[1].plot(blocks, levels, color="0.6", linewidth=0.8, label="level in")
    axes[1].plot(blocks, thresholds, color="tab:red", label="threshold, automated")
    axes[1].set_ylabel("dBFS")
    axes[1].set_ylim(-80, 0)
    axes[1].legend(loc="upper right", ncols=2)
    heard = levels > -75
    gain = np.where(heard, level_db(gated, rate) - levels, np.nan)
    axes[2].plot(blocks, gain, color="tab:blue", linewidth=0.9)
    axes[2].set_ylabel("out − in, dB")
    axes[2].set_ylim(-65, 5)
    axes[2].set_xlabel("seconds")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.suptitle("Exemplar Gate (VST3) in pedalboard: threshold automation", fontsize=11)
    figure.savefig(path, dpi=110)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Plot the plugin under automation.")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "plugin")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "plugin.png")
    options = parser.parse_args()
    bundle = options.build / "dist" / "vst3" / "exemplar-gate-mono.vst3"
    plugin = pedalboard.load_plugin(str(bundle))
    path = ROOT / "models" / "sample" / "talk.flac"
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    gated, thresholds = run(plugin, samples[:, 0], rate)
    options.out.parent.mkdir(exist_ok=True)
    draw(samples[:, 0], gated, thresholds, rate, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
