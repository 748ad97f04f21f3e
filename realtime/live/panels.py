"""Draws a `snapshot` and the last hops as text for the terminal. No device, no state."""

import numpy as np
from rich.text import Text

from realtime.live.shared_state import HOP_FIELDS

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_PLAIN = str.maketrans("▁▂▃▄▅▆▇█▏▎▍▌▋▊▉·─┃…", "__..oo##.::|||#.-|~")
_LOW_DB = -80.0
_HOPS_A_COLUMN = 5
_KEY, _OPEN, _GAIN = (HOP_FIELDS.index(n) for n in ("key_level_dbfs", "open", "gain_db"))
_PRESENCE = HOP_FIELDS.index("presence")
_STATES = {
    "open": ("OPEN", "bold black on green"),
    "held": ("HELD", "bold black on green"),
    "below threshold": ("SHUT", "bold white on grey37"),
    "target absent": ("SHUT", "bold white on grey37"),
    "bypass": ("BYPASS", "bold black on yellow"),
    "detector failed": ("FAILED OPEN", "bold white on red"),
}
KEYS_HELP = (
    "up/down threshold  left/right range  [ ] lookahead  b bypass  l key listen  m mute  "
    "t target  p profile  o opens  s stays shut  w wrong  u undo  h hint  q quit"
)


def screen(status, stream, hops, hop_row, events, width, height):
    """The whole screen.

    Parameters
    ----------
    status : dict
        A `snapshot`.
    stream : dict
        The ``open`` event.
    hops : ndarray, shape (n, len(HOP_FIELDS))
        The last hops.
    hop_row : int
        Number of the hop after the last, so that columns stay together as they move.
    events : list of str
    width, height : int
        Of the terminal.

    Returns
    -------
    rich.text.Text
        Exactly `height` lines of at most `width` characters.
    """
    blank = [Text()] if height >= 30 else []
    top = [_title(status, stream), _state_line(status), *blank, *_meters(status, width)]
    bottom = [*blank, _learned(status), *_teaching(status), _latency(status), *_health(status)]
    help_lines = _wrapped(KEYS_HELP, width)
    spare = height - len(top) - len(bottom) - len(help_lines)
    n_events = 2 if spare < 16 else 4 if spare < 30 else 8
    n_rows = max(0, spare - n_events - len(blank) - 3)
    lines = [*top]
    if n_rows >= 2:
        lines += [*blank, *_history(status, hops, hop_row, width, n_rows)]
    lines += bottom
    room = height - len(lines) - len(help_lines)
    shown = events[-room:] if room > 0 else []
    lines += [Text(e, style="yellow") for e in shown]
    lines += [Text()] * (room - len(shown))
    lines += [Text(line, style="dim") for line in help_lines]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines[:height])


def in_letters_of(text, encoding):
    """The text with what a terminal's encoding does not have in plainer letters, as wide as before.

    Parameters
    ----------
    text : rich.text.Text
    encoding : str
        Of the terminal; names of files may hold what none has.
    """
    try:
        text.plain.encode(encoding)
        return text
    except UnicodeEncodeError:
        pass
    plain = text.plain.translate(_PLAIN)
    text.plain = plain.encode(encoding, errors="replace").decode(encoding)
    return text


def _title(status, stream):
    text = Text()
    text.append("gate-live ", "bold cyan")
    if stream:
        text.append(f"{stream['input']} > {stream['output']}", "bold")
        text.append(
            f"  {stream['host_api'].split()[0]}  {status['sample_rate']} Hz, block "
            f"{status['block_frames']}  detector {stream['detector']}",
            "cyan",
        )
    return text


def _state_line(status):
    text = Text()
    if status["status"] == "running":
        label, style = _STATES.get(status.get("reason"), ("...", "bold"))
        text.append(f" {label:^11} ", style)
        text.append(f" {status.get('reason', '')}")
    else:
        text.append(f" {status['status'].upper():^11} ", "bold white on red")
        text.append(" waiting for the device", "red")
    text.append(f"   target {status['target']}", "cyan")
    if status["profile"]:
        text.append(f"   profile {status['profile'].rpartition('/')[2]}", "cyan")
    for name, label in (("muted", "MUTED"), ("key_listen", "KEY LISTEN"), ("bypass", "BYPASS")):
        if status[name]:
            text.append("  ")
            text.append(f" {label} ", "bold black on yellow")
    return text


def _meters(status, width):
    size = max(10, min(width - 36, 100))
    low = status["range_db"]
    is_open = bool(status.get("open"))
    colour = "green" if is_open else "grey62"
    return [
        _meter("input", status.get("input_dbfs"), _LOW_DB, 0.0, "dBFS", size, "blue"),
        _meter("key level", status.get("key_level_dbfs"), _LOW_DB, 0.0, "dBFS", size, colour,
               mark=status["threshold_db"], note=f"threshold {status['threshold_db']:g}"),
        _meter("presence", status.get("presence"), 0.0, 1.0, "", size, "magenta", digits=2),
        _meter("gain", status.get("gain_db"), min(low, -1.0), 0.0, "dB", size, colour,
               note=f"range {low:g}"),
    ]  # fmt: skip


