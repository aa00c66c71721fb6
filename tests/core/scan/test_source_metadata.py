"""What files say of energy, distance and pixel sizes reaches the product, in the product's units."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ProductWarning,
    ScanFiles,
    export_product_from_files,
)

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 6, 8, 10
RNG = np.random.default_rng(3)
X, Y = RNG.uniform(8, 30, (2, N))
FRAMES = RNG.poisson(4, (N, H, W)).astype(np.uint16)
PROBE = (RNG.standard_normal((H, W)) + 1j).astype(np.complex64)
MASK = np.zeros((H, W), np.uint32)
MASK[2, 3], MASK[5, 1] = 1, 256
# h·c and the elementary charge, CODATA 2022.
HC_J_M, E_C = 6.62607015e-34 * 299792458.0, 1.602176634e-19


def energy_eV(wavelength_m):
    return HC_J_M / E_C / wavelength_m


def number(file, path, value, unit=None):
    file[path] = value
    if unit is not None:
        file[path].attrs["units"] = unit


def cxi(file):
    detector = "entry_1/instrument_1/detector_1"
    file[f"{detector}/data"] = FRAMES
    file["entry_1/data_1/data"] = h5py.SoftLink(f"/{detector}/data")
    file[f"{detector}/mask"] = MASK
    number(file, f"{detector}/distance", 1.5)
    number(file, f"{detector}/x_pixel_size", 75e-6)
    number(file, f"{detector}/y_pixel_size", 55e-6)
    number(file, f"{detector}/count_time", 0.2)
    number(file, "entry_1/instrument_1/source_1/energy", 9000 * E_C)


def cxi_in_eV(file):
    cxi(file)
    del file["entry_1/instrument_1/source_1/energy"]
    number(file, "entry_1/instrument_1/source_1/energy", 9000.0)


def cxi_with_wavelength(file):
    cxi(file)
    del file["entry_1/instrument_1/source_1"]
    number(file, "entry_1/instrument_1/source_1/wavelength", HC_J_M / E_C / 9000)


def nexus(file, *, wavelength=False):
    detector = "entry/instrument/detector"
    file["entry/data/data"] = FRAMES
    file[f"{detector}/pixel_mask"] = MASK
    number(file, f"{detector}/distance", 1500.0, "mm")
    number(file, f"{detector}/x_pixel_size", 75.0, np.bytes_("um"))
    number(file, f"{detector}/y_pixel_size", np.array([55e-6]), "meters")
    number(file, f"{detector}/count_time", 200.0, "ms")
    if wavelength:
        number(file, "entry/instrument/beam/incident_wavelength", 1e10 * HC_J_M / E_C / 9000, "angstrom")
    else:
        number(file, "entry/instrument/beam/incident_energy", np.full(N, 9.0), "keV")


def nexus_with_wavelength(file):
    nexus(file, wavelength=True)


def dectris(file):
    detector = "entry/instrument/detector"
    file["entry/data/data"] = FRAMES
    file[f"{detector}/detectorSpecific/pixel_mask"] = MASK
    file[f"{detector}/bad_name"] = 1
    number(file, f"{detector}/detector_distance", 1.5)
    number(file, f"{detector}/x_pixel_size", 75e-6)
    number(file, f"{detector}/y_pixel_size", 55e-6)
    number(file, f"{detector}/count_time", 0.2)
    number(file, f"{detector}/detectorSpecific/photon_energy", 9000.0)


LAYOUTS = [cxi, cxi_in_eV, cxi_with_wavelength, nexus, nexus_with_wavelength, dectris]


def converted(path, meta=None, **files):
    files = {"positions": (X, Y), "probe": PROBE} | files
    export_product_from_files(
        ScanFiles(path, **files),
        path.with_name("new.h5"),
        meta,
        diffraction=DiffractionFile(path.with_name("patterns.h5")),
    )
    return path.with_name("new.h5")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_detector_and_beam(tmp_path, layout):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        layout(file)
    with h5py.File(converted(tmp_path / "scan.h5")) as new, h5py.File(tmp_path / "patterns.h5") as patterns:
        assert new.attrs["photon_energy_eV"] == pytest.approx(9000, rel=1e-12)
        assert new.attrs["detector_object_distance_m"] == 1.5
        assert new.attrs["detector_pixel_width_m"] == patterns["patterns"].attrs["detector_pixel_width_m"] == 75e-6
        assert new.attrs["detector_pixel_height_m"] == patterns["patterns"].attrs["detector_pixel_height_m"] == 55e-6
        assert new.attrs["exposure_time_s"] == 0.2
        step_m = HC_J_M / E_C / 9000 * 1.5
        assert new["object"].attrs["pixel_width_m"] == pytest.approx(step_m / W / 75e-6, rel=1e-9)
        assert new["object"].attrs["pixel_height_m"] == pytest.approx(step_m / H / 55e-6, rel=1e-9)
        assert np.array_equal(patterns["bad_pixels"], MASK != 0)
        assert np.array_equal(new["raw_data/bad_pixels"], MASK)


def test_the_command_line_wins(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        nexus(file)
    with h5py.File(converted(tmp_path / "scan.h5", ExportMeta(detector_distance_m=2.0))) as new:
        assert new.attrs["detector_object_distance_m"] == 2.0
        assert new.attrs["photon_energy_eV"] == 9000


def test_fold_slice_says_it_in_the_file_of_positions(tmp_path):
    with h5py.File(tmp_path / "dp.hdf5", "w") as file:
        file["dp"] = FRAMES
    with h5py.File(tmp_path / "para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = X[None] * 1.3e-8, Y[None] * 1.3e-8
        file["lambda"], file["dx"], file["angle"] = 1.5e-10, 1.3e-8, 12.0
    with h5py.File(converted(tmp_path / "dp.hdf5", positions=tmp_path / "para.hdf5")) as new:
        assert new.attrs["photon_energy_eV"] == pytest.approx(energy_eV(1.5e-10), rel=1e-12)
        assert new.attrs["tomography_angle_deg"] == 12
        for target in ("object", "probe"):
            assert new[target].attrs["pixel_width_m"] == new[target].attrs["pixel_height_m"] == 1.3e-8
        assert np.allclose(new["raw_data/xcoords"], X, rtol=1e-12)
        assert np.allclose(new["probe_position_x_m"], X * 1.3e-8, rtol=1e-12)


@pytest.mark.parametrize(
    ("numbers", "expected_eV"),
    [
        ({"probe_energy_eV": 8000.0}, 8000.0),
        ({"energy_keV": np.array([8.0])}, 8000.0),
        ({"wavelength": 1.5e-10}, energy_eV(1.5e-10)),
        ({"wavelength_nm": 0.15}, energy_eV(1.5e-10)),
    ],
)
def test_numbers_in_an_npz_file(tmp_path, numbers, expected_eV):
    sizes = {"detector_distance_m": 2.0, "detector_pixel_size_m": 7.5e-5, "object_pixel_width_m": 1e-8}
    scan = {"xcoords": X, "ycoords": Y, "probeGuess": PROBE, "diff3d": FRAMES}
    np.savez(tmp_path / "scan.npz", **scan, **sizes, **numbers)
    with h5py.File(converted(tmp_path / "scan.npz", positions=None, probe=None)) as new:
        assert new.attrs["photon_energy_eV"] == pytest.approx(expected_eV, rel=1e-12)
        assert new.attrs["detector_object_distance_m"] == 2.0
        assert new.attrs["detector_pixel_height_m"] == 7.5e-5
        assert new["object"].attrs["pixel_width_m"] == 1e-8
        assert new["raw_data/detector_distance_m"][()] == 2.0


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_what_stands_for_not_known_is_not_taken(tmp_path, value, recwarn):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        nexus(file)
        file["entry/instrument/detector/distance"][()] = value
    with h5py.File(converted(tmp_path / "scan.h5")) as new:
        assert new.attrs["detector_object_distance_m"] == 0
    assert not [warning for warning in recwarn if "distance: " in str(warning.message)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("value", "unit", "problem"),
    [(-1.0, "m", "not used"), (1.0, "keV", "not used"), (np.arange(1.0, 4), "m", "3 values from 1 to 3")],
)
def test_what_cannot_be_right_is_told(tmp_path, value, unit, problem):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        nexus(file)
        del file["entry/instrument/detector/distance"]
        number(file, "entry/instrument/detector/distance", value, unit)
    with pytest.warns(ProductWarning, match=f"entry/instrument/detector/distance: .*{problem}"):
        converted(tmp_path / "scan.h5")
    with h5py.File(tmp_path / "new.h5") as new:
        assert new.attrs["detector_object_distance_m"] == 0


@pytest.mark.filterwarnings("default")
def test_a_mask_of_another_size_is_told_and_not_used(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        nexus(file)
        del file["entry/instrument/detector/pixel_mask"]
        file["entry/instrument/detector/pixel_mask"] = np.ones((H + 1, W), np.uint32)
    with pytest.warns(ProductWarning, match="pixel_mask: the mask is"):
        converted(tmp_path / "scan.h5")
    with h5py.File(tmp_path / "patterns.h5") as patterns:
        assert not patterns["bad_pixels"][:].any()
