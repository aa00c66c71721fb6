"""Where the object lies, where its centre was not given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct import ExportMeta, ExportOptions, OptionError
from ptychoproduct.model.geometry import resolve_metadata
from ptychoproduct.model.object_center import with_object_center

PIXEL_M = 5e-8
CORNER_M = 31.5 * PIXEL_M  # of 64 pixels
FAR_PX = 1000.0


def center_px(choice, x_px, y_px, shape=(64, 64), **meta):
    given = resolve_metadata(ExportMeta(**meta))
    found = with_object_center(choice, np.array(x_px) * PIXEL_M, np.array(y_px) * PIXEL_M, shape, given)
    return found.object_center_x_m / PIXEL_M, found.object_center_y_m / PIXEL_M


@pytest.mark.parametrize(
    ("x_px", "y_px", "expected"),
    [
        ([10, 50], [10, 50], (31.5, 31.5)),  # from the corner
        ([-20, 20], [-20, 20], (0, 0)),  # from the middle
        ([10, 31], [10, 31], (31.5, 31.5)),  # on the object both ways, nearer to the corner's middle
        ([0, 3], [0, 3], (0, 0)),
        ([10, FAR_PX], [10, 50], (0, 0)),  # neither
        ([-20, 50], [0, 0], (0, 0)),
    ],
)
def test_auto_takes_the_centre_that_has_all_positions_on_the_object(x_px, y_px, expected):
    assert center_px("auto", x_px, y_px) == pytest.approx(expected)


def test_rows_and_columns_have_middles_of_their_own():
    assert center_px("auto", [10, 90], [10, 50], (3, 60, 100)) == pytest.approx((49.5, 29.5))


@pytest.mark.parametrize("choice", ["auto", "corner", "zero"])
def test_a_centre_that_was_given_stays(choice):
    given = {"object_center_x_m": 0.0, "object_center_y_m": 2e-7}
    assert center_px(choice, [10, 50], [10, 50], **given) == pytest.approx((0, 4))


def test_a_coordinate_that_was_not_given_follows():
    assert center_px("auto", [10, 50], [10, 50], object_center_x_m=CORNER_M) == pytest.approx((31.5, 31.5))
    assert center_px("corner", [10, 50], [10, 50], object_center_x_m=1.5e-6) == pytest.approx((30, 31.5))


def test_corner_and_zero_ask_no_positions():
    assert center_px("corner", [-FAR_PX], [FAR_PX]) == pytest.approx((31.5, 31.5))
    assert center_px("zero", [10, 50], [10, 50]) == (0, 0)


def test_what_was_chosen_is_derived():
    position_m = np.array([50 * PIXEL_M])
    meta = with_object_center("auto", position_m, position_m, (64, 64), resolve_metadata(ExportMeta()))
    assert set(meta.derived) == {"object_center_x_m", "object_center_y_m"}
    assert not {"object_center_x_m", "object_center_y_m"} & set(meta.not_given)


@given(
    st.lists(st.tuples(st.floats(0, 63), st.floats(0, 63)), min_size=1),
    st.sampled_from([(0, 0), (31.5, 31.5)]),
)
def test_auto_puts_the_object_under_every_scan_that_one_of_them_fits(positions, middle):
    x_px, y_px = np.array(positions).T - np.array(middle)[:, None]
    x_center, y_center = center_px("auto", x_px, y_px)
    assert np.abs(x_px - x_center).max() <= 32 + 1e-6
    assert np.abs(y_px - y_center).max() <= 32 + 1e-6


def test_another_choice_is_refused():
    with pytest.raises(OptionError, match="auto, corner, zero"):
        ExportOptions(object_center="middle")
