"""Positions and probes in files beside the frames; tables have tests of their own."""

import h5py
import numpy as np
import pytest

from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.positions import to_object_pixels
from ptychoproduct.scan.array_files import read_probe
from ptychoproduct.scan.companions import read_positions

X, Y = np.array([1.5, -2.0, 3e3]), np.array([10.0, 20.0, 30.0])
PROBE = (np.arange(12) + 1j).reshape(3, 4).astype(np.complex64)
META = ExportMeta(object_pixel_width_m=2e-8, object_pixel_height_m=4e-8)
ROWS = "x,y\n1.5,10\n-2,20\n3e3,30\n"


def text(folder, content):
    path = folder / "positions.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def h5(folder, **datasets):
    path = folder / "beside.h5"
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name] = data
    return path


def test_positions_in_npz_come_with_what_else_there_is(tmp_path):
    np.savez(tmp_path / "scan.npz", xcoords=X, ycoords=Y, scan_index=[0, 0, 0], probeGuess=PROBE, objectGuess=PROBE.T)
    positions = read_positions(tmp_path / "scan.npz")
    assert (positions.x.tolist(), positions.y.tolist(), positions.unit) == (X.tolist(), Y.tolist(), None)
    assert positions.scan_index.tolist() == [0, 0, 0]
    assert np.array_equal(positions.probe, PROBE)
    assert np.array_equal(positions.object, PROBE.T)


LAYOUTS = {
    "ptychodus": ({"probe_position_x_m": X, "probe_position_y_m": Y, "probe_position_indexes": [2, 0, 1]}, "m"),
    "fold_slice": ({"ppX": X[None], "ppY": Y[None]}, "m"),
    "fold_slice, columns": ({"ppX": X[:, None], "ppY": Y[:, None]}, "m"),
    "CXI": ({"entry_1/sample_1/geometry_1/translation": np.c_[X, Y, 0 * X]}, "m"),
    "CXI, data": ({"entry_1/data_1/translation": np.c_[X, Y, 0 * X]}, "m"),
    "CXI, no z": ({"entry_1/sample_1/geometry/translation": np.c_[X, Y]}, "m"),
    "PtychoPINN": ({"xcoords": X, "ycoords": Y}, None),
    "ptychodus, training data": ({"probe_position_x_px": X, "probe_position_y_px": Y}, "px"),
    "a product": (
        {"raw_data/xcoords": X, "raw_data/ycoords": Y, "probe_position_x_m": X / 9, "probe_position_y_m": Y / 9},
        "px",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_positions_in_hdf5(tmp_path, layout):
    datasets, unit = LAYOUTS[layout]
    positions = read_positions(h5(tmp_path, **datasets))
    assert (positions.x.tolist(), positions.y.tolist(), positions.unit) == (X.tolist(), Y.tolist(), unit)
    assert (positions.numbers is not None) == (layout == "ptychodus")


@pytest.mark.parametrize(
    ("unit", "factor"), [("px", 1), ("m", 1 / np.array([[2e-8], [4e-8]])), ("um", 1e-6 / np.array([[2e-8], [4e-8]]))]
)
def test_positions_become_object_pixels(tmp_path, unit, factor):
    positions = read_positions(text(tmp_path, ROWS), unit)
    pixels = [
        to_object_pixels(positions.x, "x", positions.unit, META.object_pixel_width_m, "scan"),
        to_object_pixels(positions.y, "y", positions.unit, META.object_pixel_height_m, "scan"),
    ]
    assert np.allclose(pixels, np.array([X, Y]) * factor, rtol=1e-15)


def test_the_user_knows_the_unit_better_than_the_layout(tmp_path):
    assert read_positions(h5(tmp_path, ppX=X, ppY=Y), "um").unit == "um"


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ({"other": X}, "no positions"),
        ({"ppX": X}, "no positions"),
        ({"entry_1/data_1/translation": X}, "shape (3,)"),
        ({"entry_1/data_1/translation": np.zeros((3, 4))}, "shape (3, 4)"),
    ],
)
def test_hdf5_without_positions_is_a_source_error(tmp_path, datasets, words):
    with pytest.raises(SourceError) as caught:
        read_positions(h5(tmp_path, **datasets))
    assert words in str(caught.value)


