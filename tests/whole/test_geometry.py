"""Pixel sizes follow from the detector's, unless they are given; ptychodus's own functions are the judge."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from ptychodus.api.constants import energy_eV_to_wavelength_m
from ptychodus.api.geometry import ImageExtent, PixelGeometry
from ptychodus.api.propagate import compute_far_field_pixel_geometry

from ptychoproduct import ExportMeta, OptionError, ProductWarning, export_product_from_npz, open_product
from ptychoproduct.model.geometry import resolve_metadata, with_detector_pixels
from ptychoproduct.model.wavelength import wavelength_m

DETECTOR = ExportMeta(
    probe_energy_eV=8801.5, detector_distance_m=1.94, detector_pixel_width_m=7.5e-5, detector_pixel_height_m=5.5e-5
)
ROWS, COLUMNS = 16, 24
SAMPLE = PixelGeometry(
    **vars(
        compute_far_field_pixel_geometry(
            PixelGeometry(7.5e-5, 5.5e-5),
            ImageExtent(width_px=COLUMNS, height_px=ROWS),
            wavelength_m=energy_eV_to_wavelength_m(8801.5),
            propagation_distance_m=1.94,
        )
    )
)


def sizes(meta, owner):
    return getattr(meta, f"{owner}_pixel_width_m"), getattr(meta, f"{owner}_pixel_height_m")


@pytest.fixture
def rectangular(save_scan):
    """A function that saves a scan of rectangular frames, by the order of their axes."""

    def save(order="NHW"):
        frames = np.ones((12, ROWS, COLUMNS), np.float32)
        stored = np.ascontiguousarray(frames.transpose(["NHW".index(axis) for axis in order]))
        return save_scan(diff3d=stored, probeGuess=np.ones((ROWS, COLUMNS), np.complex64))

    return save


def test_the_wavelength_is_ptychodus_own():
    assert wavelength_m(8801.5) == pytest.approx(energy_eV_to_wavelength_m(8801.5), rel=1e-9)
    assert wavelength_m(1.0) == pytest.approx(1.239841984332e-6, rel=1e-12)  # hc in eV m, by CODATA


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
def test_width_and_height_follow_from_the_side_that_they_belong_to(rectangular, tmp_path, order):
    summary = export_product_from_npz(rectangular(order), tmp_path / "product.h5", DETECTOR)
    with open_product(tmp_path / "product.h5") as product:
        for owner in ("object", "probe"):
            assert sizes(product.meta, owner) == pytest.approx((SAMPLE.width_m, SAMPLE.height_m), rel=1e-9)
        assert sizes(product.meta, "detector") == (7.5e-5, 5.5e-5)
        np.testing.assert_allclose(product.x_m, np.load(rectangular())["xcoords"] * SAMPLE.width_m, rtol=1e-9)
    assert set(summary.meta.derived) == {
        f"{owner}_pixel_{side}_m" for owner in ("object", "probe") for side in ("width", "height")
    }


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_without_frames_the_size_of_the_probe_is_that_of_the_detector(rectangular, tmp_path):
    summary = export_product_from_npz(rectangular(), tmp_path / "product.h5", DETECTOR, include_raw=False)
    assert sizes(summary.meta, "object") == pytest.approx((SAMPLE.width_m, SAMPLE.height_m), rel=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"probe_energy_eV": 0.0},
        {"detector_distance_m": 0.0},
        {"far_field": False},
        {"detector_pixel_width_m": 0.0, "detector_pixel_height_m": 0.0},
    ],
    ids=["no energy", "no distance", "near field", "no detector pixel"],
)
def test_where_nothing_follows_the_defaults_stay(change):
    meta = resolve_metadata(replace(DETECTOR, **change), None, (12, ROWS, COLUMNS))
    assert (sizes(meta, "object"), sizes(meta, "probe")) == ((5e-8, 5e-8), (1.25e-7, 1.25e-7))
    assert {"object_pixel_width_m", "probe_pixel_height_m"} <= set(meta.not_given)


def test_a_size_that_is_given_stays_even_where_it_is_the_default():
    meta = resolve_metadata(replace(DETECTOR, object_pixel_width_m=5e-8), None, (12, ROWS, COLUMNS))
    assert meta.object_pixel_width_m == 5e-8
    assert meta.probe_pixel_width_m == pytest.approx(SAMPLE.width_m, rel=1e-9)


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_contradiction_is_told_with_both_numbers(rectangular, tmp_path):
    meta = replace(DETECTOR, object_pixel_width_m=1.3e-7, object_pixel_height_m=SAMPLE.height_m)
    with pytest.warns(ProductWarning, match=f"object_pixel_width_m: given as 1.3e-07.*{SAMPLE.width_m:.6g}"):
        export_product_from_npz(rectangular(), tmp_path / "product.h5", meta)


@pytest.mark.parametrize("digits", [4, 6, 17])
def test_rounding_is_no_contradiction(save_scan, tmp_path, digits):
    square = replace(DETECTOR, detector_pixel_height_m=7.5e-5)
    derived = resolve_metadata(square, None, (16, 16)).object_pixel_width_m
    pixel_m = float(f"{derived:.{digits}g}")
    center_m = 31.5 * pixel_m
    meta = replace(
        square,
        **{f"{owner}_pixel_{side}_m": pixel_m for owner in ("object", "probe") for side in ("width", "height")},
        object_center_x_m=center_m,
        object_center_y_m=center_m,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ProductWarning)
        export_product_from_npz(save_scan(), tmp_path / "product.h5", meta)


def test_the_detector_pixel_follows_from_the_object_and_back():
    shape = (12, ROWS, COLUMNS)
    known = ExportMeta(
        probe_energy_eV=8801.5,
        detector_distance_m=1.94,
        object_pixel_width_m=SAMPLE.width_m,
        object_pixel_height_m=SAMPLE.height_m,
    )
    assert sizes(with_detector_pixels(resolve_metadata(known), shape), "detector") == pytest.approx(
        (7.5e-5, 5.5e-5), rel=1e-9
    )
    unknown = resolve_metadata(replace(known, probe_energy_eV=0.0))
    assert sizes(with_detector_pixels(unknown, shape), "detector") == (0.0, 0.0)


def test_a_size_beyond_any_float_is_an_option_error():
    with pytest.raises(OptionError, match="object_pixel_width_m"):
        resolve_metadata(replace(DETECTOR, probe_energy_eV=1e-320), None, (16, 16))


@pytest.mark.parametrize(("unit", "factor"), [("px", 1.0), ("m", 5e-8), ("um", 5e-2)])
def test_an_npz_scan_may_have_its_positions_in_any_unit(save_scan, make_scan, centered_meta, tmp_path, unit, factor):
    scan = make_scan()
    keys = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
    path = save_scan(**{key: scan[key] * factor for key in keys})
    export_product_from_npz(path, tmp_path / "product.h5", centered_meta, positions_in=unit)
    with open_product(tmp_path / "product.h5") as product:
        np.testing.assert_allclose(product.x_m, scan["xcoords"] * 5e-8, rtol=1e-14)
        for key in keys:
            np.testing.assert_allclose(product.raw_data[key], scan[key], rtol=1e-14)


def test_a_unit_that_is_none_is_an_option_error(save_scan, tmp_path):
    with pytest.raises(OptionError, match="positions_in: found 'inch', expected one of px, m, mm, um, nm"):
        export_product_from_npz(save_scan(), tmp_path / "product.h5", positions_in="inch")


def test_what_was_given_wins_over_the_source_that_over_what_follows_and_that_over_a_default():
    given = ExportMeta(probe_energy_eV=8801.5, object_pixel_width_m=1e-8)
    source = ExportMeta(probe_energy_eV=1.0, detector_distance_m=1.94, object_pixel_height_m=2e-8, name="theirs")
    detector = replace(source, detector_pixel_width_m=7.5e-5, detector_pixel_height_m=5.5e-5)
    meta = resolve_metadata(given, detector, (ROWS, COLUMNS))
    assert (meta.probe_energy_eV, meta.detector_distance_m, meta.name) == (8801.5, 1.94, "theirs")
    assert (meta.object_pixel_width_m, meta.object_pixel_height_m) == (1e-8, 2e-8)
    assert sizes(meta, "probe") == pytest.approx((SAMPLE.width_m, SAMPLE.height_m), rel=1e-9)
    names = ("probe_energy_eV", "detector_distance_m", "probe_pixel_width_m", "exposure_time_s")
    assert [meta.origins[name] for name in names] == ["given", "source", "derived", "default"]


def test_a_derived_value_and_a_default_are_not_known():
    meta = resolve_metadata(DETECTOR, None, (ROWS, COLUMNS))
    assert (meta.known("probe_energy_eV"), meta.known("object_pixel_width_m"), meta.known("exposure_time_s")) == (
        8801.5,
        None,
        None,
    )
