"""Scans in NPY and HDF5 files on the command line, and what it says of those that cannot be used."""

import json

import h5py
import hdf5plugin
import numpy as np
import pytest

PRECIOUS = b"an older product"
N, PX = 12, 16
RNG = np.random.default_rng(3)
X, Y = RNG.uniform(8, 56, (2, N))
FRAMES = RNG.poisson(3, (N, PX, PX)).astype("<u2")
PROBE = (RNG.standard_normal((PX, PX)) + 1j).astype(np.complex64)


@pytest.fixture
def files(tmp_path):
    """All kinds of files; the older product lies in a folder of its own."""
    np.save(tmp_path / "frames.npy", FRAMES)
    np.save(tmp_path / "probe.npy", PROBE)
    np.savetxt(tmp_path / "positions.csv", np.c_[X, Y], "%.17g", ",", header="x,y", comments="")
    np.savez(tmp_path / "rest.npz", xcoords=X, ycoords=Y, probeGuess=PROBE)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("dp", data=FRAMES, chunks=(4, PX, PX), **hdf5plugin.Zstd(clevel=1))
        file["ppX"], file["ppY"], file["probe"] = X * 5e-8, Y * 5e-8, PROBE
        file["odd/data"] = FRAMES
        file["void"] = np.zeros((0, PX, PX), "u2")
        file["plane"] = FRAMES[0]
        file["text"] = np.full((N, PX, PX), b"a")
        file["out"] = h5py.ExternalLink("../elsewhere.h5", "/dp")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "product.h5").write_bytes(PRECIOUS)
    return tmp_path


def frames_of(path):
    with h5py.File(path) as file:
        assert np.allclose(file["probe_position_x_m"], X * 5e-8, rtol=1e-12)
        assert np.array_equal(file["probe"], PROBE)
        return file["raw_data/diffraction"][:]


@pytest.mark.parametrize(
    "words",
    [
        ("frames.npy", "--positions", "positions.csv", "--probe", "probe.npy"),
        ("frames.npy", "--positions", "rest.npz"),
        ("frames.npy", "--positions", "scan.h5"),
        ("frames.npy", "--positions", "positions.csv", "--probe", "rest.npz:probeGuess"),
        ("scan.h5",),
        ("scan.h5", "--dataset", "/odd/data"),
        ("scan.h5", "--positions", "positions.csv", "--positions-in", "px"),
    ],
    ids=" ".join,
)
def test_the_command_converts(run_command, files, words):
    result = run_command("ptychoproduct", "convert", *words, "out/product.h5", "--json")
    assert result.returncode == 0, result
    assert json.loads(result.stdout)["frames"] == N
    assert np.array_equal(frames_of(files / "out" / "product.h5"), FRAMES)


@pytest.mark.parametrize(
    "words",
    [
        ("--input-npy", "frames.npy", "--positions", "rest.npz"),
        ("--input-h5", "scan.h5", "--dataset", "/dp", "--compression", "zstd:1", "--chunk-frames", "4"),
    ],
    ids=" ".join,
)
def test_the_executable_converts(run_command, files, words):
    result = run_command("convert_to_ptychodus_product", *words, "--output-product", "out/product.h5", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert np.array_equal(frames_of(files / "out" / "product.h5"), FRAMES)


def damaged_chunk(files):
    with h5py.File(files / "scan.h5") as file:
        place = file["dp"].id.get_chunk_info_by_coord((4, 0, 0)).byte_offset
    with (files / "scan.h5").open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 8)


def truncated(files):
    path = files / "scan.h5"
    path.write_bytes(path.read_bytes()[:-500])


def csv(text):
    return lambda files: (files / "positions.csv").write_text(text)