@pytest.mark.parametrize("values", [np.zeros((3, 2)), np.array([b"a"] * 3), np.zeros(3, complex)])
def test_positions_that_are_no_list_of_numbers_are_a_source_error(tmp_path, values):
    positions = read_positions(h5(tmp_path, ppX=values, ppY=Y))
    with pytest.raises(SourceError, match="scan: x: found"):
        to_object_pixels(positions.x, "x", positions.unit, META.object_pixel_width_m, "scan")


def test_other_files_have_no_positions(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        read_positions(tmp_path / "none.csv")
    with pytest.raises(SourceError, match="cannot be read"):
        read_positions(tmp_path)
    np.savez(tmp_path / "x.npz", xcoords=X)
    with pytest.raises(SourceError, match="ycoords"):
        read_positions(tmp_path / "x.npz")


def test_a_unit_that_is_none_is_an_option_error(tmp_path):
    with pytest.raises(OptionError, match="positions_in: found 'inch'"):
        read_positions(text(tmp_path, ROWS), "inch")


def probe_files(folder):
    np.save(folder / "probe.npy", PROBE)
    np.savez(folder / "probe.npz", other=PROBE.T, probeGuess=PROBE)
    np.savez(folder / "short.npz", probe=PROBE)
    with h5py.File(folder / "probe.h5", "w") as file:
        file["probe"], file["a/other"] = PROBE, PROBE.T
    with h5py.File(folder / "cxi.h5", "w") as file:
        file["entry_1/image_1/data"] = PROBE
        file["entry_1/instrument_1/source_1/illumination"] = h5py.SoftLink("/entry_1/image_1/data")
    with h5py.File(folder / "old.cxi", "w") as file:
        file["entry_1/instrument_1/source_1/illumination"] = PROBE
    with h5py.File(folder / "probe:1.h5", "w") as file:
        file["probe"] = PROBE


@pytest.mark.parametrize(
    "name",
    [
        *("probe.npy", "probe.npz", "probe.npz:probeGuess", "short.npz", "probe.h5", "probe.h5:/probe"),
        *("cxi.h5", "old.cxi", "probe:1.h5", "probe:1.h5:probe"),
    ],
)
def test_a_probe_in_any_file(tmp_path, name):
    probe_files(tmp_path)
    probe, files = read_probe(str(tmp_path / name))
    assert np.array_equal(probe, PROBE)
    assert files == (tmp_path / ("probe:1.h5" if name.startswith("probe:1") else name.split(":")[0]),)


@pytest.mark.parametrize("name", ["probe.npz:other", "probe.h5:/a/other"])
def test_a_probe_of_another_name(tmp_path, name):
    probe_files(tmp_path)
    assert np.array_equal(read_probe(str(tmp_path / name))[0], PROBE.T)


@pytest.mark.parametrize("precision", ["f4", "f8"])
def test_a_probe_of_matlab_is_turned_the_right_way(tmp_path, precision):
    """MATLAB's [H, W, I] is [I, W, H] to everyone else, and its complex numbers have their parts' names."""
    modes = np.stack([PROBE, 2 * PROBE])
    stored = np.empty((2, 4, 3), [("real", precision), ("imag", precision)])
    stored["real"], stored["imag"] = modes.real.swapaxes(1, 2), modes.imag.swapaxes(1, 2)
    probe, _ = read_probe(str(h5(tmp_path, probe=stored)))
    assert probe.dtype == {"f4": "c8", "f8": "c16"}[precision]
    assert np.array_equal(probe, modes)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.npy", "no such file"),
        ("none", "no such file"),
        ("probe.txt", "this is a text file, not an NPY, NPZ or HDF5 file with a probe"),
        ("probe.npz:none", "none: found only other, probeGuess"),
        ("probe.h5:/none", "there is no probe: no dataset '/none'"),
        ("probe.h5:/a", "there is no probe: no dataset '/a'"),
        ("empty.h5", "there is no probe: no dataset named /raw_data/probeGuess or /probe or "),
        ("", "this is a folder"),
    ],
)
def test_no_probe_is_a_source_error(tmp_path, name, words):
    probe_files(tmp_path)
    (tmp_path / "probe.txt").write_text("1+2j")
    h5(tmp_path).rename(tmp_path / "empty.h5")
    with pytest.raises(SourceError, match=words):
        read_probe(str(tmp_path / name))


def test_an_npy_file_has_no_keys(tmp_path):
    probe_files(tmp_path)
    with pytest.raises(OptionError, match="no key"):
        read_probe(str(tmp_path / "probe.npy:probe"))
