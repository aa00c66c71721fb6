"""Scans in NPY and HDF5 files become products, in whichever layout they are."""

import warnings

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    Extra,
    FrameStack,
    OptionError,
    OutputError,
    ProductWarning,
    Scan,
    ScanFiles,
    SourceError,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_scan,
    import_product_to_rawdata,
    validate_product,
)
from ptychoproduct.streaming.sources import ArrayRows

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W, PIXEL_M = 12, 16, 18, 5e-8
RNG = np.random.default_rng(5)
X, Y = RNG.uniform(8, 56, (2, N))
FRAMES = RNG.poisson(3, (N, H, W)).astype("<u2")
PROBE = (RNG.standard_normal((H, W)) + 1j * RNG.standard_normal((H, W))).astype(np.complex64)
ORDERS = {"NHW": (0, 1, 2), "HNW": (1, 0, 2), "HWN": (1, 2, 0)}


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name] = data
    return path


def check(product, x=X, y=Y, frames=FRAMES, probe=PROBE):
    assert validate_product(product, deep=True).is_valid
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"], frames)
        assert np.allclose(file["raw_data/xcoords"], x, rtol=1e-12)
        assert np.allclose(file["raw_data/ycoords"], y, rtol=1e-12)
        assert np.allclose(file["probe_position_x_m"], x * PIXEL_M, rtol=1e-12)
        assert np.array_equal(file["probe"], probe)
        assert file["raw_data/probeGuess"] == file["probe"]


def cxi(file):
    file["entry_1/instrument_1/detector_1/data"] = FRAMES
    file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
    file["entry_1/sample_1/geometry_1/translation"] = np.c_[X, Y, 0 * X] * PIXEL_M
    file["entry_1/instrument_1/source_1/illumination"] = PROBE


def cxi_without_data_group(file):
    cxi(file)
    del file["entry_1/data_1"]


def nexus(file):
    file["entry/data/data"] = FRAMES
    file["entry"].attrs["NX_class"] = "NXentry"
    file["xcoords"], file["ycoords"], file["probeGuess"] = X, Y, PROBE


def one_file(file):
    file["patterns"] = FRAMES
    file["probe_position_x_m"], file["probe_position_y_m"], file["probe"] = X * PIXEL_M, Y * PIXEL_M, PROBE


def fold_slice(file):
    file["dp"] = FRAMES
    file["ppX"], file["ppY"], file["probe"] = X[None] * PIXEL_M, Y[None] * PIXEL_M, PROBE


def pinn(file):
    file["diff3d"], file["xcoords"], file["ycoords"], file["probeGuess"] = FRAMES, X, Y, PROBE


def chunked_nexus(file):
    nexus(file)
    del file["entry/data/data"]
    file.create_dataset("entry/data/data", data=FRAMES, chunks=(5, 8, 9), **hdf5plugin.Bitshuffle())


LAYOUTS = [cxi, cxi_without_data_group, nexus, chunked_nexus, one_file, fold_slice, pinn]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_file_that_holds_a_whole_scan(tmp_path, layout):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        layout(file)
    export_product_from_files(ScanFiles(tmp_path / "scan.h5"), tmp_path / "product.h5")
    check(tmp_path / "product.h5")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("requested", ["auto", None])
