"""`gate-bench plugin`: what a block costs in the plugin, the Python engine, and others.

Run from the repository after ``make plugin``. Every row is one thread and a block of 100 samples.
The plugin runs in its CLAP host (plugin/host), where each call is timed; ``lv2bench`` of lilv times
the LV2 and, where installed, LSP's gate as a whole. RNNoise works in frames of 480 samples; its
row is a 4.8th of a frame's time.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.signals import talk
from gate.errors import ConfigError

BLOCK = 100
RATES = (48000, 192000)
LV2_PLUGINS = {
    "plugin, LV2 (lv2bench)": "urn:exemplar-gate:mono",
    "LSP Gate, LV2 (lv2bench)": "http://lsp-plug.in/plugins/lv2/gate_mono",
}


def summary(times_us, sample_rate):
    """Mean and percentiles of the times of single blocks."""
    times_us = np.asarray(times_us, dtype=np.float64)
    p50, p99, p999 = np.percentile(times_us, [50, 99, 99.9])
    share = float(times_us.mean() * 1e-6 * sample_rate / BLOCK)
    return {"mean_us": float(times_us.mean()), "p50_us": p50, "p99_us": p99, "p999_us": p999,
            "core_share": share}  # fmt: skip


def time_plugin(build, sample_rate, seconds, second_ear=True):
    """Each call of the CLAP's process, in its own host.

    None where it is asked for without the second ear and hears with none in any case.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "in.raw", Path(folder) / "times.raw"
        talk(sample_rate, seconds).tofile(source)
        plugin = build / "dist" / "clap" / "exemplar-gate-mono.clap"
        command = [build / "clap_host", plugin, source, result]
        options = ["--rate", str(sample_rate), "--time", str(BLOCK)]
        if not second_ear:
            if "parameter Second ears now = 1" not in _printed([*command, *options]):
                return None
            options.append("Second ear=0")
        _printed([*command, *options])
        times = np.fromfile(result, np.float32)
    return summary(times[len(times) // 10 :], sample_rate)


def _printed(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def time_engine(sample_rate, seconds):
    """Each call of the Python engine's process."""
    from realtime.engine import open_gate

    gate = open_gate(sample_rate=sample_rate)
    audio = talk(sample_rate, seconds)
    out = np.empty((BLOCK, 1), np.float32)
    times = []
    for at in range(0, len(audio) - BLOCK + 1, BLOCK):
        block = audio[at : at + BLOCK]
        start = time.perf_counter()
        gate.process(block, out=out)
        times.append(1e6 * (time.perf_counter() - start))
    return summary(times[len(times) // 10 :], sample_rate)


def time_lv2(build, uri, seconds):
    """Mean of lv2bench at 48 kHz, or None where it cannot run."""
    if shutil.which("lv2bench") is None:
        return None
    frames = int(seconds * 48000) // BLOCK * BLOCK
    env = os.environ | {"LV2_PATH": f"{build / 'dist' / 'lv2'}:/usr/lib/lv2"}
    done = subprocess.run(
        ["lv2bench", "-b", str(BLOCK), "-n", str(frames), uri],
        env=env, capture_output=True, text=True,
    )  # fmt: skip
    words = done.stdout.split()
    if done.returncode or uri not in words:
        return None
    elapsed = float(words[words.index(uri) - 1])
    mean_us = 1e6 * elapsed / (frames / BLOCK)
    return {"mean_us": mean_us, "core_share": mean_us * 1e-6 * 48000 / BLOCK}


def time_rnnoise(seconds):
    """RNNoise's C library called frame by frame, or None where it is not installed."""
    try:
        from benchmarks.peers.rnnoise import RnNoise

        peer = RnNoise()
    except ImportError:
        return None
    library, samples = peer._library, 32768.0 * talk(48000, seconds)[:, 0]
    out = np.empty(480, np.float32)
    state = library.rnnoise_create(None)
    times = []
    for at in range(0, len(samples) - 479, 480):
        frame = samples[at : at + 480].astype(np.float32)
        arguments = (state, out.ctypes.data, frame.ctypes.data)
        start = time.perf_counter()
        library.rnnoise_process_frame(*arguments)
        times.append(1e6 * (time.perf_counter() - start))
    library.rnnoise_destroy(state)
    mean_us = float(np.mean(times)) * BLOCK / 480
    return {"mean_us": mean_us, "core_share": mean_us * 1e-6 * 48000 / BLOCK}


def measure(build, seconds, say):
    """All rows, best of three runs each: other work on the machine only ever adds."""
    rows = []

    def add(name, sample_rate, once):
        say(f"plugin: {name}")
        found = [result for result in (once() for _ in range(3)) if result is not None]
        if found:
            best = min(found, key=lambda result: result["mean_us"])
            rows.append({"what": name, "sample_rate": sample_rate, **best})

    for rate in RATES:
        add("plugin, CLAP", rate, lambda rate=rate: time_plugin(build, rate, seconds))
        add("plugin, CLAP, second ear off", rate,
            lambda rate=rate: time_plugin(build, rate, seconds, second_ear=False))  # fmt: skip
        add("Python engine", rate, lambda rate=rate: time_engine(rate, seconds))
    for name, uri in LV2_PLUGINS.items():
        add(name, 48000, lambda uri=uri: time_lv2(build, uri, seconds))
    add("RNNoise (pyrnnoise)", 48000, lambda: time_rnnoise(seconds))
    return rows


def plugin(args, config, command, say):
    """Blocks through the plugin, the engine and others."""
    build = Path(args.build)
    if not (build / "clap_host").is_file():
        raise ConfigError(f"build={build} must hold the plugin and its host (make plugin)")
    rows = measure(build, 10.0 if args.quick else 60.0, say)
    body = tables.table(
        ["block of 100 samples", "rate", "mean \u00b5s", "p50", "p99", "p99.9", "of a core"],
        [
            [row["what"], row["sample_rate"],
             *(tables.number(row.get(f"{name}_us"), 2) for name in ("mean", "p50", "p99", "p999")),
             f"{row['core_share']:.2%}"]
            for row in rows
        ],
    )  # fmt: skip
    return Part("plugin", "Plugin", body, {"meta": describe(command), "rows": rows})
