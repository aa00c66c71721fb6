"""The unit of positions: recognised, and doubted."""

import warnings
from contextlib import suppress
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    ProductWarning,
    ScanFiles,
    SourceError,
    export_product_from_files,
    export_product_from_rawdata,
    validate_product,
)
from ptychoproduct.model.position_units import are_metres, known_unit, warn_of_span

PIXEL_M = 5e-8
META = ExportMeta(object_pixel_width_m=PIXEL_M, object_pixel_height_m=PIXEL_M)
N = 12
X_PX, Y_PX = np.random.default_rng(1).uniform(8, 56, (2, N))
METRES_OF = {"px": PIXEL_M, "m": 1, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
FRAMES = np.ones((N, 16, 16), np.uint16)
PROBE = np.ones((16, 16), complex)


def convert(folder, files):
    export_product_from_files(files, folder / "p.h5", META, options=ExportOptions(position_index="sequence"))


def export_npz(folder, x, y, unit):
    np.savez(folder / "s.npz", xcoords=x, ycoords=y, diff3d=FRAMES, probeGuess=PROBE, xcoords_start=x, ycoords_start=y)
    convert(folder, ScanFiles(folder / "s.npz", positions_in=unit))


def export_npy(folder, x, y, unit):
    np.save(folder / "frames.npy", FRAMES)
    np.savetxt(folder / "p.txt", np.c_[x, y], header="x y")
    convert(folder, ScanFiles(folder / "frames.npy", positions=folder / "p.txt", positions_in=unit, probe=PROBE))


def export_hdf5(folder, x, y, unit):
    with h5py.File(folder / "s.h5", "w") as file:
        file["diffraction"], file["xcoords"], file["ycoords"], file["probeGuess"] = FRAMES, x, y, PROBE
    convert(folder, ScanFiles(folder / "s.h5", positions_in=unit))


def export_arrays(folder, x, y, unit):
    np.save(folder / "frames.npy", FRAMES)
    convert(folder, ScanFiles(folder / "frames.npy", positions=(x, y), positions_in=unit, probe=PROBE))


SOURCES = [export_npz, export_npy, export_hdf5, export_arrays]


def positions_of(folder):
    with h5py.File(folder / "p.h5") as file:
        return file["probe_position_x_m"][()], file["probe_position_y_m"][()]


def messages(export, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProductWarning)
        export(*arguments)
    return [str(warning.message) for warning in caught if "position" in str(warning.message)]


@pytest.mark.parametrize("export", SOURCES)
def test_metres_are_recognised_and_told(tmp_path, export):
    (message,) = messages(export, tmp_path, X_PX * PIXEL_M, Y_PX * PIXEL_M, None)
    assert "taken as metres" in message
    assert "positions_in" in message
    np.testing.assert_allclose(positions_of(tmp_path), [X_PX * PIXEL_M, Y_PX * PIXEL_M], rtol=1e-14)


@pytest.mark.parametrize("unit", ["m", "mm", "um", "nm", "px", None])
def test_validation_knows_the_positions_of_the_source_in_any_unit(tmp_path, unit):
    factor = PIXEL_M / METRES_OF[unit or "m"]
    messages(export_npz, tmp_path, X_PX * factor, Y_PX * factor, unit)
    assert _positions_that_differ(tmp_path) == []
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        file["probe_position_x_m"][3] *= 1.001
    (message,) = _positions_that_differ(tmp_path)
    assert "at position 3" in message


def _positions_that_differ(folder):
    report = validate_product(folder / "p.h5", source_npz=folder / "s.npz")
    return [problem.message for problem in report.problems if "by the source's" in problem.message]


def test_positions_before_correction_are_metres_too(tmp_path):
    messages(export_npz, tmp_path, X_PX * PIXEL_M, Y_PX * PIXEL_M, None)
    with h5py.File(tmp_path / "p.h5") as file:
        np.testing.assert_allclose(file["raw_data/xcoords_start"], X_PX, rtol=1e-14)


@pytest.mark.parametrize("export", SOURCES)
@pytest.mark.parametrize("unit", ["m", "mm", "um", "nm", "px"])
def test_a_unit_that_is_given_is_not_told(tmp_path, export, unit):
    factor = PIXEL_M / METRES_OF[unit]
    assert messages(export, tmp_path, X_PX * factor, Y_PX * factor, unit) == []
    np.testing.assert_allclose(positions_of(tmp_path), [X_PX * PIXEL_M, Y_PX * PIXEL_M], rtol=1e-14)


@pytest.mark.parametrize("export", SOURCES)
def test_pixels_that_nobody_names_are_pixels(tmp_path, export):
    assert messages(export, tmp_path, X_PX, Y_PX, None) == []
    np.testing.assert_allclose(positions_of(tmp_path), [X_PX * PIXEL_M, Y_PX * PIXEL_M], rtol=1e-14)


@pytest.mark.parametrize("export", SOURCES)
@pytest.mark.parametrize(
    ("truly", "read_as"),
    [("m", "px"), ("mm", "px"), ("px", "m"), ("um", "m"), ("um", "nm"), ("mm", "um")],
)
def test_another_unit_is_suspected_with_the_likely_one(tmp_path, export, truly, read_as):
    """Scans of a step of ten pixels, so that only one unit fits."""
    factor = PIXEL_M / METRES_OF[truly]
    said = [each for each in messages(lambda: _refused(export, tmp_path, factor, read_as)) if "span" in each]
    assert len(said) == 1
    assert f"read as {read_as}" in said[0]
    assert f"positions_in {truly}" in said[0]


def _refused(export, folder, factor, unit):
    """A scan that is too large is refused, too: no object can be made for it."""
    with suppress(SourceError):
        export(folder, X_PX * factor, Y_PX * factor, unit)


def test_no_unit_fits():
    with pytest.warns(ProductWarning, match="less than one; check the object's pixel size"):
        warn_of_span(np.array([0, 1e-320]), np.zeros(2), "nm", PIXEL_M, PIXEL_M, "scan")


def test_micrometres_read_as_pixels_are_suspected_where_they_span_some_pixels():
    row, column = np.divmod(np.arange(100), 10)
    with pytest.warns(ProductWarning, match=r"span 2\.25 object pixels, in steps far below one; .* probably um "):
        warn_of_span(column * 0.25, row * 0.25, "px", PIXEL_M, PIXEL_M, "scan")


def test_many_frames_at_a_position_are_not_many_steps():
    corner = np.arange(100) % 4
    warn_of_span(corner // 2 * 2.0, corner % 2 * 2.0, "px", PIXEL_M, PIXEL_M, "scan")


@pytest.mark.parametrize(
    ("x", "y"), [([3.0], [4.0]), ([3.0, 3.0], [4.0, 4.0]), ([0, 0], [0, 1]), ([0, 1e6], [0, 0]), ([0, 0], [7, 900])]
)
def test_a_scan_of_a_usual_size_is_not_suspected(x, y):
    warn_of_span(np.array(x), np.array(y), "px", PIXEL_M, PIXEL_M, "scan")


def test_pixels_may_be_oblong():
    warn_of_span(np.array([0.0, 1.0]), np.array([0.0, 2e-8]), "m", 1.0, 1e-8, "scan")


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([1e-3, 0], [0, -1e-3], True),
        ([1e-3, 0], [0, -1.001e-3], False),
        ([0, 0], [0, 0], False),
        ([0, np.nan], [1e-6, 0], False),
        ([], [], False),
        ([[1e-6]], [[1e-6]], False),
        (["a"], ["b"], False),
        ([1e-6j], [0], False),
    ],
)
def test_what_metres_look_like(x, y, expected):
    assert are_metres(x, y) is expected


def test_rawdata_in_memory_is_recognised_too(tmp_path, make_scan):
    scan = make_scan()
    raw = SimpleNamespace(**{**scan, "xcoords": scan["xcoords"] * 1e-8, "ycoords": scan["ycoords"] * 1e-8})
    raw.xcoords_start = raw.ycoords_start = None
    said = messages(export_product_from_rawdata, raw, tmp_path / "p.h5", META)
    assert any("taken as metres" in each for each in said)
    assert known_unit("px", raw.xcoords, raw.ycoords, "scan") == "px"
