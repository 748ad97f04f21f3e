"""The comparison: known systems give known figures, and the intervals mean something."""

import numpy as np
import pytest

from benchmarks.peers import PEERS, load_peers
from benchmarks.peers.base import Answer, DetectorGate, Hearing, System
from benchmarks.peers.ours import OurGate, parse_variant
from benchmarks.quality.decisions import Decisions, Rule
from benchmarks.quality.measure import compare
from benchmarks.stats import ClipResult, figures, paired_difference
from gate.errors import ConfigError
from gate.metrics import measure
from gate.settings import GateSettings
from training.corpus.clips import Clip, Loaded, Sound

RATE = 8000


def make_clip(number, group="10 dB"):
    """4 s with one wanted second; the wanted sound is a tone."""
    begin = 1.0 + 0.1 * number

    def load():
        rng = np.random.default_rng(number)
        t = np.arange(4 * RATE) / RATE
        active = (t >= begin) & (t < begin + 1.0)
        wanted = (0.3 * np.sin(2 * np.pi * 200 * t) * active).astype(np.float32)
        unwanted = (0.02 * rng.normal(size=len(t))).astype(np.float32)
        sound = Sound(wanted + unwanted, wanted, unwanted)
        return Loaded(sound, RATE, np.array([[begin, begin + 1.0]]))

    return Clip(f"clip{number}", group, f"c{number}", load)


class Oracle(System):
    """Opens late by a fixed time, shuts on time."""

    late_s = 0.1

    def run(self, hearing):
        power = np.square(hearing.audio).reshape(-1, 80).mean(axis=1)
        active = np.repeat(power > 0.01, 80)
        gain = np.where(active, 1.0, 0.001).astype(np.float32)
        begin = int(np.argmax(active))
        gain[begin : begin + round(self.late_s * RATE)] = 0.001
        return Answer(gain)


class Loudness:
    """A detector of power, 100 decisions a second."""

    name, sample_rate = "loudness", RATE

    def decide(self, hearing):
        power = np.square(hearing.audio).reshape(-1, 80).mean(axis=1)
        return Decisions((np.arange(len(power)) + 1) * 0.01, np.minimum(1.0, power / 0.05))


@pytest.fixture(scope="module")
def comparison():
    systems = [Oracle("oracle", ""), DetectorGate("loud", "", detector=Loudness(), rule=Rule(0.5))]
    return compare(lambda: systems, [make_clip(k) for k in range(6)])


def test_processes_give_the_same(comparison):
    def make_systems():
        return [Oracle("oracle", ""), DetectorGate("loud", "", detector=Loudness())]

    clips = [make_clip(k) for k in range(6)]
    again = compare(make_systems, clips, 2)
    assert again.sweeps == comparison.sweeps
    for name in ("oracle", "loud"):
        names = [[r.name for r in c.results[name]] for c in (again, comparison)]
        assert names[0] == names[1]
        fecs = [vars(c.table()["10 dB"][name]["fec"]) for c in (again, comparison)]
        assert fecs[0] == pytest.approx(fecs[1], rel=0, abs=0, nan_ok=True)


def test_an_oracle_that_is_late_loses_the_front(comparison):
    f = comparison.table()["10 dB"]["oracle"]
    assert f["fec"].value == pytest.approx(0.1, abs=0.011)  # frames of 10 ms
    assert f["onset_p50_ms"].value == pytest.approx(100.0, abs=11)
    assert f["nds"].value == 0.0
    assert f["lost"].value == pytest.approx(-10.0, abs=0.5)  # a tenth of an even tone
    assert np.isnan(f["auc"].value)  # it has no scores


def test_a_perfect_detector_is_late_by_a_decision_only(comparison):
    f = comparison.table()["10 dB"]["loud"]
    assert f["onset_p50_ms"].value <= 11.0
    assert f["msc"].value == 0.0
    assert f["auc"].value > 0.98


def test_the_sweep_goes_from_leaking_to_clipping(comparison):
    points = np.array(comparison.sweeps["loud"])
    assert (np.diff(points[:, 1]) >= -1e-9).all()  # more is lost ...
    assert (np.diff(points[:, 2]) <= 1e-9).all()  # ... and less leaks as the threshold rises
    assert points[-1, 1] > 0.5  # power 0.045 of 0.05 at most: shut at .98
    assert "oracle" not in comparison.sweeps


def test_the_worst_come_first(comparison):
    errors = [error for _, _, error in comparison.worst("oracle", 3)]
    assert len(errors) == 3
    assert errors == sorted(errors, reverse=True)


