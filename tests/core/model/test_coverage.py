"""Whether a scan lies on its object, and where it would."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct import ExportMeta
from ptychoproduct.model.geometry import covering_object, outside_object, resolve_metadata, with_corner_at_zero

META = resolve_metadata(ExportMeta(object_pixel_width_m=2e-8, object_pixel_height_m=5e-8))


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


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1), st.booleans())
def test_a_covering_object_has_every_position_on_it(positions, is_center_given):
    x_px, y_px = np.array(positions).T
    center_m = 3e-7 if is_center_given else 0.0
    meta = replace(META, object_center_x_m=center_m, object_center_y_m=center_m)
    shape, meta = covering_object(x_px, y_px, (8, 8), meta)
    assert outside_object(x_px * 2e-8, y_px * 5e-8, shape, meta) == 0
