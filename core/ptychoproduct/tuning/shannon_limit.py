"""How small frames of photon counts can become: Shannon's limit, where each pixel's count is Poisson distributed.

A compressor that knew the mean of every pixel in every frame would need, on average, the entropy of a Poisson
distribution with that mean. The means themselves cannot be known from a scan: every pixel of every frame is measured
once, and the mean over frames mixes positions that scatter differently. But the limit asks only how the means are
*distributed* over all pixels and frames, and that can be found from the histogram of the counts: it is the histogram of
a mixture of Poisson distributions, whose weights are fitted by maximum likelihood (N. Laird, J. Am. Stat. Assoc. 73,
805 (1978)).
"""

from __future__ import annotations

import math

import numpy as np

from ptychoproduct.aliases import Array

# Counts from here on are as good as their own means: the entropy grows with the mean's logarithm only.
_MOST_FITTED = 256
_MEANS = 240
_STEPS = 2000
_LARGE = 1000.0


def poisson_entropy_bits(mean: Array) -> Array:
    """Return the entropy of Poisson distributions.

    Parameters
    ----------
    mean : array
        At least 0.

    Returns
    -------
    array, bits

    Notes
    -----
    The sum over the probabilities up to a mean of 1000; from there on the series of R. J. Evans and J. Boersma,
    SIAM Rev. 30, 314 (1988), which is then exact to 10⁻⁹: ½ log(2πeλ) - 1/(12λ) - 1/(24λ²).
    """
    mean = np.asarray(mean, np.float64)
    entropy = np.zeros(mean.shape)
    large = mean > _LARGE
    entropy[large] = (
        0.5 * np.log(2 * math.pi * math.e * mean[large]) - 1 / (12 * mean[large]) - 1 / (24 * mean[large] ** 2)
    )
    for index in np.flatnonzero(~large & (mean > 0)):
        value = mean.flat[index]
        counts = np.arange(math.ceil(value + 12 * math.sqrt(value) + 24))
        log_p = _log_probabilities(counts, value)
        entropy.flat[index] = -np.sum(np.exp(log_p) * log_p)
    return entropy / math.log(2)


def mean_entropy_bits(counts: Array) -> float:
    """Estimate the entropy of an element of Poisson distributed counts whose means are not known.

    Parameters
    ----------
    counts : array of int
        Not negative, at least one.

    Returns
    -------
    float, bits
        Averaged over all elements.
    """
    counts = np.asarray(counts).reshape(-1)
    small = counts < _MOST_FITTED
    histogram = np.bincount(counts[small].astype(np.int64), minlength=1).astype(np.float64)
    large, times = np.unique(counts[~small], return_counts=True)
    bits = float(times @ poisson_entropy_bits(large))
    if histogram[1:].any():
        means, weights = fitted_means(histogram)
        bits += histogram.sum() * float(weights @ poisson_entropy_bits(means))
    return bits / counts.size


def fitted_means(histogram: Array) -> tuple[Array, Array]:
    """Fit the distribution of the means to a histogram of counts, by expectation maximisation.

    Parameters
    ----------
    histogram : array, [most + 1]
        How many elements have each count.

    Returns
    -------
    means, weights : array
        Weights sum up to 1.
    """
    values = np.flatnonzero(histogram)
    share = histogram[values] / histogram.sum()
    most = float(values[-1])
    # Even steps of the square root: there the distributions are equally wide.
    means = np.linspace(0.02, math.sqrt(most + 1) + 1, _MEANS) ** 2
    means[0] = 0.0
    probabilities = np.zeros((len(values), _MEANS))
    probabilities[:, 1:] = np.exp(_log_probabilities(values[:, np.newaxis], means[np.newaxis, 1:]))
    probabilities[values == 0, 0] = 1.0
    weights = np.full(_MEANS, 1 / _MEANS)
    for _ in range(_STEPS):
        weights *= probabilities.T @ (share / (probabilities @ weights))
    return means, weights / weights.sum()


def _log_probabilities(counts: Array, means: Array | float) -> Array:
    """Return the logarithms of e^-mean mean^n / n!, for means above 0."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(counts.max()) + 1)))])
    result: Array = counts * np.log(means) - means - log_factorial[counts]
    return result
