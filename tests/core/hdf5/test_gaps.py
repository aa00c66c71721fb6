"""Rows that no file has are found: HDF5's own reading, which gives the fill value there, is the judge."""

import time
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct.errors import ProductWarning, SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.hdf5.gaps import gaps_of, numbers_of

SHAPE = (10, 3, 4)
DATA = np.arange(1, 121, dtype="<u2").reshape(SHAPE)


@contextmanager
def opened(dataset, file_name, dataset_name):
    with h5py.File(f"{dataset.file.filename.rpartition('/')[0]}/{file_name}") as file:
        yield file[dataset_name]


def found(path, axis=0, name="d"):
    """Which rows are missing."""
    with h5py.File(path) as file:
        gaps = gaps_of(file[name], axis, opened)
        return np.any([np.zeros(file[name].shape[axis], bool), *(gap.rows for gap in gaps)], axis=0)


def made_up(path, axis=0, name="d"):
    """Which rows have zeros; the data has none."""
    with h5py.File(path) as file:
        array = file[name][:]
    return (np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) == 0).any(axis=1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("nbytes", [0, 1, 23, 24, 100, 168, 234, 239, 240, 500])
@pytest.mark.parametrize("offset", [0, 7])
def test_raw_files_that_are_too_short(tmp_path, axis, nbytes, offset):
    cut, size = 100, DATA.nbytes - 100
    (tmp_path / "first").write_bytes(b"-" * offset + DATA.tobytes()[: min(cut, nbytes)])
    (tmp_path / "second").write_bytes(DATA.tobytes()[cut:nbytes])
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        parts = [(str(tmp_path / "first"), offset, cut), (str(tmp_path / "second"), 0, size)]
        file.create_dataset("d", SHAPE, DATA.dtype, external=parts)
    assert made_up(tmp_path / "scan.h5", axis).any() == (nbytes < 239)
    # Of an element that is there in half HDF5 gives that half, which need not be zero.
    missing = np.ones(DATA.size, bool)
    missing[: nbytes // 2] = False
    rows = np.moveaxis(missing.reshape(SHAPE), axis, 0).reshape(SHAPE[axis], -1).any(axis=1)
    assert np.array_equal(found(tmp_path / "scan.h5", axis), rows)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("written", [slice(0, 0), slice(0, 4), slice(2, 7), slice(0, 9), slice(0, 10)])
@pytest.mark.parametrize("chunks", [(1, 3, 4), (3, 3, 4), (4, 2, 3)])
def test_chunks_that_were_never_written(tmp_path, axis, written, chunks):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("d", SHAPE, DATA.dtype, chunks=chunks, compression="gzip")[written] = DATA[written]
    stored = np.zeros(SHAPE, bool)
    for first in range(0, 10, chunks[0]):
        stored[first : first + chunks[0]] = first < written.stop and first + chunks[0] > written.start
    rows = ~np.moveaxis(stored, axis, 0).reshape(SHAPE[axis], -1).all(axis=1)
    assert np.array_equal(found(tmp_path / "scan.h5", axis), rows)
    assert (made_up(tmp_path / "scan.h5", axis) >= rows).all()


def test_a_dataset_that_was_never_written(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("d", SHAPE, DATA.dtype)
        file["e"] = DATA
        file["scalar"] = 0
        file.create_dataset("empty", (0, 3), "u1")
    assert found(tmp_path / "scan.h5").all()
    assert not found(tmp_path / "scan.h5", name="e").any()
    assert not found(tmp_path / "scan.h5", name="empty").any()
    with h5py.File(tmp_path / "scan.h5") as file:
        assert gaps_of(file["scalar"], 0, opened) == []


MAPPINGS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 9), st.integers(1, 10), st.integers(1, 3)),  # rows: first, number, step
        st.sampled_from([(0, 3, 0, 4), (0, 3, 0, 2), (0, 3, 2, 4), (0, 1, 0, 4), (1, 3, 0, 4)]),
        st.integers(0, 10),  # rows that the source has
        st.sampled_from(["stack", "padded", "one image", "columns cut"]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mappings=MAPPINGS, axis=st.sampled_from([0, 0, 1, 2]))
def test_virtual_datasets(tmp_path, mappings, axis):
    """Elements that are mapped, and that HDF5 does not give, are missing; pixels that are never mapped are not.

    HDF5 gives zeros for most, and for some with a stride the data of others.
    """
    layout, is_mapped = h5py.VirtualLayout(SHAPE, "u2"), np.zeros(SHAPE, bool)
    for number, ((first, rows, step), (top, bottom, left, right), rows_there, kind) in enumerate(mappings):
        target = (slice(first, min(10, first + rows * step), step), slice(top, bottom), slice(left, right))
        shape = is_mapped[target].shape
        if kind == "one image":
            target, shape = (first, *target[1:]), shape[1:]
        if is_mapped[target].any():  # HDF5 does not say what it makes of two that have the same
            continue
        declared = {"padded": (shape[0] + 2, *shape[1:])}.get(kind, shape)
        source = h5py.VirtualSource(f"part{number}.h5", "d", declared)
        layout[target] = source[2:] if kind == "padded" else source
        is_mapped[target] = True
        there = list(declared)
        there[0] = min(rows_there, there[0])
        if kind == "columns cut":
            there[-1] -= 1
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            content = np.zeros(declared, "u2")
            content[2 if kind == "padded" else 0 :] = DATA[target]
            file["d"] = content[tuple(map(slice, there))]
    with h5py.File(tmp_path / "scan.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)
    with h5py.File(tmp_path / "scan.h5") as file:
        try:
            is_wrong = np.moveaxis(file["d"][:] != DATA, axis, 0)
        except OSError:  # some sources that are too short HDF5 refuses itself
            assert found(tmp_path / "scan.h5", axis).any()
            return
    pixels = np.moveaxis(is_mapped, axis, 0).any(axis=0)
    assert np.array_equal(found(tmp_path / "scan.h5", axis), is_wrong[:, pixels].any(axis=1))


@pytest.mark.parametrize("there", [0, 2, 4, 5])
def test_sources_that_grow(tmp_path, there):
    unlimited = h5py.h5s.UNLIMITED
    layout = h5py.VirtualLayout(SHAPE, "u2", maxshape=(None, *SHAPE[1:]))
    for number, rows in enumerate((there, 5)):
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            file.create_dataset("d", data=np.ones((rows, *SHAPE[1:]), "u2"), maxshape=(None, *SHAPE[1:]))
        source = h5py.VirtualSource(f"part{number}.h5", "d", (5, *SHAPE[1:]), maxshape=(None, *SHAPE[1:]))
        layout[number:unlimited:2, :, :] = source[0:unlimited, :, :]
    with h5py.File(tmp_path / "scan.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)
    rows = made_up(tmp_path / "scan.h5")
    assert np.flatnonzero(rows).tolist() == list(range(2 * there, 10, 2))
    assert np.array_equal(found(tmp_path / "scan.h5"), rows)


@pytest.mark.parametrize("as_images", [False, True])
def test_what_a_source_of_a_virtual_dataset_never_wrote(tmp_path, as_images):
    """A master file maps data files that were made before the frames came."""
    layout = h5py.VirtualLayout(SHAPE, "u2")
    for number in range(2):
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            part = file.create_dataset("d", (5, 3, 4), "u2", chunks=(1, 3, 4))
            part[: 5 - 2 * number] = 1
        source = h5py.VirtualSource(f"part{number}.h5", "d", (5, 3, 4))
        for row in range(5) if as_images else ():
            layout[5 * number + row] = source[row]
        if not as_images:
            layout[5 * number : 5 * number + 5] = source
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_virtual_dataset("d", layout)
    assert np.flatnonzero(made_up(tmp_path / "scan.h5")).tolist() == [8, 9]
    assert np.array_equal(found(tmp_path / "scan.h5"), made_up(tmp_path / "scan.h5"))


def test_rows_of_a_grid_from_a_stack(tmp_path):
    """Axes that do not correspond: too few rows in the source count for the whole mapping."""
    for rows in (14, 13):
        with h5py.File(tmp_path / "part.h5", "w") as file:
            file["d"] = np.ones((rows, 4), "u2")
        layout = h5py.VirtualLayout((3, 4, 4), "u2")
        layout[:] = h5py.VirtualSource("part.h5", "d", (14, 4))[2:]
        with h5py.File(tmp_path / "scan.h5", "w") as file:
            file.create_virtual_dataset("d", layout)
        assert found(tmp_path / "scan.h5").all() == made_up(tmp_path / "scan.h5").any() == (rows < 14)


def test_virtual_datasets_that_go_round_are_an_error(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w", libver="latest") as file:
        for name, other in (("d", "e"), ("e", "d")):
            layout = h5py.VirtualLayout(SHAPE, "u2")
            layout[:] = h5py.VirtualSource(".", other, SHAPE)
            file.create_virtual_dataset(name, layout)
    with Hdf5Source(tmp_path / "scan.h5") as source, pytest.raises(SourceError, match="form a circle"):
        source.require_rows(source.find("/d"))


def test_many_mappings_are_looked_at_quickly(tmp_path):
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["d"] = np.ones((1999, 256, 256), "u1")
    layout = h5py.VirtualLayout((2000, 256, 256), "u1")
    source = h5py.VirtualSource("part.h5", "d", (2000, 256, 256))
    for row in range(2000):
        layout[row] = source[row]
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_virtual_dataset("d", layout)
    started = time.process_time()
    assert np.flatnonzero(found(tmp_path / "scan.h5")).tolist() == [1999]
    assert time.process_time() - started < 5


@pytest.mark.parametrize("fill", [0, 9])
def test_the_file_and_the_frames_are_named(tmp_path, fill):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("d", SHAPE, DATA.dtype, chunks=(1, 3, 4), fillvalue=fill)[:4] = DATA[:4]
    with Hdf5Source(tmp_path / "scan.h5") as source, pytest.raises(SourceError) as error:
        source.require_rows(source.find("/d"))
    assert str(error.value).startswith(f"{tmp_path / 'scan.h5'}: /d: frames 4 to 9 were never written to scan.h5; ")
    assert "allow_gaps" in str(error.value)
    words = "9 takes their place" if fill else "zeros take their place"
    with Hdf5Source(tmp_path / "scan.h5", allow_gaps=True) as source, pytest.warns(ProductWarning, match=words):
        source.require_rows(source.find("/d"))


def test_a_file_of_a_virtual_dataset_may_be_missing(tmp_path):
    layout = h5py.VirtualLayout(SHAPE, "u2")
    for number in range(2):
        layout[5 * number : 5 * number + 5] = h5py.VirtualSource(f"part{number}.h5", "d", (5, 3, 4))
    with h5py.File(tmp_path / "part0.h5", "w") as file:
        file["d"] = DATA[:5]
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_virtual_dataset("d", layout, fillvalue=9)
    with (
        Hdf5Source(tmp_path / "scan.h5") as source,
        pytest.raises(SourceError, match=r"part1\.h5, which is not beside"),
    ):
        source.find("/d")
    words = r"frames 5 to 9 are not there: part1\.h5 is missing, 9 takes their place"
    with Hdf5Source(tmp_path / "scan.h5", allow_gaps=True) as source, pytest.warns(ProductWarning, match=words):
        source.require_rows(source.find("/d"))
    with h5py.File(tmp_path / "scan.h5") as file:
        assert np.unique(file["d"][5:]).tolist() == [9]


def test_a_missing_file_must_still_be_in_the_folder(tmp_path):
    layout = h5py.VirtualLayout(SHAPE, "u2")
    layout[:] = h5py.VirtualSource("../none.h5", "d", SHAPE)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_virtual_dataset("d", layout)
    with (
        Hdf5Source(tmp_path / "scan.h5", allow_gaps=True) as source,
        pytest.raises(SourceError, match="outside its folder"),
    ):
        source.find("/d")


def test_the_numbers_of_rows():
    rows = np.zeros(100, bool)
    rows[[3, 5, *range(40, 60), 70, 80, 81]] = True
    assert numbers_of(rows) == "3, 5, 40 to 59, 70 and 2 more"
