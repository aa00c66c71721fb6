"""Some frames, and a part of each, whatever file they are in; the values are NumPy's."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportOptions,
    OptionError,
    ProductWarning,
    ScanFiles,
    SourceError,
    export_product_from_files,
    validate_product,
)
from ptychoproduct.streaming.selected_rows import SelectedRows
from ptychoproduct.streaming.sources import Access

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 31, 12, 14
RNG = np.random.default_rng(9)
FRAMES = RNG.poisson(5, (N, H, W)).astype(np.uint16)
X, Y = RNG.uniform(10, 60, (2, N))
PROBE = (RNG.standard_normal((H, W)) + 1j).astype(np.complex64)
BAD = RNG.uniform(size=(H, W)) < 0.2
OTHER = RNG.standard_normal((N, 3))


def scan_file(path, kind):
    """A scan of 31 frames; in the kinds with HWN the axis of frames is the last one."""
    frames = FRAMES.transpose(1, 2, 0) if "HWN" in kind else FRAMES
    arrays = {
        "xcoords": X,
        "ycoords": Y,
        "probeGuess": PROBE,
        "Y": OTHER,
        "bad_pixels": BAD,
        "scan_index": np.arange(N),
    }
    if kind.startswith("npz"):
        (np.savez_compressed if "deflated" in kind else np.savez)(path, diff3d=frames, **arrays)
    elif kind.startswith("h5"):
        with h5py.File(path, "w") as file:
            chunks = (4, H, W) if kind == "h5 chunked" else None
            file.create_dataset("diffraction", data=frames, chunks=chunks, compression=chunks and "gzip")
            for key, values in arrays.items():
                file[key] = values
    else:
        np.save(path, frames)
    return path


KINDS = ["npz", "npz deflated", "npz HWN", "npz deflated HWN", "npy", "npy HWN", "h5", "h5 chunked", "h5 HWN"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("frames", "rows"),
    [
        (None, np.arange(N)),
        ("3:20", np.arange(3, 20)),
        ("::4", np.arange(0, N, 4)),
        ("-5:", np.arange(N - 5, N)),
        ([30, 2, 3, 11], np.array([2, 3, 11, 30])),
    ],
)
@pytest.mark.parametrize(
    ("crop", "window"),
    [
        (None, np.s_[:, :]),
        ((6, 4), np.s_[3:9, 5:9]),
        ((5, 8, 4, 10), np.s_[2:7, 6:14]),
    ],
)
def test_what_is_selected_is_what_numpy_selects(tmp_path, kind, frames, rows, crop, window):
    path = scan_file(tmp_path / f"scan.{kind[:3].strip()}", kind)
    given = {"positions": (X, Y), "positions_in": "px", "probe": PROBE} if kind.startswith("npy") else {}
    if crop is not None:
        given["probe"] = PROBE[window]
    files = ScanFiles(path, frames=frames, crop=crop, **given)
    out, patterns = tmp_path / "product.h5", tmp_path / "diffraction.h5"
    options = ExportOptions(chunk_frames=3, memory_bytes=7000 if "HWN" in kind else 2**30)
    export_product_from_files(files, out, diffraction=DiffractionFile(patterns), options=options)
    expected = FRAMES[rows][:, *window]
    with h5py.File(out) as file, h5py.File(patterns) as counts:
        assert np.array_equal(file["raw_data/diffraction"], expected)
        assert np.array_equal(counts["patterns"], expected)
        in_pixels = 1 if kind.startswith("npy") else expected.shape[2] / W  # of cropped frames, which are larger
        assert np.allclose(file["raw_data/xcoords"], X[rows] * in_pixels, rtol=1e-12, atol=0)
        assert len(file["probe_position_x_m"]) == len(rows)
        assert ("selection" in file["raw_data/diffraction"].attrs) == (frames is not None or crop is not None)
        if kind.startswith("npz"):
            assert np.array_equal(file["raw_data/Y"], OTHER[rows])
            assert np.array_equal(file["raw_data/bad_pixels"], BAD[window])
            assert np.array_equal(counts["bad_pixels"], BAD[window])
            assert np.array_equal(file["probe_position_indexes"], rows)
    assert validate_product(out, source=files, deep=True).is_valid


def test_the_product_says_what_was_selected(tmp_path):
    files = ScanFiles(scan_file(tmp_path / "scan.npz", "npz"), frames="2:20:3", crop=(6, 4), probe=PROBE[:6, :4])
    summary = export_product_from_files(files, tmp_path / "product.h5")
    text = "frames 2:18:3 of 31; pixel rows 3:9 of 12, columns 5:9 of 14"
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["raw_data/diffraction"].attrs["selection"] == text
    assert f"selected: {text}" in summary.notes


def test_a_probe_of_whole_frames_is_refused(tmp_path):
    """Its pixels are of another size than those of the cropped frames."""
    files = ScanFiles(scan_file(tmp_path / "scan.npz", "npz"), crop=(6, 4))
    with pytest.raises(OptionError, match=r"the probe is one of whole frames, \(12, 14\).*give probe one of \(6, 4\)"):
        export_product_from_files(files, tmp_path / "product.h5")


HC_EV_M = 6.62607015e-34 * 299792458 / 1.602176634e-19
DETECTOR = {"energy_eV": 8000.0, "detector_distance_m": 2.0, "detector_pixel_size_m": 75e-6}


@pytest.mark.parametrize("said", [DETECTOR, {"object_pixel_size_m": 5e-8, "probe_pixel_size_m": 5e-8}])
def test_positions_and_pixels_of_cropped_frames(tmp_path, said):
    """A pixel is λz / NΔ at the object: half the pixels are twice as large, and a metre is a metre."""
    start = X - 0.5
    np.savez(tmp_path / "s.npz", diff3d=FRAMES, xcoords=X, ycoords=Y, xcoords_start=start, probeGuess=PROBE, **said)
    whole, cropped = tmp_path / "whole.h5", tmp_path / "cropped.h5"
    export_product_from_files(ScanFiles(tmp_path / "s.npz"), whole)
    files = ScanFiles(tmp_path / "s.npz", crop=(6, 7), probe=PROBE[:6, :7])
    summary = export_product_from_files(files, cropped)
    assert any("in pixels of the cropped frames" in note for note in summary.notes)
    with h5py.File(whole) as before, h5py.File(cropped) as after:
        for side, axis, old, new in (("height", "y", H, 6), ("width", "x", W, 7)):
            for name in ("object", "probe"):
                sizes = [file[name].attrs[f"pixel_{side}_m"] for file in (before, after)]
                assert np.isclose(sizes[1], sizes[0] * old / new, rtol=1e-9)
                if said is DETECTOR:
                    assert np.isclose(sizes[1], HC_EV_M / 8000 * 2 / (new * 75e-6), rtol=1e-9)
            metres = [file[f"probe_position_{axis}_m"][()] for file in (before, after)]
            assert np.allclose(metres[1], metres[0], rtol=1e-9, atol=0)
        assert np.allclose(after["raw_data/xcoords_start"], start * 7 / W, rtol=1e-9, atol=0)


def test_the_object_of_whole_frames_is_left_out(tmp_path):
    object_ = np.ones((70, 71), np.complex64) * 2
    np.savez(tmp_path / "s.npz", diff3d=FRAMES, xcoords=X, ycoords=Y, probeGuess=PROBE, objectGuess=object_)
    files = ScanFiles(tmp_path / "s.npz", crop=(6, 7), probe=PROBE[:6, :7])
    with pytest.warns(ProductWarning, match="the object has the pixels of whole frames; it is left out"):
        export_product_from_files(files, tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert (file["object"][()] == 1).all()


def test_a_scan_whose_own_probe_is_one_of_the_crop(tmp_path):
    """Its positions are of cropped frames, when it is converted and when it is compared."""
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["diffraction"], file["xcoords"], file["ycoords"], file["probeGuess"] = FRAMES, X, Y, PROBE[:6, :7]
    files = ScanFiles(tmp_path / "s.h5", crop=(6, 7))
    export_product_from_files(files, tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["raw_data/xcoords"], X)
    assert validate_product(tmp_path / "product.h5", source=files).is_valid


def test_a_comparison_needs_no_probe(tmp_path):
    np.savez(tmp_path / "s.npz", diff3d=FRAMES, xcoords=X, ycoords=Y, probeGuess=PROBE)
    files = ScanFiles(tmp_path / "s.npz", crop=(6, 7), probe=PROBE[:6, :7])
    export_product_from_files(files, tmp_path / "product.h5")
    again = ScanFiles(tmp_path / "s.npz", crop=(6, 7))
    assert validate_product(tmp_path / "product.h5", source=again).is_valid
    assert not validate_product(tmp_path / "product.h5", source=ScanFiles(tmp_path / "s.npz", crop=(7, 6))).is_valid


def test_results_of_cropped_frames_stay_as_they_are(tmp_path):
    """Positions, object and pixel sizes from a file of their own, whose probe has the size of the crop."""
    np.save(tmp_path / "frames.npy", FRAMES)
    object_ = RNG.standard_normal((70, 71)) + 1j
    others = {"objectGuess": object_, "object_pixel_size_m": 5e-8}
    np.savez(tmp_path / "s.npz", xcoords=X, ycoords=Y, probeGuess=PROBE[:6, :7], **others)
    files = ScanFiles(tmp_path / "frames.npy", crop=(6, 7), positions=tmp_path / "s.npz")
    export_product_from_files(files, tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["object"].attrs["pixel_width_m"] == 5e-8
        assert np.array_equal(np.squeeze(file["object"]), object_)
        assert np.array_equal(file["raw_data/xcoords"], X)


@pytest.mark.parametrize("kind", ["text", "npy"])
def test_numbers_in_a_file(tmp_path, kind):
    numbers = tmp_path / f"numbers.{kind}"
    if kind == "npy":
        np.save(numbers, np.array([4, 1, 9]))
    else:
        numbers.write_text("# good ones\n4\n1\n9\n")
    files = ScanFiles(scan_file(tmp_path / "scan.npz", "npz"), frames=str(numbers))
    export_product_from_files(files, tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["raw_data/diffraction"], FRAMES[[1, 4, 9]])


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"frames": "40:50"}, "frames: must be numbers from 0 to 30.*there are none"),
        ({"frames": [0, 31]}, "frames: must be numbers from 0 to 30.*found 0 to 31"),
        ({"frames": [1, 1]}, "frames: must be distinct whole numbers"),
        ({"frames": [0.5]}, "frames: must be distinct whole numbers"),
        ({"frames": "::0"}, "frames: the step must not be zero"),
        ({"frames": "every second"}, "frames: 'every second' is neither start:stop:step nor a file"),
        ({"crop": (6,)}, "crop: must be rows,columns"),
        ({"crop": (13, 4)}, "crop: 13 rows about 6 are not within the frames, which have 12"),
        ({"crop": (4, 4, 1, 7)}, "crop: 4 rows about 1 are not within"),
        ({"crop": (4, 0)}, "crop: 0 columns about 7 are not within"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(tmp_path, choice, words):
    files = ScanFiles(scan_file(tmp_path / "scan.npz", "npz"), **choice)
    with pytest.raises(OptionError, match=words):
        export_product_from_files(files, tmp_path / "product.h5")
    assert not (tmp_path / "product.h5").exists()


def test_damage_in_frames_that_are_not_selected_is_noticed(tmp_path):
    """The checksum is of all frames."""
    path = scan_file(tmp_path / "scan.npz", "npz")
    data = bytearray(path.read_bytes())
    place = data.find(FRAMES[20].tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="CRC-32"):
        export_product_from_files(ScanFiles(path, frames="0:5"), tmp_path / "product.h5")


class Windowed:
    """A source whose rows can be read in windows of seven only."""

    def __init__(self, access):
        self.access, self.shape, self.dtype, self.window = access, FRAMES.shape, FRAMES.dtype, range(0)

    def windows(self, multiple):
        for first in range(0, N, 7 // multiple * multiple or multiple):
            self.window = range(first, min(first + (7 // multiple * multiple or multiple), N))
            yield self.window

    def read_into(self, first, view):
        rows = np.frombuffer(view, FRAMES.dtype).reshape(-1, H, W)
        assert first in self.window
        assert first + len(rows) <= self.window.stop
        rows[...] = FRAMES[first : first + len(rows)]

    def finish(self):
        pass


@pytest.mark.parametrize("multiple", [1, 2, 3, 5])
@pytest.mark.parametrize("numbers", [np.arange(N), np.arange(1, N, 3), np.array([0, 6, 7, 8, 22, 29])])
def test_windows_of_a_selection_begin_at_multiples(multiple, numbers):
    rows = SelectedRows(Windowed(Access.ONE_THREAD), numbers, np.s_[2:8, 3:])
    found, seen = np.zeros(rows.shape, FRAMES.dtype), []
    for window in rows.windows(multiple):
        assert window.start % multiple == 0
        part = np.empty((len(window), *rows.shape[1:]), FRAMES.dtype)
        rows.read_into(window.start, memoryview(part).cast("B"))
        found[window.start : window.stop] = part
        seen += window
    assert seen == list(range(len(numbers)))
    assert np.array_equal(found, FRAMES[numbers, 2:8, 3:])
