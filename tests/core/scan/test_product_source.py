"""A product as the source of another one: everything that it says is in the new one."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    Reconstruction,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
)

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 9, 8, 10
# Each conversion says of itself where its product comes from.
ORIGIN = ("program", "program_options", "source_files", "metadata_sha256")
RNG = np.random.default_rng(11)
X, Y = RNG.uniform(8, 30, (2, N)).astype(np.float32)
FRAMES = RNG.poisson(4, (N, H, W)).astype(np.uint16)
PROBE = (RNG.standard_normal((2, 1, H, W)) + 1j).astype(np.complex64)
OBJECT = (RNG.standard_normal((2, 40, 44)) + 1j).astype(np.complex64)
META = ExportMeta(
    name="häm",
    comments="two\nlines",
    detector_distance_m=1.7,
    probe_energy_eV=9123.4,
    exposure_time_s=0.25,
    probe_photon_count=1.5e6,
    mass_attenuation_m2_kg=0.3,
    tomography_angle_deg=-12.0,
    object_pixel_width_m=1.1e-8,
    object_pixel_height_m=1.3e-8,
    probe_pixel_width_m=1.2e-8,
    probe_pixel_height_m=1.4e-8,
    object_center_x_m=2.1e-7,
    object_center_y_m=2.3e-7,
    tilt_angle_deg=0.5,
    focus_object_distance_m=-1e-4,
    far_field=False,
    polarization="left_circular",
    detector_pixel_width_m=7.5e-5,
    detector_pixel_height_m=5.5e-5,
)
RESULTS = Reconstruction(
    opr_weights=RNG.standard_normal((N, 2)),
    object_layer_spacing_m=[3e-6],
    loss_values=[3.0, np.nan, 1.0],
    loss_epochs=[5, 6, 9],
    probe_photon_counts=RNG.uniform(1, 2, N),
)
SCAN = {
    "xcoords": X,
    "ycoords": Y,
    "xcoords_start": X + 1,
    "ycoords_start": Y - 1,
    "scan_index": np.zeros(N, np.int64),
    "probeGuess": PROBE,
    "diffraction": FRAMES.transpose(1, 2, 0),
    "bad_pixels": np.eye(H, W, dtype=np.uint8),
    "Y": np.ones((N, 3, 3), np.complex64),
    "label": np.array("µ"),
    "weird/key": np.arange(3.0),
    "_metadata": np.array('{"a": 1}', dtype=object),
}


def product(folder, meta=META, results=RESULTS, options=None, **arrays):
    np.savez(folder / "scan.npz", **(SCAN | {"objectGuess": OBJECT} | arrays))
    export_product_from_npz(folder / "scan.npz", folder / "product.h5", meta, reconstruction=results, options=options)
    return folder / "product.h5"


def content(path, without=()):
    """Return every attribute and dataset of a file, as h5py sees them."""
    found = {}

    def note(name, item):
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = (np.asarray(value).dtype, np.asarray(value).tolist())
        if isinstance(item, h5py.Dataset):
            found[name] = (item.dtype, item.shape, np.asarray(item[()]).tobytes() if item.dtype != object else item[()])

    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
    return {name: value for name, value in found.items() if not name.startswith((*without, *(f"@{n}" for n in ORIGIN)))}


@pytest.mark.parametrize("include_raw", [True, False])
def test_a_product_of_a_product_is_equal(tmp_path, include_raw):
    source = product(tmp_path)
    export_product_from_files(ScanFiles(source), tmp_path / "new.h5", include_raw=include_raw)
    unlike = ("entry", "@default", "@metadata_sha256", "@physics")  # without frames, there are no plots and no verdict
    old = content(source, () if include_raw else ("raw_data", *unlike))
    new = content(tmp_path / "new.h5", () if include_raw else unlike)
    assert old == new
    assert len(old) > 60 or not include_raw


def test_positions_stay_those_in_metres_to_the_last_bit(tmp_path):
    source = product(tmp_path)
    with h5py.File(source, "r+") as file:
        del file["raw_data"], file["entry"], file.attrs["metadata_sha256"]
    export_product_from_files(ScanFiles(source), tmp_path / "new.h5", include_raw=False)
    without = ("entry", "@default", "@metadata_sha256", "@physics")
    assert content(source, without) == content(tmp_path / "new.h5", without)


def test_a_synthetic_object_stays_one(tmp_path):
    np.savez(tmp_path / "scan.npz", **SCAN)
    export_product_from_npz(tmp_path / "scan.npz", tmp_path / "product.h5", META)
    export_product_from_files(ScanFiles(tmp_path / "product.h5"), tmp_path / "new.h5")
    assert content(tmp_path / "product.h5") == content(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert file["object"].attrs["synthetic"]
        assert "objectGuess" not in file["raw_data"]


def test_what_is_given_wins(tmp_path):
    source = product(tmp_path)
    summary = export_product_from_files(
        ScanFiles(source),
        tmp_path / "new.h5",
        ExportMeta(probe_energy_eV=8000.0, name="mine"),
        reconstruction=Reconstruction(loss_values=[1.0], object_layer_spacing_m=[1e-6]),
    )
    with h5py.File(tmp_path / "new.h5") as file:
        assert file.attrs["probe_energy_eV"] == file.attrs["photon_energy_eV"] == 8000.0
        assert file.attrs["name"] == "mine"
        assert file.attrs["detector_object_distance_m"] == 1.7
        assert file["loss_values"][:].tolist() == [1.0]
        assert file["loss_epochs"][:].tolist() == [0]
        assert file["object_layer_spacing_m"][:].tolist() == [1e-6]
        assert np.array_equal(file["opr_weights"], RESULTS.opr_weights)
    assert summary.meta.origins["probe_energy_eV"] == "given"
    assert summary.meta.origins["detector_distance_m"] == "source"
    assert summary.metadata_files["detector_distance_m"] == source
    assert "probe_energy_eV" not in summary.metadata_files


def test_another_object_pixel_scales_positions_in_pixels_and_their_centre(tmp_path):
    source = product(tmp_path)
    given = ExportMeta(object_pixel_width_m=2.2e-8, object_pixel_height_m=2.6e-8)
    export_product_from_files(ScanFiles(source), tmp_path / "new.h5", given)
    with h5py.File(source) as old, h5py.File(tmp_path / "new.h5") as new:
        for axis in "xy":
            assert np.allclose(new[f"probe_position_{axis}_m"], 2 * old[f"probe_position_{axis}_m"][:], rtol=1e-12)
            centre = f"center_{axis}_m"
            assert np.isclose(new["object"].attrs[centre], 2 * old["object"].attrs[centre], rtol=1e-12)
        assert np.array_equal(new["raw_data/xcoords"], old["raw_data/xcoords"])


@pytest.mark.parametrize("with_raw", [True, False])
def test_patterns_and_a_product(tmp_path, with_raw):
    """The example of docs/large-scans.md, with patterns that are some of the product's, in another order."""
    order = np.array([4, 1, 7, 2])
    source = product(tmp_path, options=ExportOptions(position_index="sequence"), scan_index=np.arange(N) % 2)
    with h5py.File(source, "r+") as file:
        if not with_raw:
            del file["raw_data"], file.attrs["metadata_sha256"]
    with h5py.File(tmp_path / "diffraction.h5", "w") as file:
        file["patterns"] = FRAMES[order]
        file["patterns"].attrs["detector_pixel_width_m"] = 7.5e-5
        file["indexes"], file["bad_pixels"] = order, np.ones((H, W), bool)
    files = ScanFiles(tmp_path / "diffraction.h5", dataset="/patterns", positions=source)
    summary = export_product_from_files(files, tmp_path / "new.h5")
    with h5py.File(source) as old, h5py.File(tmp_path / "new.h5") as new:
        for axis in "xy":
            assert np.array_equal(new[f"probe_position_{axis}_m"], old[f"probe_position_{axis}_m"][:][order])
        assert np.array_equal(new["probe_position_indexes"], order)
        assert np.array_equal(new["raw_data/diffraction"], FRAMES[order])
        assert new["raw_data/bad_pixels"][:].all()
        assert np.array_equal(new["opr_weights"], RESULTS.opr_weights[order])
        assert np.array_equal(new["probe_photon_counts"], RESULTS.probe_photon_counts[order])
        assert np.array_equal(new["object"], OBJECT)
        for target in ("object", "probe"):
            keys = set(old[target].attrs) - {"opr_weights", "content_sha256"}
            assert {key: new[target].attrs[key] for key in keys} == {key: old[target].attrs[key] for key in keys}
        assert new.attrs["metadata_sha256"] != old.attrs.get("metadata_sha256")
        said, was = ({key: file.attrs[key] for key in file.attrs if key not in ORIGIN} for file in (new, old))
        assert said == was
        if with_raw:
            assert np.array_equal(new["raw_data/scan_index"], (np.arange(N) % 2)[order])
            assert np.array_equal(new["raw_data/xcoords_start"], (X + 1)[order])
            assert new["raw_data/Y"].shape == (4, 3, 3)
            assert new["raw_data/_metadata"].asstr()[()] == '{"a": 1}'
    assert summary.metadata_files["detector_pixel_width_m"] == source


