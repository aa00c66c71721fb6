"""What is taken for positions; the other checks of inputs are tested through the writer."""

import numpy as np
import pytest

from ptychoproduct import SourceError
from ptychoproduct.model.array_checks import coordinates


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u8"])
def test_lists_of_real_numbers_are_coordinates(dtype):
    values = np.arange(3).astype(dtype)
    assert coordinates(values, "xcoords", "scan.npz") is values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 2)), "1 dimension"),
        (np.array(1.0), "1 dimension"),
        (np.array([]), "at least 1"),
        (np.zeros(2, "c16"), "real numbers"),
        (np.zeros(2, "?"), "real numbers"),
        (np.array(["1", "2"]), "real numbers"),
        (np.array([1, None], dtype=object), "real numbers"),
        (np.array(["2026"], "M8[Y]"), "real numbers"),
        (np.array([0, np.nan]), "position 1 is nan"),
        (np.array([np.inf, 0]), "position 0 is inf"),
    ],
)
def test_anything_else_is_no_coordinates(values, message):
    with pytest.raises(SourceError, match=rf"scan\.npz: xcoords: .*{message}"):
        coordinates(values, "xcoords", "scan.npz")
