import dataclasses

import pytest

from gate.errors import ConfigError
from gate.key import KeyBand
from gate.settings import RANGES, GateSettings


@pytest.mark.parametrize("name", RANGES)
def test_numbers_keep_their_ranges(name):
    low, high = RANGES[name]
    for value in (low, high):
        assert getattr(GateSettings(**{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=rf"{name}={value:g} must be from"):
            GateSettings(**{name: value})
    for value in ("loud", None, True, float("nan")):
        with pytest.raises(ConfigError, match=rf"{name}=.* must be a number"):
            GateSettings(**{name: value})


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match="unknown setting 'treshold_db'; did you mean 'threshold"):
        GateSettings.from_mapping({"treshold_db": -40})
    with pytest.raises(ConfigError, match="gate must be a mapping"):
        GateSettings.from_mapping([1, 2])


@pytest.mark.parametrize(
    ("key", "want"),
    [
        ("learned", "learned"),
        ("off", "off"),
        (False, "off"),
        ({"low_hz": 100, "high_hz": 4000}, KeyBand(100.0, 4000.0)),
    ],
)
def test_keys(key, want):
    assert GateSettings(key=key).key == want


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("high", "key='high' must be learned, off"),
        ({"low_hz": 100}, "high_hz is missing"),
        ({"low_hz": 500, "high_hz": 400}, "must be below"),
        ({"low_hz": 500, "hihg_hz": 600}, "did you mean 'high_hz'"),
        ({"low_hz": 500, "high_hz": 9000}, "key.high_hz=9000 must be from"),
    ],
)
def test_bad_keys(key, message):
    with pytest.raises(ConfigError, match=message):
        GateSettings(key=key)


@pytest.mark.parametrize(
    "change", [{"mode": "open"}, {"stereo_link": "x"}, {"bypass": 1}, {"target": ""}]
)
def test_choices(change):
    with pytest.raises(ConfigError, match=f"{next(iter(change))}="):
        GateSettings(**change)


def test_mapping_round_trip_and_immutability():
    settings = GateSettings(threshold_db=-33, key=KeyBand(100, 200), hold_ms=7)
    assert GateSettings.from_mapping(settings.to_mapping()) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.threshold_db = 0
