"""NPZ files as PtychoPINN and other programs write them become products; NumPy and h5py say what is in them."""

import os
import warnings
from types import SimpleNamespace

import h5py
import hdf5plugin  # noqa: F401 - the judge reads through h5py
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    OptionError,
    ProductWarning,
    ScanFiles,
    SourceError,
    TuneOptions,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_rawdata,
    export_product_from_scan,
    import_product_to_npz,
    tune_scan,
    validate_product,
)
from ptychoproduct.scan.scan import Scan

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 12, 16, 18
RNG = np.random.default_rng(3)
X, Y = RNG.uniform(8, 56, (2, N))
FRAMES = RNG.poisson(3, (N, H, W)).astype("<u2")
PROBE = (RNG.standard_normal((H, W)) + 1j * RNG.standard_normal((H, W))).astype(np.complex64)
OBJECT = (RNG.standard_normal((64, 64)) + 1j * RNG.standard_normal((64, 64))).astype(np.complex64)


def save(path, save_by=np.savez, **changes):
    arrays = {"xcoords": X, "ycoords": Y, "diff3d": FRAMES, "probeGuess": PROBE, "objectGuess": OBJECT} | changes
    save_by(path, **{key: value for key, value in arrays.items() if value is not ABSENT})
    return path


ABSENT = object()


def convert(path, include_raw=True, **files):
    summary = export_product_from_files(
        ScanFiles(path, **files), path.parent / "product.h5", ExportMeta(), include_raw=include_raw
    )
    assert validate_product(summary.product, deep=True).is_valid
    return summary


def check(product, frames=FRAMES, x=X, y=Y, probe=PROBE):
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"], frames)
        assert np.array_equal(file["raw_data/xcoords"], x)
        assert np.array_equal(file["raw_data/ycoords"], y)
        assert np.array_equal(file["probe"], probe)
        assert file["probe"].dtype == probe.dtype


# None, as PtychoPINN's RawData.to_file writes what a scan does not have.


def to_file(path, save_by, **changes):
    """Write a scan as `RawData.to_file` of PtychoPINN does: every attribute, None too."""
    keys = ("xcoords_start", "ycoords_start", "diff3d", "probeGuess", "objectGuess", "scan_index", "Y", "norm_Y_I")
    return save(path, save_by, **dict.fromkeys(keys) | {"diff3d": FRAMES, "probeGuess": PROBE} | changes)


