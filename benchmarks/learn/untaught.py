"""Sounds of kinds that a task's teaching never showed: what an open-set test is made of.

A kind is a speaker, an event class, or a source of music. Left out are the kinds of the task's
own examples, all speech where the examples to stay shut on are voices in general, and what is a
recording of the wanted sound under another name.
"""

MOST = {"speech": 10, "human": 8, "noise": 16, "music": 4}
"""How many sounds of each group a test has at most, one a kind."""

_GROUPS = {
    "speech": "speech", "human_nonspeech": "human", "voice_cry": "human", "voice_sung": "human",
    "noise": "noise", "music": "music",
}  # fmt: skip
# What counts as the wanted sound under another name, by the first word of a task's name. Music
# may hold drums and songs.
_SAME = {
    "keyboard": ("keyboard", "typewriter"),
    "infant": ("cry",),
    "laughing": ("laugh",),
    "coughing": ("cough",),
    "snare": ("drum", "instrumental", "mixed"),
    "hi-hat": ("drum", "instrumental", "mixed"),
    "sung": ("imitation", "mixed", "moaning"),
    "Dog": ("dog",),
    "Clock": ("clock",),
    "Person": ("sneez",),
}
_VOICES = ("keyboard", "infant", "laughing", "coughing")
"""Tasks whose examples to stay shut on are voices."""


def kind_of(row):
    """Name of a recording's kind, such as ``speech so7001`` or ``noise tap``."""
    if row["kind"] == "speech":
        return f"speech {row['speaker']}"
    if row["kind"] == "music":
        return f"music {row['source']} {row['cls']}"
    return f"{row['kind']} {row['cls'] or row['source']}"


def choose(name, rows, taught, rng):
    """Recordings for the open-set test of a task.

    Parameters
    ----------
    name : str
        The task's.
    rows : list of dict
        Of the split, as `benchmarks.learn.tasks.read_manifest` gives them.
    taught : list of dict
        Rows of all its examples and of its other tests.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of Path
        One of every kind, kinds in random order within each group.
    """
    word = name.split()[0].rstrip(",")
    same = _SAME.get(word, ())
    used = {kind_of(row) for row in taught}
    kinds = {}
    for row in rows:
        kind, group = kind_of(row), _GROUPS.get(row["kind"])
        if group is None or kind in used or any(part in kind.lower() for part in same):
            continue
        if group == "speech" and word in _VOICES:
            continue
        if "check-speech" in kind:  # a cough that may hold a word
            continue
        kinds.setdefault(group, {}).setdefault(kind, []).append(row)
    chosen = []
    for group, most in MOST.items():
        names = sorted(kinds.get(group, {}))
        for i in rng.permutation(len(names))[:most]:
            mine = kinds[group][names[i]]
            chosen.append(mine[rng.integers(len(mine))]["path"])
    return tuple(chosen)