def test_any_axis_order_of_a_dataset(tmp_path, order, requested):
    path = write(tmp_path / "scan.h5", dp=FRAMES.transpose(ORDERS[order]), xcoords=X, ycoords=Y, probe=PROBE)
    export_product_from_files(
        ScanFiles(path),
        tmp_path / "product.h5",
        options=ExportOptions(axis_order=requested or order, memory_bytes=2000),
    )
    check(tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["raw_data/diffraction"].attrs["original_axis_order"] == order


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_any_axis_order_of_an_npy_file(tmp_path, order, fortran, dtype):
    stack = FRAMES.astype(dtype).transpose(ORDERS[order])
    np.save(tmp_path / "frames.npy", np.asfortranarray(stack) if fortran else np.ascontiguousarray(stack))
    export_product_from_files(
        ScanFiles(tmp_path / "frames.npy", positions=(X, Y), probe=PROBE),
        tmp_path / "product.h5",
        options=ExportOptions(memory_bytes=2000),
    )
    check(tmp_path / "product.h5")


def test_an_npy_file_makes_the_product_that_an_npz_file_makes(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    np.savez(tmp_path / "rest.npz", xcoords=X, ycoords=Y, probeGuess=PROBE, objectGuess=PROBE, scan_index=np.arange(N))
    np.savez(
        tmp_path / "scan.npz",
        xcoords=X,
        ycoords=Y,
        probeGuess=PROBE,
        objectGuess=PROBE,
        scan_index=np.arange(N),
        diff3d=FRAMES,
    )
    export_product_from_files(ScanFiles(tmp_path / "frames.npy", positions=tmp_path / "rest.npz"), tmp_path / "a.h5")
    export_product_from_npz(tmp_path / "scan.npz", tmp_path / "b.h5")

    def content(path):
        found = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update(
                    {name: (item[()].tobytes() if isinstance(item, h5py.Dataset) else None, list(item.attrs.items()))}
                )
            )
        return found

    assert str(content(tmp_path / "a.h5")) == str(content(tmp_path / "b.h5"))


def test_what_an_hdf5_file_gave_comes_back_as_a_scan(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        pinn(file)
    export_product_from_files(ScanFiles(tmp_path / "scan.h5"), tmp_path / "product.h5")
    raw = import_product_to_rawdata(tmp_path / "product.h5")
    assert np.array_equal(raw.diff3d, FRAMES)
    assert np.array_equal(raw.xcoords, X)
    assert np.array_equal(raw.probeGuess, PROBE)


# ptychodus: two files


@pytest.fixture
def ptychodus_files(tmp_path):
    def make(frame_numbers=None, position_numbers=None, x=X, y=Y):
        product = {"probe_position_x_m": x * PIXEL_M, "probe_position_y_m": y * PIXEL_M, "probe": PROBE[None, None]}
        if position_numbers is not None:
            product["probe_position_indexes"] = position_numbers
        diffraction = {"patterns": FRAMES, "bad_pixels": np.eye(H, W, dtype=bool)}
        if frame_numbers is not None:
            diffraction["indexes"] = frame_numbers
        return write(tmp_path / "diffraction.h5", **diffraction), write(tmp_path / "product_in.h5", **product)

    return make


def test_patterns_and_product_of_ptychodus(ptychodus_files, tmp_path):
    diffraction, product = ptychodus_files(np.arange(N), np.arange(N))
    export_product_from_files(
        ScanFiles(diffraction, positions=product), tmp_path / "out.h5", ExportMeta(name="two files")
    )
    check(tmp_path / "out.h5", probe=PROBE[None, None])
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["raw_data/bad_pixels"], np.eye(H, W, dtype=bool))


def test_patterns_are_paired_with_positions_by_their_numbers(ptychodus_files, tmp_path):
    numbers = np.array([7, 3, 21, *range(30, 30 + N - 3)])
    order = RNG.permutation(N)
    extra = np.r_[X[order], 1.0], np.r_[Y[order], 2.0]
    diffraction, product = ptychodus_files(numbers, np.r_[numbers[order], 99], *extra)
    export_product_from_files(ScanFiles(diffraction, positions=product), tmp_path / "out.h5")
    check(tmp_path / "out.h5", probe=PROBE[None, None])
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["probe_position_indexes"], numbers)


def test_patterns_without_numbers_count_from_zero(ptychodus_files, tmp_path):
    order = RNG.permutation(N)
    diffraction, product = ptychodus_files(None, order, X[order], Y[order])
    export_product_from_files(ScanFiles(diffraction, positions=product), tmp_path / "out.h5")
    check(tmp_path / "out.h5", probe=PROBE[None, None])


def test_positions_without_numbers_keep_those_of_the_patterns(ptychodus_files, tmp_path):
    diffraction, product = ptychodus_files(np.arange(N) * 2)
    export_product_from_files(ScanFiles(diffraction, positions=product), tmp_path / "out.h5")
    check(tmp_path / "out.h5", probe=PROBE[None, None])
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["probe_position_indexes"], np.arange(N) * 2)


def test_numbers_of_positions_that_all_are_zero_pair_nothing(ptychodus_files, tmp_path):
    diffraction, product = ptychodus_files(np.arange(N), np.zeros(N, int))
    with pytest.warns(ProductWarning, match="numbers of positions repeat"):
        export_product_from_files(ScanFiles(diffraction, positions=product), tmp_path / "out.h5")
    check(tmp_path / "out.h5", probe=PROBE[None, None])


def test_a_pattern_without_a_position_is_a_source_error(ptychodus_files, tmp_path):
    diffraction, product = ptychodus_files(np.arange(N), np.arange(N) + 1)
    with pytest.raises(SourceError, match="there is no position for 1 frame; the first is frame number 0"):
        export_product_from_files(ScanFiles(diffraction, positions=product), tmp_path / "out.h5")


def test_numbers_of_another_length_are_a_source_error(ptychodus_files, tmp_path):
    diffraction, product = ptychodus_files(np.arange(N), np.arange(N + 1))
    with pytest.raises(SourceError, match="x: found length 12, expected 13"):
        export_product_from_files(ScanFiles(diffraction, positions=product), tmp_path / "out.h5")


