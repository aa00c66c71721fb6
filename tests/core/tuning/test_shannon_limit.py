"""Shannon's limit of photon counts, held against means that are known."""

import math

import numpy as np
import pytest

from ptychoproduct.tuning.shannon_limit import fitted_means, mean_entropy_bits, poisson_entropy_bits


@pytest.mark.parametrize("mean", [0.0, 0.003, 0.7, 3.0, 40.0, 900.0, 999.9, 1000.1, 5000.0])
def test_the_entropy_is_that_of_the_probabilities(mean):
    counts = range(int(mean + 40 * math.sqrt(mean) + 60))
    logs = [n * math.log(mean) - mean - math.lgamma(n + 1) if mean else -math.inf * n for n in counts]
    expected = -sum(math.exp(log) * log for log in logs if mean and log > -700) / math.log(2)
    assert poisson_entropy_bits(np.array([mean]))[0] == pytest.approx(expected, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(
    "means",
    [
        np.full(200_000, 2.5),
        np.repeat([0.05, 1.0, 30.0], 70_000),
        np.random.default_rng(1).exponential(4.0, 200_000),
        np.random.default_rng(1).uniform(200, 400, 200_000),
        np.random.default_rng(1).lognormal(0, 2.5, 200_000),
    ],
    ids=["one", "three", "exponential", "around the fit's end", "lognormal"],
)
def test_the_limit_is_found_without_knowing_the_means(means):
    counts = np.random.default_rng(2).poisson(means)
    known = poisson_entropy_bits(means).mean()
    assert mean_entropy_bits(counts) == pytest.approx(known, rel=0.03)


def test_counts_that_are_all_zero_need_nothing():
    assert mean_entropy_bits(np.zeros(1000, np.uint16)) == 0


def test_the_fitted_means_have_the_mean_of_the_counts():
    counts = np.random.default_rng(3).poisson(np.random.default_rng(4).exponential(6.0, 50_000))
    means, weights = fitted_means(np.bincount(counts))
    assert weights.sum() == pytest.approx(1)
    assert means @ weights == pytest.approx(counts.mean(), rel=1e-3)
