"""The mask of a product is that of its frames as they are stored, however often both are turned."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportOptions,
    ProductWarning,
    ScanFiles,
    SourceError,
    export_product_from_files,
    import_product_to_cxi,
    import_product_to_npz,
)

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
N, H, W = 6, 8, 12
FRAMES = np.random.default_rng(1).poisson(9, (N, H, W)).astype(np.uint16)
MASK = np.zeros((H, W), np.uint8)
MASK[1, 2:5], MASK[6, 11] = 1, 3
FRAMES[:, MASK != 0] = 60_000  # so that each frame shows where its bad pixels are


def scan_file(path, mask=MASK):
    positions = np.arange(N, dtype=float)
    if path.suffix == ".npz":
        probe = np.ones((H, W), np.complex64)
        np.savez(path, xcoords=positions, ycoords=positions, diff3d=FRAMES, probeGuess=probe, bad_pixels=mask)
    else:
        with h5py.File(path, "w") as file:
            file["patterns"], file["bad_pixels"] = FRAMES, mask
            file["probe_position_x_px"], file["probe_position_y_px"] = positions, positions
    return path


def convert(source, product, steps="", *, shape=(H, W), diffraction=None, **files):
    scan = ScanFiles(source, probe=np.ones(shape, np.complex64), **files)
    options = ExportOptions(frames_transform=steps)
    export_product_from_files(scan, product, diffraction=diffraction, options=options)
    return product


def require_fit(path, frames="raw_data/diffraction", mask="raw_data/bad_pixels", bad=60_000):
    with h5py.File(path) as file:
        assert file[mask][()].any()
        assert np.array_equal(file[mask][()] != 0, file[frames][0] == bad)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("steps", "shape"),
    [("transpose", (W, H)), ("flip-rows", (H, W)), ("transpose,flip-columns,fftshift", (W, H))],
)
def test_a_mask_is_turned_with_its_frames_and_comes_back(tmp_path, suffix, steps, shape):
    product = convert(scan_file(tmp_path / f"scan{suffix}"), tmp_path / "p.h5", steps, shape=shape)
    require_fit(product)
    for include_diffraction in (True, False):
        import_product_to_npz(product, tmp_path / "back.npz", include_diffraction=include_diffraction)
        with np.load(tmp_path / "back.npz") as back:
            assert back["bad_pixels"].dtype == MASK.dtype
            assert np.array_equal(back["bad_pixels"], MASK)


def test_a_product_that_is_turned_again_gives_back_the_first_mask(tmp_path):
    first = convert(scan_file(tmp_path / "scan.npz"), tmp_path / "p.h5", "transpose,flip-rows", shape=(W, H))
    again = convert(first, tmp_path / "again.h5", "fftshift,transpose")
    require_fit(again)
    import_product_to_npz(again, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert np.array_equal(back["bad_pixels"], MASK)
        assert np.array_equal(back["diff3d"], FRAMES)


def test_patterns_and_cxi_get_the_mask_of_the_turned_frames(tmp_path):
    patterns = {"patterns_are": "counts"}
    scan, files = scan_file(tmp_path / "scan.npz"), [tmp_path / "first.h5", tmp_path / "second.h5"]
    first = convert(
        scan, tmp_path / "p.h5", "transpose", shape=(W, H), diffraction=DiffractionFile(files[0], **patterns)
    )
    convert(first, tmp_path / "q.h5", shape=(W, H), diffraction=DiffractionFile(files[1], **patterns))
    for path in files:
        with h5py.File(path) as file:
            assert np.array_equal(file["bad_pixels"], MASK.T != 0)
    import_product_to_cxi(first, tmp_path / "p.cxi", **patterns)
    with h5py.File(tmp_path / "p.cxi") as file:
        assert np.array_equal(file["entry_1/instrument_1/detector_1/mask"], MASK.T != 0)


def test_the_mask_is_cropped_with_the_frames_that_are_stored(tmp_path):
    first = convert(scan_file(tmp_path / "scan.npz"), tmp_path / "p.h5", "flip-rows,flip-columns")
    require_fit(convert(first, tmp_path / "part.h5", shape=(4, 6), crop=(4, 6, 6, 9)))


def test_a_mask_stays_with_its_frames_where_others_get_the_positions(tmp_path):
    first = convert(scan_file(tmp_path / "scan.npz"), tmp_path / "p.h5", "flip-rows")
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["frames"] = FRAMES
    with pytest.warns(ProductWarning, match="bad_pixels: is the mask of other frames, and is not taken"):
        other = convert(tmp_path / "frames.h5", tmp_path / "q.h5", dataset="/frames", positions=first)
    with h5py.File(other) as file:
        assert "bad_pixels" not in file["raw_data"]


def test_a_large_mask_is_cropped_and_turned(tmp_path):
    mask = np.zeros((3000, 3000), np.uint8)
    mask[10, 20] = 1
    frames = np.where(mask, np.uint16(9), np.uint16(0))[np.newaxis]
    probe = np.ones((32, 32), np.complex64)
    np.savez(tmp_path / "s.npz", xcoords=[0.0], ycoords=[0.0], diff3d=frames, probeGuess=probe, bad_pixels=mask)
    convert(tmp_path / "s.npz", tmp_path / "p.h5", "flip-rows", shape=(32, 32), crop=(32, 32, 16, 16))
    require_fit(tmp_path / "p.h5", bad=9)


def test_a_mask_of_another_shape_cannot_be_turned(tmp_path):
    with pytest.raises(SourceError, match=r"bad_pixels: found shape \(12, 8\)"):
        convert(scan_file(tmp_path / "scan.npz", MASK.T), tmp_path / "p.h5", "transpose", shape=(W, H))