def test_without_frames_there_need_be_none(ptychodus_files, tmp_path):
    _, product = ptychodus_files(None, np.arange(N)[::-1])
    export_product_from_files(ScanFiles(product), tmp_path / "out.h5", include_raw=False)
    with h5py.File(tmp_path / "out.h5") as file:
        assert "raw_data" not in file
        assert np.array_equal(file["probe_position_indexes"], np.arange(N)[::-1])


# what is where


def test_a_dataset_of_any_name(tmp_path):
    path = write(tmp_path / "scan.h5", **{"a/b": FRAMES, "patterns": FRAMES + 1, "xcoords": X, "ycoords": Y})
    export_product_from_files(ScanFiles(path, dataset="a/b", probe=PROBE), tmp_path / "product.h5")
    check(tmp_path / "product.h5")


def test_a_master_file_of_virtual_data(tmp_path):
    write(tmp_path / "data_1.h5", d=FRAMES[:5])
    write(tmp_path / "data_2.h5", d=FRAMES[5:])
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    layout[:5] = h5py.VirtualSource("data_1.h5", "d", (5, H, W))
    layout[5:] = h5py.VirtualSource("data_2.h5", "d", (N - 5, H, W))
    with h5py.File(write(tmp_path / "master.h5", xcoords=X, ycoords=Y, probe=PROBE), "r+") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    export_product_from_files(ScanFiles(tmp_path / "master.h5"), tmp_path / "product.h5")
    check(tmp_path / "product.h5")
    with pytest.raises(OutputError, match="the input itself"):
        export_product_from_files(ScanFiles(tmp_path / "master.h5"), tmp_path / "data_2.h5")


def test_the_probe_that_is_given_comes_first_then_the_one_beside_the_positions(tmp_path):
    scan = write(tmp_path / "scan.h5", dp=FRAMES, probe=PROBE * 3)
    beside = write(tmp_path / "beside.h5", ppX=X * PIXEL_M, ppY=Y * PIXEL_M, probe=PROBE * 2)
    np.savetxt(tmp_path / "positions.csv", np.c_[X, Y], delimiter=",")
    np.save(tmp_path / "probe.npy", PROBE)
    for positions, probe, expected in (
        (beside, tmp_path / "probe.npy", PROBE),
        (beside, None, PROBE * 2),
        (tmp_path / "positions.csv", None, PROBE * 3),
    ):
        export_product_from_files(ScanFiles(scan, positions=positions, probe=probe), tmp_path / "product.h5")
        check(tmp_path / "product.h5", probe=expected)


@pytest.mark.parametrize("unit", ["px", "m", "um"])
def test_positions_in_any_unit(tmp_path, unit):
    factor = {"px": 1, "m": PIXEL_M, "um": PIXEL_M * 1e6}[unit]
    np.save(tmp_path / "frames.npy", FRAMES)
    np.savetxt(tmp_path / "positions.csv", np.c_[X, Y] * factor, "%.17g", ",")
    export_product_from_files(
        ScanFiles(tmp_path / "frames.npy", positions=tmp_path / "positions.csv", positions_in=unit, probe=PROBE),
        tmp_path / "product.h5",
    )
    check(tmp_path / "product.h5")


