"""Photon counts are made of frames of either quantity, and of which it is nobody has to say where it can be told."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ptychoproduct.errors import OptionError
from ptychoproduct.model.counts import InexactError
from ptychoproduct.model.patterns import choose_patterns

COUNTS = np.random.default_rng(3).poisson(40, (4, 16, 16))
SMOOTH = np.random.default_rng(3).uniform(0, 9, (4, 16, 16)).astype(np.float32)


def choose(sample, quantity="auto"):
    return choose_patterns(sample, quantity, "scan.npz", "diff3d")


def made(sample, quantity="auto"):
    chosen = choose(sample, quantity)
    patterns = np.empty(sample.shape, chosen.dtype)
    chosen.fill(sample, patterns)
    return patterns


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int16", "int64"])
def test_integers_are_counts_and_stay_what_they_are(dtype):
    np.testing.assert_array_equal(made(COUNTS.astype(dtype)), COUNTS.astype(dtype), strict=True)


def test_truth_values_become_numbers():
    np.testing.assert_array_equal(made(COUNTS > 40), (COUNTS > 40).astype(np.uint8), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 0.037])
def test_amplitudes_become_the_whole_counts_that_they_are_roots_of(dtype, scale):
    amplitudes = (np.sqrt(COUNTS) * scale).astype(dtype)
    assert choose(amplitudes).quantity == "amplitude"
    np.testing.assert_array_equal(made(amplitudes), COUNTS.astype(np.uint16), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_that_are_floats_become_integers(dtype):
    assert choose(COUNTS.astype(dtype)).quantity == "counts"
    np.testing.assert_array_equal(made(COUNTS.astype(dtype)), COUNTS.astype(np.uint16), strict=True)


@pytest.mark.parametrize(("most", "dtype"), [(16_000, "uint16"), (17_000, "uint32"), (2**32 - 1, "uint32")])
def test_the_type_has_room_for_more_than_the_sample_needs(most, dtype):
    assert choose(np.array([3.0, 7.0, most])).dtype == dtype


def test_what_cannot_be_told_is_asked_for():
    with pytest.raises(OptionError, match=r"scan.npz: patterns_are: diff3d \(float32\) .*; give amplitude or counts"):
        choose(SMOOTH)


def test_what_is_said_is_done():
    np.testing.assert_array_equal(made(SMOOTH, "amplitude"), SMOOTH**2, strict=True)
    np.testing.assert_array_equal(made(SMOOTH, "counts"), SMOOTH, strict=True)
    np.testing.assert_array_equal(made(SMOOTH.astype(np.float64), "amplitude"), SMOOTH.astype(np.float32) ** 2)


def test_whole_numbers_that_are_said_to_be_amplitudes_are_squared():
    np.testing.assert_array_equal(made(COUNTS.astype(np.float32), "amplitude"), COUNTS.astype(np.float32) ** 2)
    np.testing.assert_array_equal(made(COUNTS.astype(np.int16) - 40, "amplitude"), (COUNTS - 40).astype(np.int64) ** 2)


def test_roots_that_are_said_to_be_counts_stay_what_they_are():
    amplitudes = np.sqrt(COUNTS).astype(np.float32)
    np.testing.assert_array_equal(made(amplitudes, "counts"), amplitudes, strict=True)


@pytest.mark.parametrize("quantity", ["auto", "amplitude", "counts"])
def test_zeros_and_ones_are_their_own_roots(quantity):
    few = (COUNTS > 40).astype(np.float32)
    np.testing.assert_array_equal(made(few, quantity), few.astype(np.uint16), strict=True)


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.5, 70_000.0])
def test_what_was_not_in_the_sample_and_does_not_fit_is_noticed(value):
    later = COUNTS.astype(np.float32)
    later[2, 3, 4] = value
    with pytest.raises(InexactError):
        choose(COUNTS.astype(np.float32)).fill(later, np.empty(later.shape, np.uint16))


@given(arrays(np.uint32, st.integers(1, 200), elements=st.integers(0, 2**22)))
@example(np.array([2050726], np.uint32))  # too large to stand out among floats, and exact all the same
def test_every_scan_of_roots_gives_its_counts(counts):
    np.testing.assert_array_equal(made(np.sqrt(counts.astype(np.float64)).astype(np.float32), "amplitude"), counts)
