"""Markdown tables, and `RESULTS.md` as a file of sections that commands replace."""

import math
from pathlib import Path

from benchmarks.machine import one_line
from benchmarks.quality.measure import GROUP_ORDER
from gate.errors import ConfigError
from realtime.outputs import write_text

SECTIONS = (
    "quality", "cost", "latency", "throughput", "channels", "cluster", "instructions", "learn",
    "ballistics", "plugin", "cold-start", "fuzz", "kills", "jitter", "pulse", "pipewire",
    "soak", "page", "page-memory",
)  # fmt: skip
"""Order of `RESULTS.md`."""


def table(header, rows):
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def number(value, digits=1):
    """A number, or a dash for nan."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def with_interval(figure, scale=1.0, digits=1):
    """``value ± half of the 95 % interval``; a dash for nan."""
    value = number(scale * figure.value, digits)
    if value == "–" or not math.isfinite(figure.half_width):
        return value
    return f"{value} ±{scale * figure.half_width:.{digits}f}"


def headline(figures):
    """One row a system: accuracy, FEC, openings and onset where there is speech; % open else.

    Parameters
    ----------
    figures : dict
        From `benchmarks.quality.measure.Comparison.table`.
    """
    groups, header, rows = _ordered(figures), ["gate"], {}
    for group in groups:
        speech = _has_speech(figures[group])
        header.append(
            f"{group}: bacc / FEC % / opens a segment / onset p50, p90 ms" if speech
            else f"{group.replace('_', ' ')}: % open / opens a min"
        )  # fmt: skip
        for system, f in figures[group].items():
            columns = _HEADLINE if speech else _SPEECHLESS_COLUMNS
            cells = [number(scale * f[name].value, digits) for _, name, scale, digits in columns]
            cells = [*cells[:3], ", ".join(cells[3:])] if speech else cells
            rows.setdefault(system, [system]).append(" / ".join(cells))
    return table(header, rows.values())


def _ordered(figures):
    known = [group for group in GROUP_ORDER if group in figures]
    return known + [group for group in figures if group not in known]


def _has_speech(by_system):
    return any(math.isfinite(f["fec"].value) for f in by_system.values())


_SPEECH_COLUMNS = (
    ("balanced accuracy", "balanced_accuracy", 1, 3),
    ("FEC %", "fec", 100, 1),
    ("MSC %", "msc", 100, 1),
    ("OVER %", "over", 100, 1),
    ("NDS %", "nds", 100, 1),
    ("onset p50 ms", "onset_p50_ms", 1, 0),
    ("p90 ms", "onset_p90_ms", 1, 0),
    ("p95 ms", "onset_p95_ms", 1, 0),
    ("missed %", "missed_share", 100, 1),
    ("opens/min", "opens_per_minute", 1, 0),
    ("opens a segment", "opens_per_segment", 1, 2),
    ("ROC-AUC", "auc", 1, 3),
    ("speech lost dB", "lost", 1, 1),
    ("noise passed dB", "passed", 1, 1),
    ("gated-signal loss", "loss", 1, 3),
)
_SPEECHLESS_COLUMNS = (("open %", "open_share", 100, 1), ("opens/min", "opens_per_minute", 1, 0))
_HEADLINE = [_SPEECH_COLUMNS[k] for k in (0, 1, 10, 5, 6)]


def group_tables(figures):
    """A table a group with every measure and its interval."""
    parts = []
    for group in _ordered(figures):
        columns = _SPEECH_COLUMNS if _has_speech(figures[group]) else _SPEECHLESS_COLUMNS
        found = figures[group].values()
        columns = [c for c in columns if any(math.isfinite(f[c[1]].value) for f in found)]
        rows = [
            [system, *(with_interval(f[name], scale, digits) for _, name, scale, digits in columns)]
            for system, f in figures[group].items()
        ]
        title = f"#### {group.replace('_', ' ')}\n\n"
        parts.append(title + table(["gate", *(c[0] for c in columns)], rows))
    return "\n\n".join(parts)


def section(name, title, body, meta):
    """A section of `RESULTS.md`: its title, how it was made, and the body."""
    return f"<!-- {name} -->\n## {title}\n\n{one_line(meta)}\n\n{body.strip()}\n<!-- /{name} -->\n"


def write_section(path, name, text):
    """Replace one section of the results file, or put it in its place.

    Parameters
    ----------
    path : path-like
        Made if missing.
    name : str
        One of `SECTIONS`, perhaps with a suffix after a colon (``quality:test``).
    text : str
        From `section`.
    """
    path = Path(path)
    if name.split(":")[0] not in SECTIONS:
        raise ConfigError(f"section={name!r} must be one of {', '.join(SECTIONS)}")
    old = path.read_text(encoding="utf-8") if path.is_file() else _PREAMBLE
    found = dict(_sections(old))
    found[name] = text
    preamble = old.split("<!-- ", 1)[0].rstrip()

    def place(key):
        return SECTIONS.index(key.split(":")[0]), key

    body = "\n".join(found[key] for key in sorted(found, key=place))
    write_text(path, f"{preamble}\n\n{body}")


def _sections(text):
    """Names and texts of the sections of a results file."""
    for part in text.split("<!-- ")[1:]:
        name, rest = part.split(" -->", 1)
        if not name.startswith("/"):
            yield name, f"<!-- {name} -->{rest.rstrip()}\n<!-- /{name} -->\n"


_PREAMBLE = """# Results

Every table here was printed by the command above it, and `gate-bench ... --write` put it here.
How each gate was run is in `benchmarks/peers/`, what the columns mean in `gate/metrics.py` and
`gate/signal_metrics.py`: FEC, MSC are the shares of wanted time cut at the front of a segment
and inside it; OVER, NDS the shares of unwanted time passed right after a segment and elsewhere;
± is half of a 95 % bootstrap interval over recordings, left out where they are too much alike to
tell.
"""