NPY = ("frames.npy", "--positions", "positions.csv", "--probe", "probe.npy")
BAD = {
    "no such file": (("none.h5",), None, ["none.h5: no such file"]),
    "no such frames": (("none.npy", *NPY[1:]), None, ["none.npy: no such file"]),
    "a truncated file": (("scan.h5",), truncated, ["scan.h5", "truncated"]),
    "a damaged chunk": (("scan.h5",), damaged_chunk, ["scan.h5: /dp: frames 4 to 7 cannot be decoded"]),
    "no such dataset": (
        ("scan.h5", "--dataset", "/x"),
        None,
        ["scan.h5: /x: there is no such dataset", "/dp (12, 16, 16)"],
    ),
    "an empty dataset": (("scan.h5", "--dataset", "/void"), None, ["/void", "(0, 16, 16)"]),
    "a plane": (("scan.h5", "--dataset", "/plane"), None, ["/plane", "(16, 16)", "[N, H, W]"]),
    "text": (("scan.h5", "--dataset", "/text"), None, ["/text", "|S1", "real numbers"]),
    "out of the folder": (("scan.h5", "--dataset", "/out"), None, ["/out", "../elsewhere.h5", "outside its folder"]),
    "short frames": (NPY, lambda files: np.save(files / "frames.npy", FRAMES[:5]), ["(5, 16, 16)", "12"]),
    "complex frames": (NPY, lambda files: np.save(files / "frames.npy", FRAMES + 0j), ["frames", "complex128"]),
    "flat frames": (NPY, lambda files: np.save(files / "frames.npy", FRAMES[0]), ["frames", "three axes"]),
    "no CSV": (NPY, csv("no table"), ["positions.csv", "no table of numbers"]),
    "three columns": (NPY, csv("1,2,3\n4,5,6\n"), ["positions.csv", "3 columns", "--positions-columns"]),
    "short positions": (NPY, csv("x,y\n1,2\n"), ["(12, 16, 16)", "no axis of length 1"]),
    "NaN": (NPY, csv("x,y\n" + "1,2\n" * 3 + "nan,1\n" + "1,2\n" * 8), ["xcoords", "position 3 is nan"]),
    "infinite": (NPY, csv("x,y\n" + "1,inf\n" * 12), ["ycoords", "position 0 is inf"]),
    "no probe": (NPY[:3], None, ["frames.npy: probeGuess: found no probe, expected --probe"]),
    "no such probe": ((*NPY[:4], "none.npy"), None, ["none.npy: no such file"]),
    "no such probe in a file": ((*NPY[:4], "scan.h5:/x"), None, ["scan.h5: there is no probe: no dataset '/x'"]),
    "no positions": (("frames.npy",), None, ["positions: frames.npy is an NPY file without positions"]),
    "a dataset of an NPY file": (
        (*NPY, "--dataset", "/dp"),
        None,
        ["dataset: applies to HDF5 files; frames.npy is an NPY file"],
    ),
    "a key of an NPY file": (
        (*NPY, "--frames-key", "a"),
        None,
        ["frames-key: applies to NPZ files; frames.npy is an NPY file"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_told_in_one_line(run_command, files, case):
    words, damage, messages = BAD[case]
    if damage is not None:
        damage(files)
    result = run_command("ptychoproduct", "convert", *words, "out/product.h5", "--quiet")
    assert (result.returncode, result.stdout) == (2, ""), result
    (line,) = result.stderr.splitlines()
    assert [message for message in messages if message not in line] == []
    assert [path.name for path in (files / "out").iterdir()] == ["product.h5"]
    assert (files / "out" / "product.h5").read_bytes() == PRECIOUS


def test_two_scans_are_one_too_many(run_command, files):
    words = ("--input-npy", "frames.npy", "--input-h5", "scan.h5", "--output-product", "out/product.h5")
    result = run_command("convert_to_ptychodus_product", *words)
    assert result.returncode == 2
    assert "--input-h5: not allowed with argument --input-npy" in result.stderr
    assert (files / "out" / "product.h5").read_bytes() == PRECIOUS
