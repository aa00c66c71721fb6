"""NPZ files of ptychodus's: products and patterns, with the keys of its writers."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import DiffractionFile, ScanFiles, export_product_from_files

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 7, 8, 10
RNG = np.random.default_rng(4)
PATTERNS = RNG.poisson(3, (N, H, W)).astype(np.uint16)
BAD = RNG.uniform(size=(H, W)) < 0.1
X_M, Y_M = RNG.uniform(-1e-6, 1e-6, (2, N))
PROBE = (RNG.standard_normal((1, 2, H, W)) + 1j).astype(np.complex64)
OBJECT = (RNG.standard_normal((2, 140, 130)) + 1j).astype(np.complex64)
NUMBERS = np.arange(N) * 3


def product_npz(path, **others):
    np.savez(
        path,
        **{
            "name": "Run 1",
            "comments": "",
            "detector_object_distance_m": 1.5,
            "photon_energy_eV": 9000.0,
            "probe_photon_count": 1e6,
            "exposure_time_s": 0.1,
            "mass_attenuation_m2_per_kg": 0.0,
            "tomography_angle_deg": 3.0,
            "focus_object_distance_m": 0.0,
            "tilt_angle_deg": 0.0,
            "far_field": True,
            "probe_position_indexes": NUMBERS,
            "probe_position_x_m": X_M,
            "probe_position_y_m": Y_M,
            "probe": PROBE,
            "probe_pixel_width_m": 2e-8,
            "probe_pixel_height_m": 3e-8,
            "object": OBJECT,
            "object_center_x_m": 1e-7,
            "object_center_y_m": -2e-7,
            "object_pixel_width_m": 2e-8,
            "object_pixel_height_m": 3e-8,
            "object_layer_spacing_m": [4e-6],
            "loss_values": [3.0, 2.0],
            "loss_epochs": [0, 5],
            **others,
        },
    )
    return path


def test_a_product_in_an_npz_file(tmp_path):
    path = product_npz(tmp_path / "product.npz", probe_photon_counts=np.arange(1.0, N + 1))
    export_product_from_files(ScanFiles(path), tmp_path / "product.h5", include_raw=False)
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["probe"], PROBE)
        assert np.array_equal(file["object"], OBJECT)
        for key, values in {
            "probe_position_indexes": NUMBERS,
            "object_layer_spacing_m": [4e-6],
            "loss_values": [3, 2],
            "loss_epochs": [0, 5],
            "probe_photon_counts": np.arange(1, N + 1),
        }.items():
            assert np.array_equal(file[key], values), key
        assert np.allclose(file["probe_position_x_m"], X_M, rtol=1e-12, atol=0)
        assert np.allclose(file["probe_position_y_m"], Y_M, rtol=1e-12, atol=0)
        attributes = dict(file.attrs)
        assert (attributes["name"], attributes["photon_energy_eV"], attributes["exposure_time_s"]) == (
            "Run 1",
            9000,
            0.1,
        )
        assert (attributes["detector_object_distance_m"], attributes["tomography_angle_deg"]) == (1.5, 3)
        attributes = dict(file["object"].attrs)
        assert (attributes["pixel_width_m"], attributes["pixel_height_m"]) == (2e-8, 3e-8)
        assert (attributes["center_x_m"], attributes["center_y_m"]) == (1e-7, -2e-7)


@pytest.mark.parametrize("order", ["as they are", "shuffled"])
def test_patterns_in_an_npz_file_with_a_product(tmp_path, order):
    """Patterns and positions belong together by their numbers."""
    rows = RNG.permutation(N) if order == "shuffled" else np.arange(N)
    np.savez(tmp_path / "patterns.npz", indexes=NUMBERS[rows], patterns=PATTERNS[rows], bad_pixels=BAD)
    product_npz(tmp_path / "reconstructed.npz")
    files = ScanFiles(tmp_path / "patterns.npz", positions=tmp_path / "reconstructed.npz")
    out = tmp_path / "product.h5"
    export_product_from_files(files, out, diffraction=DiffractionFile(tmp_path / "diffraction.h5"))
    with h5py.File(out) as file:
        assert np.array_equal(file["raw_data/diffraction"], PATTERNS[rows])
        assert np.allclose(file["probe_position_x_m"], X_M[rows], rtol=1e-12, atol=0)
        assert np.array_equal(file["probe_position_indexes"], NUMBERS[rows])
        assert np.array_equal(file["object"], OBJECT)
        assert file.attrs["photon_energy_eV"] == 9000
    with h5py.File(tmp_path / "diffraction.h5") as file:
        assert np.array_equal(file["patterns"], PATTERNS[rows])
        assert np.array_equal(file["bad_pixels"], BAD)
