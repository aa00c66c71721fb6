"""ExportMeta refuses what no product should hold."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from ptychoproduct import ExportMeta, OptionError
from ptychoproduct.model.contract import DATASETS, ROOT_ATTRIBUTES
from ptychoproduct.model.geometry import resolve_metadata

NUMBERS = [field.name for field in fields(ExportMeta) if field.type == "float | None"]
PIXEL_SIZES = [name for name in NUMBERS if name.startswith(("object_pixel", "probe_pixel"))]


def test_nothing_is_given_by_default():
    assert set(vars(ExportMeta()).values()) == {None}


def test_the_defaults_are_those_of_the_reference():
    meta = resolve_metadata(ExportMeta())
    assert (meta.name, meta.comments, meta.far_field, meta.polarization) == ("", "", True, None)
    assert {name: getattr(meta, name) for name in NUMBERS if getattr(meta, name)} == {
        "object_pixel_width_m": 5e-8,
        "object_pixel_height_m": 5e-8,
        "probe_pixel_width_m": 1.25e-7,
        "probe_pixel_height_m": 1.25e-7,
    }


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32(np.nan), np.float64(np.inf), 10**400], ids=repr)
def test_numbers_that_are_not_finite_are_refused(name, value):
    with pytest.raises(OptionError, match=f"{name}.*finite"):
        ExportMeta(**{name: value})


@pytest.mark.parametrize("name", PIXEL_SIZES)
@pytest.mark.parametrize("value", [0, 0.0, -0.0, -1e-9])
def test_pixel_sizes_that_are_not_positive_are_refused(name, value):
    with pytest.raises(OptionError, match=f"{name}.*positive"):
        ExportMeta(**{name: value})


@pytest.mark.parametrize("name", ["detector_pixel_width_m", "detector_pixel_height_m"])
def test_detector_pixels_may_be_unknown_but_not_negative(name):
    assert getattr(ExportMeta(**{name: 0}), name) == 0
    with pytest.raises(OptionError, match=f"{name}.*not negative"):
        ExportMeta(**{name: -1e-9})


def test_defaults_are_told_from_the_same_numbers_given():
    meta = resolve_metadata(ExportMeta(exposure_time_s=0.0, object_pixel_width_m=5e-8))
    nothing = resolve_metadata(ExportMeta())
    assert meta == nothing
    assert set(nothing.not_given) - set(meta.not_given) == {"exposure_time_s", "object_pixel_width_m"}


def test_there_are_four_pixel_sizes():
    assert len(PIXEL_SIZES) == 4


@pytest.mark.parametrize("value", [0, -3, 1.5, np.float32(2), np.int64(7), 1e300, 5e-324])
def test_finite_numbers_of_any_kind_are_taken(value):
    assert ExportMeta(object_center_x_m=value).object_center_x_m == value


@pytest.mark.parametrize("name", ["name", "comments"])
@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800"], ids=ascii)
def test_texts_that_hdf5_cannot_hold_are_refused(name, text):
    with pytest.raises(OptionError, match=name):
        ExportMeta(**{name: text})


@pytest.mark.parametrize("text", ["", "λ 測定 🔬", "two\nlines", "x" * 100_000])
def test_other_texts_are_taken(text):
    assert ExportMeta(name=text, comments=text).comments == text


@pytest.mark.parametrize("value", ["left_circular", "right_circular", None])
def test_known_polarizations_are_taken(value):
    assert ExportMeta(polarization=value).polarization == value


@pytest.mark.parametrize("value", ["", "left", "LEFT_CIRCULAR", "linear"])
def test_other_polarizations_are_refused_with_the_choices(value):
    with pytest.raises(OptionError, match="left_circular, right_circular"):
        ExportMeta(polarization=value)


def test_metadata_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ExportMeta().name = "other"


def test_every_field_is_an_attribute_of_the_contract():
    attributes = [*ROOT_ATTRIBUTES, *(attribute for dataset in DATASETS for attribute in dataset.attributes)]
    assert {field.name for field in fields(ExportMeta)} == {a.field for a in attributes if a.field}
