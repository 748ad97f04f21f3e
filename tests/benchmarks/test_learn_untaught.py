"""Open-set tests of taught gates are made of kinds that nobody showed them."""

import numpy as np

from benchmarks.learn.untaught import MOST, choose, kind_of


def row(kind, source, cls="", speaker=""):
    name = f"{source} {cls} {speaker}".replace("/", "-")
    return {"kind": kind, "source": source, "cls": cls, "speaker": speaker, "path": name}


ROWS = [
    *(row("speech", "corpus", speaker=f"s{i}") for i in range(20)),
    *(row("noise", "esc", cls=f"00{i} - Class {i}") for i in range(10)),
    row("noise", "esc", cls="keyboard typing"),
    row("noise", "kbd_x", cls="keyboard"),
    row("human_nonspeech", "coughs", cls="cough (telegram) check-speech"),
    row("human_nonspeech", "others", cls="laughing"),
    row("music", "game", cls="instrumental"),
    row("music", "game", cls="instrumental"),
    row("ir", "ir", cls="room"),
]
KIND_OF = {r["path"]: kind_of(r) for r in ROWS}


def chosen(name, taught, seed=0):
    return [KIND_OF[p] for p in choose(name, ROWS, taught, np.random.default_rng(seed))]


def test_no_kind_is_among_the_examples_and_none_comes_twice():
    taught = [ROWS[0], ROWS[3], ROWS[21]]
    kinds = chosen("speaker s0", taught)
    assert not set(kinds) & {kind_of(r) for r in taught}
    assert len(kinds) == len(set(kinds))
    assert sum(k.startswith("speech") for k in kinds) == MOST["speech"]
    assert sum(k.startswith("music") for k in kinds) == 1
    assert not any("check-speech" in k or "room" in k for k in kinds)


def test_the_wanted_sound_under_another_name_is_no_stranger():
    kinds = chosen("keyboard, not speech", [ROWS[31]])
    assert not any("keyboard" in k for k in kinds)
    assert not any(k.startswith("speech") for k in kinds), "voices in general were shown"
    assert not any("instrumental" in k for k in chosen("snare, not other drums", []))
    assert "human_nonspeech laughing" in kinds
    assert "human_nonspeech laughing" not in chosen("laughing, not speech", [])


def test_the_choice_depends_on_the_seed_alone():
    assert chosen("speaker s0", [], 3) == chosen("speaker s0", [], 3)
    assert chosen("speaker s0", [], 3) != chosen("speaker s0", [], 4)