def test_intervals_cover_and_shrink():
    """With many recordings the interval holds the true value and is about 4 s/sqrt(n) wide."""
    rng = np.random.default_rng(0)

    def results(count):
        lates = rng.uniform(0.0, 0.4, count)
        return [
            ClipResult(f"{k}", "g", f"{k}", measure([[1, 2]], [[1 + late, 2]], 4.0))
            for k, late in enumerate(lates)
        ]

    few, many = figures(results(10))["fec"], figures(results(160))["fec"]
    assert many.low <= 0.2 <= many.high
    assert many.half_width < 0.5 * few.half_width
    # 1.96 standard deviations of a uniform on 0..0.4, over sqrt(160): 0.0179.
    assert many.half_width == pytest.approx(0.0179, rel=0.25)


def test_two_runs_agree():
    result = [ClipResult(f"{k}", "g", f"{k}", measure([[1, 2]], [[1 + 0.07 * k, 2]], 4.0))
              for k in range(12)]  # fmt: skip
    assert figures(result, seed=3)["fec"] == figures(result, seed=3)["fec"]
    assert figures(result, seed=3)["fec"] != figures(result, seed=4)["fec"]


def test_recordings_of_one_cluster_are_drawn_together():
    """Five copies of a recording are no more evidence than one."""
    tallies = [measure([[1, 2]], [[1 + late, 2]], 4.0) for late in (0.0, 0.1, 0.2, 0.3)]
    once = [ClipResult(f"{k}", "g", f"{k}", t) for k, t in enumerate(tallies)]
    copies = [ClipResult(f"{k}/{c}", "g", f"{k}", t) for k, t in enumerate(tallies)
              for c in range(5)]  # fmt: skip
    one, five = figures(once)["fec"], figures(copies)["fec"]
    assert (one.low, one.high) == pytest.approx((five.low, five.high))


def test_missing_peers_are_listed_with_how_to_get_them(monkeypatch):
    monkeypatch.setitem(PEERS, "ghost", ("benchmarks.peers.ghost", "systems", "pip install ghost"))
    systems, missing = load_peers(["level", "ghost"])
    assert [s.name for s in systems] == ["level -40/-46", "OBS gate", "always open"]
    assert missing["ghost"].startswith("pip install ghost")


@pytest.mark.parametrize("name", [n for n in PEERS if n != "level"])
def test_each_peer_gates_a_recording_causally(name):
    """What comes later never changes an earlier gain; the gain is within its range."""
    systems, missing = load_peers([name])
    if missing:
        pytest.skip(f"{name}: {missing[name]}")
    rng = np.random.default_rng(0)
    audio = (0.2 * rng.normal(size=24000) * np.repeat([0.001, 1, 0.001], 8000)).astype(np.float32)
    changed = audio.copy()
    changed[16000:] *= -0.5
    for system in systems:
        answers = [system.run(Hearing(x, 16000)) for x in (audio, changed)]
        for answer in answers:
            assert answer.gain.shape == audio.shape
            assert answer.gain.min() >= 0.999e-3
            assert answer.gain.max() <= 1.0
        # Resampling to the peer's rate is not causal: it sees 25 ms ahead at the most.
        np.testing.assert_allclose(answers[0].gain[:15500], answers[1].gain[:15500], atol=2e-3)
        assert system.size_bytes >= 0
        assert system.cost_s(Hearing(audio, 16000)) >= 0.0


def test_paired_differences_are_narrower_than_the_measure():
    """A difference that hardly varies has a short interval, however the recordings differ."""
    rng = np.random.default_rng(0)
    losses = rng.random(20)

    def results(offset, spread):
        values = losses + offset + spread * rng.normal(size=20)
        return [ClipResult(f"{k}", "g", f"{k}", measure([[1, 2]], [], 4.0), loss=x)
                for k, x in enumerate(values)]  # fmt: skip

    found = paired_difference(results(0.25, 1e-3), results(0.0, 0.0), "loss")
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25), abs=2e-3)
    unknown = [ClipResult("a", "g", "a", measure([[1, 2]], [], 4.0))]
    assert np.isnan(paired_difference(unknown, unknown, "loss").value)


def test_variants():
    name, gate = parse_variant("voice band:key=150-5000,hold_ms=80,bypass=true", GateSettings())
    assert (name, gate.hold_ms, gate.key.high_hz, gate.bypass) == ("voice band", 80.0, 5000.0, True)
    with pytest.raises(ConfigError, match="must be NAME:setting=value"):
        parse_variant("hold_ms=80", GateSettings())
    with pytest.raises(ConfigError, match="did you mean 'hold_ms'"):
        parse_variant("x:hold=80", GateSettings())


def test_what_is_no_gate_is_refused():
    with pytest.raises(ConfigError, match="no gain curve of a gate"):
        OurGate("duck", "", gate=GateSettings(mode="duck"), model=None)
