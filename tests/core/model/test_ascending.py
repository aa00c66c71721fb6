"""Distinct numbers and medians are NumPy's."""

import numpy as np
import pytest

from ptychoproduct.model.ascending import distinct, median

LISTS = ([], [3], [2, 1], [5, 5, 5], [3, -1, 3, 2, -1], [[2, 1], [1, 7]], [0.5, -0.0, 0.0, np.inf])


@pytest.mark.parametrize("numbers", LISTS, ids=str)
def test_distinct_numbers_are_those_of_numpy(numbers):
    array = np.array(numbers)
    found = distinct(array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, np.unique(array))


@pytest.mark.parametrize(
    "numbers", [[3.0], [2.0, 1.0], [5.0, 1.0, 4.0], [1.0, 2.5, -7.0, 2.0], [1.0, np.nan, 2.0]], ids=str
)
def test_a_median_is_that_of_numpy(numbers):
    np.testing.assert_equal(median(np.array(numbers)), float(np.median(numbers)))
