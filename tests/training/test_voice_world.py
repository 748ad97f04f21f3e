"""The world is made of recordings that may be passed on, one excerpt a class before the second."""

import numpy as np
import pytest

from realtime.learn.world import SHIPPED, World, excerpt, load_world
from training.corpus.manifest import Entry
from training.voice.world import (
    COARSE,
    EXCERPT_HOPS,
    _coarse,
    card,
    choose,
    class_of,
    excerpt_range,
    is_free,
)


@pytest.mark.parametrize("licence, free", [
    ("CC0", True), ("CC BY 4.0", True), ("Apache-2.0", True), ("Public domain", True),
    ("MIT repo; FSDKaggle2018 CC clips", True), ("CC-BY/CC0", True),
    ("CC BY-SA 3.0", False), ("GPL-2+", False), ("ODbL 1.0", False), ("CC BY-NC 3.0", False),
    ("Pixabay Content Licence / CC0 (README)", False), ("GPL-2/CC BY/CC0", False), ("", False),
])  # fmt: skip
def test_only_what_may_be_passed_on_under_any_terms_is_taken(licence, free):
    assert is_free(licence) is free


def entry(kind, source, number, cls="", speaker="", licence="CC0"):
    name = f"{source}/{number}.opus"
    return Entry("train", kind, source, name, speaker, cls, "en", 16000, licence=licence)


def test_every_class_comes_before_any_comes_twice_and_none_is_bound():
    rows = [entry("noise", "esc10", i, f"00{i % 4} - Class {i % 4}") for i in range(20)]
    rows += [entry("speech", "few", i, speaker=f"f{i}") for i in range(5)]
    rows += [entry("speech", "many", i, speaker=f"m{i}") for i in range(200)]
    rows += [entry("noise", "esc10", 99, "bound", licence="GPL-3")]
    rows += [entry("human_nonspeech", "c", 1, "cough (call-center) check-speech")]
    chosen = choose(rows, np.random.default_rng(0))
    names = [name for _, group, name in chosen if group == "sound"]
    assert sorted(set(names)) == ["class 0", "class 1", "class 2", "class 3"]
    assert len(names) == 12 and set(names[:4]) == set(names)
    speakers = [name for _, group, name in chosen if group == "speech"]
    assert len(speakers) == len(set(speakers)) == 90
    assert sum(" f" in name for name in speakers) == 5, "a small corpus is not crowded out"
    assert not any("bound" in name or "cough" in name for _, _, name in chosen)


def test_an_excerpt_begins_just_before_a_sound():
    sounding = np.zeros(500, bool)
    sounding[300:420] = True
    begin, end = excerpt_range(sounding, np.random.default_rng(0))
    assert (begin, end) == (296, 296 + EXCERPT_HOPS)
    assert excerpt_range(np.ones(20, bool), np.random.default_rng(0)) == (0, 20)
    begin, end = excerpt_range(np.ones(500, bool), np.random.default_rng(0))
    assert end - begin == EXCERPT_HOPS and 0 <= begin and end <= 500


def test_coarse_steps_stay_near():
    packed = np.arange(256, dtype=np.uint8)
    coarse = _coarse(packed)
    assert (coarse % COARSE == 0).all()
    assert np.abs(coarse.astype(int) - packed)[:254].max() <= COARSE // 2


def test_classes_have_readable_names():
    assert class_of(entry("noise", "esc10", 1, "001 - Dog bark"), "sound") == "dog bark"
    curtain = entry("noise", "cdda", 1, "close_door/close_curtain")
    assert class_of(curtain, "sound") == "close curtain"
    assert class_of(entry("speech", "x", 1, speaker="so1"), "speech") == "speech en so1"


def test_the_card_names_classes_but_not_speakers():
    log_mel = np.full((20, 64), 100, np.uint8)
    world = World(
        (excerpt("dog bark", log_mel), excerpt("speech en so1", log_mel)), ("sound", "speech"),
        (), "esc10 (CC BY 3.0)",
    )  # fmt: skip
    text = card(world, 1234)
    assert "dog bark" in text and "1 speakers" in text and "so1" not in text
    assert "esc10 (CC BY 3.0)" in text


def test_the_shipped_world_is_what_its_card_says():
    world = load_world(SHIPPED)
    assert world.ears == ("silero",)
    assert {"speech", "human", "sound", "keyboard", "instrument"} <= set(world.groups)
    assert all(r.ears.shape == (len(r.label), 1) for r in world.recordings)
    assert all(r.sounding.any() and not r.label.any() for r in world.recordings)
    assert "moodist" not in world.about and "GPL" not in world.about
    # The ear hears speech where there is speech, and little of it elsewhere.
    last = {"speech": [], "sound": []}
    for recording, group in zip(world.recordings, world.groups, strict=True):
        last.setdefault(group, []).append(recording.ears[-5:].mean())
    assert np.mean(last["speech"]) > np.mean(last["sound"]) + 60
