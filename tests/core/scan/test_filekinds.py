"""What kind of file a file is."""

import io

import h5py
import numpy as np
import pytest

from ptychoproduct.scan.layouts import HDF5, NPY, NPZ, file_kind


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
