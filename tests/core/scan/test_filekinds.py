"""What kind of file a file is."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
from functools import partial

import h5py
import numpy as np
import pytest

from ptychoproduct import inspect_product, open_product, repack_product, validate_product
from ptychoproduct.errors import SourceError
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.scan.array_files import read_probe
from ptychoproduct.scan.companions import read_positions
from ptychoproduct.scan.layouts import HDF5, NPY, NPZ, file_kind
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.system.resources import Resources

X = np.arange(3.0)


def contents(kind):
    file = io.BytesIO()
    if kind == NPY:
        np.save(file, np.zeros(3))
    elif kind == NPZ:
        np.savez(file, a=np.zeros(3))
    elif kind == HDF5:
        with h5py.File(file, "w") as h5:
            h5["a"] = 1
    else:
        file.write(b"x,y\n1,2\n")
    return file.getvalue()


@pytest.mark.parametrize("kind", [NPY, NPZ, HDF5])
@pytest.mark.parametrize("suffix", ["", ".npz", ".npy", ".h5", ".csv"])
def test_the_first_bytes_decide(tmp_path, kind, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(contents(kind))
    assert file_kind(path) == kind


def test_hdf5_behind_a_user_block(tmp_path):
    with h5py.File(tmp_path / "file", "w", userblock_size=512) as file:
        file["a"] = 1
    assert file_kind(tmp_path / "file") == HDF5


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".npz", NPZ), (".npy", NPY), (".h5", HDF5), (".CXI", HDF5), (".nxs", HDF5), (".csv", None)]
)
def test_the_name_says_what_a_file_should_have_been(tmp_path, suffix, kind):
    path = tmp_path / f"file{suffix}"
    assert file_kind(path) == kind
    path.write_bytes(contents(None))
    assert file_kind(path) == kind


def tiff(path):
    picture(path, "TIFF")


def picture(path, kind):
    pytest.importorskip("PIL.Image").fromarray(np.zeros((4, 5), np.uint8)).save(path, kind)


def packed(path, opener):
    with opener(path, "wb") as file:
        file.write(b"1,2\n")


def tar(path):
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "member")


def mrc(path):
    path.write_bytes(np.zeros(52, "<i4").tobytes() + b"MAP " + b"DA\0\0" + bytes(1000))


KINDS = {
    "a TIFF file, not {}; save its data": tiff,
    "a BLO file, not {}; save its data": lambda path: path.write_bytes(b"IMGBLO" + bytes(500)),
    "an MRC file, not {}; save its data": mrc,
    "a file of MATLAB v5, not {}; save it with -v7.3": lambda path: pytest.importorskip("scipy.io").savemat(
        path, {"a": 1}, appendmat=False
    ),
    "a gzip file, not {}; unpack it first": partial(packed, opener=gzip.open),
    "a bzip2 file, not {}; unpack it first": partial(packed, opener=bz2.open),
    "an xz file, not {}; unpack it first": partial(packed, opener=lzma.open),
    "a tar archive, not {}; unpack it first": tar,
    "a PNG picture, not {}": partial(picture, kind="PNG"),
    "a pickle, not {}": lambda path: path.write_bytes(pickle.dumps({"a": np.zeros(3)})),
    "an empty file, not {}": lambda path: path.write_bytes(b""),
    "a text file, not {}": lambda path: path.write_text("x,y µ\n1,2\n" * 100),
    "a pointer of Git LFS, not {}; get the file": lambda path: path.write_text("version https://git-lfs.github.com/"),
}


@pytest.mark.parametrize("words", KINDS)
@pytest.mark.parametrize("suffix", ["", ".npz", ".npy", ".h5", ".tif"])
def test_a_file_of_another_kind_is_named_as_that(tmp_path, words, suffix):
    path = tmp_path / f"scan{suffix}"
    KINDS[words](path)
    if "TIFF" not in words:  # which is read
        with pytest.raises(SourceError) as caught:
            ScanFiles(path)
        assert f"{path}: this is {words.format('an NPZ, NPY or HDF5 file')}" in str(caught.value)
    for wanted, opened in (("NPZ", NpzArchive), ("NPY", NpyFile), ("HDF5", open_product), ("HDF5", validate_product)):
        with pytest.raises(SourceError) as caught:
            opened(path)
        assert f"{path}: this is {words.format(f'an {wanted} file')}" in str(caught.value)


@pytest.mark.parametrize("version", [3, 4])
def test_digital_micrograph_is_known_by_its_name_too(tmp_path, version):
    for suffix, words in ((f".dm{version}", f"this is a DM{version} file"), ("", "this is not an NPZ")):
        path = tmp_path / f"scan{suffix}"
        path.write_bytes(bytes([0, 0, 0, version]) + bytes(60))
        with pytest.raises(SourceError, match=words):
            ScanFiles(path)


@pytest.mark.parametrize("kind", [NPY, NPZ, HDF5])
def test_a_damaged_file_of_a_known_kind_is_no_other_kind(tmp_path, kind):
    path = tmp_path / f"scan.{kind}"
    path.write_bytes(contents(kind)[:100])
    companions = {} if kind == NPZ else {"positions": (X, X), "probe": X}
    with pytest.raises(SourceError) as caught, opened_scan(ScanFiles(path, **companions), Resources()):
        pass
    assert ", not an" not in str(caught.value)


def test_companions_of_another_kind(tmp_path):
    tiff(tmp_path / "file")
    with pytest.raises(SourceError, match="this is a TIFF file, not an NPY, NPZ or HDF5 file with a probe"):
        read_probe(str(tmp_path / "file"))
    with pytest.raises(SourceError, match="this is a TIFF file, not a text, NPY, NPZ or HDF5 file of positions"):
        read_positions(tmp_path / "file")


@pytest.mark.parametrize("name", ["pipe", "pipe.h5", "pipe.npz", "pipe.npy"])
def test_pipes_are_refused_without_waiting(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for read in (
        lambda path: ScanFiles(path),
        open_product,
        inspect_product,
        validate_product,
        lambda path: repack_product(path, tmp_path / "new.h5"),
        lambda path: read_probe(str(path)),
        read_positions,
        NpzArchive,
        NpyFile,
    ):
        with pytest.raises(SourceError, match="this is a pipe or a device; save the data in a file"):
            read(tmp_path / name)
