"""Positions in pixels and metres, and the numbers that pair them with patterns."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct import ExportMeta, OptionError, ProductWarning, SourceError
from ptychoproduct.positions import (
    check_coordinates,
    metres_to_pixels,
    outside_object,
    pixels_to_metres,
    position_indexes,
    with_corner_at_zero,
)

META = ExportMeta(object_pixel_width_m=2e-8, object_pixel_height_m=5e-8)
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


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u8"])
def test_lists_of_real_numbers_are_coordinates(dtype):
    assert check_coordinates(np.arange(3).astype(dtype), "xcoords", "scan.npz") is None


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (np.zeros((2, 2)), "1 dimension"),
        (np.array(1.0), "1 dimension"),
        (np.array([]), "at least one"),
        (np.zeros(2, "c16"), "real numbers"),
        (np.zeros(2, "?"), "real numbers"),
        (np.array(["1", "2"]), "real numbers"),
        (np.array([1, None], dtype=object), "real numbers"),
        (np.array(["2026"], "M8[Y]"), "real numbers"),
        (np.array([0, np.nan]), "nan at position 1"),
        (np.array([np.inf, 0]), "inf at position 0"),
    ],
)
def test_anything_else_is_no_coordinates(coordinates, message):
    with pytest.raises(SourceError, match=rf"scan\.npz: xcoords: .*{message}"):
        check_coordinates(coordinates, "xcoords", "scan.npz")


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
        [0, 0, 0, 0],
        [0, 1, 2, 2],
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
    with pytest.raises(OptionError, match="expected integers"):
        indexes(scan_index, "scan-index")


def test_numbers_that_are_not_there_cannot_be_asked_for():
    with pytest.raises(OptionError, match="no such key"):
        indexes(None, "scan-index")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(-(2**62), 2**62), unique=True, min_size=1))
def test_distinct_integers_raise_no_warning(values):
    with warnings.catch_warnings(action="error"):
        assert indexes(values, positions=len(values)).tolist() == values


def test_positions_on_the_object_are_not_outside():
    edge_m = 64 * 2e-8 / 2
    assert outside_object(np.array([-edge_m, 0, edge_m]), np.zeros(3), (64, 64), META) == 0


def test_width_belongs_to_x_and_height_to_y():
    meta = replace(META, object_pixel_height_m=META.object_pixel_width_m)
    right_m = np.array([30 * 2e-8])
    assert outside_object(right_m, np.zeros(1), (20, 80), meta) == 0
    assert outside_object(np.zeros(1), right_m, (20, 80), meta) == 1


def test_each_position_outside_counts_once():
    x_m = np.array([0, 1.0, -1.0, 0])
    y_m = np.array([0, 1.0, 0, 1.0])
    assert outside_object(x_m, y_m, (64, 64), META) == 3


def test_the_centre_of_the_object_moves_it():
    meta = replace(META, object_center_x_m=1.0, object_center_y_m=-1.0)
    assert outside_object(np.array([1.0, 0]), np.array([-1.0, 0]), (64, 64), meta) == 1


@pytest.mark.parametrize("x_px", [31, 33])
def test_layers_do_not_change_where_the_object_is(x_px):
    x_m = np.array([x_px * 2e-8])
    assert outside_object(x_m, np.zeros(1), (3, 64, 64), META) == outside_object(x_m, np.zeros(1), (64, 64), META)


def test_the_centre_of_an_object_whose_first_pixel_is_at_zero():
    meta = with_corner_at_zero((3, 64, 32), META)
    assert meta.object_center_x_m == pytest.approx(15.5 * META.object_pixel_width_m)
    assert meta.object_center_y_m == pytest.approx(31.5 * META.object_pixel_height_m)


def test_that_centre_is_all_that_changes():
    meta = with_corner_at_zero((64, 64), META)
    assert replace(meta, object_center_x_m=0.0, object_center_y_m=0.0) == META


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1))
def test_positions_that_count_from_the_first_pixel_are_then_on_the_object(height, width, row, column):
    meta = with_corner_at_zero((height, width), META)
    x_m = np.array([column * (width - 1) * META.object_pixel_width_m])
    y_m = np.array([row * (height - 1) * META.object_pixel_height_m])
    assert outside_object(x_m, y_m, (height, width), meta) == 0
