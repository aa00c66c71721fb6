"""NPZ archives that are written in parts, with NumPy and zipfile as the judges."""

import json
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ptychoproduct import ContractError
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.writer import NpzWriter
from ptychoproduct.system.workers import Workers

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
COMPRESS = pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])


def frames(count=40, shape=(16, 16), dtype="f4"):
    return np.random.default_rng(1).poisson(3, (count, *shape)).astype(dtype)


def write_in_parts(path, array, rows, compress, shuffled=None):
    """Write an array as `diff3d`, its parts encoded in any order on many threads."""
    with NpzWriter(path, compress=compress) as archive, archive.member("diff3d.npy") as stream:
        stream.write_header(array.shape, array.dtype)
        row_bytes = array[:1].nbytes
        firsts = list(range(0, len(array), rows))
        order = firsts.copy()
        random.Random(shuffled).shuffle(order)
        with ThreadPoolExecutor(4) as pool:
            parts = pool.map(lambda first: stream.encode(first * row_bytes, array[first : first + rows]), order)
            encoded = dict(zip(order, parts, strict=True))
        for first in firsts:
            stream.add(encoded[first])


def loaded(path):
    """Read with NumPy, after zipfile has looked at every checksum."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with np.load(path, allow_pickle=True) as archive:
        return dict(archive)


@COMPRESS
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_parts_that_are_encoded_in_any_order_are_one_array(tmp_path, compress, rows):
    array = frames()
    write_in_parts(tmp_path / "a.npz", array, rows, compress)
    found = loaded(tmp_path / "a.npz")
    assert list(found) == ["diff3d"]
    assert (found["diff3d"].dtype, found["diff3d"].tobytes()) == (array.dtype, array.tobytes())


@COMPRESS
def test_the_same_arrays_make_the_same_bytes(tmp_path, compress):
    for name, order in (("a.npz", 1), ("b.npz", 2)):
        write_in_parts(tmp_path / name, frames(), 7, compress, order)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@COMPRESS
@settings(max_examples=60, **QUIET)
@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "<i4", ">u2", "f2", "f8", "c16", "S3", "<U2", "?", [("a", "u1"), ("b", "<f8")]]),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=5),
    )
)
def test_arrays_of_any_type_and_shape_are_written_as_numpy_does(tmp_path, compress, array):
    with NpzWriter(tmp_path / "a.npz", compress=compress) as archive:
        archive.write_array("whole.npy", array)
        if array.ndim:
            blocks = (array[first : first + 2] for first in range(0, 6, 2))
            archive.write_blocks("blocks.npy", array.shape, array.dtype, blocks, Workers(2))
    np.savez(tmp_path / "b.npz", whole=array, blocks=array)
    with zipfile.ZipFile(tmp_path / "a.npz") as ours, zipfile.ZipFile(tmp_path / "b.npz") as numpys:
        assert ours.testzip() is None
        for name in ours.namelist():
            assert ours.read(name) == numpys.read(name)


@COMPRESS
def test_a_pickled_string_is_written_as_numpy_does(tmp_path, compress):
    text = json.dumps({"nphotons": 1e6})
    with NpzWriter(tmp_path / "a.npz", compress=compress) as archive:
        archive.write_array("_metadata.npy", np.array(text, object))
    assert loaded(tmp_path / "a.npz")["_metadata"].item() == text


def test_other_objects_are_not_pickled(tmp_path):
    with NpzWriter(tmp_path / "a.npz") as archive, pytest.raises(ValueError, match="allow_pickle"):
        archive.write_array("a.npy", np.array([{}], object))


@COMPRESS
def test_our_reader_reads_it(tmp_path, compress):
    array = frames()
    write_in_parts(tmp_path / "a.npz", array, 7, compress)
    with NpzArchive(tmp_path / "a.npz") as archive:
        member = archive.require("diff3d")
        assert member.is_deflated is compress
        assert np.array_equal(member.read(), array)


def test_a_stored_array_can_be_mapped_where_it_lies(tmp_path):
    array = frames()
    write_in_parts(tmp_path / "a.npz", array, 7, compress=False)
    data = (tmp_path / "a.npz").read_bytes()
    assert data.count(array.tobytes()) == 1


def test_a_deflated_archive_is_smaller(tmp_path):
    array = np.zeros((100, 64, 64))
    write_in_parts(tmp_path / "a.npz", array, 5, compress=True)
    assert (tmp_path / "a.npz").stat().st_size < array.nbytes / 50
    assert np.array_equal(loaded(tmp_path / "a.npz")["diff3d"], array)


@COMPRESS
def test_members_of_any_name_are_found(tmp_path, compress):
    names = ["a.npy", "µ.npy", "sub/folder.npy", "no suffix", "é" * 100]
    with NpzWriter(tmp_path / "a.npz", compress=compress) as archive:
        for number, name in enumerate(names):
            archive.write_array(name, np.array(number))
        assert archive.members == tuple(names)
    with zipfile.ZipFile(tmp_path / "a.npz") as found:
        assert found.testzip() is None
        assert found.namelist() == names


def test_an_archive_may_be_empty(tmp_path):
    with NpzWriter(tmp_path / "a.npz"):
        pass
    assert loaded(tmp_path / "a.npz") == {}


@pytest.mark.parametrize("name", ["/a.npy", "../a.npy", "a/../b.npy", "", "a\\b.npy", "x" * 70_000])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with NpzWriter(tmp_path / "a.npz") as archive, pytest.raises(ContractError, match="expected a member name"):
        archive.write_array(name, np.ones(3))


def test_a_name_can_be_used_once(tmp_path):
    with NpzWriter(tmp_path / "a.npz") as archive:
        archive.write_array("a.npy", np.ones(3))
        with pytest.raises(ContractError, match="distinct keys"):
            archive.write_array("a.npy", np.ones(3))


def test_an_archive_that_was_given_up_has_no_directory(tmp_path):
    error = KeyError()
    archive = NpzWriter(tmp_path / "a.npz")
    archive.write_array("a.npy", np.ones(3))
    archive.__exit__(type(error), error, None)
    assert not zipfile.is_zipfile(tmp_path / "a.npz")


def test_an_existing_file_is_replaced(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"x" * 10**5)
    write_in_parts(tmp_path / "a.npz", frames(), 7, compress=False)
    assert list(loaded(tmp_path / "a.npz")) == ["diff3d"]
