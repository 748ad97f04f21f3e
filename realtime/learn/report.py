"""What `gate-learn` says and draws about a profile."""

import io

import numpy as np

from gate.errors import GateError
from gate.features import mel_centres_hz
from realtime.outputs import printable, write_bytes

_COLOURS = {1: "#1f6f8b", 0: "#d1495b"}


def clock(seconds):
    """``75.2`` -> ``1:15``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def key_band_hz(key):
    """Lowest and highest centre frequency where the key is above half its maximum."""
    centres = mel_centres_hz()
    strong = np.flatnonzero(np.asarray(key) >= 0.5 * np.max(key))
    return float(centres[strong[0]]), float(centres[strong[-1]])


def _side(profile, name):
    sources = [t["name"] for t in profile.taught_with if t[name] > 0]
    shown = ", ".join(sources[:2]) + (f" and {len(sources) - 2} more" if len(sources) > 2 else "")
    return shown


def describe(profile, confusable=(), strangers=()):
    """Lines that say what to expect of a profile.

    Parameters
    ----------
    profile : realtime.learn.profile.Profile
    confusable : list of dict
        Stretches of the examples on which it is wrong.
    strangers : list of (str, float)
        Everyday sounds that open it, and share of their time.
    """
    e = profile.expected
    seconds = [sum(t[side] for t in profile.taught_with) for side in ("open_s", "shut_s")]
    low, high = key_band_hz(profile.key) if profile.key is not None else (0, 0)
    lines = [
        f"{profile.name}: taught with {seconds[0]:.0f} s to open on and {seconds[1]:.0f} s to "
        f"stay shut on, for detector {profile.detector} {profile.detector_sha256[:12]}",
        f"opens on {100 * e['opens_on_wanted']:.0f} % of {_side(profile, 'open_s')}, "
        f"{100 * e['opens_on_unwanted']:.0f} % of {_side(profile, 'shut_s') or 'everyday sounds'} "
        "(held-out parts of the examples)",
        f"balanced accuracy {e['balanced_accuracy']:.3f}, ROC-AUC {e['roc_auc']:.3f}, "
        f"onset delay p50 {e['onset_p50_ms']:.0f} ms",
    ]
    if "opens_on_world" in e:
        lines.append(
            f"opens on {100 * e['opens_on_world']:.0f} % of {profile.world['seconds']:g} s of "
            "everyday sounds (heads that had not heard the kind)"
            + (": above all " + ", ".join(f"{name} {100 * s:.0f} %" for name, s in strangers)
               if strangers else "")
        )  # fmt: skip
    left_out = profile.world.get("left_out")
    if left_out:
        names = sorted(left_out, key=left_out.get, reverse=True)
        lines.append(f"left out of the everyday sounds, as like what opens: {', '.join(names)}")
    for stretch in list(confusable)[:5]:
        lines.append(
            f"confusable: {stretch['name']} at {clock(stretch['start_s'])} to "
            f"{clock(stretch['end_s'] + 0.99)} ({stretch['what']})"
        )
    lines += [
        f"learned: attack {profile.attack_ms:g} ms, release {profile.release_ms:g} ms, key "
        f"{low:.0f} to {high:.0f} Hz, {_rule(profile)}",
        f"suggested: --threshold-db {profile.suggested_threshold_db:g}",
    ]
    if profile.memory:
        kilobytes = sum(r.log_mel.size + r.energy.size for r in profile.memory) / 1000
        lines.append(f"keeps its examples ({kilobytes:.0f} kB unpacked) for update and merge")
    return lines


def _rule(profile):
    """How it decides, in words."""
    rule = profile.rule
    if rule is None:
        return (
            f"hold {profile.hold_ms:g} ms, presence threshold {profile.presence_threshold:.2f} - "
            f"{profile.presence_hysteresis:.2f}"
        )
    return (
        f"presence threshold {rule.threshold:.2f}, evidence to open {rule.open_cost:g}, to shut "
        f"{rule.shut_cost:g}"
    )


def settings_table(profile):
    """The learned settings for gates that know nothing but level, as Markdown lines.

    Notes
    -----
    Names are those of ReaGate (Cockos), OBS Studio's Noise Gate, and FFmpeg's ``agate``, whose
    threshold and range are linear.
    """
    c = profile.classic
    threshold, hysteresis = c["threshold_db"], c["hysteresis_db"]
    linear = 10.0 ** (threshold / 20.0)
    rows = [
        ("threshold", f"{threshold:g} dBFS", f"Threshold {threshold:g}",
         f"Open Threshold {threshold:g} dB, Close Threshold {threshold - hysteresis:g} dB",
         f"threshold={max(linear, 1e-6):.6f}:detection=rms"),
        ("hysteresis", f"{hysteresis:g} dB", f"Hysteresis -{hysteresis:g}",
         "(the two thresholds)", "-"),
        ("range", f"{c['range_db']:g} dB", f"Dry {c['range_db']:g}", "-",
         f"range={10.0 ** (c['range_db'] / 20.0):.4f}"),
        ("attack", f"{c['attack_ms']:g} ms", f"Attack {c['attack_ms']:g}",
         f"Attack Time {max(c['attack_ms'], 1):.0f}", f"attack={c['attack_ms']:g}"),
        ("hold", f"{c['hold_ms']:g} ms", f"Hold {c['hold_ms']:g}",
         f"Hold Time {c['hold_ms']:.0f}", "-"),
        ("release", f"{c['release_ms']:g} ms", f"Release {c['release_ms']:g}",
         f"Release Time {c['release_ms']:.0f}", f"release={c['release_ms']:g}"),
        ("key high-pass", f"{c['key_high_pass_hz']:g} Hz", f"Hi-pass {c['key_high_pass_hz']:g}",
         "-", f"highpass=f={c['key_high_pass_hz']:g} on the side chain"),
        ("key low-pass", f"{c['key_low_pass_hz']:g} Hz", f"Lowpass {c['key_low_pass_hz']:g}",
         "-", f"lowpass=f={c['key_low_pass_hz']:g} on the side chain"),
    ]  # fmt: skip
    lines = [
        "| setting | value | ReaGate | OBS Noise Gate | FFmpeg agate |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    taught = profile.expected.get("gated_signal_loss")
    lines.append("")
    lines.append(
        f"Gated-signal loss on the examples: {c['gated_signal_loss']:.2f} with these, "
        f"{taught:.2f} with the profile (0 is perfect, 1 an open gate)."
    )
    return lines


def plot_lesson(lesson, path):
    """Draw the held-out scores of every example, the threshold, and the key.

    Raises
    ------
    GateError
        If matplotlib is not installed or the picture cannot be written.
    """
    try:
        import matplotlib

        matplotlib.use("Agg", force=False)
        from matplotlib import pyplot as plt
    except ImportError:
        raise GateError('--plot needs matplotlib: pip install "exemplar-gate[plot]"') from None
    profile = lesson.profile
    figure, axes = plt.subplots(3, 1, figsize=(11, 8), height_ratios=(2, 2, 1.3),
                                layout="constrained")  # fmt: skip
    for axis, side, title in ((axes[0], 1, "to open on"), (axes[1], 0, "to stay shut on")):
        _draw_side(axis, lesson, side)
        axis.axhline(profile.presence_threshold, color="k", lw=0.8, ls="--")
        axis.set(ylim=(-0.02, 1.02), ylabel="presence", title=f"{title}: held-out scores")
        axis.set_xlabel("seconds of examples")
    centres = mel_centres_hz()
    if profile.key is not None:
        axes[2].fill_between(centres, profile.key, color="#3d5a80", alpha=0.6)
    axes[2].set(xscale="log", ylim=(0, 1.05), xlabel="Hz", ylabel="key weight",
                xlim=(centres[0], centres[-1]))  # fmt: skip
    figure.suptitle(
        f"{printable(profile.name)}: opens on "
        f"{100 * profile.expected['opens_on_wanted']:.0f} % of the wanted and "
        f"{100 * profile.expected['opens_on_unwanted']:.0f} % of the unwanted sound",
        parse_math=False,
    )
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    plt.close(figure)
    write_bytes(path, picture.getvalue())


def _draw_side(axis, lesson, side):
    """Presence over the recordings of one side, end to end; dots where the gate was wrong."""
    at, marks = 0.0, []
    for index, name in enumerate(lesson.names):
        mine = (lesson.source == index) & (lesson.label == side) & (lesson.weight >= 0.5)
        if not mine.any():
            continue
        order = np.argsort(lesson.hop[mine], kind="stable")
        presence, opened = lesson.presence[mine][order], lesson.is_open[mine][order]
        time = at + 0.01 * np.arange(len(presence))
        axis.plot(time, presence, color=_COLOURS[side], lw=0.5)
        wrong = opened != bool(side)
        axis.plot(time[wrong], presence[wrong], ".", color="k", ms=2.5)
        marks.append((at, name))
        at = time[-1] + 0.01
    for start, name in marks[:40]:
        axis.axvline(start, color="0.8", lw=0.6)
        if len(marks) <= 12:
            axis.text(start, 0.02, f" {name}", fontsize=7, color="0.3")
    axis.set_xlim(0, max(at, 0.1))
