"""Products in other processes, in other libraries' hands, and after their end."""

import multiprocessing
import operator
import pickle
from concurrent.futures import ProcessPoolExecutor

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest

from ptychoproduct import ContractError, ExportOptions, SourceError, export_product_from_npz, open_product

CODECS = ["none", "zstd:1", "gzip:1"]


@pytest.fixture(params=CODECS)
def product(save_scan, centered_meta, tmp_path, request):
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(), path, centered_meta, options=ExportOptions(compression=request.param))
    return path


def stored_frames(path):
    with h5py.File(path) as file:
        return file["raw_data/diffraction"][:]


@pytest.mark.parametrize(
    "read",
    [
        lambda frames: frames[0],
        lambda frames: frames[:],
        lambda frames: frames[[3, 1]],
        lambda frames: list(frames),
        lambda frames: frames.read_into(np.empty(frames.shape, frames.dtype)),
    ],
    ids=["one", "all", "some", "iteration", "into"],
)
def test_frames_of_a_closed_product_are_an_error_though_another_file_has_its_descriptor(product, tmp_path, read):
    other = tmp_path / "other.h5"
    other.write_bytes(product.read_bytes())
    with h5py.File(other, "r+") as file:
        del file["raw_data/diffraction"]  # whatever is read of it would be wrong
    with open_product(product) as opened:
        frames = opened.frames
        frames[0]
    with h5py.File(other), pytest.raises(ContractError, match="closed"):
        read(frames)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_frames_are_read_in_worker_processes(product, method):
    expected = stored_frames(product)
    context = multiprocessing.get_context(method)
    with open_product(product) as opened, ProcessPoolExecutor(2, mp_context=context) as pool:
        rows = list(pool.map(operator.getitem, [opened.frames] * 3, [0, 5, 11]))
        x_m = list(pool.map(operator.attrgetter("x_m"), [opened] * 2))
        expected_m = opened.x_m
    np.testing.assert_array_equal(rows, expected[[0, 5, 11]])
    np.testing.assert_array_equal(x_m, [expected_m] * 2)


def test_frames_are_read_by_the_workers_of_joblib(product):
    joblib = pytest.importorskip("joblib")
    with open_product(product) as opened:
        rows = joblib.Parallel(2)(joblib.delayed(operator.getitem)(opened.frames, row) for row in range(4))
    np.testing.assert_array_equal(rows, stored_frames(product)[:4])


def test_frames_are_an_array_to_dask(product):
    array = pytest.importorskip("dask.array")
    with open_product(product) as opened:
        lazy = array.from_array(opened.frames)
        assert (lazy.shape, lazy.dtype) == (opened.frames.shape, opened.frames.dtype)
        np.testing.assert_array_equal(lazy[2:9].compute(), stored_frames(product)[2:9])


def test_frames_have_what_arrays_have(product):
    expected = stored_frames(product)
    with open_product(product) as opened, h5py.File(product) as file:
        frames = opened.frames
        found = frames.ndim, frames.size, frames.nbytes, frames.chunks
        assert found == (3, expected.size, expected.nbytes, file["raw_data/diffraction"].chunks)


def test_counts_that_are_pickled_stay_counts(save_scan, centered_meta, tmp_path):
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(), path, centered_meta, options=ExportOptions(store_counts=True))
    with open_product(path) as opened:
        again, counts = pickle.loads(pickle.dumps((opened.frames, opened.frames.counts)))
        assert (again.dtype, counts.dtype) == (opened.frames.dtype, opened.frames.counts.dtype)
        np.testing.assert_array_equal(counts[:], stored_frames(path))
        np.testing.assert_array_equal(again[:], opened.frames[:])


def test_a_product_that_was_replaced_since_it_was_pickled_is_an_error(product, save_scan, make_scan, centered_meta):
    with open_product(product) as opened:
        pickled = pickle.dumps(opened.frames)
    export_product_from_npz(save_scan("next.npz", diff3d=make_scan()["diff3d"] + 1), product, centered_meta)
    with pytest.raises(ContractError, match="changed since"):
        pickle.loads(pickled)


def test_a_product_that_is_gone_since_it_was_pickled_is_an_error(product):
    with open_product(product) as opened:
        pickled = pickle.dumps(opened)
    product.unlink()
    with pytest.raises(SourceError, match=r"product\.h5"):
        pickle.loads(pickled)
