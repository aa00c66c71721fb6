"""Which axis counts the positions."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct import OptionError, ProductWarning, SourceError
from ptychoproduct.model.axes import axis_order, canonical_axes

ORDERS = ["NHW", "HNW", "HWN"]


def decide(shape, positions, requested="auto"):
    return axis_order(shape, positions, requested, "scan.npz", "diff3d")


@pytest.mark.parametrize(
    ("shape", "order"), [((12, 16, 18), "NHW"), ((16, 12, 18), "HNW"), ((16, 18, 12), "HWN"), ((12, 1, 1), "NHW")]
)
def test_the_axis_with_the_length_of_the_positions_is_n(shape, order):
    assert decide(shape, 12) == order


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_that_fits_is_taken_as_it_is_requested(order):
    assert decide((12, 12, 12), 12, order) == order


@pytest.mark.parametrize("shape", [(12, 12, 16), (12, 16, 12), (12, 12, 12)])
def test_where_two_axes_fit_the_first_is_taken_with_a_warning(shape):
    with pytest.warns(ProductWarning, match=r"diff3d.*taken as NHW"):
        assert decide(shape, 12) == "NHW"


def test_where_two_axes_fit_and_not_the_first_the_user_has_to_say():
    with pytest.raises(SourceError, match="give the axis order"):
        decide((16, 12, 12), 12)


@pytest.mark.parametrize("requested", ["HNW", "HWN"])
def test_a_requested_order_settles_which_of_two_axes_it_is(requested):
    assert decide((16, 12, 12), 12, requested) == requested


@pytest.mark.parametrize("shape", [(11, 16, 16), (0, 16, 16), (16, 16, 16)])
def test_no_axis_of_the_length_is_a_source_error(shape):
    with pytest.raises(SourceError, match="no axis of length 12"):
        decide(shape, 12)


@pytest.mark.parametrize("shape", [(), (12,), (12, 16), (12, 1, 16, 16)])
@pytest.mark.parametrize("requested", ["auto", "NHW"])
def test_a_stack_that_is_not_3d_is_a_source_error(shape, requested):
    with pytest.raises(SourceError, match="three axes"):
        decide(shape, 12, requested)


@pytest.mark.parametrize("requested", ["HNW", "HWN"])
def test_a_requested_order_against_the_positions_is_an_option_error(requested):
    with pytest.raises(OptionError, match="makes 16 frames of diff3d, but there are 12 positions"):
        decide((12, 16, 16), 12, requested)


def test_the_message_names_file_and_key():
    with pytest.raises(SourceError, match=r"scan\.npz: diff3d"):
        decide((1, 2, 3), 12)


@pytest.mark.parametrize(("order", "axes"), [("NHW", (0, 1, 2)), ("HNW", (1, 0, 2)), ("HWN", (2, 0, 1))])
def test_the_canonical_axes_of_an_order(order, axes):
    assert canonical_axes(order) == axes


@settings(deadline=None, max_examples=100)
@given(st.permutations([3, 5, 7]), st.sampled_from(ORDERS))
def test_the_decided_axes_bring_an_array_into_canonical_order(lengths, order):
    positions, height, width = lengths
    frames = np.empty((positions, height, width))
    stored = frames.transpose(["NHW".index(letter) for letter in order])
    with warnings.catch_warnings(action="error"):
        assert stored.transpose(canonical_axes(decide(stored.shape, positions))).shape == frames.shape