def _meter(name, value, low, high, unit, size, style, mark=None, note="", digits=1):
    text = Text(f"{name:<10}")
    share = 0.0 if value is None else min(max((value - low) / (high - low), 0.0), 1.0)
    eighths = round(share * size * 8)
    bar = "█" * (eighths // 8)
    if eighths % 8:
        bar += "▏▎▍▌▋▊▉"[eighths % 8 - 1]
    text.append(bar, style)
    text.append("·" * (size - len(bar)), "grey30")
    if mark is not None:
        at = min(max(round((mark - low) / (high - low) * size), 0), size - 1)
        at += len(name.ljust(10))
        text = text[:at] + Text("┃", "bold yellow") + text[at + 1 :]
    text.append(f" {'-' if value is None else format(value, f'.{digits}f'):>6} {unit:<4}")
    text.append(f" {note}", "yellow")
    return text


def _history(status, hops, hop_row, width, n_rows):
    """Key level over time, coloured where the gate was open; presence and gain below."""
    size = max(10, width - 10)
    columns = _columns(hops, hop_row, size)
    levels = np.array([np.nanmax(c[:, _KEY]) for c in columns])
    opened = [bool(c[:, _OPEN].max()) for c in columns]
    heights = np.clip((levels - _LOW_DB) / -_LOW_DB, 0.0, 1.0) * n_rows * 8
    threshold = (status["threshold_db"] - _LOW_DB) / -_LOW_DB * n_rows
    lines = []
    pad = size - len(columns)
    for row in range(n_rows - 1, -1, -1):
        on_threshold = row <= threshold < row + 1
        if on_threshold:
            label = f"{status['threshold_db']:g}"
        else:
            label = {n_rows - 1: "0 dBFS", 0: f"{_LOW_DB:g}"}.get(row, "")
        line = _begun(f"{label:>8}  ", "yellow" if on_threshold else "dim")
        empty, style = ("─", "yellow") if on_threshold else (" ", "")
        line.append(empty * pad, style)
        for height, is_open in zip(heights, opened, strict=True):
            part = round(min(max(height - row * 8, 0), 8))
            if part == 0:
                line.append(empty, style)
            else:
                line.append(_EIGHTHS[part], "green" if is_open else "grey50")
        lines.append(line)
    floor = min(status["range_db"], -1.0)
    presence = [np.nanmax(np.nan_to_num(c[:, _PRESENCE])) for c in columns]
    gain = [(np.max(c[:, _GAIN]) - floor) / -floor for c in columns]
    for name, values, style in (("presence", presence, "magenta"), ("gain", gain, "green")):
        line = _begun(f"{name:>8}  ")
        line.append(" " * pad)
        line.append(
            "".join(_EIGHTHS[round(min(max(float(v), 0.0), 1.0) * 8)] for v in values), style
        )
        lines.append(line)
    seconds = size * _HOPS_A_COLUMN / 100
    lines.append(Text(f"{'':>10}{f'the last {seconds:.0f} s':^{size}}", "dim"))
    return lines


def _columns(hops, hop_row, size):
    """The hops in columns that begin at multiples of the column's length."""
    if not len(hops):
        return []
    first = hop_row - len(hops)
    skip = -first % _HOPS_A_COLUMN
    whole = hops[skip:] if len(hops) > skip else hops
    cut = [whole[at : at + _HOPS_A_COLUMN] for at in range(0, len(whole), _HOPS_A_COLUMN)]
    return cut[-size:]


def hops_needed(width):
    """How many hops `screen` can show."""
    return (width + 2) * _HOPS_A_COLUMN


def _learned(status):
    if status.get("attack_ms") is None:
        return Text("learned    -")
    text = _begun("learned    ")
    text.append(
        f"attack {status['attack_ms']:.1f} ms   hold {status['hold_ms']:.0f} ms   release "
        f"{status['release_ms']:.0f} ms   key {status['key_low_hz']:.0f}-"
        f"{status['key_high_hz']:.0f} Hz"
    )
    return text


def _teaching(status):
    """How far teaching is and what to do next, and the hint."""
    step, lines = status.get("teach_step", "off"), []
    if step != "off" and (status["teach_marks"] or not status["profile"]):
        text = _begun("teaching   ")
        if status["teach_marks"]:
            for name in ("open", "shut"):
                have, need = status[f"teach_{name}_s"], status["teach_need_s"]
                text.append(f"{name} {have:.1f} s  ", "green" if have >= need else "yellow")
            level = status["teach_level"]
            text.append(f"level {level}  ", "green" if level == "ok" else "bold red")
        quality = status["teach_quality"]
        if status["teach_fitted"] and quality is not None:
            text.append(f"taught, about {quality:.0%} right  ", "bold green")
        text.append(status["teach_next"], "bold red" if status["teach_error"] else "cyan")
        lines.append(text)
    if status.get("hint"):
        lines.append(_begun("hint       ").append(f"{status['hint']} (key h)", "bold yellow"))
    return lines


def _latency(status):
    def ms(value):
        return "?" if value is None else f"{value:.1f}"

    text = _begun("latency    ")
    text.append(
        f"device {ms(status['input_latency_ms'])} in, {ms(status['output_latency_ms'])} out   "
        f"engine {ms(status['engine_latency_ms'])}   lookahead {status['lookahead_ms']:g} ms"
    )
    return text


def _health(status):
    load = _begun("load       ")
    style = "bold red" if status["load_p99"] > 1.0 else ""
    load.append(
        f"mean {status['load_mean']:.1%}   p99 {status['load_p99']:.1%} of the deadline", style
    )
    load.append(f"   xruns {status['xruns']}   restarts {status['restarts']}")
    health = _begun("health     ")
    for name, key in (
        ("non-finite", "nonfinite_samples"),
        ("detector failures", "detector_failures"),
        ("too slow", "detector_overruns"),
        ("dropped", "record_dropped"),
        ("lost", "record_lost"),
    ):
        health.append(f"{name} {status[key]}   ", "bold red" if status[key] else "")
    return [load, health]


def _begun(label, style="dim"):
    """A line that begins with a label; its style does not spread to what follows."""
    return Text().append(label, style)


def _wrapped(text, width):
    """The keys' help in as few lines as it takes."""
    lines = [""]
    for part in text.split("  "):
        if lines[-1] and len(lines[-1]) + len(part) + 2 > width:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + part
    return lines
