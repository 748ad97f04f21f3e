"""What is fitted to a lesson: the rule and the release."""

from dataclasses import replace

import numpy as np
import pytest

from realtime.learn.gate_fit import Evidence, GateFitter, fit_rule
from realtime.learn.head import sigmoids


@pytest.mark.parametrize(
    ("prices", "taken"),
    [
        ({20.0: 1.04, 60.0: 1.02, 180.0: 1.0, 300.0: 0.99}, 20.0),
        ({20.0: 1.2, 60.0: 1.04, 180.0: 1.0, 300.0: 1.1}, 60.0),
        ({20.0: 1.3, 60.0: 1.2, 180.0: 1.0, 300.0: 0.9}, 180.0),
    ],
)
def test_a_shorter_release_is_taken_where_it_loses_hardly_more(prices, taken):
    class Priced(GateFitter):
        def loss(self, fit):
            return prices[fit.release_ms]

    fit = replace(fit_rule(np.zeros(1), np.ones(1), np.zeros(1)), release_ms=180.0)
    fitter = Priced(None, None, None)
    assert fitter.hastened(fit, prices) == (replace(fit, release_ms=taken), prices[taken])


def test_few_examples_buy_no_extreme_rule():
    rng = np.random.default_rng(0)
    scores = rng.uniform(-4.0, -2.2, 400)  # heads that know nothing: all say no
    label = (np.arange(400) % 40 < 20).astype(float)
    scores[label > 0] += 0.1
    fit = fit_rule(scores, label, np.ones(400))
    assert fit.presence_threshold > 0.3


def test_the_rule_decides_as_the_usual_one_does_on_calibrated_scores():
    rng = np.random.default_rng(1)
    label = (np.arange(6000) % 60 < 30).astype(float)
    logits = np.clip(3.0 * (2.0 * label - 1.0) + rng.normal(0.0, np.sqrt(6.0), 6000), -11, 11)
    usual = fit_rule(logits, label, np.ones(6000))  # these are logits already
    assert usual.open_cost == pytest.approx(1.0, rel=0.1)
    assert usual.shut_cost == pytest.approx(5.0, rel=0.1)
    modest = fit_rule(0.6 * logits - 0.4, label, np.ones(6000))  # too modest, and lean to shut
    decided = Evidence(sigmoids(0.6 * logits - 0.4)).decide(modest)
    assert np.mean(decided == Evidence(sigmoids(logits)).decide(usual)) > 0.999
