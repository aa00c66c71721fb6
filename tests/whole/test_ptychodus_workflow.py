"""A workflow folder for ptychodus 1.7.0: it loads both files, and pairs every pattern with its own position."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import StandardFileLayout, load_diffraction_data, load_product
from ptychodus.api.reconstruct import prepare_reconstruct_input

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ExportOptions,
    Reconstruction,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
    open_product,
    standard_layout,
    validate_product,
)

N = 12
CENTER_M = 31.5 * 5e-8
META = ExportMeta(
    detector_distance_m=2.0,
    probe_energy_eV=8000.0,
    object_center_x_m=CENTER_M,
    object_center_y_m=CENTER_M,
    object_pixel_width_m=5e-8,
    object_pixel_height_m=5e-8,
    probe_pixel_width_m=5e-8,
    probe_pixel_height_m=5e-8,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "workflow"


@pytest.fixture
def load(save_scan, folder):
    """A function that converts a small scan, and gives what ptychodus loads from the folder."""

    def run(options=None, results=None, **changes):
        product, diffraction = standard_layout(folder)
        export_product_from_npz(
            save_scan(**changes),
            product,
            META,
            reconstruction=results,
            diffraction=DiffractionFile(diffraction),
            options=options,
        )
        return load_product(product), load_diffraction_data(diffraction)

    return run


def counts_of(scan):
    return np.rint(scan["diff3d"].astype(np.float64) ** 2)


def check_pairs(paired, patterns, x_m, y_m):
    """Every pattern is with its own position, whatever order they come in."""
    positions = paired.product.probe_positions
    found = {
        (x, y): pattern.tobytes()
        for x, y, pattern in zip(
            positions.get_coordinates_x_m(),
            positions.get_coordinates_y_m(),
            np.asarray(paired.diffraction_patterns, np.float64),
            strict=True,
        )
    }
    expected = {(x, y): pattern.tobytes() for x, y, pattern in zip(x_m, y_m, patterns.astype(np.float64), strict=True)}
    assert found == expected


def test_the_names_are_those_of_ptychodus(folder):
    paths = StandardFileLayout.PRODUCT.path(folder), StandardFileLayout.DIFFRACTION.path(folder)
    assert standard_layout(folder) == paths


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize(
    "scan_index",
    [np.arange(N), np.arange(N)[::-1] * 5, np.random.default_rng(4).permutation(N), np.zeros(N, int), None],
    ids=["sequence", "descending", "permuted", "zeros", "none"],
)
def test_ptychodus_pairs_every_pattern_with_its_own_position(load, make_scan, scan_index):
    product, data = load(scan_index=scan_index)
    scan = make_scan()
    paired = prepare_reconstruct_input(data, product)
    assert len(paired.product.probe_positions) == N
    check_pairs(paired, counts_of(scan), scan["xcoords"] * 5e-8, scan["ycoords"] * 5e-8)


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_ptychodus_averages_positions_of_one_index_where_the_user_wants_it(load):
    product, data = load(ExportOptions(position_index="scan-index"), scan_index=np.repeat(np.arange(N // 2), 2))
    paired = prepare_reconstruct_input(data, product)
    assert len(np.unique(paired.product.probe_positions.get_coordinates_x_m())) == N // 2


def test_ptychodus_loads_patterns_bad_pixels_and_photon_counts(load, make_scan):
    mask = np.random.default_rng(1).random((16, 16)) < 0.1
    photons = np.random.default_rng(1).uniform(1e3, 1e4, N)
    product, data = load(bad_pixels=mask, results=Reconstruction(probe_photon_counts=photons))
    np.testing.assert_array_equal(data.get_patterns(), counts_of(make_scan()))
    np.testing.assert_array_equal(data.get_bad_pixels(), mask, strict=True)
    np.testing.assert_array_equal(data.get_probe_photon_counts(), photons)
    side_m = data.get_pixel_geometry().width_m
    assert data.get_pixel_geometry() == PixelGeometry(side_m, side_m)
    assert side_m == pytest.approx(1.23984198e-6 / 8000 * 2 / (16 * 5e-8), rel=1e-8)
    paired = prepare_reconstruct_input(data, product)
    np.testing.assert_array_equal(paired.bad_pixels, mask)
    np.testing.assert_array_equal(paired.product.probe_positions.get_probe_photon_counts(), photons)


def test_a_script_of_ptychodus_needs_no_compression_filters(load, folder):
    load()
    script = (
        "import sys; from pathlib import Path; from ptychodus.api.io import load_diffraction_data;"
        "print(load_diffraction_data(Path(sys.argv[1])).get_patterns().sum(), 'hdf5plugin' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, folder / "diffraction.h5"], capture_output=True, text=True, check=True
    )
    with h5py.File(folder / "diffraction.h5") as file:
        assert result.stdout.split() == [str(file["patterns"][()].sum()), "False"]


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_the_two_files_become_a_product_again(load, make_scan, folder, tmp_path):
    load(scan_index=np.arange(N)[::-1])
    files = ScanFiles(folder / "diffraction.h5", positions=folder / "product.h5")
    export_product_from_files(files, tmp_path / "again.h5", META)
    assert validate_product(tmp_path / "again.h5", deep=True).is_valid
    with open_product(tmp_path / "again.h5") as product:
        np.testing.assert_array_equal(product.frames[:], counts_of(make_scan()))
        np.testing.assert_allclose(product.x_m, make_scan()["xcoords"] * 5e-8, rtol=1e-14)
