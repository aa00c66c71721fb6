"""Files of MATLAB v7.3: HDF5 shows all axes reversed, and everything in them is read as MATLAB shows it."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ExportOptions,
    ScanFiles,
    export_product_from_files,
    validate_product,
)
from ptychoproduct.scan.array_files import read_bad_pixels, read_probe
from ptychoproduct.scan.companions import read_positions

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 12, 14, 18
RNG = np.random.default_rng(7)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint16)
PROBE = RNG.standard_normal((3, H, W)) + 1j * RNG.standard_normal((3, H, W))
OBJECT = RNG.standard_normal((60, 50)) + 1j * RNG.standard_normal((60, 50))
MASK = RNG.integers(0, 2, (H, W)).astype(np.uint8)
X, Y = RNG.uniform(8, 40, (2, N))
META = ExportMeta(object_pixel_width_m=5e-8, object_pixel_height_m=5e-8)


def matlab(path, *, header=True, classes=True, chunks=None, **variables):
    """Write variables, given with the axes that MATLAB shows, as MATLAB's `save -v7.3` does."""
    with h5py.File(path, "w", userblock_size=512 if header else 0) as file:
        for name, array in variables.items():
            stored = np.asarray(array).T  # the first axis is the fastest in MATLAB's memory, the last one in HDF5
            if np.iscomplexobj(stored):
                pairs = np.empty(stored.shape, [("real", "<f8"), ("imag", "<f8")])
                pairs["real"], pairs["imag"] = stored.real, stored.imag
                stored = pairs
            kept = {} if name != "scan/dp" or chunks is None else {"chunks": chunks, "compression": "gzip"}
            dataset = file.create_dataset(name, data=stored, **kept)
            if classes:
                dataset.attrs["MATLAB_class"] = np.bytes_("double")
    if header:
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def variables(order="HWN"):
    return {
        "scan/dp": FRAMES.transpose(["NHW".index(axis) for axis in order]),
        "probe": PROBE.transpose(1, 2, 0),
        "objectGuess": OBJECT,
        "xcoords": X[:, None],
        "ycoords": Y[None],
        "scan_index": np.arange(N)[:, None],
        "scan/mask": MASK,
    }


def converted(path, **options):
    product = path.with_name("product.h5")
    patterns = DiffractionFile(path.with_name("diffraction.h5"))
    summary = export_product_from_files(
        ScanFiles(path, dataset="/scan/dp", positions_in="px"),
        product,
        META,
        diffraction=patterns,
        options=ExportOptions(**options),
    )
    return product, summary


def check(product, frames=FRAMES, probe=PROBE):
    with h5py.File(product) as file, h5py.File(product.with_name("diffraction.h5")) as patterns:
        assert np.array_equal(file["raw_data/diffraction"], frames)
        assert np.array_equal(file["probe"], probe)
        assert np.array_equal(file["object"], OBJECT)
        assert np.array_equal(file["raw_data/xcoords"], X)
        assert np.array_equal(file["raw_data/ycoords"], Y)
        assert np.array_equal(file["raw_data/bad_pixels"], MASK)
        assert np.array_equal(patterns["patterns"], frames)
        assert np.array_equal(patterns["bad_pixels"], MASK != 0)


@pytest.mark.parametrize("marks", [{}, {"header": False}, {"classes": False}])
@pytest.mark.parametrize("order", ["HWN", "NHW", "HNW"])
def test_everything_is_as_matlab_shows_it(tmp_path, marks, order):
    path = matlab(tmp_path / "scan.mat", **marks, **variables(order))
    product, summary = converted(path)
    check(product)
    assert summary.notes == (f"axes are as MATLAB shows them, of {path.name}",)
    with h5py.File(product) as file:
        assert file["raw_data/diffraction"].attrs["original_axis_order"] == order
    assert validate_product(product, source=ScanFiles(path, dataset="/scan/dp", positions_in="px")).is_valid


@pytest.mark.parametrize("chunks", [(1, W, H), (5, 7, 4), (N, W, H)])
@pytest.mark.parametrize("options", [{}, {"threads": 3}, {"memory_bytes": 4096}, {"compression": "auto"}])
def test_frames_in_compressed_chunks_are_turned_as_they_pass(tmp_path, chunks, options):
    """Even where the chunks of the file could be taken without decoding."""
    path = matlab(tmp_path / "scan.mat", chunks=chunks, **variables())
    check(converted(path, **({"compression": "gzip:4", "chunk_frames": chunks[0]} | options))[0])


def test_a_cube_has_its_frames_last_as_in_matlab(tmp_path):
    frames = RNG.poisson(3, (N, N, N)).astype(np.uint16)
    parts = variables() | {"scan/dp": frames.transpose(1, 2, 0), "probe": PROBE[0, :N, :N]}
    del parts["scan/mask"]
    product, _ = converted(matlab(tmp_path / "scan.mat", **parts))
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"], frames)
    product, _ = converted(tmp_path / "scan.mat", axis_order="NHW")
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"], frames.transpose(1, 2, 0))


def test_a_grid_of_scan_positions_is_flattened_and_its_frames_are_turned(tmp_path):
    """MATLAB's [H, W, nx, ny]: its first index is the last one of HDF5."""
    grid = FRAMES.reshape(2, N // 2, H, W).transpose(2, 3, 1, 0)
    product, _ = converted(matlab(tmp_path / "scan.mat", **variables() | {"scan/dp": grid}))
    check(product)


def test_companions_of_matlab(tmp_path):
    path = matlab(tmp_path / "beside.mat", probe=PROBE.transpose(1, 2, 0), bad_pixels=MASK, ppX=X[None], ppY=Y[:, None])
    assert np.array_equal(read_probe(str(path))[0], PROBE)
    assert np.array_equal(read_bad_pixels(str(path))[0], MASK)
    positions = read_positions(path)
    assert np.array_equal(positions.x, X)
    assert np.array_equal(positions.y, Y)
    matlab(tmp_path / "second.mat", second=PROBE[0])
    assert np.array_equal(read_probe(f"{tmp_path / 'second.mat'}:second")[0], PROBE[0])


def test_a_table_of_positions_is_turned_too(tmp_path):
    table = np.column_stack([X, Y, np.zeros(N)])
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["entry_1/data_1/translation"] = table.T
        file["x"] = 1.0
        file["x"].attrs["MATLAB_class"] = np.bytes_("double")
    assert np.array_equal(read_positions(tmp_path / "scan.h5").y, Y)


def test_other_files_are_not_turned(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w", userblock_size=512) as file:
        parts = {
            "scan/dp": FRAMES,
            "probe": PROBE,
            "objectGuess": OBJECT,
            "xcoords": X,
            "ycoords": Y,
            "scan/mask": MASK,
        }
        for name, array in parts.items():
            file[name] = array
    product, summary = converted(tmp_path / "scan.h5")
    check(product)
    assert summary.notes == ()
