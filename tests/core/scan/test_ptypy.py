"""ptypy's prepared data becomes one scan, its weights a mask where they are the same for all frames."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ProductWarning,
    ScanFiles,
    SourceError,
    export_product_from_files,
    validate_product,
)

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 26, 14, 18
RNG = np.random.default_rng(3)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.int32)
Y, X = RNG.uniform(-1e-6, 1e-6, (2, N))
PROBE = RNG.standard_normal((H, W)) + 1j * RNG.standard_normal((H, W))
BAD = RNG.integers(0, 5, (H, W)) == 0
WEIGHTS = np.broadcast_to(np.where(BAD, 0, 0.5), (N, H, W))
META = ExportMeta(object_pixel_width_m=2e-8, object_pixel_height_m=3e-8)


def ptyd(path, weights=WEIGHTS, same=None, sizes=(2, 3, 1, 4, 5, 0, 1, 1, 2, 1, 6)):
    """Write chunks as ptypy does: more than ten, so that 10 is not between 1 and 2."""
    rows = np.split(np.arange(N), np.cumsum(sizes)[:-1])
    with h5py.File(path, "w") as file:
        for number, chunk in enumerate(rows):
            file[f"chunks/{number}/data"] = FRAMES[chunk]
            file[f"chunks/{number}/positions"] = np.column_stack([Y, X])[chunk]
            file[f"chunks/{number}/indices"] = chunk + 100
            file[f"chunks/{number}/weights"] = np.empty(0) if weights is None else weights[chunk]
        file["meta/energy"], file["meta/distance"], file["meta/psize"] = 6.2, 7.0, [172e-6, 100e-6]
        if same is not None:
            file["meta/weight2d"] = same
    return path


def convert(path, dataset=None, **scan):
    product = path.with_name("product.h5")
    files = ScanFiles(path, dataset=dataset, probe=PROBE, **scan)
    export_product_from_files(files, product, META, diffraction=DiffractionFile(path.with_name("diffraction.h5")))
    assert validate_product(product, source=files).is_valid
    return product


def test_chunks_are_one_scan(tmp_path):
    with h5py.File(convert(ptyd(tmp_path / "s.ptyd"))) as file:
        assert np.array_equal(file["raw_data/diffraction"], FRAMES)
        assert np.allclose(file["probe_position_x_m"], X, rtol=1e-12)
        assert np.allclose(file["probe_position_y_m"], Y, rtol=1e-12)
        assert np.array_equal(file["probe_position_indexes"], np.arange(N) + 100)
        assert np.isclose(file.attrs["photon_energy_eV"], 6200)
        assert file.attrs["detector_object_distance_m"] == 7
        assert (file.attrs["detector_pixel_width_m"], file.attrs["detector_pixel_height_m"]) == (100e-6, 172e-6)
    with h5py.File(tmp_path / "diffraction.h5") as patterns:
        assert np.array_equal(patterns["patterns"], FRAMES)
        assert np.array_equal(patterns["bad_pixels"], BAD)


@pytest.mark.parametrize(
    ("kept", "bad"),
    [
        ({"weights": None, "same": WEIGHTS[0]}, BAD),
        ({"weights": None}, None),
        ({"weights": np.ones((N, H, W))}, None),
        ({"same": np.ones((H, W))}, None),
    ],
)
def test_a_weight_of_zero_is_a_bad_pixel(tmp_path, kept, bad):
    with h5py.File(convert(ptyd(tmp_path / "s.ptyd", **kept))) as file:
        assert ("bad_pixels" in file["raw_data"]) == (bad is not None)
        assert bad is None or np.array_equal(file["raw_data/bad_pixels"], bad)


@pytest.mark.parametrize("frame", [1, 25])
def test_weights_that_change_are_no_mask(tmp_path, frame):
    weights = WEIGHTS.copy()
    weights[frame, 3, 4] = 0.5 * (weights[frame, 3, 4] == 0)
    with pytest.warns(ProductWarning, match="weights differ from frame to frame"):
        product = convert(ptyd(tmp_path / "s.ptyd", weights))
    with h5py.File(product) as file:
        assert "bad_pixels" not in file["raw_data"]


def test_a_single_chunk_may_be_asked_for(tmp_path):
    path = ptyd(tmp_path / "s.ptyd")
    with h5py.File(convert(path, "/chunks/4/data", positions=(X[10:15], Y[10:15]), positions_in="m")) as file:
        assert np.array_equal(file["raw_data/diffraction"], FRAMES[10:15])
        assert np.array_equal(file["raw_data/bad_pixels"], BAD)


def test_chunks_of_different_frames_are_refused(tmp_path):
    path = ptyd(tmp_path / "s.ptyd")
    with h5py.File(path, "r+") as file:
        del file["chunks/3/data"]
        file["chunks/3/data"] = FRAMES[:4, 1:]
    with pytest.raises(SourceError, match="the parts do not go together"):
        convert(path)


def test_frames_that_cannot_be_decoded_are_named(tmp_path):
    """The error names the user's file and the part, not the temporary file that joins the parts."""
    path = ptyd(tmp_path / "s.ptyd")
    with h5py.File(path, "r+") as file:
        del file["chunks/3/data"]
        damaged = file.create_dataset("chunks/3/data", data=FRAMES[6:10], chunks=(4, H, W), compression="gzip")
        damaged.id.write_direct_chunk((0, 0, 0), b"no gzip")
    with pytest.raises(SourceError, match=r"s\.ptyd: /chunks/3/data: frames 0 to 3 cannot be decoded"):
        convert(path)