@pytest.mark.parametrize("save_by", [np.savez, np.savez_compressed])
def test_a_none_of_ptychopinn_is_a_key_that_is_not_there(tmp_path, save_by):
    path = to_file(tmp_path / "scan.npz", save_by, norm_Y_I=np.float32(2.5))
    summary = convert(path)
    check(summary.product)
    with h5py.File(summary.product) as file:
        assert set(file["raw_data"]) == {"diffraction", "xcoords", "ycoords", "probeGuess", "norm_Y_I"}
        assert file["object"].attrs["synthetic"]
    absent = "objectGuess, xcoords_start, ycoords_start, scan_index, Y"
    assert summary.notes == (f"None in the file, so taken as missing: {absent}",)
    assert validate_product(summary.product, source=path).is_valid
    import_product_to_npz(summary.product, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert set(back) == {"xcoords", "ycoords", "diff3d", "probeGuess", "norm_Y_I"}


def test_none_in_the_file_of_positions_and_in_one_to_tune_for(tmp_path):
    path = to_file(tmp_path / "scan.npz", np.savez)
    np.save(tmp_path / "frames.npy", FRAMES)
    summary = convert(tmp_path / "frames.npy", positions=path)
    check(summary.product)
    assert tune_scan(ScanFiles(path), TuneOptions(seconds=0.1)).trials


def test_a_required_none_is_missing(tmp_path):
    with pytest.raises(
        SourceError, match=r"there are no frames under diff3d or diffraction or patterns; .*include_raw=False"
    ):
        convert(to_file(tmp_path / "scan.npz", np.savez, diff3d=None))
    with pytest.raises(SourceError, match=r"probeGuess: found no probe, expected probe"):
        convert(to_file(tmp_path / "scan.npz", np.savez, probeGuess=None))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize(
    "value", [np.array([None] * 3), np.array({"a": 1}), np.array(Evil()), np.array("text", object)]
)
def test_every_other_pickle_is_refused_or_left_out(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "scan.npz", Y=value)
    with pytest.raises(SourceError, match=r"Y: .*drop Y leaves it out"):
        convert(path)
    summary = convert(path, drop=["Y"])
    check(summary.product)
    assert summary.notes == ("left out: Y",)
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_one_key_to_leave_out_needs_no_list(tmp_path):
    assert ScanFiles(save(tmp_path / "scan.npz"), drop="xcoords").drop == ("xcoords",)


def test_what_is_left_out_has_to_be_there(tmp_path):
    with pytest.raises(OptionError, match="there is no member 'y' to leave out; the file has xcoords, ycoords"):
        convert(save(tmp_path / "scan.npz"), drop=["y"])


# Frames under another key, positions and probe in other files.


def test_frames_under_another_key(tmp_path):
    path = save(tmp_path / "scan.npz", diff3d=ABSENT, reciprocal=FRAMES)
    with pytest.raises(SourceError, match=r"by frames_key, one of reciprocal \(12, 16, 18\); .*include_raw=False"):
        convert(path)
    summary = convert(path, frames_key="reciprocal")
    check(summary.product)
    with h5py.File(summary.product) as file:
        assert "reciprocal" not in file["raw_data"]
    assert validate_product(summary.product, source=ScanFiles(path, frames_key="reciprocal")).is_valid
    assert tune_scan(ScanFiles(path, frames_key="reciprocal"), TuneOptions(seconds=0.1)).trials
    import_product_to_npz(summary.product, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert np.array_equal(back["reciprocal"], FRAMES)


def test_frames_beside_others_that_are_kept(tmp_path):
    path = save(tmp_path / "scan.npz", other=FRAMES[::-1])
    summary = convert(path, frames_key="other")
    check(summary.product, FRAMES[::-1])
    with h5py.File(summary.product) as file:
        assert np.array_equal(file["raw_data/diff3d"], FRAMES)


def test_a_key_of_frames_has_to_be_there(tmp_path):
    with pytest.raises(SourceError, match=r"none: there are no frames under none; .*one of diff3d \(12, 16, 18\)$"):
        convert(save(tmp_path / "scan.npz"), frames_key="none")


def test_probe_and_positions_of_other_files(tmp_path):
    path = save(
        tmp_path / "scan.npz", **dict.fromkeys(("xcoords", "ycoords", "probeGuess"), ABSENT), scan_index=X[::-1]
    )
    np.savetxt(
        tmp_path / "positions.csv", np.column_stack([X, Y]), delimiter=",", header="x,y", comments="", fmt="%.17g"
    )
    np.save(tmp_path / "probe.npy", PROBE)
    with pytest.raises(SourceError, match=r"xcoords and ycoords: there are no positions; give them with positions"):
        convert(path, probe=PROBE)
    with pytest.raises(SourceError, match=r"found no probe, expected probe"):
        convert(path, positions=(X, Y))
    summary = convert(path, positions=tmp_path / "positions.csv", probe=tmp_path / "probe.npy", positions_in="px")
    check(summary.product)
    with h5py.File(summary.product) as file:
        assert np.array_equal(file["object"], OBJECT)
        assert np.array_equal(file["raw_data/scan_index"], X[::-1])


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_positions_in_one_array_of_a_file(tmp_path, kind):
    table = np.column_stack([Y, X])
    path = save(tmp_path / "scan.npz", xcoords=ABSENT, ycoords=ABSENT, position=table)
    with pytest.raises(SourceError, match=r"give them with positions FILE or positions scan\.npz:position"):
        convert(path)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["dp"], file["probe"], file["position"] = FRAMES, PROBE, table
    path = tmp_path / f"scan.{kind}"
    check(convert(path, positions=f"{path}:position", positions_columns="y,x", positions_in="px").product)
    with pytest.raises(SourceError, match="none"):
        convert(path, positions=f"{path}:none")


def test_what_is_given_wins_over_the_npz_file(tmp_path):
    path = save(tmp_path / "scan.npz")
    summary = convert(path, positions=(X + 1, Y + 2), probe=PROBE * 2)
    check(summary.product, x=X + 1, y=Y + 2, probe=PROBE * 2)
    with h5py.File(tmp_path / "positions.h5", "w") as file:
        file["xcoords"], file["ycoords"], file["probe"] = X + 3, Y + 4, PROBE * 3
    check(convert(path, positions=tmp_path / "positions.h5").product, x=X + 3, y=Y + 4, probe=PROBE * 3)


def test_results_alone_are_converted_without_frames(tmp_path):
    path = save(tmp_path / "scan.npz", diff3d=ABSENT)
    with pytest.raises(SourceError, match="to convert a scan without frames, add include_raw=False"):
        convert(path)
    with h5py.File(convert(path, include_raw=False).product) as file:
        assert np.array_equal(file["object"], OBJECT)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["xcoords"], file["ycoords"], file["probe"], file["objectGuess"] = X, Y, PROBE, OBJECT[None]
    with pytest.raises(
        SourceError,
        match="no other dataset could be frames; to convert a scan without frames, add include_raw=False",
    ):
        convert(tmp_path / "scan.h5")


# Axes of length one, and grids.

SHAPES = {
    "one behind": (FRAMES[..., None], FRAMES),
    "one in front": (FRAMES[None], FRAMES),
    "ones on both ends": (FRAMES[None, ..., None], FRAMES),
    "a grid": (FRAMES.reshape(3, 4, H, W), FRAMES),
    "a grid and a one": (FRAMES.reshape(1, 3, 4, H, W), FRAMES),
    "a line": (FRAMES[:, None], FRAMES),
    "frames last": (FRAMES.transpose(1, 2, 0)[None], FRAMES),
    "a Fortran grid": (np.asfortranarray(FRAMES.reshape(3, 4, H, W)), FRAMES),
    "a Fortran array and a one": (np.asfortranarray(FRAMES[..., None]), FRAMES),
    "big-endian": (FRAMES.reshape(4, 3, H, W).astype(">u2"), FRAMES),
}


@pytest.mark.parametrize("kind", ["npz", "compressed npz", "npy", "h5", "chunked h5", "rawdata"])
@pytest.mark.parametrize("case", SHAPES)
def test_ones_are_dropped_and_grids_are_flattened(tmp_path, kind, case):
    stored, frames = SHAPES[case]
    if kind == "rawdata":
        raw = SimpleNamespace(xcoords=X, ycoords=Y, diff3d=stored, probeGuess=PROBE)
        summary = export_product_from_rawdata(raw, tmp_path / "product.h5")
    elif kind.endswith("npz"):
        save_by = np.savez_compressed if kind.startswith("compressed") else np.savez
        summary = convert(save(tmp_path / "scan.npz", save_by, diff3d=stored))
    elif kind == "npy":
        np.save(tmp_path / "frames.npy", stored)
        summary = convert(tmp_path / "frames.npy", positions=(X, Y), probe=PROBE)
    else:
        chunks = tuple(max(1, length // 2) for length in stored.shape) if kind.startswith("chunked") else None
        with h5py.File(tmp_path / "scan.h5", "w") as file:
            file.create_dataset("data/stack", data=stored, chunks=chunks)
        summary = convert(tmp_path / "scan.h5", dataset="/data/stack", positions=(X, Y), probe=PROBE)
    check(summary.product, frames)
    key = {"npy": "frames", "h5": "/data/stack", "chunked h5": "/data/stack"}.get(kind, "diff3d")
    taken = (H, W, N) if case == "frames last" else (N, H, W)
    assert summary.notes == (f"{key}: shape {stored.shape} is taken as {taken}",)
    with h5py.File(summary.product) as file:
        expected = "HWN" if case == "frames last" else "NHW"
        assert file["raw_data/diffraction"].attrs["original_axis_order"] in (expected, expected.encode())


def test_a_source_of_a_grid_validates_its_product(tmp_path):
    path = save(tmp_path / "scan.npz", diff3d=FRAMES.reshape(3, 4, H, W))
    assert validate_product(convert(path).product, source=path).is_valid
    changed = save(tmp_path / "changed.npz", diff3d=FRAMES[::-1].reshape(3, 4, H, W))
    assert not validate_product(tmp_path / "product.h5", source=changed).is_valid


def test_positions_and_pictures_lose_ones_and_start_positions_too(tmp_path):
    changes = {
        "xcoords": X[:, None],
        "ycoords": Y[None],
        "scan_index": np.arange(N)[:, None],
        "xcoords_start": X[:, None] + 1,
        "probeGuess": PROBE[..., None],
        "objectGuess": OBJECT[None, None],
    }
    summary = convert(save(tmp_path / "scan.npz", **changes))
    check(summary.product)
    with h5py.File(summary.product) as file:
        assert np.array_equal(file["object"], OBJECT[None])
        assert np.array_equal(file["raw_data/scan_index"], np.arange(N))
        assert np.array_equal(file["raw_data/xcoords_start"], X + 1)
    assert "xcoords: shape (12, 1) is taken as (12,)" in summary.notes
    assert "probeGuess: shape (16, 18, 1) is taken as (16, 18)" in summary.notes


def test_an_error_that_lists_what_could_be_frames_knows_grids(tmp_path):
    path = save(tmp_path / "scan.npz", diff3d=ABSENT, grid=FRAMES.reshape(3, 4, H, W), probes=PROBE[None])
    with pytest.raises(SourceError, match=r"frames_key, one of grid \(3, 4, 16, 18\); "):
        convert(path)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["grid"], file["probes"] = FRAMES.reshape(3, 4, H, W), PROBE[None]
    with pytest.raises(SourceError, match=r"dataset /grid \(3, 4, 16, 18\); "):
        convert(tmp_path / "scan.h5", positions=(X, Y), probe=PROBE)


# Real probes and objects.


@pytest.mark.parametrize("kind", ["npz", "h5", "rawdata"])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "c8"), (">f4", "c8"), ("f8", "c16"), ("f2", "c8"), ("i8", "c16"), ("u1", "c8"), ("c8", "c8")],
)
def test_real_probes_and_objects_become_complex(tmp_path, kind, dtype, expected):
    probe, image = (np.abs(array * 10).astype(dtype) for array in (PROBE, OBJECT))
    if kind == "npz":
        summary = convert(save(tmp_path / "scan.npz", probeGuess=probe, objectGuess=image))
    elif kind == "h5":
        with h5py.File(tmp_path / "scan.h5", "w") as file:
            file["xcoords"], file["ycoords"], file["dp"], file["probe"], file["objectGuess"] = (
                X,
                Y,
                FRAMES,
                probe,
                image,
            )
        summary = convert(tmp_path / "scan.h5")
    else:
        raw = SimpleNamespace(xcoords=X, ycoords=Y, diff3d=FRAMES, probeGuess=probe, objectGuess=image)
        summary = export_product_from_rawdata(raw, tmp_path / "product.h5")
    check(summary.product, probe=probe.astype(expected))
    with h5py.File(summary.product) as file:
        assert np.array_equal(file["object"], image.astype(expected))
        assert file["object"].dtype == expected
    told = [
        f"{key}: real numbers, {np.dtype(dtype).name}, are taken as complex" for key in ("probeGuess", "objectGuess")
    ]
    assert summary.notes == (() if dtype == "c8" else tuple(told))


# Objects in memory.


@pytest.mark.parametrize("key", ["diff3d", "diffraction"])
def test_frames_of_an_object_have_either_name(tmp_path, key):
    raw = SimpleNamespace(xcoords=X, ycoords=Y, probeGuess=PROBE, objectGuess=OBJECT, **{key: FRAMES})
    check(export_product_from_rawdata(raw, tmp_path / "product.h5").product)


def test_an_object_without_frames_is_warned_about(tmp_path):
    raw = SimpleNamespace(xcoords=X, ycoords=Y, probeGuess=PROBE, objectGuess=OBJECT, diff3d=None)
    with pytest.warns(ProductWarning, match=r"there are no frames \(diff3d or diffraction\), so the product has none"):
        export_product_from_rawdata(raw, tmp_path / "product.h5")
    with pytest.warns(ProductWarning, match="there are no frames"):
        export_product_from_scan(Scan("a scan", X, Y, PROBE), tmp_path / "product.h5")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProductWarning)
        export_product_from_rawdata(raw, tmp_path / "product.h5", include_raw=False)
    assert [str(warning.message) for warning in caught if "no frames" in str(warning.message)] == []


# Bytes behind the archive.


def test_an_archive_with_padding_is_a_scan(tmp_path):
    path = save(tmp_path / "scan.npz")
    path.write_bytes(path.read_bytes() + b"\0" * 1000)
    with np.load(path) as saved:
        export_product_from_npz(path, tmp_path / "product.h5")
        check(tmp_path / "product.h5", saved["diff3d"], saved["xcoords"], saved["ycoords"], saved["probeGuess"])
