"""Frames in the hands of a training loader, of dask and of xarray; h5py is the judge."""

import multiprocessing
import operator
from concurrent.futures import ProcessPoolExecutor

import dask
import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest
import xarray

from ptychoproduct import ContractError, ExportMeta, ExportOptions, export_product_from_npz, open_product

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
META = ExportMeta(name="scan", detector_pixel_width_m=7.5e-5, detector_pixel_height_m=5e-5)


@pytest.fixture
def product(save_scan, tmp_path):
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(), path, META, options=ExportOptions(chunk_frames=5, physics="off"))
    return path


@pytest.fixture
def expected(product):
    with h5py.File(product) as file:
        return file["raw_data/diffraction"][:], file["probe_position_x_m"][:], file["probe_position_y_m"][:]


def collated(items):
    """Stack items as the loader of PyTorch does by default."""
    return tuple(map(np.stack, zip(*items, strict=True)))


def test_a_dataset_has_items_and_batches(product, expected):
    numbers = [7, 0, 11, 7]
    with open_product(product) as opened:
        dataset = opened.to_torch()
        assert len(dataset) == 12
        for found, values in zip(collated(dataset.__getitems__(numbers)), expected, strict=True):
            assert np.array_equal(found, values[numbers])
        for found, values in zip(collated([dataset[number] for number in numbers]), expected, strict=True):
            assert np.array_equal(found, values[numbers])


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_worker_processes_read_batches(product, expected, method):
    batches = [[3, 1], [11, 0], [5, 5]]
    with (
        open_product(product) as opened,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool,
    ):
        calls = [operator.methodcaller("__getitems__", numbers) for numbers in batches]
        found = [pool.submit(call, opened.to_torch()) for call in calls]
    for numbers, batch in zip(batches, found, strict=True):
        for part, values in zip(collated(batch.result()), expected, strict=True):
            assert np.array_equal(part, values[numbers])


def test_dask_reads_frames_when_it_computes(product, expected):
    with open_product(product) as opened:
        lazy = opened.to_dask()
        assert (lazy.shape, lazy.dtype, lazy.chunks[1:]) == ((12, 16, 16), np.float32, ((16,), (16,)))
        assert np.array_equal(lazy[2:9].compute(), expected[0][2:9])
        assert np.array_equal(lazy.max(axis=0).compute(), expected[0].max(axis=0))


def test_a_task_of_dask_takes_whole_chunks_of_the_file(product):
    with open_product(product) as opened, dask.config.set({"array.chunk-size": "7KiB"}):  # 7 frames of 16 x 16
        assert opened.to_dask().chunks[0] == (5, 5, 2)


def test_xarray_knows_where_frames_and_pixels_are(product, expected):
    frames, x_m, y_m = expected
    with open_product(product) as opened:
        found = opened.to_xarray()
        assert isinstance(found, xarray.DataArray)
        assert found.dims == ("position", "row", "column")
        assert np.array_equal(found.x_m, x_m)
        assert np.array_equal(found.y_m, y_m)
        assert found.x_m.units == "m"
        assert np.allclose(found.column_m[:2], [-8 * 7.5e-5, -7 * 7.5e-5])
        assert np.allclose(found.row_m[-1], 7 * 5e-5)
        assert found.attrs["name"] == "scan"
        left = found.where(found.x_m < np.median(x_m), drop=True)
        assert np.array_equal(left, frames[x_m < np.median(x_m)])


@pytest.mark.parametrize("method", ["to_torch", "to_dask", "to_xarray"])
def test_a_product_without_frames(save_scan, tmp_path, method):
    export_product_from_npz(save_scan(), tmp_path / "product.h5", META, include_raw=False)
    with (
        open_product(tmp_path / "product.h5") as opened,
        pytest.raises(ContractError, match="raw_data/diffraction: the product has no frames"),
    ):
        getattr(opened, method)()
