"""NPY files: what NumPy saved is read; what is damaged or hostile is a SourceError."""

import pickle
from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct.errors import SourceError
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.streaming.reordering import WindowedRows
from ptychoproduct.streaming.sources import windows_of
from ptychoproduct.streaming.stored_rows import StoredRows, stored_rows
from ptychoproduct.system.resources import Resources

pytestmark = pytest.mark.filterwarnings(  # NumPy and Python warn of some of the text that damage makes of a header
    "ignore::DeprecationWarning", "ignore::SyntaxWarning", "ignore:Reading .*:UserWarning"
)


def saved(folder, array):
    path = folder / "frames.npy"
    np.save(path, array)
    return path


def all_rows(source, step):
    rows = np.empty(source.shape, source.dtype)
    for window in windows_of(source, step):
        for first in window[::step]:
            part = rows[first : min(first + step, window.stop)]
            source.read_into(first, memoryview(part.reshape(-1).view(np.uint8)))
    source.finish()
    return rows


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<u2", ">u2", "|u1", "<f8", ">c8", "|b1"])
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("step", [1, 4, 50])
def test_rows_of_an_npy_file(tmp_path, dtype, fortran, axes, step):
    stack = np.arange(5 * 6 * 7).reshape(5, 6, 7).astype(dtype)
    with NpyFile(saved(tmp_path, np.asfortranarray(stack) if fortran else stack)) as file:
        rows = all_rows(stored_rows(file.array, axes, Resources(1, 300, tmp_path)), step)
    assert rows.dtype.isnative
    assert np.array_equal(rows, stack.transpose(axes))


def test_rows_in_order_may_be_read_from_any_thread_and_others_not(tmp_path):
    with NpyFile(saved(tmp_path, np.zeros((5, 6, 7)))) as file:
        assert isinstance(stored_rows(file.array), StoredRows)
        assert isinstance(stored_rows(file.array, (2, 0, 1)), WindowedRows)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    dtype=st.sampled_from(["<f4", ">f8", "<c16", ">i2", "?", "S3", "<U2", "M8[s]"]),
    fortran=st.booleans(),
)
def test_any_array_is_read_whole(tmp_path, shape, dtype, fortran):
    array = np.zeros(shape, dtype)
    array.reshape(-1)[...] = np.arange(array.size).astype(dtype)
    array = np.asfortranarray(array) if fortran else array
    with NpyFile(saved(tmp_path, array)) as file:
        read = file.array.read()
    assert read.dtype == array.dtype.newbyteorder("=")
    assert read.flags.c_contiguous
    assert np.array_equal(read, array)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 127), value=st.integers(0, 255))
def test_a_changed_byte_of_the_header_is_noticed_or_harmless(tmp_path, place, value):
    array = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    path = saved(tmp_path, array)
    data = bytearray(path.read_bytes())
    data[place] = value
    path.write_bytes(data)
    try:
        with NpyFile(path) as file:
            assert file.array.read().nbytes == array.nbytes
    except SourceError:
        return


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:0], "not an NPY file"),
        (lambda data: b"text" + data, "not an NPY file"),
        (lambda data: data[:20], "header cannot be read"),
        (lambda data: data[:-1], "95 bytes of data, expected 96"),
        (lambda data: data + b"\0", "97 bytes of data, expected 96"),
        (lambda data: data[:6] + b"\3\0" + data[8:], "not an NPY file of version 1 or 2"),
    ],
)
def test_a_damaged_file_is_a_source_error(tmp_path, damage, words):
    path = saved(tmp_path, np.arange(24, dtype="<f4"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match=f"frames.npy: .*{words}"):
        NpyFile(path)


def test_a_file_that_becomes_shorter_is_a_source_error(tmp_path):
    path = saved(tmp_path, np.zeros(1000))
    with NpyFile(path) as file:
        with path.open("r+b") as other:
            other.truncate(500)
        with pytest.raises(SourceError, match="ends"):
            file.array.read()


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(tmp_path):
    array = np.empty(1, object)
    array[0] = Hostile(tmp_path / "made")
    path = tmp_path / "frames.npy"
    np.save(path, array, allow_pickle=True)
    assert pickle.dumps(array)
    with pytest.raises(SourceError, match="Python objects"):
        NpyFile(path)
    assert not (tmp_path / "made").exists()


def test_a_missing_file_and_a_folder_are_source_errors(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        NpyFile(tmp_path / "none.npy")
    with pytest.raises(SourceError, match="a directory"):
        NpyFile(tmp_path)