def test_patterns_alone_say_the_detector_pixel(tmp_path):
    with h5py.File(tmp_path / "diffraction.h5", "w") as file:
        file["patterns"] = FRAMES
        file["patterns"].attrs["detector_pixel_width_m"] = 7.5e-5
        file["patterns"].attrs["detector_pixel_height_m"] = 5.5e-5
        file["indexes"], file["bad_pixels"] = np.arange(N) + 3, np.eye(H, W, dtype=bool)
    files = ScanFiles(tmp_path / "diffraction.h5", positions=(X, Y), probe=PROBE)
    export_product_from_files(files, tmp_path / "new.h5", ExportMeta(probe_energy_eV=8000.0, detector_distance_m=2.0))
    with h5py.File(tmp_path / "new.h5") as file:
        assert file.attrs["detector_pixel_width_m"] == 7.5e-5
        assert file.attrs["detector_pixel_height_m"] == 5.5e-5
        wavelength_m = 1.23984198e-6 / 8000
        assert np.isclose(file["object"].attrs["pixel_width_m"], wavelength_m * 2 / W / 7.5e-5, rtol=1e-8)
        assert np.isclose(file["object"].attrs["pixel_height_m"], wavelength_m * 2 / H / 5.5e-5, rtol=1e-8)
        assert np.array_equal(file["probe_position_indexes"], np.arange(N) + 3)
        assert np.array_equal(file["raw_data/bad_pixels"], np.eye(H, W, dtype=bool))
