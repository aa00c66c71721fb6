"""Positions in pixels and metres, and the numbers that pair them with patterns."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct import OptionError, ProductWarning
from ptychoproduct.model.positions import distinct_values, metres_to_pixels, pixels_to_metres, position_indexes

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


def indexes(scan_index, choice="auto", positions=4):
    array = None if scan_index is None else np.asarray(scan_index)
    return position_indexes(array, positions, choice, "scan.npz")


@settings(deadline=None, max_examples=200)
@given(finite, st.floats(1e-12, 1e-3))
def test_pixels_come_back_from_metres(pixels, size_m):
    metres = pixels_to_metres(np.array([pixels]), size_m)
    assert metres_to_pixels(metres, size_m) == pytest.approx([pixels], rel=1e-15)


@pytest.mark.parametrize("dtype", ["i4", "u2", "f4", ">f8"])
def test_metres_are_float64_multiples_of_the_pixel(dtype):
    metres = pixels_to_metres(np.array([0, 1, 3], dtype), 5e-8)
    assert metres.dtype == np.float64
    assert metres.tolist() == [0, 5e-8, 3 * 5e-8]


@pytest.mark.parametrize("scan_index", [None, [0, 0, 0, 0], [3, 2, 1, 0], ["a", "b", "c", "d"]])
def test_sequence_counts_whatever_the_source_says(scan_index):
    assert indexes(scan_index, "sequence").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("choice", ["auto", "scan-index"])
@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "u8", "f4", "f8", ">i4"])
def test_distinct_numbers_are_taken_as_int64(choice, dtype):
    result = indexes(np.array([7, 2, 9, 4], dtype), choice)
    assert (result.dtype, result.tolist()) == (np.int64, [7, 2, 9, 4])


@pytest.mark.parametrize(
    "scan_index",
    [
        [0, 1, 2, 2],
        [-1, 0, 1, 2],
        [-1.0, 0.0, 1.0, 2.0],
        [0.5, 0.5, 0.5, 0.5],
        [0.5, 1, 2, 3],
        [0, 1, 2, np.nan],
        [0, 1, 2, np.inf],
        [0, 1, 2, 1e300],
        [0, 1, 2, 2.0**63],
        [0, 1, 2, -1e300],
        np.array([0, 1, 2, 2**63], "u8"),
        [True, False, True, False],
        [0j, 1, 2, 3],
        ["0", "1", "2", "3"],
    ],
    ids=str,
)
def test_numbers_that_number_nothing_become_the_sequence_with_a_warning(scan_index):
    with pytest.warns(ProductWarning, match=r"scan_index.*0 to N-1"):
        assert indexes(scan_index).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("scan_index", [[0, 0, 0, 0], [-7, -7, -7, -7], [3.0, 3.0, 3.0, 3.0]], ids=str)
def test_one_number_for_all_becomes_the_sequence_without_a_warning(scan_index):
    assert indexes(scan_index).tolist() == [0, 1, 2, 3]


def test_negative_numbers_cannot_be_asked_for():
    with pytest.raises(OptionError, match="negative"):
        indexes([-1, 0, 1, 2], "scan-index")


def test_no_numbers_become_the_sequence_with_a_warning():
    with pytest.warns(ProductWarning, match="has no scan_index"):
        assert indexes(None).tolist() == [0, 1, 2, 3]


def test_repeated_numbers_are_taken_when_they_are_asked_for_with_a_warning():
    with pytest.warns(ProductWarning, match="averages positions"):
        assert indexes([0, 0, 1, 1], "scan-index").tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "scan_index", [[0.5, 1, 2, 3], [0, 1, 2, np.nan], [0, 1, 2, 1e300], [0, 1, 2, 2.0**63], ["0", "1", "2", "3"]]
)
def test_numbers_that_are_no_integers_cannot_be_asked_for(scan_index):
    with pytest.raises(OptionError, match="position_index: scan_index must hold 64-bit integers"):
        indexes(scan_index, "scan-index")


def test_numbers_that_are_not_there_cannot_be_asked_for():
    with pytest.raises(OptionError, match="there is no scan_index"):
        indexes(None, "scan-index")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 2**62), unique=True, min_size=1))
def test_distinct_integers_raise_no_warning(values):
    with warnings.catch_warnings(action="error"):
        assert indexes(values, positions=len(values)).tolist() == values


@pytest.mark.parametrize("numbers", [[], [3], [1, 1], [2, 1, 2, 3], [[1, 2], [2, 1]]])
def test_distinct_values_are_counted(numbers):
    assert distinct_values(np.array(numbers, np.int64)) == len(np.unique(numbers))
