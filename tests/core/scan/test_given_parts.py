"""Positions, probe, object and mask, each by a path into a file, for every kind of file with frames."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import DiffractionFile, OptionError, ScanFiles, SourceError, export_product_from_files

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 7, 8, 10
RNG = np.random.default_rng(6)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint16)
X_M, Y_M = RNG.uniform(-1e-6, 1e-6, (2, N))
PROBE = (RNG.standard_normal((H, W)) + 1j).astype(np.complex64)
OBJECT = (RNG.standard_normal((60, 70)) + 1j).astype(np.complex64)
BAD = (RNG.uniform(size=(H, W)) < 0.2).astype(np.uint8)


@pytest.fixture(params=["npz", "npy", "h5"])
def frames(request, tmp_path):
    """A file with frames that has other positions, probe, object and mask of its own, where it can."""
    path = tmp_path / f"frames.{request.param}"
    own = {"xcoords": X_M * 3, "ycoords": Y_M * 3, "probeGuess": PROBE * 3, "objectGuess": OBJECT * 3}
    if request.param == "npz":
        np.savez(path, diff3d=FRAMES, bad_pixels=1 - BAD, **own)
    elif request.param == "npy":
        np.save(path, FRAMES)
    else:
        with h5py.File(path, "w") as file:
            file["entry/data/data"], file["entry/data/mask"] = FRAMES, 1 - BAD
            for key, values in own.items():
                file[key] = values
    return path


@pytest.fixture(params=["npz", "h5"])
def parts(request, tmp_path):
    """A file with everything else under names of its own."""
    path = tmp_path / f"parts.{request.param}"
    arrays = {"a_x": X_M * 1e6, "a_y": Y_M * 1e6, "p": PROBE, "o": OBJECT, "m": BAD}
    arrays["a"] = np.column_stack([X_M, Y_M]) * 1e6
    if request.param == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                file[f"group/{key}"] = values
                if key.startswith("a"):
                    file[f"group/{key}"].attrs["units"] = "um"
    return path


@pytest.mark.parametrize("colon", [":", "::"])
@pytest.mark.parametrize("positions", ["{0}a", "{0}a_x,{0}a_y"])
def test_each_part_by_its_path(frames, parts, tmp_path, colon, positions):
    group = "group/" if parts.suffix == ".h5" else ""

    def path(key):
        return f"{parts}{colon}{key}"

    files = ScanFiles(
        frames,
        positions=path(positions.format(group)),
        positions_in=None if group else "um",  # HDF5's attribute says it
        probe=path(f"{group}p"),
        object=path(f"{group}o"),
        mask=path(f"{group}m"),
    )
    out, patterns = tmp_path / "product.h5", tmp_path / "diffraction.h5"
    export_product_from_files(files, out, diffraction=DiffractionFile(patterns))
    with h5py.File(out) as file, h5py.File(patterns) as counts:
        assert np.array_equal(file["raw_data/diffraction"], FRAMES)
        assert np.allclose(file["probe_position_x_m"], X_M, rtol=1e-12, atol=0)
        assert np.allclose(file["probe_position_y_m"], Y_M, rtol=1e-12, atol=0)
        assert np.array_equal(np.squeeze(file["probe"]), PROBE)
        assert np.array_equal(np.squeeze(file["object"]), OBJECT)
        assert np.array_equal(file["raw_data/bad_pixels"], BAD)
        assert np.array_equal(counts["bad_pixels"], BAD)


def test_object_and_mask_may_be_arrays(frames, tmp_path):
    files = ScanFiles(frames, positions=(X_M, Y_M), positions_in="m", probe=PROBE, object=OBJECT, mask=BAD > 0)
    export_product_from_files(files, tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(np.squeeze(file["object"]), OBJECT)
        assert not file["object"].attrs.get("synthetic", False)
        assert np.array_equal(file["raw_data/bad_pixels"], BAD)


def test_a_mask_of_another_size_is_refused(frames, tmp_path):
    files = ScanFiles(frames, positions=(X_M, Y_M), positions_in="m", probe=PROBE, mask=BAD[2:])
    with pytest.raises(OptionError, match=r"mask: is \(6, 10\), not of the size of a frame"):
        export_product_from_files(files, tmp_path / "product.h5")


@pytest.mark.parametrize(("part", "words"), [("object", "there is no object"), ("mask", "there is no bad pixels")])
def test_a_part_that_is_not_there_is_named(frames, tmp_path, part, words):
    h5py.File(tmp_path / "empty.h5", "w").close()
    files = ScanFiles(
        frames, positions=(X_M, Y_M), positions_in="m", probe=PROBE, **{part: f"{tmp_path / 'empty.h5'}:/none"}
    )
    with pytest.raises(SourceError, match=rf"empty\.h5: {words}: no dataset '/none'"):
        export_product_from_files(files, tmp_path / "product.h5")