BAD = {
    "no such dataset": ({}, {"dataset": "/none"}, ["/none", "no such dataset", "give dataset /dp (12, 16, 18)"]),
    "a group": ({"a/b": FRAMES}, {"dataset": "/a"}, ["/a", "no such dataset", "/a/b (12, 16, 18)"]),
    "no frames": ({"dp": None}, {}, ["no frames where they usually are", "no other dataset could be frames"]),
    "a plane": ({"dp": FRAMES[0]}, {}, ["/dp", "(16, 18)", "[N, H, W]"]),
    "five dimensions": ({"dp": FRAMES[:, None, :, None]}, {}, ["/dp", "(12, 1, 16, 1, 18)"]),
    "no frame": ({"dp": FRAMES[:0]}, {}, ["/dp", "(0, 16, 18)"]),
    "empty": ({"dp": h5py.Empty("f4")}, {}, ["/dp", "shape None"]),
    "complex": ({"dp": FRAMES.astype(complex)}, {}, ["/dp", "complex128", "real numbers"]),
    "text": ({"dp": np.full((N, 2, 2), b"a")}, {}, ["/dp", "dtype |S1"]),
    "objects": ({"dp": np.full((N, 2, 2), "a", h5py.string_dtype())}, {}, ["/dp", "dtype object"]),
    "records": ({"dp": np.zeros((N, 2, 2), [("a", "f4")])}, {}, ["/dp", "real numbers"]),
    "no positions": ({"xcoords": None}, {}, ["no positions", "give positions", "/ppX"]),
    "positions that disagree": ({"ycoords": Y[1:]}, {}, ["ycoords", "11", "12"]),
    "frames that disagree": ({"dp": FRAMES[1:]}, {}, ["/dp", "(11, 16, 18)", "12"]),
    "NaN": ({"xcoords": np.where(np.arange(N) == 4, np.nan, X)}, {}, ["xcoords", "position 4 is nan"]),
    "no probe": ({"probe": None}, {}, ["probeGuess", "no probe", "expected probe"]),
    "a probe that is a mask": ({"probe": PROBE.real > 0}, {}, ["probeGuess", "bool", "complex64"]),
    "a flat probe": ({"probe": PROBE[0]}, {}, ["probeGuess", "(18,)"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_holds_no_scan_is_a_source_error(tmp_path, case):
    changes, options, words = BAD[case]
    datasets = {"dp": FRAMES, "xcoords": X, "ycoords": Y, "probe": PROBE} | changes
    path = write(tmp_path / "scan.h5", **{name: data for name, data in datasets.items() if data is not None})
    with pytest.raises(SourceError) as caught:
        export_product_from_files(ScanFiles(path, **options), tmp_path / "product.h5")
    assert [word for word in ["scan.h5", *words] if word not in str(caught.value)] == []
    assert [file.name for file in tmp_path.iterdir()] == ["scan.h5"]


def test_no_input_is_overwritten(tmp_path):
    scan = write(tmp_path / "scan.h5", dp=FRAMES)
    beside = write(tmp_path / "beside.h5", xcoords=X, ycoords=Y)
    probe = write(tmp_path / "probe.h5", probe=PROBE)
    for path in (scan, beside, probe):
        before = path.read_bytes()
        with pytest.raises(OutputError, match="the input itself"):
            export_product_from_files(ScanFiles(scan, positions=beside, probe=probe), path)
        assert path.read_bytes() == before


def test_messages_name_the_file_as_the_user_does(tmp_path, monkeypatch):
    write(tmp_path / "scan.h5", dp=FRAMES, xcoords=X, ycoords=Y, probe=PROBE)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_product_from_files(ScanFiles("scan.h5"), "product.h5")
    assert all(str(warning.message).startswith("scan.h5: ") for warning in caught)


# files of a kind that is seen or said


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("scan.npz", {"dataset": "/dp"}, "dataset: applies to HDF5 files; scan.npz is an NPZ file"),
        (
            "scan.npy",
            {"dataset": "/dp", "positions": "p.csv"},
            "dataset: applies to HDF5 files; scan.npy is an NPY file",
        ),
        ("scan.h5", {"frames_key": "data"}, "frames_key: applies to NPZ files; scan.h5 is an HDF5 file"),
        ("scan.npy", {"drop": ["Y"], "positions": "p.csv"}, "drop: applies to NPZ files; scan.npy is an NPY file"),
        ("scan.npy", {}, "positions: scan.npy is an NPY file without positions"),
        ("scan", {"kind": "npy"}, "positions: scan is an NPY file without positions"),
        ("scan", {"dataset": "/dp"}, "dataset: applies to HDF5 files; scan is an NPZ file"),
    ],
)
def test_arguments_that_do_not_go_together_are_an_option_error(name, arguments, words):
    with pytest.raises(OptionError, match=words):
        ScanFiles(name, **arguments)


@pytest.mark.parametrize("suffix", [".h5", ".npz", ""])
def test_a_scan_is_what_its_first_bytes_say(tmp_path, suffix):
    path = write(tmp_path / f"scan{suffix}", dp=FRAMES, xcoords=X, ycoords=Y, probe=PROBE)
    export_product_from_files(ScanFiles(path), tmp_path / "product.h5")
    check(tmp_path / "product.h5")


def test_a_kind_that_is_said_is_not_looked_for(tmp_path):
    path = write(tmp_path / "scan.h5", dp=FRAMES, xcoords=X, ycoords=Y, probe=PROBE)
    with pytest.raises(SourceError, match=r"the ZIP archive cannot be read|this is "):
        export_product_from_files(ScanFiles(path, kind="npz"), tmp_path / "product.h5")


def test_a_scan_of_ones_own_making(tmp_path):
    stack = FRAMES.transpose(1, 2, 0)
    scan = Scan(
        origin="detector",
        x=X,
        y=Y,
        probe=PROBE,
        frames=FrameStack("frames", stack.shape, lambda axes: ArrayRows(stack, axes)),
        extras=[
            Extra("mask.npy", np.eye(3)),
            Extra("note.npy", "text"),
            Extra("rows.npy", ArrayRows(stack, (0, 1, 2))),
        ],
    )
    export_product_from_scan(scan, tmp_path / "product.h5")
    check(tmp_path / "product.h5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["raw_data/mask"], np.eye(3))
        assert file["raw_data/note"].asstr()[()] == "text"
        assert np.array_equal(file["raw_data/rows"], stack)
